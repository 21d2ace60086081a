package lab_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/lab"
	"natlb/internal/lab/labtest"
)

// holdVar makes TestHold hold a lab; it is set by TestKill alone.
const holdVar = "LAB_TEST_HOLD"

// After Close no namespace of the lab is left, and its wires are gone.
func TestCloseLeavesNothing(t *testing.T) {
	labtest.Require(t)
	before := networkNamespaces(t)
	c, err := lab.NewCourse(lab.CourseOptions{Clients: 3})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(networkNamespaces(t))-len(before), 3+2+1+2; got != want {
		t.Errorf("the lab has %d namespaces, want %d", got, want)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the lab's threads ended", func() bool { return len(networkNamespaces(t)) == len(before) })
	if diff := cmp.Diff(before, networkNamespaces(t)); diff != "" {
		t.Errorf("namespaces before and after (-before +after):\n%s", diff)
	}
	if links, err := filepath.Glob("/run/*"); err != nil || len(onlyFiles(links)) > 0 {
		t.Errorf("in /run: %v, %v, want nothing", links, err)
	}
}

// A plan that cannot be finished leaves nothing either.
func TestFailedBuildLeavesNothing(t *testing.T) {
	labtest.Require(t)
	before := networkNamespaces(t)
	_, err := lab.Build(lab.Plan{
		Hosts:  []lab.Host{{Name: "a"}, {Name: "b", Routes: []lab.Route{{Via: lab.DIP}}}}, // not on any link
		Cables: []lab.Cable{{{Host: "a", Link: "x"}, {Host: "b", Link: "y"}}},
	})
	if err == nil {
		t.Fatal("Build with a route via nowhere succeeded")
	}
	await(t, "the lab's threads ended", func() bool { return cmp.Equal(before, networkNamespaces(t)) })
}

// TestHold is the lab that TestKill kills: the processes of Enter, and one more
// inside.
func TestHold(t *testing.T) {
	if os.Getenv(holdVar) == "" {
		t.Skip("not a test of its own: TestKill starts it")
	}
	c := labtest.Course(t, lab.CourseOptions{})
	if err := c.Director.Start(exec.Command("sleep", "1000")); err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	select {} // until killed
}

// Whichever process of a lab is killed, no process of it and no namespace is
// left, and the outer one, if it lives, reports a failure.
func TestKill(t *testing.T) {
	labtest.Require(t)
	for i, victim := range []string{"outer", "init", "inside"} {
		t.Run(victim, func(t *testing.T) {
			before := networkNamespaces(t)
			helper, family := hold(t)
			if err := syscall.Kill(family[i], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := helper.Wait(); err == nil {
				t.Errorf("the outer process ended well after a kill of %s", victim)
			}
			await(t, "all processes gone", func() bool {
				return !slices.ContainsFunc(family, alive)
			})
			await(t, "all namespaces gone", func() bool { return cmp.Equal(before, networkNamespaces(t)) })
		})
	}
}

// hold starts a process that holds a lab and returns it with the family it
// makes: outer, init, inside and the one started inside.
func hold(t *testing.T) (helper *exec.Cmd, family []int) {
	t.Helper()
	helper = exec.Command("/proc/self/exe", "-test.run=^TestHold$")
	helper.Env = append(os.Environ(), holdVar+"=1")
	helper.Stderr = os.Stderr
	helper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = helper.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "held" {
		t.Log(lines.Text())
	}
	go io.Copy(io.Discard, out)
	family = []int{helper.Process.Pid}
	for len(family) < 4 {
		children := childrenOf(t, family[len(family)-1])
		if len(children) != 1 {
			t.Fatalf("process %d of %v has children %v, want one", len(family), family, children)
		}
		family = append(family, children[0])
	}
	return helper, family
}

// networkNamespaces are the network namespaces that any thread of any process
// to be seen is in.
func networkNamespaces(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, p := range paths {
		if target, err := os.Readlink(p); err == nil { // else it ended meanwhile
			found[target] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if state, parent := processState(p); state != "" && parent == pid {
			children = append(children, number(t, filepath.Base(filepath.Dir(p))))
		}
	}
	return children
}

func alive(pid int) bool {
	state, _ := processState(fmt.Sprintf("/proc/%d/stat", pid))
	return state != "" && state != "Z"
}

// processState reads the state letter and the parent from a /proc/PID/stat,
// "" if the process is gone.
func processState(path string) (state string, parent int) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // after the name, which may hold anything
	if _, err := fmt.Sscanf(rest, "%s %d", &state, &parent); err != nil {
		return "", 0
	}
	return state, parent
}

// onlyFiles leaves out the symbolic links, which Enter keeps.
func onlyFiles(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		info, err := os.Lstat(name)
		return err == nil && info.Mode()&os.ModeSymlink != 0
	})
}
