package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

// TestPolling: whichever way a director waits, requests are answered and timers
// run; and the ways are different: only busy takes its processor while nothing
// comes.
func TestPolling(t *testing.T) {
	begin(t, "curl")
	used := map[string]time.Duration{}
	for _, polling := range []string{"busy", "adaptive", "idle"} {
		c := newCourse(t, lab.CourseOptions{})
		servePages(t, c.Servers)
		d := courseDirector(t, c, "--poll", polling)
		balance(d, c)
		d.ctl("--set 1 1 1")
		for range 20 {
			curl(t, c.Clients[0], "http://192.168.0.178/")
		}
		checkBalanced(t, c)
		before := cpuTime(t, d)
		if polling == "busy" {
			await(t, "a busy director has used its processor", 20*time.Second, func() bool { return cpuTime(t, d)-before > 300*time.Millisecond })
		} else {
			time.Sleep(time.Second) // the time that nothing happens in
		}
		used[polling] = cpuTime(t, d) - before
		d.stop()
	}
	if used["busy"] < 3*used["idle"] || used["busy"] < 3*used["adaptive"] {
		t.Errorf("with nothing to do the processor time was %v", used)
	}
}

// cpuTime is the processor time that a director has used.
func cpuTime(t *testing.T, d *director) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	ticks := 0
	for _, s := range f[11:13] { // utime and stime, of 10 ms
		n, err := strconv.Atoi(s)
		must(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
