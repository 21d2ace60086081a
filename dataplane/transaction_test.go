package dataplane_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
)

// TestTransactionIsItsChanges: many changes at once leave what they leave one by
// one, down to the next picks of the schedulers; and Check foretells which are
// refused.
func TestTransactionIsItsChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		each, once := newWorld(nil), newWorld(nil)
		for _, w := range []*world{each, once} {
			if err := w.rules("-A -t 10.10.1.1:80 -s wrr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m -w 3\n-a -t 10.10.1.1:80 -r 10.20.0.12 -m -w 1\n-A -t 10.10.1.2:80 -s rr"); err != nil {
				t.Fatal(err)
			}
		}
		port := uint16(4000)
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			var accepted []ipvs.Change
			for _, c := range slices.Concat(rapid.SliceOfN(rapid.Custom(drawRun), 1, 4).Draw(t, "changes")...) {
				one := []ipvs.Change{c}
				foretold := each.dir.Check(one)
				err := each.dir.Apply(one)
				if (err == nil) != (len(foretold) == 0) || err != nil && err.Error() != foretold[0].Error() {
					t.Fatalf("Check of %v foretold %v, Apply says %v", c.Kind, foretold, err)
				}
				if err == nil {
					accepted = append(accepted, c)
				}
			}
			if faults := once.dir.Check(accepted); len(faults) > 0 {
				t.Fatalf("Check of the transaction: %v", faults[0])
			}
			if err := once.dir.Apply(accepted); err != nil {
				t.Fatalf("Apply of what was accepted one by one: %v", err)
			}
			for range 6 {
				port++
				for _, w := range []*world{each, once} {
					w.batch(syn(w, port), synTo(w, port, "10.10.1.2:80"))
				}
			}
			if diff := cmp.Diff(each.state(), once.state(), byValue); diff != "" {
				t.Fatalf("one by one, and at once (-one by one +at once)\n%s", diff)
			}
		}
		if err := errors.Join(each.ledger(), once.ledger()); err != nil {
			t.Fatal(err)
		}
	})
}

// synTo is a client's first packet to another service.
func synTo(w *world, port uint16, vip string) dataplane.Frame {
	return frame(vipLink, w.from(vipLink, packettest.Packet{Proto: 6, Flags: "S", DF: true,
		Src: netip.AddrPortFrom(netip.MustParseAddr("10.10.3.6"), port), Dst: netip.MustParseAddrPort(vip)}).Frame())
}

// drawRun draws a few changes of the same kind to the same service.
func drawRun(t *rapid.T) (run []ipvs.Change) {
	service := ipvs.Service{
		Key:       ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort(rapid.SampledFrom([]string{"10.10.1.1:80", "10.10.1.2:80"}).Draw(t, "vip"))},
		Scheduler: rapid.SampledFrom([]string{"wrr", "wrr", "rr", "wlc", "mh", "lblc"}).Draw(t, "scheduler"),
	}
	rip := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("10.20.0.%d:80", 11+i)) }
	kind := rapid.SampledFrom([]ipvs.ChangeKind{
		ipvs.AddService, ipvs.AddService, ipvs.EditService, ipvs.DeleteService, ipvs.FlushServices, ipvs.ZeroStats, ipvs.OrderDestinations,
		ipvs.AddDestination, ipvs.AddDestination, ipvs.AddDestination, ipvs.AddDestination, ipvs.DeleteDestination, ipvs.DeleteDestination,
		ipvs.EditDestination, ipvs.EditDestination, ipvs.EditDestination, ipvs.EditDestination, ipvs.EditDestination,
	}).Draw(t, "kind")
	for range rapid.IntRange(1, 5).Draw(t, "changes") {
		c := ipvs.Change{Kind: kind, Service: service, Destination: ipvs.Destination{
			Addr: rip(rapid.IntRange(0, 3).Draw(t, "rip")), Weight: rapid.SampledFrom([]int32{0, 1, 2, 4, 6}).Draw(t, "weight"),
		}}
		if kind == ipvs.OrderDestinations {
			order := rapid.Permutation([]int{0, 1, 2, 3}).Draw(t, "order")
			for _, i := range order[:rapid.IntRange(0, 4).Draw(t, "servers")] {
				c.Order = append(c.Order, rip(i))
			}
		}
		run = append(run, c)
	}
	return run
}

// TestOrder: another order of the servers changes who is next, and nothing else:
// not their connections, not their counters, not what mh remembers of a server's
// weight.
func TestOrder(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s mh -b mh-port\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m -w 3\n-a -t 10.10.1.1:80 -r 10.20.0.12 -m\n-a -t 10.10.1.1:80 -r 10.20.0.13 -m")
	for port := uint16(4000); port < 4040; port++ {
		w.batch(syn(w, port))
	}
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.11 -m -w 0")
	before, conns := w.dir.Services()[0], w.connLines()
	order := func(addrs ...string) error {
		c := ipvs.Change{Kind: ipvs.OrderDestinations, Service: before.Service}
		for _, a := range addrs {
			c.Order = append(c.Order, netip.MustParseAddrPort(a))
		}
		return w.dir.Apply([]ipvs.Change{c})
	}
	for _, bad := range [][]string{
		{"10.20.0.12:80", "10.20.0.13:80"}, {"10.20.0.11:80", "10.20.0.12:80", "10.20.0.12:80"},
		{"10.20.0.11:80", "10.20.0.12:80", "10.20.0.13:80", "10.20.0.14:80"}, nil,
	} {
		if err := order(bad...); !errors.Is(err, ipvs.ErrInvalid) {
			t.Errorf("the order %v = %v, want %v", bad, err, ipvs.ErrInvalid)
		}
	}
	if err := order("10.20.0.11:80", "10.20.0.13:80", "10.20.0.12:80"); err != nil {
		t.Fatal(err)
	}
	after := w.dir.Services()[0]
	d := before.Destinations
	before.Destinations = []ipvs.DestinationStatus{d[2], d[0], d[1]}
	if diff := cmp.Diff(before, after, byValue); diff != "" {
		t.Errorf("the order has changed more than itself (-before +after)\n%s", diff)
	}
	if diff := cmp.Diff(conns, w.connLines()); diff != "" {
		t.Errorf("the order has changed connections\n%s", diff)
	}
	// The quiesced server keeps its part of the table: its clients are refused.
	picked := map[uint16]string{}
	for port := uint16(5000); port < 5100; port++ {
		n := len(w.conns())
		w.batch(syn(w, port))
		if len(w.conns()) > n {
			picked[port] = "taken"
		}
	}
	if len(picked) == 100 || len(picked) == 0 {
		t.Errorf("%d of 100 clients were taken: the table has forgotten the quiesced server's weight", len(picked))
	}
}
