package lab_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

// meanFrame is the mean size in bytes of the frames that the director's interface
// towards the servers received: super-packets lift it far above one MTU, single
// segments cannot.
func meanFrame(t *testing.T, director *lab.Namespace) int {
	t.Helper()
	var text []byte
	err := director.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, counters, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != lab.DIPLink {
			continue
		}
		fields := strings.Fields(counters)
		return number(t, fields[0]) / number(t, fields[1])
	}
	t.Fatalf("no %s in %s", lab.DIPLink, text)
	return 0
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// await waits until condition holds, for as long as a loaded machine may need.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s still not: %s", what)
		}
	}
}
