package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"natlb/internal/lab"
	"natlb/internal/lab/labtest"
)

// fakeVar makes this test program play natlb; its value is how well.
const fakeVar = "DEMO_TEST_NATLB"

func TestMain(m *testing.M) {
	if how := os.Getenv(fakeVar); how != "" {
		os.Exit(fakeNatlb(how, os.Args[1:]))
	}
	labtest.Main(m)
}

// fakeNatlb is `natlb run` and natlb's other commands as the demo sees them,
// good and bad.
func fakeNatlb(how string, args []string) int {
	switch {
	case how == "complains":
		fmt.Fprintln(os.Stderr, "a word of warning")
		return 0
	case how == "refuses":
		fmt.Fprintln(os.Stderr, "No such service")
		return 255
	case args[0] != "run":
		fmt.Println(strings.Join(args, " "))
		return 0
	case how == "fails":
		fmt.Fprintln(os.Stderr, "no such interface: vip0")
		return 1
	}
	socket := args[len(args)-1]
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer l.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Fprintln(os.Stderr, "level=INFO msg=ready")
	<-stop
	if how == "stumbles" {
		fmt.Fprintln(os.Stderr, "could not tidy up")
		return 3
	}
	return 0
}

// fake is a course with this test program as natlb in it.
func fake(t *testing.T, how string) (natlb, *lab.Course) {
	t.Helper()
	course := labtest.Course(t, lab.CourseOptions{})
	t.Setenv(fakeVar, how)
	return natlb{path: "/proc/self/exe", ns: course.Director}, course
}

func TestDirectorStartsAndStops(t *testing.T) {
	n, course := fake(t, "well")
	ctx, fail := context.WithCancelCause(t.Context())
	d, err := startDirector(ctx, n, course, fail)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.stop(); err != nil {
		t.Errorf("stop() = %v, want nil", err)
	}
	if ctx.Err() != nil {
		t.Errorf("a wanted end was reported: %v", context.Cause(ctx))
	}
}

func TestDirectorThatFailsIsQuoted(t *testing.T) {
	n, course := fake(t, "fails")
	ctx, fail := context.WithCancelCause(t.Context())
	_, err := startDirector(ctx, n, course, fail)
	judged(t, "startDirector", err, "no such interface: vip0")
}

func TestDirectorKilledEndsTheDemo(t *testing.T) {
	n, course := fake(t, "well")
	ctx, fail := context.WithCancelCause(t.Context())
	d, err := startDirector(ctx, n, course, fail)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, errDirectorEnded) || !strings.Contains(cause.Error(), "killed") {
		t.Errorf("the reason = %v, want that the director was killed", cause)
	}
}

func TestDirectorThatStumblesAtTheEnd(t *testing.T) {
	n, course := fake(t, "stumbles")
	ctx, fail := context.WithCancelCause(t.Context())
	d, err := startDirector(ctx, n, course, fail)
	if err != nil {
		t.Fatal(err)
	}
	judged(t, "stop()", d.stop(), "could not tidy up")
}

// The transcript shows the command line as typed and the answer to the letter;
// files take the place of the answer, or of what is typed in.
func TestRunTypesAndRedirects(t *testing.T) {
	n, _ := fake(t, "well")
	var out strings.Builder
	d := &demo{transcript: newTranscript(&out, false), natlb: n}
	file := t.TempDir() + "/rules"
	if err := d.runAll(t.Context(), "-L -n", "-S -n > "+file, "-R < "+file); err != nil {
		t.Fatal(err)
	}
	want := "director$ natlb -L -n\n-L -n\n" +
		"director$ natlb -S -n > " + file + "\n" +
		"director$ natlb -R < " + file + "\n-R\n"
	if out.String() != want {
		t.Errorf("transcript = %q, want %q", out.String(), want)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "-S -n\n" {
		t.Errorf("the file holds %q, %v, want %q", got, err, "-S -n\n")
	}
	if _, err := d.run(t.Context(), "-R < /nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("run(-R < /nowhere) = %v, want os.ErrNotExist", err)
	}
}

func TestCommandsThatGoWrongAreQuoted(t *testing.T) {
	for how, want := range map[string]string{"complains": "a word of warning", "refuses": "exit status 255: No such service"} {
		n, _ := fake(t, how)
		_, err := n.ask(t.Context(), nil, "-L", "-n")
		judged(t, "ask when natlb "+how, err, want)
	}
}
