package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"natlb/dataplane"
	"natlb/internal/control"
)

// TestMain makes this program known to the scripts under all its names.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"natlb": main, "ipvsadm": main, "ipvsadm-save": main, "ipvsadm-restore": main,
	})
}

// TestScripts plays testdata/script. Each script has a director without ports of
// its own, at $NATLB_SOCKET.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			path, err := startDirector(filepath.Join(env.WorkDir, "natlb.sock"), env.Defer)
			env.Setenv("NATLB_SOCKET", path)
			return err
		},
	})
}

// startDirector has a director answer at path; later takes what ends it.
func startDirector(path string, later func(func())) (string, error) {
	l, err := control.Listen(path)
	if err != nil {
		return "", err
	}
	server := control.NewServer(pathOnly{dataplane.NewDirector(dataplane.Config{})}, version, slog.New(slog.DiscardHandler))
	go server.Serve(l)
	later(func() { server.Shutdown(context.Background()) })
	return path, nil
}

// pathOnly is a data path behind a control socket.
type pathOnly struct{ *dataplane.Director }

func (pathOnly) Ledger() control.Ledger      { return control.Ledger{} }
func (pathOnly) Counters() []control.Counter { return nil }
func (pathOnly) Setup() control.Setup        { return control.Setup{} }
func (pathOnly) Capture(control.Capture) (control.CaptureFeed, error) {
	return nil, errors.ErrUnsupported
}

// Sysctls implements [control.Director].
func (p pathOnly) Sysctls() (all []control.Sysctl) {
	for _, s := range p.Director.Sysctls() {
		all = append(all, control.Sysctl(s))
	}
	return all
}
