// Package labtest lets a package's tests run inside the lab.
//
//	func TestMain(m *testing.M) { labtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		course := labtest.Course(t, lab.CourseOptions{})
//		...
//	}
package labtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"natlb/internal/lab"
)

// errOutside is why there is no lab, nil inside it.
var errOutside = fmt.Errorf("TestMain does not call labtest.Main")

// Main runs the package's tests inside the lab's namespaces (see [lab.Enter])
// and ends the program with their result. Where namespaces are not to be had
// the tests run all the same, and those that call Require or Course are skipped
// with the reason. Fuzz workers, which talk to their parent through inherited
// files, stay where their parent is.
func Main(m *testing.M) {
	if isFuzzWorker() {
		os.Exit(m.Run())
	}
	var inside bool
	var code int
	inside, code, errOutside = lab.Enter()
	if errOutside == nil && !inside {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func isFuzzWorker() bool {
	for _, a := range os.Args[1:] {
		if strings.HasPrefix(strings.TrimLeft(a, "-"), "test.fuzzworker") {
			return true
		}
	}
	return false
}

// Require skips the test, with the reason, unless it runs inside the lab.
func Require(t testing.TB) {
	t.Helper()
	if errOutside != nil {
		t.Skip(errOutside)
	}
}

// Course builds the course for one test; it is gone when the test ends.
func Course(t testing.TB, o lab.CourseOptions) *lab.Course {
	t.Helper()
	Require(t)
	c, err := lab.NewCourse(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
	})
	return c
}
