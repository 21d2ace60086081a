package words

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/rules"
	"natlb/internal/terminal"
	"natlb/ipvs"
)

// statusDiffers is the exit status of apply --diff when there is a difference.
const statusDiffers = 3

const applyHelp = `apply makes the running director what a fresh one would be with this rules
file: what the file does not name goes, timeouts and settings that it does not
name go back to their defaults. It shows the difference first (+ - ~) and then
carries it out as one transaction, all of it or nothing. What is the same is not
touched: connections, counters and the turns of schedulers stay, and applying a
file again does nothing. Between reading and changing nobody else can change
anything. FILE - is standard input; natlb save writes such a file.

A rules file has the lines of natlb -S (-A, -a; also -E, -e, -D, -d, -C), with -x
and -y, --set TCP TCPFIN UDP, mark -A PREROUTING ..., sysctl NAME=VALUE, blank
lines and # comments. The order of a service's -a lines decides ties, as when
they are typed; where only the order differs, the list is put into order and
the servers are not touched.

Exit status: 0 done, or nothing to do; 1 a fault, and nothing was changed;
2 no director is running; 3 with --diff: there is a difference.`

func (e *Env) apply() *cobra.Command {
	a := &applying{env: e}
	cmd := &cobra.Command{
		Use:   "apply FILE [--check | --diff] [--json]",
		Short: "make a rules file the running state, the difference first",
		Long:  applyHelp,
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.BoolVar(&a.check, "check", false, "only say whether the file is good; asks a running director too, and does without")
	f.BoolVar(&a.diff, "diff", false, "only show the difference")
	f.BoolVar(&a.json, "json", false, "show the difference as JSON")
	cmd.MarkFlagsMutuallyExclusive("check", "diff")
	cmd.MarkFlagsMutuallyExclusive("check", "json")
	return e.talks(cmd)
}

// applying is one run of natlb apply.
type applying struct {
	env               *Env
	check, diff, json bool
	file              *rules.File
}

func (a *applying) run(ctx context.Context, name string) error {
	file, err := a.read(ctx, name)
	if err != nil {
		return faulty(err)
	}
	a.file = file
	client := a.env.dial()
	defer client.Close()
	switch {
	case a.check:
		return a.judge(ctx, client, shownName(name))
	case a.diff:
		return a.compare(ctx, client)
	}
	return a.apply(ctx, client)
}

// read reads the file. When a signal ends that, nothing has been changed yet.
func (a *applying) read(ctx context.Context, name string) (*rules.File, error) {
	file, err := rules.ReadWithin(ctx, func() (io.ReadCloser, error) {
		if name == "-" {
			return io.NopCloser(a.env.Stdin), nil
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, hinted{err, "natlb save > FILE writes one"}
		}
		return f, nil
	}, shownName(name))
	if err != nil && ctx.Err() != nil {
		return nil, hinted{err, "nothing was changed"}
	}
	return file, err
}

// shownName is what messages call the file.
func shownName(name string) string {
	if name == "-" {
		return "stdin"
	}
	return name
}

// judge is --check.
func (a *applying) judge(ctx context.Context, client *control.Client, name string) error {
	is, err := client.State(ctx)
	asked := "no director is running to ask"
	if err == nil {
		d := rules.Compare(is, a.file.Wanted)
		if !d.Empty() {
			err = client.Check(ctx, d.Changes)
		}
		if err != nil {
			return a.refused(d, err)
		}
		asked = "the running director would take it"
	} else if !errors.Is(err, ipvs.ErrDirectorNotRunning) {
		return err
	}
	servers := 0
	for i := range a.file.Wanted.Services {
		servers += len(a.file.Wanted.Services[i].Destinations)
	}
	_, err = fmt.Fprintf(a.env.Stdout, "%s: good, services %d, servers %d, marks %d; %s\n",
		name, len(a.file.Wanted.Services), servers, len(a.file.Wanted.Marks), asked)
	return err
}

// compare is --diff.
func (a *applying) compare(ctx context.Context, client *control.Client) error {
	is, err := client.State(ctx)
	if err != nil {
		return err
	}
	d := rules.Compare(is, a.file.Wanted)
	switch {
	case a.json:
		err = printDiff(a.env.Stdout, d, false)
	case d.Empty():
		a.nothing()
	default:
		err = a.show(d)
	}
	if err == nil && !d.Empty() {
		return Exit(statusDiffers)
	}
	return err
}

func (a *applying) apply(ctx context.Context, client *control.Client) error {
	times := 0
	d, err := rules.Apply(ctx, client, a.file.Wanted, func(d *rules.Diff) error {
		if a.json {
			return nil // one object, when all is over
		}
		if times++; times > 1 {
			fmt.Fprintln(a.env.Stderr, "natlb: somebody else has changed the director meanwhile; the difference now:")
		}
		return a.show(d)
	})
	switch {
	case err != nil:
		return a.refused(d, err)
	case a.json:
		return printDiff(a.env.Stdout, d, !d.Empty())
	case d.Empty():
		a.nothing()
	}
	return nil
}

// nothing says that there is no difference, to people alone.
func (a *applying) nothing() {
	if terminal.Is(a.env.Stdout) {
		fmt.Fprintln(a.env.Stdout, "nothing to change")
	}
}

// show writes a difference, a line for each step.
func (a *applying) show(d *rules.Diff) error {
	w := bufio.NewWriter(a.env.Stdout)
	paint := coloured(a.env.Stdout)
	for _, s := range d.Steps {
		text := s.Sign + " " + s.Rule
		if s.Was != "" {
			text += "  (was " + s.Was + ")"
		}
		if paint {
			text = colours[s.Sign] + text + uncoloured
		}
		fmt.Fprintln(w, text)
	}
	return w.Flush()
}

// diffJSON is a difference as natlb prints it.
type diffJSON struct {
	Applied bool                 `json:"applied"`
	Steps   []rules.Step         `json:"steps"`
	Changes []control.ChangeJSON `json:"changes"`
}

func printDiff(w io.Writer, d *rules.Diff, applied bool) error {
	out := diffJSON{applied, d.Steps, make([]control.ChangeJSON, len(d.Changes))}
	if out.Steps == nil {
		out.Steps = []rules.Step{}
	}
	for i := range d.Changes {
		out.Changes[i] = control.JSONOfChange(&d.Changes[i])
	}
	return printJSON(w, out)
}

// refused puts what a director has refused at the line of the file that it is
// about.
func (a *applying) refused(d *rules.Diff, err error) error {
	if fault, ok := a.file.Blame(d.Changes, err); ok {
		return faulty(ipvsadm.RuleFaults{fault})
	}
	if errors.Is(err, control.ErrChanged) {
		return hinted{err, "nothing was changed by this one; somebody keeps changing the director, try again"}
	}
	return err
}

// faulty gives the faults of a file the line that goes below all of them.
func faulty(err error) error {
	var faults ipvsadm.RuleFaults
	if !errors.As(err, &faults) {
		return err
	}
	return hinted{err, "nothing was changed; natlb apply --help says what a rules file has, natlb save prints one"}
}
