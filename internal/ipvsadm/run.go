package ipvsadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"natlb/internal/control"
	"natlb/ipvs"
)

// Client is what a command line needs of a director; [control.Client] has it.
// Errors wrap sentinels of package ipvs.
type Client interface {
	Apply(ctx context.Context, changes []ipvs.Change) error
	Services(ctx context.Context) ([]ipvs.ServiceStatus, error)
	Connections(ctx context.Context, yield func(ipvs.ConnStatus) bool) error
	Timeouts(ctx context.Context) (ipvs.Timeouts, error)
	TableSize(ctx context.Context) (int, error)
}

var _ Client = (*control.Client)(nil)

// Env is the world around one command line.
type Env struct {
	Prog    string // argv[0] as called: messages carry it, and ipvsadm-save and ipvsadm-restore act on it
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Client  Client
	Version string // of natlb, for -v and -h
	Lookup  Lookup // nil: the host's own databases, SystemLookup
}

// Run executes one command line, args being what follows the program's name,
// and returns the exit status: 0 done, 1 a listing failed, 2 the command line is
// wrong or there is no director, 255 an unknown option or a refusal of the
// director. Syntax errors, -h and -v do not need a director.
func Run(ctx context.Context, env *Env, args []string) int {
	lookup := env.Lookup
	if lookup == nil {
		lookup = SystemLookup()
	}
	s := &invocation{ctx: ctx, env: env, lookup: lookup, parser: newParser(ctx, env.Prog, lookup)}
	var err error
	switch filepath.Base(env.Prog) {
	case "ipvsadm-save":
		err = s.scriptSave(args)
	case "ipvsadm-restore":
		err = s.scriptRestore()
	default:
		err = s.execute(args)
	}
	return s.report(err)
}

// invocation is the run of one command line, or of the lines of one -R.
type invocation struct {
	ctx    context.Context
	env    *Env
	lookup Lookup
	parser *parser
}

func (s *invocation) execute(args []string) error {
	if len(args) == 0 {
		args = []string{"--list"}
	}
	ln, err := s.parser.parse(args)
	if err != nil {
		return err
	}
	if ln.cmd.run != nil {
		return ln.cmd.run(s, ln)
	}
	c, err := ln.change()
	if err == nil {
		err = s.env.Client.Apply(s.ctx, []ipvs.Change{c})
	}
	return refusal(err, statusRefused)
}

// report prints the fault that err is, if it has words, and returns its exit
// status.
func (s *invocation) report(err error) int {
	if err == nil {
		return 0
	}
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{text: err.Error(), status: statusRefused}
	}
	if f.text != "" {
		fmt.Fprintln(s.env.Stderr, f.text)
	}
	return f.status
}
