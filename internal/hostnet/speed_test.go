package hostnet

import (
	"testing"

	"github.com/vishvananda/netlink"
)

// TestSpeed: a veth says 10 Gbit/s, the loopback nothing, and what is not there neither.
func TestSpeed(t *testing.T) {
	newNamespaces(t, 1)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a0"}, PeerName: "a1"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]int{"a0": 10_000, "lo": 0, "none": 0} {
		if got := Speed(link); got != want {
			t.Errorf("Speed(%s) = %d, want %d", link, got, want)
		}
	}
}
