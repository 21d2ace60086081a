package dataplane_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/rewrite"
	"natlb/sched"
)

// TestDriversTogether runs the drivers of several shards at the same time, each
// with packets of all, while events are taken and services change: every client's
// connection is made once, by whichever shard owns it.
func TestDriversTogether(t *testing.T) {
	const shards, clients, rounds = 4, 256, 500
	w := newWorld(func(c *dataplane.Config) { c.Shards, c.Clock = shards, nil })
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr -p 300\n-a -t 10.10.1.1:80 -r 10.20.0.11:80 -m\n")
	w.dir.Follow(true)
	syn := func(i int) dataplane.Frame {
		return frame(vipLink, w.from(vipLink, packettest.Packet{
			Src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 2, byte(i)}), 4000), Dst: eventVIP,
			Proto: rewrite.ProtoTCP, Flags: "S",
		}).Frame())
	}
	var group sync.WaitGroup
	for n := range shards {
		group.Go(func() {
			d := w.dir.NewDriver(n, func([]dataplane.Frame, []dataplane.Resolve) {})
			for r := range rounds {
				fs := []dataplane.Frame{syn((5*r + n) % clients), syn((7*r + n) % clients), syn(r % clients)}
				d.Batch(fs, 1000*time.Second+time.Duration(r)*time.Millisecond)
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	born := 0
	for open, change := true, 0; open; change++ {
		select {
		case <-done:
			open = false
		default:
		}
		w.mustRules(t, []string{"-A -u 10.10.1.9:53 -s rr\n", "-D -u 10.10.1.9:53\n"}[change%2])
		for _, e := range w.dir.TakeEvents(nil) {
			if e.Kind == ipvs.EventBorn && !e.Template {
				born++
			}
		}
	}
	if all := len(w.conns()); born != clients || all != 2*clients {
		t.Errorf("%d connections were born and %d entries are there, want %d and as many templates", born, all, clients)
	}
	if w.dir.HandedOver() == 0 {
		t.Error("no packet was handed over")
	}
}

// TestPicksAfterTurmoil: three shards open and reset connections, which expire,
// while servers come, go and change and somebody asks for reasons. Once all
// stand still, a pick is what explain says: it knows no more than the numbers of
// the servers, and the schedulers have missed no change of those.
func TestPicksAfterTurmoil(t *testing.T) {
	for _, name := range sched.Names() {
		t.Run(name, func(t *testing.T) { testTurmoil(t, name) })
	}
}

func testTurmoil(t *testing.T, scheduler string) {
	const shards, rounds, servers = 3, 150, 70
	w := newWorld(func(c *dataplane.Config) { c.Shards, c.Clock = shards, nil })
	w.mustRules(t, "-A -t 10.10.1.1:80 -s "+scheduler)
	add := func(i, weight int) string {
		return fmt.Sprintf("-t 10.10.1.1:80 -r 10.20.0.%d:80 -m -w %d -x %d", 11+i, weight, i%5*10)
	}
	for i := range servers {
		w.mustRules(t, "-a "+add(i, i%4))
	}
	tcp := func(client int, flags string) dataplane.Frame {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 2, byte(client)}), uint16(4000+client>>8))
		return frame(vipLink, w.from(vipLink, packettest.Packet{Src: src, Dst: eventVIP, Proto: rewrite.ProtoTCP, Flags: flags}).Frame())
	}
	now := func(round int) time.Duration { return 1000*time.Second + time.Duration(round)*time.Second }
	var drivers []*dataplane.Driver
	var group sync.WaitGroup
	for n := range shards {
		d := w.dir.NewDriver(n, func([]dataplane.Frame, []dataplane.Resolve) {})
		drivers = append(drivers, d)
		group.Go(func() {
			for r := range rounds {
				var fs []dataplane.Frame
				for k := range 8 {
					fs = append(fs, tcp(100*r+8*n+k, "S"), tcp(100*r+8*n+k/2*2, "R"))
				}
				d.Batch(fs, now(r))
			}
		})
	}
	for i := range 40 {
		w.mustRules(t, "-e "+add(i, i%3))
		w.mustRules(t, fmt.Sprintf("-d -t 10.10.1.1:80 -r 10.20.0.%d:80", 12+i))
		w.mustRules(t, "-a "+add(i+1, i%4))
		if _, err := w.dir.Explain(question("tcp 10.10.3.7:4000 10.10.1.1:80")); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
	for range 100 { // what is due at that time ends now
		for _, d := range drivers {
			d.Batch(nil, now(rounds))
		}
	}
	for i := range 20 {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 4, byte(i)}), 4000)
		want, err := w.dir.Explain(ipvs.Question{Proto: ipvs.TCP, Client: src, Virtual: eventVIP})
		if err != nil {
			t.Fatal(err)
		}
		drivers[i%shards].Batch([]dataplane.Frame{
			frame(vipLink, w.from(vipLink, packettest.Packet{Src: src, Dst: eventVIP, Proto: rewrite.ProtoTCP, Flags: "S"}).Frame()),
		}, now(rounds))
		var expected, got netip.AddrPort
		if want.Server != nil {
			expected = *want.Server
		}
		for _, c := range w.conns() {
			if c.Client == src {
				got = c.Dest
			}
		}
		if got != expected {
			t.Errorf("client %v is given %v, by reason %v", src, got, expected)
		}
	}
}
