package dataplane

import (
	"testing"

	"natlb/rewrite"
)

// countingHost answers each address with a way of its own, and counts.
type countingHost struct {
	noHost
	mtu   int
	asked int
}

func (h *countingHost) Lookup6(dst rewrite.Addr6) Hop {
	h.asked++
	return Hop{Kind: HopForward, MTU: h.mtu, Via6: dst}
}

func TestRouteCache6(t *testing.T) {
	h, c := &countingHost{mtu: 1500}, &routeCache{}
	c.reset()
	at := func(i uint64) rewrite.Addr6 { return rewrite.Addr6{Hi: 0xfd10 << 48, Lo: i} }
	for range 3 {
		for i := range uint64(4) {
			if hop := c.lookup6(h, at(i)); hop.Via6 != at(i) || hop.MTU != 1500 {
				t.Fatalf("way to %v: %+v", at(i), hop)
			}
		}
	}
	if h.asked != 4 {
		t.Errorf("the host was asked %d times about 4 addresses", h.asked)
	}
	if hop := c.lookup6(h, rewrite.Addr6{}); hop.MTU != 1500 {
		t.Errorf("way to ::, as an empty entry has it: %+v", hop)
	}
	h.mtu = 1400
	c.reset()
	if hop := c.lookup6(h, at(1)); hop.MTU != 1400 {
		t.Errorf("after a change of the host: %+v", hop)
	}
	for i := range uint64(2 * routeCacheSize) {
		if hop := c.lookup6(h, at(i)); hop.Via6 != at(i) {
			t.Fatalf("way to %v: %+v", at(i), hop)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.lookup6(h, at(1)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
