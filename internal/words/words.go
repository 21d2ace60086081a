package words

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

// Env is the world around one command line.
type Env struct {
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string // of natlb

	socket string // --socket, or empty
}

// Words are natlb's own commands.
type Words struct {
	env  *Env
	root *cobra.Command
}

// New returns the words of this room, and more from others.
func New(env *Env, more ...*cobra.Command) *Words {
	w := &Words{env: env, root: &cobra.Command{
		Use:           "natlb",
		Short:         "IPVS in userspace: a load balancer for a machine whose kernel has none",
		Long:          "natlb run is the director. natlb with ipvsadm's options (natlb -h) speaks to it.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}}
	w.root.SetIn(env.Stdin)
	w.root.SetOut(env.Stdout)
	w.root.SetErr(env.Stderr)
	w.root.CompletionOptions.HiddenDefaultCmd = true
	w.root.AddCommand(more...)
	w.root.AddCommand(env.apply(), env.mark(), env.save(), env.set(), env.source(), env.sysctl(), env.counters(), env.doctor(), env.link(), env.version())
	w.root.AddCommand(env.watch(), env.events(), env.conns(), env.drain(), env.explain(), env.drops(), env.capture())
	w.root.AddCommand(w.man())
	w.root.SetHelpFunc(w.help(w.root.HelpFunc()))
	w.root.SetFlagErrorFunc(usage)
	for _, c := range w.root.Commands() {
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error { return usage(cmd, check(cmd, args)) }
		}
	}
	return w
}

// Knows reports whether word is one of the commands.
func (w *Words) Knows(word string) bool {
	if word == cobra.ShellCompRequestCmd || word == cobra.ShellCompNoDescRequestCmd {
		return true
	}
	w.root.InitDefaultHelpCmd()
	w.root.InitDefaultCompletionCmd(word)
	return slices.ContainsFunc(w.root.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
}

// Run executes a command line that begins with a known word and returns the exit
// status: 0 done, 2 no director, 1 any other fault, or what an [Exit] says.
func (w *Words) Run(ctx context.Context, args []string) int {
	w.root.SetArgs(args)
	err := w.root.ExecuteContext(ctx)
	var exit Exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	var faults ipvsadm.RuleFaults
	if errors.As(err, &faults) {
		tellFaults(w.env.Stderr, faults)
	} else {
		fmt.Fprintf(w.env.Stderr, "natlb: %v\n", err)
	}
	if h := hintOf(err); h != "" {
		fmt.Fprintln(w.env.Stderr, "hint: "+h)
	}
	if errors.Is(err, ipvs.ErrDirectorNotRunning) {
		return 2
	}
	return 1
}

// Exit is the error of a command that has reported its own faults: the exit
// status alone.
type Exit int

// Error is never shown.
func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// talks gives a command the flag that says which director it talks to.
func (e *Env) talks(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&e.socket, "socket", "", "control socket of the director (default $NATLB_SOCKET, else "+control.DefaultSocket+")")
	return cmd
}

// dial returns a client of the director that the command line names. The caller
// closes it.
func (e *Env) dial() *control.Client { return control.Dial(control.SocketPath(e.socket)) }
