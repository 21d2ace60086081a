package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"natlb/internal/lab"
	"natlb/internal/terminal"
)

// The ports and texts of the course.
const (
	page1 = "server-1 is 8888" // server 1 listens on 8088; the page says otherwise, as in the course
	page2 = "server-2 is 80"
	port1 = "8088"
	port2 = "80"
	// liveClients is how many addresses the client machine has: the transcript
	// asks from the first, the live view from all.
	liveClients = 4
)

// options are the flags of `natlb demo`.
type options struct {
	once, shell, plain bool
}

// Main runs `natlb demo` with the arguments that follow the word demo, and
// returns its exit status: 0 if all was as it should be, 1 if not (the reason
// is on stderr), 2 for a wrong command line. self is the path of this program,
// which is started again as director and as client. It must be called early,
// with os.Args untouched (see [lab.Enter]).
func Main(ctx context.Context, args []string, self string, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "natlb demo: %v\n", err)
		return 2
	}
	inside, code, err := lab.Enter()
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "natlb demo: %v\n", err)
		return 1
	case !inside:
		return afterwards(code, stdout, stderr)
	}
	if err := play(ctx, o, self, stdout); err != nil {
		fmt.Fprintf(stderr, "natlb demo: %v\n", err)
		return 1
	}
	return 0
}

// afterwards is what the outer process does when the demo is over: if a process
// of it was killed, it says so and tidies the screen that nobody else can.
func afterwards(code int, stdout, stderr io.Writer) int {
	const bySignal = 128
	if code <= bySignal {
		return code
	}
	if terminal.Is(stdout) {
		fmt.Fprint(stdout, leaveScreen)
	}
	fmt.Fprintf(stderr, "natlb demo: ended by signal %d (%v); nothing of the lab is left\n", code-bySignal, syscall.Signal(code-bySignal))
	return code
}

func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	flags := pflag.NewFlagSet("natlb demo", pflag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.Usage = func() {
		fmt.Fprintf(stdout, "Usage: natlb demo [--once | --shell] [--plain]\n\n"+
			"Plays the demonstration of the LVS course in a lab of its own, then shows traffic live.\n\n%s", flags.FlagUsages())
	}
	flags.BoolVar(&o.once, "once", false, "end after the transcript; exit status 0 only if all was as it should be")
	flags.BoolVar(&o.shell, "shell", false, "open a shell on the client after the transcript")
	flags.BoolVar(&o.plain, "plain", false, "no colours and no screen that refreshes in place")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %s", flags.Arg(0))
	}
	if o.once && o.shell {
		return o, errors.New("--once and --shell exclude each other")
	}
	return o, nil
}

// demo is one performance.
type demo struct {
	*transcript
	course *lab.Course
	client *lab.Client
	natlb  natlb
}

// play builds the course, plays it, and takes everything down again.
func play(ctx context.Context, o options, self string, stdout io.Writer) (err error) {
	course, closeCourse, err := openCourse()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeCourse()) }()

	d := &demo{
		transcript: newTranscript(stdout, o.plain),
		course:     course,
		client:     lab.NewClient(course.Clients[0], course.CIPs[0][0]),
		natlb:      natlb{path: ownPath(self), ns: course.Director},
	}
	// alive ends with the director, wanted ends with it or with the user's patience.
	alive, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	defer fail(nil)
	wanted, cancel := context.WithCancel(alive)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	onSignal(cancel)

	director, err := startDirector(wanted, d.natlb, course, fail)
	if err != nil {
		return err
	}
	err = d.perform(alive, wanted, o)
	if cause := context.Cause(alive); cause != nil {
		return cause
	}
	return errors.Join(err, director.stop())
}

// onSignal calls cancel at the first SIGINT or SIGTERM. Both stay caught until
// the program ends: one Ctrl-C arrives several times, from the terminal and from
// each process that passes it on, and the last must not kill the tidying up.
func onSignal(cancel func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
	}()
}

// perform is the transcript and what follows it.
func (d *demo) perform(alive, wanted context.Context, o options) error {
	err := d.lessons(wanted)
	switch {
	case wanted.Err() != nil:
		return errors.New("interrupted before the end of the transcript")
	case err != nil:
		return err
	case o.once:
		return nil
	case o.shell:
		return d.shell(alive)
	}
	return d.live(wanted, o.plain)
}

// openCourse builds the course with its servers running. The function it
// returns takes all of it down.
func openCourse() (*lab.Course, func() error, error) {
	course, err := lab.NewCourse(lab.CourseOptions{ClientAddrs: liveClients})
	if err != nil {
		return nil, nil, err
	}
	var closers []io.Closer
	closeAll := func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c.Close())
		}
		return errors.Join(append(errs, course.Close())...)
	}
	pages := []struct{ port, text string }{{port1, page1 + "\n"}, {port2, page2 + "\n"}}
	for i, page := range pages {
		server := course.Servers[i]
		web, err := lab.ServeHTTP(server, ":"+page.port, page.text)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		closers = append(closers, web)
		echo, err := lab.ServeEcho(server, ":"+echoPort, server.Name()+": ")
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		closers = append(closers, echo)
	}
	return course, closeAll, nil
}

// ownPath is the file of this program by its name, so that process lists say
// natlb; if that is not to be seen from inside the lab, self will do.
func ownPath(self string) string {
	path, err := os.Readlink(self)
	if err != nil {
		return self
	}
	if _, err := os.Stat(path); err != nil {
		return self
	}
	return path
}
