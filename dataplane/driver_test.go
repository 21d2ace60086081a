package dataplane_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/rewrite"
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
