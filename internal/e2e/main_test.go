package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"natlb/internal/lab"
)

// program is the natlb under test. It lies in the lab's own /run, which is gone
// with the lab however that ends.
var program string

// noLab is why there is no lab on this machine, nil inside it.
var noLab error

// atOnce is how many tests run side by side: each keeps two machines busy, a
// director and what asks it.
const atOnce = "2"

func TestMain(m *testing.M) {
	inside, code, err := lab.Enter()
	if err == nil && !inside {
		os.Exit(code)
	}
	noLab = err
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if noLab == nil {
		if program, err = findProgram(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code = m.Run()
	if left := leftovers(); noLab == nil && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "the tests have left behind: %q\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftovers are processes of natlb and named network namespaces.
func leftovers() (left []string) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe") // the pattern is well formed
	for _, exe := range exes {
		if target, err := os.Readlink(exe); err == nil && target == program {
			left = append(left, filepath.Dir(exe))
		}
	}
	named, _ := filepath.Glob("/run/netns/*")
	return append(left, named...)
}

// findProgram is NATLB_BIN, or natlb built from this tree: as a release is, or
// under the race detector if the tests are.
func findProgram() (string, error) {
	if name := os.Getenv("NATLB_BIN"); name != "" {
		return filepath.Abs(name)
	}
	const name = "/run/natlb-under-test"
	args, cgo := []string{"build", "-buildvcs=false", "-o", name}, "0"
	if raceDetector {
		args, cgo = append(args, "-race"), "1"
		// Every natlb process would rest a second before it ends.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			return "", err
		}
	}
	build := exec.Command("go", append(args, "natlb/cmd/natlb")...)
	build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building natlb: %w\n%s", err, out)
	}
	return name, nil
}

// begin is the first line of every test: it runs in parallel with others, and
// only where there is a lab and the programs that it names.
func begin(t *testing.T, programs ...string) {
	t.Helper()
	if noLab != nil {
		missing(t, noLab)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, err)
		}
	}
	t.Parallel()
}

// missing ends a test that this machine cannot run.
func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI has to be able to run this: %v", err)
	}
	t.Skip(err)
}

// newCourse builds the course for one test.
func newCourse(t *testing.T, o lab.CourseOptions) *lab.Course {
	t.Helper()
	c, err := lab.NewCourse(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, c.Close()) })
	return c
}

// build builds a lab that is not the course's.
func build(t *testing.T, p lab.Plan) *lab.Lab {
	t.Helper()
	l, err := lab.Build(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, l.Close()) })
	return l
}

// noError reports errors that a test can go on with.
func noError(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// must ends the test if a step of its preparation failed.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
