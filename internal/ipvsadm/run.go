package ipvsadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

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
	Sources(ctx context.Context) ([]ipvs.SourceStatus, error)
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
	Hints   bool   // a person reads Stderr: a line of help below ipvsadm's words
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
		err = s.advise(&scene{err: s.scriptSave(args)})
	case "ipvsadm-restore":
		err = s.advise(&scene{err: s.scriptRestore(args)})
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
	sc := new(scene)
	sc.ln, sc.err = s.parser.parse(args)
	switch {
	case sc.err != nil:
	case sc.ln.cmd.run != nil:
		sc.err = sc.ln.cmd.run(s, sc.ln)
	default:
		s.change(sc)
	}
	return s.advise(sc)
}

// change has the director make the change that the line of sc asks for.
func (s *invocation) change(sc *scene) {
	c, err := sc.ln.change()
	if err == nil {
		replaces := c.Kind == ipvs.EditService || c.Kind == ipvs.EditDestination
		if replaces && s.env.Hints && !s.parser.restoring {
			sc.services, _ = s.env.Client.Services(s.ctx) // without them the hint says less
		}
		err = s.env.Client.Apply(s.ctx, []ipvs.Change{c})
	}
	if c.Destination.Method == ipvs.FullNAT && err == nil && s.env.Hints {
		sc.sources, sc.asked = s.sources()
	}
	sc.err = refusal(err, statusRefused)
}

// sources returns the addresses that FullNAT can speak from, and whether the director
// could be asked for them.
func (s *invocation) sources() (list []ipvs.SourceStatus, asked bool) {
	list, err := s.env.Client.Sources(s.ctx)
	return slices.DeleteFunc(list, func(a ipvs.SourceStatus) bool { return a.Deleted || a.Local }), err == nil
}

// advise gives a person the hint for sc: with its fault, or at once when there
// is none. It returns the fault.
func (s *invocation) advise(sc *scene) error {
	if !s.env.Hints {
		return sc.err
	}
	if sc.asks() {
		sc.services, _ = s.env.Client.Services(s.ctx)
	}
	hint := sc.hint()
	var f *fault
	switch {
	case hint == "":
	case sc.err == nil:
		s.tell(hint)
	case errors.As(sc.err, &f) && f.hint == "":
		f.hint = hint
	}
	return sc.err
}

func (s *invocation) tell(hint string) { fmt.Fprintln(s.env.Stderr, "hint: "+hint) }

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
	if f.hint != "" {
		s.tell(f.hint)
	}
	return f.status
}
