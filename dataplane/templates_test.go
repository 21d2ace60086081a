package dataplane_test

import (
	"net/netip"
	"testing"
	"time"
)

// TestTemplatesEndOnTime lets the templates of many clients end on a director
// that nothing comes to: it wakes as often as it says that it has to.
func TestTemplatesEndOnTime(t *testing.T) {
	const clients = 3000
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr -p 100\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m\n")
	start := w.now
	for i := range clients {
		c := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 2 + byte(i>>8), byte(i)}), 4000)
		w.says("S", c)
		w.says("R", c)
	}
	idle := func(until time.Duration) {
		for w.now < until {
			w.now += min(max(w.shard.NextTimer(w.now), time.Millisecond), time.Second)
			w.batch()
		}
	}
	idle(start + 99*time.Second)
	if n := len(w.conns()); n != clients {
		t.Fatalf("%d entries before the end of the templates, want %d", n, clients)
	}
	idle(start + 102*time.Second)
	if n := len(w.conns()); n != 0 {
		t.Errorf("%d of %d templates are there 2 s after their end", n, clients)
	}
}
