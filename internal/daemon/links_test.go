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
