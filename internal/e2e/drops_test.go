package e2e

// The ledger of a director with several shards, under good and broken traffic:
//
//	client-1 ──┐
//	client-2 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2
//	           broken frames

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"natlb/internal/control"
	"natlb/internal/lab"
)

// account is what natlb drops --json prints.
type account struct {
	Schema   int
	Received uint64
	Handing  uint64 `json:"handing_over"`
	Classes  map[string]uint64
	Verdicts []struct {
		Name, Class, Meaning, Advice string
		Count                        uint64
		PerSecond                    float64 `json:"per_second"`
		Last                         *struct{ Link, Protocol, Source, Destination string }
	}
}

// check says whether the account balances, by each of its sums.
func (a *account) check(t *testing.T) {
	t.Helper()
	byClass := map[string]uint64{"held": a.Handing}
	for _, v := range a.Verdicts {
		byClass[v.Class] += v.Count
	}
	sum := uint64(0)
	for class, n := range byClass {
		sum += n
		if a.Classes[class] != n {
			t.Errorf("%s is %d, its verdicts count %d", class, a.Classes[class], n)
		}
	}
	if sum != a.Received || a.Schema != 1 || len(a.Classes) != 6 {
		t.Errorf("%d frames were received, the classes %v sum up to %d", a.Received, a.Classes, sum)
	}
}

func (a *account) count(name string) (n uint64) {
	for _, v := range a.Verdicts {
		if v.Name == name {
			n += v.Count
		}
	}
	return n
}

// TestLedgerUnderLoad: every snapshot balances while several shards work and hand
// packets over to each other, and in the end what they have received is what the
// kernel has given them.
func TestLedgerUnderLoad(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{Clients: 2})
	servePages(t, c.Servers)
	d := courseDirector(t, c, "--shards", "4")
	balance(d, c)
	balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)
	j := d.begin("drops --json --watch --interval 100ms")
	looks, stop := looksAtLedger(t, d)
	l := startLoad(t, firstClient(c), 4)
	l.more(50)
	mac, err := c.Director.HardwareAddr(lab.VIPLink)
	must(t, err)
	own, err := c.Clients[1].HardwareAddr(lab.ClientLink)
	must(t, err)
	seeds := goodFrames(t, mac, own, c.CIPs[1][0], lab.VIP)
	random := rand.New(rand.NewPCG(3, 4))
	sendRaw(t, c.Clients[1], lab.ClientLink, 20000, func() []byte { return spoil(random, seeds) })
	l.more(200)
	l.stopClean()
	await(t, "many looks", 20*time.Second, func() bool { return looks.Load() >= 100 })
	stop()
	await(t, "ten snapshots", 20*time.Second, func() bool { return strings.Count(j.out.String(), "\n") >= 10 })
	noError(t, j.cmd.Process.Signal(syscall.SIGINT))
	j.ends(0)
	var last account
	for line := range strings.Lines(j.out.String()) {
		var a account
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		a.check(t)
		if a.Received < last.Received || a.count("forward") < last.count("forward") {
			t.Errorf("%d frames were received, %d a moment before", a.Received, last.Received)
		}
		last = a
	}
	if last.Received < 5000 || last.Classes["forwarded"] == 0 || last.Classes["dropped"] == 0 || last.Classes["answered"] == 0 {
		t.Errorf("the load was not what it is meant to be: %v of %d", last.Classes, last.Received)
	}
	if out := d.ctl("counters -a"); strings.Contains(out, "shards-handed-over               0\n") {
		t.Errorf("no packet was handed over from shard to shard:\n%s", out)
	}
	await(t, "the ledger has what the kernel gave", 10*time.Second, func() bool {
		var a account
		must(t, json.Unmarshal([]byte(d.ctl("drops --json --interval 100ms")), &a))
		given := counter(t, d, "link-vip0-received") + counter(t, d, "link-dip0-received")
		t.Logf("%d of %d", a.Received, given)
		return a.Received == given
	})
}

// looksAtLedger looks at the ledger as often as it can until stop, and counts
// the looks.
func looksAtLedger(t *testing.T, d *director) (looks *atomic.Int64, stop func()) {
	looks = new(atomic.Int64)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		client := control.Dial(d.socket)
		defer client.Close()
		for ctx.Err() == nil {
			l, err := client.Ledger(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = l.Balance()
			}
			noError(t, err)
			looks.Add(1)
		}
	})
	stop = func() { cancel(); group.Wait() }
	t.Cleanup(stop)
	return looks, stop
}

// counter returns one of natlb counters.
func counter(t *testing.T, d *director, name string) (n uint64) {
	t.Helper()
	for line := range strings.Lines(d.ctl("counters -a")) {
		if f := strings.Fields(line); f[0] == name {
			must(t, json.Unmarshal([]byte(f[1]), &n))
			return n
		}
	}
	t.Fatalf("there is no counter %s", name)
	return 0
}

// TestDrops: a packet that is dropped is shown, with what it means and what helps.
func TestDrops(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	hold(t, c)
	d.ctl("-A -t 192.168.0.178:81 -s rr")
	d.ctl("-a -t 192.168.0.178:81 -r " + lab.DIP.String() + " -m")
	ctx := within(t, 300*time.Millisecond)
	if _, err := firstClient(c).Get(ctx, "http://192.168.0.178:81/"); err == nil {
		t.Error("the director has answered as a real server added with -m")
	}
	out := d.ctl("drops --interval 100ms")
	for _, want := range []string{
		"drop-local-server", "    last: TCP " + c.CIPs[0][0].String() + ":", " > 192.168.0.178:81, ", " by vip0, ",
		"    hint: -g and a VIP of the host, or another machine", "answer-arp", "forwarded", "received",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 140 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	if all := d.ctl("drops -a --interval 100ms"); strings.Count(all, "\ndrop-") < 20 || strings.Contains(out, "drop-ttl") {
		t.Errorf("-a does not show all:\n%s", all)
	}
	last := d.begin("drops --watch --interval 100ms")
	last.shows("received")
	d.stop()
	last.ends(2)
}
