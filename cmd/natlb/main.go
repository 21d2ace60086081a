// Command natlb is IPVS in userspace: a load balancer for a machine whose
// kernel has no IPVS.
//
//	natlb run --vip-if IF --dip-if IF     the director
//	natlb -A -t VIP:port -s rr            ipvsadm's command line, to a running director
//	natlb demo                            the whole of it in a lab of its own
//
// Called as ipvsadm, ipvsadm-save or ipvsadm-restore it is that program.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/terminal"
	"natlb/internal/words"
)

// version is set when a release is linked.
var version = "0.1.0-dev"

func main() { os.Exit(run(os.Args)) }

// signals returns a context that a stop signal ends; a second one ends the
// process.
func signals() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// run picks the face that argv asks for and returns the exit status. The ipvsadm
// face dies of a signal as ipvsadm does: it has nothing to tidy up.
func run(argv []string) int {
	if len(argv) == 0 {
		argv = []string{"natlb"}
	}
	prog, args := argv[0], argv[1:]
	switch {
	case strings.HasPrefix(filepath.Base(prog), "ipvsadm"):
	case len(args) > 0 && !strings.HasPrefix(args[0], "-"):
		// A word that is none of ours is ipvsadm's to refuse, in its words.
		env := &words.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: version}
		if own := words.New(env, runCommand(), demoCommand(), replayCommand()); own.Knows(args[0]) {
			return own.Run(signals(), args)
		}
	}
	return runIpvsadm(context.Background(), prog, args)
}

// runIpvsadm is the ipvsadm command line. The socket is chosen by the
// environment, or by --socket in front of everything else.
func runIpvsadm(ctx context.Context, prog string, args []string) int {
	socket, args := control.TakeSocket(args)
	client := control.Dial(control.SocketPath(socket))
	defer client.Close()
	return ipvsadm.Run(ctx, &ipvsadm.Env{
		Prog: prog, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Client: client, Version: version, Hints: terminal.Is(os.Stderr),
	}, args)
}
