package e2e

// The classroom of the LVS course, with the course's own servers and client:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1: nginx on 8088
//	curl            VIP 192.168.0.178  DIP .102         └────── server-2: nginx on 80

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/lab"
)

// The three lines of the course.
const courseLines = `-A -t 192.168.0.178:80 -s rr
-a -t 192.168.0.178:80 -r 192.168.56.101:8088 -m
-a -t 192.168.0.178:80 -r 192.168.56.103 -m
`

const emptyListing = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
`

func TestCourse(t *testing.T) {
	begin(t, "nginx", "curl")
	c := newCourse(t, lab.CourseOptions{})
	startNginx(t, c.Servers[0], 8088, t.TempDir(), "server-1 is 8888")
	startNginx(t, c.Servers[1], 80, t.TempDir(), "server-2 is 80")
	d := courseDirector(t, c)
	empty := d.ctl("-L -n")
	if !sameListing(empty, emptyListing) {
		t.Errorf("-L -n of a fresh director:\n%s\nwant:\n%s", empty, emptyListing)
	}
	for line := range strings.Lines(courseLines) {
		if out := d.ctl(line); out != "" {
			t.Errorf("%s printed %q, want nothing", line, out)
		}
	}

	var answers []string
	for range 6 {
		answers = append(answers, strings.TrimSpace(curl(t, c.Clients[0], "192.168.0.178")))
	}
	checkTurns(t, answers, "server-1 is 8888", "server-2 is 80")

	checkCourseListings(t, d)
	checkSaveAndRestore(t, d, empty)
	curl(t, c.Clients[0], "192.168.0.178")
}

// checkCourseListings checks what the listings say after six requests.
func checkCourseListings(t *testing.T, d *director) {
	t.Helper()
	want := emptyListing + `TCP  192.168.0.178:80 rr
  -> 192.168.56.101:8088          Masq    1      0          3         ` + `
  -> 192.168.56.103:80            Masq    1      0          3         ` + `
`
	// curl is gone before its last acknowledgement has crossed the director.
	got := ""
	settled := func() bool { got = d.ctl("-L -n"); return !strings.Contains(got, " 1      1 ") }
	await(t, "no connection active", 5*time.Second, settled)
	if !sameListing(got, want) {
		t.Errorf("-L -n (-want +got):\n%s", cmp.Diff(want, got))
	}
	entries := d.ctl("-L -n -c")
	if got := strings.Count(entries, "TIME_WAIT"); got != 6 {
		t.Errorf("-L -n -c shows %d connections in TIME_WAIT, want 6:\n%s", got, entries)
	}
	if got := strings.Count(entries, "192.168.0.178:80"); got != 6 {
		t.Errorf("-L -n -c shows %d connections of the VIP, want 6:\n%s", got, entries)
	}
	if stats := d.ctl("-L -n --stats"); !strings.Contains(stats, "192.168.56.103:80") {
		t.Errorf("-L -n --stats names no real server:\n%s", stats)
	}
}

// checkSaveAndRestore checks that -S, -C, -R give the same rules again.
func checkSaveAndRestore(t *testing.T, d *director, empty string) {
	t.Helper()
	const want = "-A -t 192.168.0.178:80 -s rr\n" +
		"-a -t 192.168.0.178:80 -r 192.168.56.101:8088 -m -w 1\n" +
		"-a -t 192.168.0.178:80 -r 192.168.56.103:80 -m -w 1\n"
	saved := d.ctl("-S -n")
	if saved != want {
		t.Errorf("-S -n (-want +got):\n%s", cmp.Diff(want, saved))
	}
	d.ctl("-C")
	if got := d.ctl("-L -n"); got != empty {
		t.Errorf("-L -n after -C:\n%s\nwant:\n%s", got, empty)
	}
	if out, err := d.try("-R", saved); err != nil || out != "" {
		t.Errorf("-R = %v, %q, want success and silence", err, out)
	}
	if got := d.ctl("-S -n"); got != want {
		t.Errorf("-S -n after -R (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// sameListing compares listings but for their first line, which says a version
// and a table size.
func sameListing(got, want string) bool {
	_, got, _ = strings.Cut(got, "\n")
	_, want, _ = strings.Cut(want, "\n")
	return got == want
}
