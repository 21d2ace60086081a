package replay

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"natlb/internal/ipvsadm"
)

var update = flag.Bool("update", false, "make the captures of testdata from the scenes, and store what the replays are")

// scene is a capture that a test makes.
type scene struct {
	name  string
	rules string
	play  func(*stage)
}

func scenes() []scene { return slices.Concat(shapes, corners, ipv6) }

// perform plays a scene.
func (c *scene) perform(tb testing.TB) *stage {
	s := &stage{tb: tb}
	c.play(s)
	return s
}

func (c *scene) parsed(tb testing.TB) *ipvsadm.Rules {
	tb.Helper()
	rules, err := ipvsadm.ParseRules(strings.NewReader(c.rules), "rules")
	if err != nil {
		tb.Fatal(err)
	}
	return rules
}

// TestGoldens replays every scene as the command does, and wants what is stored.
func TestGoldens(t *testing.T) {
	for _, c := range scenes() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join("testdata", c.name)
			s := c.perform(t)
			stored(t, filepath.Join(dir, "rules"), []byte(c.rules))
			stored(t, filepath.Join(dir, "vip.pcap"), s.file(VIPSide))
			stored(t, filepath.Join(dir, "dip.pcap"), s.file(DIPSide))
			cmd := commandFor(dir)
			cmd.Expect, cmd.Update = filepath.Join(dir, "expect"), *update
			var out bytes.Buffer
			if err := cmd.Run(t.Context(), &out, os.Stderr); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

// TestEveryGoldenHasAScene: what is stored is replayed.
func TestEveryGoldenHasAScene(t *testing.T) {
	folders, err := filepath.Glob("testdata/*/rules")
	if err != nil || len(folders) != len(scenes()) {
		t.Errorf("testdata has %d folders for %d scenes (%v)", len(folders), len(scenes()), err)
	}
}

// commandFor returns the command line that replays a folder of testdata.
func commandFor(dir string) *Command {
	c := &Command{RulesFiles: []string{filepath.Join(dir, "rules")}, VIP: []string{filepath.Join(dir, "vip.pcap")}, DIP: []string{filepath.Join(dir, "dip.pcap")}}
	c.VIPName, c.DIPName, c.VIPVLAN, c.DIPVLAN, c.FTPPorts = "vip", "dip", AnyVLAN, AnyVLAN, []uint16{21}
	return c
}

// stored wants a file to be what it should be, or makes it so.
func stored(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the scene makes (%v): go test ./internal/replay -update", path, err)
	}
}
