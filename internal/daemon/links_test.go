package daemon

import (
	"net/netip"
	"testing"

	"natlb/dataplane"
)

// TestCaptureAgain checks that a filter which a port has refused is
// not taken for set: the next transaction tries again.
func TestCaptureAgain(t *testing.T) {
	refuses := new(dataplane.AFPacket) // has no socket
	sc := dataplane.Scope{Owned: []netip.Addr{netip.MustParseAddr("10.10.1.1")}}
	l := links{links: make([]dataplane.Link, 1), ports: [][]*dataplane.AFPacket{{refuses}}}
	for i := range 2 {
		if err := l.capture(sc); err == nil {
			t.Errorf("capture %d by a port that refuses the filter: no error", i)
		}
	}
	if l.filter == nil {
		t.Error("a link that comes back would be opened without a filter")
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
