package hostnet

import (
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	"natlb/internal/packettest"
)

// memberships returns which of the groups the kernel says that a link is in, those
// of its own addresses and of all nodes left out.
func memberships(t *testing.T, name string) (groups []netip.Addr) {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/igmp6")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		b, err := hex.DecodeString(fields[2])
		must(t, err)
		group := netip.AddrFrom16([16]byte(b))
		if fields[1] == name && b[11] == 1 && b[12] == 0xff && group != solicitedNode(addr("fd10:1::1")) {
			groups = append(groups, group)
		}
	}
	return groups
}

func TestGroupsFollowVIPs(t *testing.T) {
	director, peer := host6Lab(t)
	speaks6(t, openHost(t))
	vip0 := link(t, "vip0").Attrs().Index
	g := NewGroups()
	defer g.Close()
	var mld *tap
	within(t, peer, director, func() { mld = newTap(t, "eth0") })
	joined := func(want ...string) {
		t.Helper()
		got := map[netip.Addr]bool{}
		for _, group := range memberships(t, "vip0") {
			got[group] = true
		}
		ok := len(got) == len(want)
		for _, group := range want {
			ok = ok && got[addr(group)]
		}
		if !ok {
			t.Errorf("vip0 is in %v, want %v", got, want)
		}
	}

	vips := []netip.Addr{addr("fd10:1::100"), addr("fd10:2::100"), addr("fd10:1::ab:cdef"), addr("10.1.0.100")}
	must(t, g.Set([]int{vip0}, vips))
	joined("ff02::1:ff00:100", "ff02::1:ffab:cdef")
	if group, _ := packettest.SolicitedNode(vips[2]); group != addr("ff02::1:ffab:cdef") {
		t.Errorf("the tests ask for the VIP in %v", group)
	}
	mld.await("a report that the director is in the group", func(f []byte) bool {
		return strings.Contains(string(f), string(addr("ff02::1:ffab:cdef").AsSlice()))
	})

	must(t, g.Set([]int{vip0}, vips[:1]))
	joined("ff02::1:ff00:100")
	if err := g.Set([]int{vip0, vip0 + 1000}, vips[:1]); err == nil || !strings.Contains(err.Error(), "ff02::1:ff00:100") {
		t.Errorf("Set on a link that does not exist: %v, want an error that names the group", err)
	}
	joined("ff02::1:ff00:100") // the good link all the same
	must(t, g.Set(nil, vips))
	joined()
}

// TestGroupsOfThousands joins more than one socket can hold.
func TestGroupsOfThousands(t *testing.T) {
	host6Lab(t)
	speaks6(t, openHost(t))
	vip0 := link(t, "vip0").Attrs().Index
	g := NewGroups()
	defer g.Close()
	vips := make([]netip.Addr, 2000)
	for i := range vips {
		vips[i] = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x10, 14: byte(i >> 8), 15: byte(i)})
	}
	must(t, g.Set([]int{vip0}, vips))
	if got := len(memberships(t, "vip0")); got < len(vips)-2 || got > len(vips) { // fd10::1 is in the host's own group
		t.Errorf("in %d groups, want those of %d VIPs", got, len(vips))
	}
	must(t, g.Set([]int{vip0}, vips[:1]))
	must(t, g.Set([]int{vip0}, vips))
	must(t, g.Close())
	if got := memberships(t, "vip0"); len(got) != 0 {
		t.Errorf("after Close in %v", got)
	}
}
