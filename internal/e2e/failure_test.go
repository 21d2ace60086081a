package e2e

// Real servers that go away under load:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]─┬─ server-1
//	4 requests at a time                                      ├─ server-2
//	                                                          └─ server-3: the victim

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

// underLoad is a course of three servers with traffic on it.
func underLoad(t *testing.T) (*lab.Course, *director, []*lab.HTTPServer, *load) {
	t.Helper()
	c := newCourse(t, lab.CourseOptions{Servers: 3})
	d := courseDirector(t, c)
	pages := []*lab.HTTPServer{servePage(t, c.Servers[0], ":80"), servePage(t, c.Servers[1], ":80")}
	victim, err := lab.ServeHTTP(c.Servers[2], ":80", c.Servers[2].Name())
	must(t, err)
	balance(d, c)
	l := startLoad(t, firstClient(c), 4)
	l.more(100)
	return c, d, append(pages, victim), l
}

// A server whose program has died answers with RST, which the clients see as
// from the VIP at once; when it is taken out the others go on without a fault.
func TestServerProgramDies(t *testing.T) {
	begin(t)
	c, d, pages, l := underLoad(t)
	noError(t, pages[2].Close())
	l.more(100)
	for _, err := range l.stop() {
		if !errors.Is(err, syscall.ECONNREFUSED) && !isCut(err) {
			t.Errorf("a request failed with %v, want a refused or reset connection", err)
		}
	}
	refused := 0
	for range len(c.Servers) {
		if _, err := firstClient(c).Get(within(t, 5*time.Second), vipURL); errors.Is(err, syscall.ECONNREFUSED) {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d of %d requests were refused, want 1: the dead server's", refused, len(c.Servers))
	}
	d.ctl("-d -t 192.168.0.178:80 -r " + c.RIPs[2].String())
	rest := startLoad(t, firstClient(c), 4)
	rest.more(200)
	rest.stopClean()
}

// isCut reports whether a connection that was answered already was cut off, as
// the death of a program does; before the first byte net/http calls that the end
// of an idle connection.
func isCut(err error) bool {
	return strings.Contains(err.Error(), "server closed idle connection") || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// A server whose machine has gone answers nothing any more; when it is taken
// out the others go on without a fault, and new requests never wait for it.
func TestServerMachineDies(t *testing.T) {
	begin(t)
	c, d, pages, l := underLoad(t)
	must(t, c.Servers[2].SetUp(lab.ServerLink, false))
	d.ctl("-d -t 192.168.0.178:80 -r " + c.RIPs[2].String())
	rest := startLoad(t, lab.NewClient(c.Clients[0], netip.Addr{}), 4)
	rest.more(200)
	rest.stopClean()
	// The first load still waits for the dead machine; it has no part in this.
	l.abandon()
	noError(t, pages[2].Close())
}

// A server is drained under load: weight 0, wait, delete. Nobody notices.
func TestServerDrained(t *testing.T) {
	begin(t)
	c, d, pages, l := underLoad(t)
	victim := c.RIPs[2].String() + ":80"
	d.ctl("-e -t 192.168.0.178:80 -r " + victim + " -m -w 0")
	await(t, "no active connection to the drained server", 20*time.Second, func() bool {
		active, _ := d.connections(victim)
		return active == "0"
	})
	served := pages[2].Served()
	l.more(100)
	if got := pages[2].Served(); got != served {
		t.Errorf("the drained server has answered %d requests more, want 0", got-served)
	}
	d.ctl("-d -t 192.168.0.178:80 -r " + victim)
	l.more(100)
	noError(t, pages[2].Close())
	l.more(100)
	l.stopClean()
	if served < 30 {
		t.Errorf("the drained server has answered %d requests in all, want its third of the first 100", served)
	}
}

// A director ends within its time with traffic on it, and the next one goes on
// with new connections.
func TestDirectorReplacedUnderLoad(t *testing.T) {
	begin(t)
	c, d, pages, l := underLoad(t)
	saved := d.ctl("-S -n")
	d.stop()
	next := courseDirector(t, c)
	if out, err := next.try("-R", saved); err != nil {
		t.Fatalf("-R: %v: %s", err, out)
	}
	l.abandon()
	checkBalanced(t, c)
	rest := startLoad(t, firstClient(c), 4)
	rest.more(200)
	rest.stopClean()
	noError(t, pages[2].Close())
}
