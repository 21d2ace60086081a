package e2e

// What must not end or blind a director, and what keeps two of them apart:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

// A terminal that closes costs nothing, nor does an operator who expects a reload
// where there is no file to read.
func TestHangup(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	balance(d, c)
	checkBalanced(t, c)
	noError(t, d.cmd.Process.Signal(syscall.SIGHUP))
	await(t, "the director says that there is no file", 5*time.Second, func() bool { return d.log.contains("no --rules") })
	checkBalanced(t, c)
}

// The guard of one network namespace is one director's: a second one that needs
// it refuses, and does not take the first one's rules away.
func TestSecondGuard(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{HostOwnsVIP: true, IPForward: true})
	servePages(t, c.Servers)
	first := courseDirector(t, c)
	balance(first, c)
	refused(t, c.Director, "another natlb guards", "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
	if got := nftTables(t, c.Director); len(got) != 1 {
		t.Errorf("after the second director there are the tables %v, want the first one's", got)
	}
	quietly(t, c, func() { checkBalanced(t, c) })
}
