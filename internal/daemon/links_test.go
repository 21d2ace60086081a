package daemon

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/dataplane"
	"natlb/internal/hostnet"
	"natlb/ipvs"
	"natlb/rewrite"
)

// TestCaptureAgain checks that a filter which a port has refused is
// not taken for set: the next transaction tries again.
func TestCaptureAgain(t *testing.T) {
	refuses := new(dataplane.AFPacket) // has no socket
	sc := dataplane.Scope{Owned: []netip.Addr{netip.MustParseAddr("10.10.1.1")}}
	l := links{links: make([]dataplane.Link, 1), ports: [][]*dataplane.AFPacket{{refuses}}, groups: hostnet.NewGroups()}
	for i := range 2 {
		if err := l.capture(sc); err == nil {
			t.Errorf("capture %d by a port that refuses the filter: no error", i)
		}
	}
	if l.filter == nil {
		t.Error("a link that comes back would be opened without a filter")
	}
}

// TestCaptureOf is about which family has to be captured whole.
func TestCaptureOf(t *testing.T) {
	addrs := func(texts ...string) (all []netip.Addr) {
		for _, text := range texts {
			all = append(all, netip.MustParseAddr(text))
		}
		return all
	}
	both := dataplane.Scope{
		Owned:   addrs("10.10.1.1", "fd10::2", "10.10.1.1", "fd10::1"),
		Servers: addrs("10.20.0.11", "fd10::1"),
	}
	vip, rip := uint32(0x0a0a0101), uint32(0x0a14000b)
	one, two := rewrite.Addr6{Hi: 0xfd10 << 48, Lo: 1}, rewrite.Addr6{Hi: 0xfd10 << 48, Lo: 2}
	marked := func(six bool) dataplane.Scope {
		sc := both
		sc.Services = []ipvs.ServiceKey{{Mark: 1, V6: six}}
		return sc
	}
	many := both
	for i := range dataplane.MaxFilterAddrs {
		many.Servers = append(many.Servers, rewrite.Addr6{Hi: 1, Lo: uint64(i)}.Addr())
	}
	for name, tt := range map[string]struct {
		sc   dataplane.Scope
		want dataplane.Capture
	}{
		"nothing":      {dataplane.Scope{}, dataplane.Capture{}},
		"addresses":    {both, dataplane.Capture{Addrs4: []uint32{vip, rip}, Addrs6: []rewrite.Addr6{one, two}}},
		"IPv4 marks":   {marked(false), dataplane.Capture{All4: true, Addrs6: []rewrite.Addr6{one, two}}},
		"IPv6 marks":   {marked(true), dataplane.Capture{All6: true, Addrs4: []uint32{vip, rip}}},
		"many of IPv6": {many, dataplane.Capture{All6: true, Addrs4: []uint32{vip, rip}}},
	} {
		if diff := cmp.Diff(tt.want, captureOf(tt.sc)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDeaf is about links that lose frames: all of them for a while, some of them,
// all of them once in a while.
func TestDeaf(t *testing.T) {
	for name, tt := range map[string]struct {
		seen []dataplane.PortStats
		want bool
	}{
		"all":         {[]dataplane.PortStats{{Received: 10}, {Received: 11, Dropped: 1}, {Received: 13, Dropped: 3}, {Received: 14, Dropped: 4}}, true},
		"some":        {[]dataplane.PortStats{{Received: 10}, {Received: 12, Dropped: 1}, {Received: 15, Dropped: 3}, {Received: 17, Dropped: 4}}, false},
		"with breaks": {[]dataplane.PortStats{{Received: 10}, {Received: 11, Dropped: 1}, {Received: 12, Dropped: 2}, {Received: 12, Dropped: 2}, {Received: 13, Dropped: 3}}, false},
		"none":        {[]dataplane.PortStats{{Received: 10}, {Received: 10}, {Received: 10}, {Received: 10}, {Received: 10}}, false},
		"new ports":   {[]dataplane.PortStats{{Received: 10, Dropped: 5}, {Received: 1}, {Received: 2}, {Received: 3}}, false},
	} {
		h, got := new(hearing), false
		for _, st := range tt.seen {
			got = h.deaf(st)
		}
		if got != tt.want {
			t.Errorf("%s lost: deaf = %v, want %v", name, got, tt.want)
		}
	}
}

// TestDeafShard: of several ports that share a link one can be deaf, while the
// others go on.
func TestDeafShard(t *testing.T) {
	var hs hearings
	got := false
	for n := range uint64(4) {
		got = hs.deaf([]dataplane.PortStats{{Received: 100 * n}, {Received: 10 + n, Dropped: n}, {}})
	}
	if !got {
		t.Error("one of three ports loses all that comes, and nobody notices")
	}
	if hs.deaf([]dataplane.PortStats{{Received: 500}, {Received: 20}, {}}) {
		t.Error("new ports that lose nothing count as deaf")
	}
}
