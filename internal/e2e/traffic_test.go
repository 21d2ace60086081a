package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"natlb/internal/lab"
)

// vipURL is what clients fetch.
const vipURL = "http://192.168.0.178/"

// servePages starts a page on port 80 of every server, its text the server's
// name.
func servePages(t *testing.T, servers []*lab.Namespace) (pages []*lab.HTTPServer) {
	t.Helper()
	for _, s := range servers {
		pages = append(pages, servePage(t, s, ":80"))
	}
	return pages
}

func servePage(t *testing.T, n *lab.Namespace, address string) *lab.HTTPServer {
	t.Helper()
	page, err := lab.ServeHTTP(n, address, n.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, page.Close()) })
	return page
}

// serveEcho starts a UDP server that puts its namespace's name before what it
// sends back.
func serveEcho(t *testing.T, n *lab.Namespace, address string) {
	t.Helper()
	s, err := lab.ServeEcho(n, address, n.Name()+":")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, s.Close()) })
}

// balance makes a service of the VIP's port 80 over the course's servers.
func balance(d *director, c *lab.Course) {
	d.t.Helper()
	balanceOver(d, "-t 192.168.0.178:80", c.RIPs...)
}

// balanceOver makes a round-robin service over RIPs, each on the same port.
func balanceOver(d *director, service string, rips ...netip.Addr) {
	d.t.Helper()
	d.ctl("-A " + service + " -s rr")
	for _, rip := range rips {
		d.ctl("-a " + service + " -r " + rip.String() + " -m")
	}
}

// firstClient is the course's first client.
func firstClient(c *lab.Course) *lab.Client { return lab.NewClient(c.Clients[0], netip.Addr{}) }

// within is a context that ends with the test or after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// fetch gets a page n times, one connection each, and reports who answered in
// which order. It ends the test at the first error.
func fetch(t *testing.T, c *lab.Client, url string, n int) (answers []string) {
	t.Helper()
	ctx := within(t, 60*time.Second)
	for i := range n {
		answer, err := c.Get(ctx, url)
		if err != nil {
			t.Fatalf("request %d of %d: %v", i+1, n, err)
		}
		answers = append(answers, strings.TrimSpace(answer))
	}
	return answers
}

// checkTurns checks that answers follow the round: whoever answered first, the
// others come in the order of names.
func checkTurns(t *testing.T, answers []string, names ...string) {
	t.Helper()
	first := -1
	for i, name := range names {
		if len(answers) > 0 && answers[0] == name {
			first = i
		}
	}
	if first < 0 {
		t.Fatalf("answers %q, want them from %q", answers, names)
	}
	for i, got := range answers {
		if want := names[(first+i)%len(names)]; got != want {
			t.Fatalf("answer %d of %d = %q, want %q (rr order)", i+1, len(answers), got, want)
		}
	}
}

// checkBalanced fetches a few pages through the VIP and checks the round.
func checkBalanced(t *testing.T, c *lab.Course) {
	t.Helper()
	// rr goes through the newest server first.
	names := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		names[len(names)-1-i] = s.Name()
	}
	checkTurns(t, fetch(t, firstClient(c), vipURL, 20*len(names)), names...)
}

// load is traffic that goes on until it is stopped.
type load struct {
	t      *testing.T
	cancel context.CancelFunc // no new requests
	cut    context.CancelFunc // those under way end, too
	wg     sync.WaitGroup
	done   atomic.Uint64 // requests answered

	mu   sync.Mutex
	errs []error
}

// startLoad keeps workers fetching pages through the VIP, a connection each.
func startLoad(t *testing.T, c *lab.Client, workers int) *load {
	t.Helper()
	return startLoadFor(t, c, workers, 60*time.Second)
}

// startLoadFor does so for at most that long.
func startLoadFor(t *testing.T, c *lab.Client, workers int, most time.Duration) *load {
	t.Helper()
	all, cut := context.WithTimeout(t.Context(), most)
	ctx, cancel := context.WithCancel(all)
	l := &load{t: t, cancel: cancel, cut: cut}
	t.Cleanup(cut)
	for range workers {
		l.wg.Go(func() { l.work(ctx, all, c) })
	}
	return l
}

// work fetches until ctx ends. What has begun is brought to its end, so that
// every error counts, unless all ends.
func (l *load) work(ctx, all context.Context, c *lab.Client) {
	for ctx.Err() == nil {
		request, cancel := context.WithTimeout(all, 20*time.Second)
		_, err := c.Get(request, vipURL)
		cancel()
		if err == nil {
			l.done.Add(1)
			continue
		}
		l.mu.Lock()
		l.errs = append(l.errs, err)
		l.mu.Unlock()
	}
}

// more waits until n more requests have been answered.
func (l *load) more(n uint64) {
	l.t.Helper()
	want := l.done.Load() + n
	await(l.t, fmt.Sprintf("%d more requests answered", n), 30*time.Second, func() bool { return l.done.Load() >= want })
}

// stop ends the traffic and returns the errors there were.
func (l *load) stop() []error {
	l.cancel()
	l.wg.Wait()
	return l.errs
}

// abandon ends the traffic without waiting for what is under way.
func (l *load) abandon() {
	l.cut()
	l.wg.Wait()
}

// stopClean ends the traffic, which must not have met one error.
func (l *load) stopClean() {
	l.t.Helper()
	if errs := l.stop(); len(errs) > 0 {
		l.t.Errorf("%d requests failed beside %d answered, want 0; the first: %v", len(errs), l.done.Load(), errs[0])
	}
}

// snmp reads one of the kernel's own counters of the namespace: snmp(t, n,
// "Tcp", "OutRsts").
func snmp(t *testing.T, n *lab.Namespace, group, name string) (value uint64) {
	t.Helper()
	var text []byte
	err := n.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != group+":" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i := range names {
			if names[i] == name {
				if _, err := fmt.Sscan(f[i], &value); err != nil {
					t.Fatal(err)
				}
				return value
			}
		}
	}
	t.Fatalf("no counter %s %s in %s", group, name, text)
	return 0
}
