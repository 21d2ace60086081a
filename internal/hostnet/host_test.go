package hostnet

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The namespaces of these tests:
//
//	director: vip0 10.1.0.1/24 ---- eth0 10.1.0.2/24 :peer
func hostLab(t *testing.T) (director, peer *namespace) {
	ns := newNamespaces(t, 2)
	veth(t, ns[0], "vip0", "10.1.0.1/24", ns[1], "eth0", "10.1.0.2/24")
	return ns[0], ns[1]
}

func openHost(t *testing.T) *Host {
	t.Helper()
	h, err := Open(Config{})
	must(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

// await returns the first view that satisfies ok.
func await(t *testing.T, h *Host, what string, ok func(*View) bool) *View {
	t.Helper()
	deadline := time.After(patience)
	for {
		if v := h.View(); ok(v) {
			return v
		}
		select {
		case <-h.Changed():
		case <-deadline:
			t.Fatalf("no view within %v shows: %s", patience, what)
		}
	}
}

// routesTo waits until the view routes dst as want.
func routesTo(t *testing.T, h *Host, dst string, want Route) {
	t.Helper()
	var got Route
	ok := false
	deadline := time.After(patience)
	for !ok {
		got = h.View().Route(addr(dst))
		if ok = got == want; ok {
			return
		}
		select {
		case <-h.Changed():
		case <-deadline:
			t.Fatalf("Route(%s): got - want +\n%s", dst, cmp.Diff(got, want, cmpopts.EquateComparable(netip.Addr{})))
		}
	}
}

var addr = netip.MustParseAddr

func TestOpenReadsTheNamespaceOfItsThread(t *testing.T) {
	hostLab(t)
	v := openHost(t).View()

	l, ok := v.LinkByName("vip0")
	want := Link{Index: l.Index, Name: "vip0", MTU: 1500, MAC: l.MAC, Up: true, Kind: "veth"}
	if !ok || l != want || l.MAC == [6]byte{} {
		t.Errorf("LinkByName(vip0) = %+v, %v, want %+v with a MAC", l, ok, want)
	}
	if byIndex, ok := v.Link(l.Index); !ok || byIndex != l {
		t.Errorf("Link(%d) = %+v, %v, want %+v", l.Index, byIndex, ok, l)
	}
	if _, ok := v.LinkByName("eth0"); ok {
		t.Error("LinkByName(eth0) found a link of the other namespace")
	}
	if got := v.Addrs(l.Index); len(got) == 0 || got[0] != netip.MustParsePrefix("10.1.0.1/24") {
		t.Errorf("Addrs(vip0) = %v, want 10.1.0.1/24 first", got)
	}
	for ip, want := range map[string]bool{
		"10.1.0.1": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:10.1.0.1": true,
		"10.1.0.2": false, "10.1.0.255": false, "192.0.2.1": false,
	} {
		if got := v.IsLocal(addr(ip)); got != want {
			t.Errorf("IsLocal(%s) = %v, want %v", ip, got, want)
		}
	}
	lo, _ := v.LinkByName("lo")
	self := addr("10.1.0.1")
	for dst, want := range map[string]Route{
		"10.1.0.77":        {Unicast, l.Index, addr("10.1.0.77"), 1500, self},
		"::ffff:10.1.0.77": {Unicast, l.Index, addr("10.1.0.77"), 1500, self},
		"10.1.0.1":         {Local, l.Index, self, 1500, self},
		"127.0.0.5":        {Local, lo.Index, addr("127.0.0.5"), lo.MTU, addr("127.0.0.1")},
		"10.1.0.255":       {Broadcast, l.Index, addr("10.1.0.255"), 1500, self},
		"255.255.255.255":  {Kind: Broadcast},
		"224.0.0.1":        {Kind: Multicast},
		"192.0.2.1":        {Kind: Unreachable},
		"0.0.0.0":          {Kind: Unreachable},
		"2001:db8::1":      {Kind: Unreachable},
	} {
		if got := v.Route(addr(dst)); got != want {
			t.Errorf("Route(%s) = %+v, want %+v", dst, got, want)
		}
	}
	if got := v.Route(netip.Addr{}); got != (Route{}) {
		t.Errorf("Route(invalid) = %+v, want unreachable", got)
	}
}

func TestViewFollowsRoutes(t *testing.T) {
	hostLab(t)
	h := openHost(t)
	l, _ := h.View().LinkByName("vip0")
	via := func(gw string) Route {
		return Route{Unicast, l.Index, addr(gw), 1500, addr("10.1.0.1")}
	}

	must(t, netlink.RouteAdd(viaRoute(t, "0.0.0.0/0", "vip0", "10.1.0.2", 100)))
	routesTo(t, h, "192.0.2.1", via("10.1.0.2"))

	must(t, netlink.RouteAdd(viaRoute(t, "0.0.0.0/0", "vip0", "10.1.0.3", 50))) // lower metric
	routesTo(t, h, "192.0.2.1", via("10.1.0.3"))

	narrow := viaRoute(t, "192.0.2.0/24", "vip0", "10.1.0.4", 500) // longer prefix
	narrow.Src, narrow.MTU = net.ParseIP("10.1.0.1"), 1280
	must(t, netlink.RouteAdd(narrow))
	want := via("10.1.0.4")
	want.MTU = 1280
	routesTo(t, h, "192.0.2.1", want)
	routesTo(t, h, "198.51.100.1", via("10.1.0.3"))

	must(t, netlink.RouteReplace(viaRoute(t, "192.0.2.0/24", "vip0", "10.1.0.5", 500)))
	routesTo(t, h, "192.0.2.1", via("10.1.0.5"))

	_, black, _ := net.ParseCIDR("192.0.2.1/32")
	must(t, netlink.RouteAdd(&netlink.Route{Dst: black, Type: unix.RTN_BLACKHOLE}))
	routesTo(t, h, "192.0.2.1", Route{Kind: Unreachable})
	routesTo(t, h, "192.0.2.2", via("10.1.0.5"))

	// A route of another table is a policy rule's business.
	other := viaRoute(t, "192.0.2.2/32", "vip0", "10.1.0.9", 0)
	other.Table = 7
	must(t, netlink.RouteAdd(other))
	must(t, netlink.RouteDel(viaRoute(t, "0.0.0.0/0", "vip0", "10.1.0.3", 50)))
	routesTo(t, h, "198.51.100.1", via("10.1.0.2"))
	routesTo(t, h, "192.0.2.2", via("10.1.0.5"))
}

func TestViewKnowsIPv6(t *testing.T) {
	hostLab(t)
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skipf("this kernel has no IPv6: %v", err)
	}
	h := openHost(t)
	l, _ := h.View().LinkByName("vip0")
	sysctl(t, "ipv6/conf/vip0/disable_ipv6", "0")
	a, err := netlink.ParseAddr("2001:db8::1/64")
	must(t, err)
	a.Flags = unix.IFA_F_NODAD
	must(t, netlink.AddrAdd(link(t, "vip0"), a))
	must(t, netlink.RouteAdd(viaRoute(t, "::/0", "vip0", "2001:db8::2", 0)))
	self := addr("2001:db8::1")
	routesTo(t, h, "2001:db8::9", Route{Unicast, l.Index, addr("2001:db8::9"), 1500, self})
	routesTo(t, h, "2001:db8:1::9", Route{Unicast, l.Index, addr("2001:db8::2"), 1500, self})
	await(t, h, "2001:db8::1 local", func(v *View) bool { return v.IsLocal(self) })
}

func TestThrowGoesOnWithTheDefaultTable(t *testing.T) {
	hostLab(t)
	_, dst, _ := net.ParseCIDR("192.0.2.0/24")
	must(t, netlink.RouteAdd(viaRoute(t, "0.0.0.0/0", "vip0", "10.1.0.2", 0)))
	must(t, netlink.RouteAdd(&netlink.Route{Dst: dst, Type: unix.RTN_THROW}))
	last := viaRoute(t, "0.0.0.0/0", "vip0", "10.1.0.7", 0)
	last.Table = unix.RT_TABLE_DEFAULT
	must(t, netlink.RouteAdd(last))
	v := openHost(t).View()
	for dst, want := range map[string]string{"192.0.2.1": "10.1.0.7", "198.51.100.1": "10.1.0.2"} {
		if got := v.Route(addr(dst)).NextHop; got != addr(want) {
			t.Errorf("Route(%s).NextHop = %v, want %s", dst, got, want)
		}
	}
}

func TestMultipathKeepsADestinationsHop(t *testing.T) {
	hostLab(t)
	index := link(t, "vip0").Attrs().Index
	_, dst, _ := net.ParseCIDR("192.0.2.0/24")
	must(t, netlink.RouteAdd(&netlink.Route{Dst: dst, MultiPath: []*netlink.NexthopInfo{
		{LinkIndex: index, Gw: net.ParseIP("10.1.0.2"), Hops: 2}, // weight 3
		{LinkIndex: index, Gw: net.ParseIP("10.1.0.3")},          // weight 1
	}}))
	v := openHost(t).View()
	count := make(map[netip.Addr]int)
	for i := range 256 {
		ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		hop := v.Route(ip).NextHop
		if again := v.Route(ip).NextHop; again != hop {
			t.Fatalf("Route(%v).NextHop = %v, then %v", ip, hop, again)
		}
		count[hop]++
	}
	heavy, light := count[addr("10.1.0.2")], count[addr("10.1.0.3")]
	if heavy+light != 256 || heavy < 2*light || light < 256/8 {
		t.Errorf("next hops of weight 3 and 1 got %d and %d of 256 destinations", heavy, light)
	}
}

func TestViewFollowsLinksAndAddresses(t *testing.T) {
	hostLab(t)
	h := openHost(t)
	l, _ := h.View().LinkByName("vip0")
	must(t, netlink.RouteAdd(viaRoute(t, "192.0.2.0/24", "vip0", "10.1.0.2", 0)))
	onLink := Route{Unicast, l.Index, addr("10.1.0.9"), 1500, addr("10.1.0.1")}
	remote := Route{Unicast, l.Index, addr("10.1.0.2"), 1500, addr("10.1.0.1")}
	routesTo(t, h, "192.0.2.1", remote)

	must(t, netlink.LinkSetMTU(link(t, "vip0"), 1400))
	onLink.MTU = 1400
	routesTo(t, h, "10.1.0.9", onLink)

	// The kernel takes the static route away with the link and tells nobody.
	must(t, netlink.LinkSetDown(link(t, "vip0")))
	routesTo(t, h, "192.0.2.1", Route{Kind: Unreachable})
	v := await(t, h, "vip0 down", func(v *View) bool { l, _ := v.LinkByName("vip0"); return !l.Up })
	if !v.IsLocal(addr("10.1.0.1")) {
		t.Error("IsLocal(10.1.0.1) = false while its link is down, want true")
	}
	must(t, netlink.LinkSetUp(link(t, "vip0")))
	await(t, h, "vip0 up", func(v *View) bool { l, _ := v.LinkByName("vip0"); return l.Up })
	routesTo(t, h, "10.1.0.9", onLink)

	before := h.View().Generation
	addAddr(t, "vip0", "10.3.0.1/16")
	v = await(t, h, "10.3.0.1 local", func(v *View) bool { return v.IsLocal(addr("10.3.0.1")) })
	if v.Generation <= before {
		t.Errorf("Generation = %d after a change, want more than %d", v.Generation, before)
	}
	routesTo(t, h, "10.3.9.9", Route{Unicast, l.Index, addr("10.3.9.9"), 1400, addr("10.3.0.1")})
	delAddr(t, "vip0", "10.3.0.1/16")
	await(t, h, "10.3.0.1 gone", func(v *View) bool { return !v.IsLocal(addr("10.3.0.1")) })
	routesTo(t, h, "10.3.9.9", Route{Kind: Unreachable})
}

func TestViewFollowsCarrier(t *testing.T) {
	director, peer := hostLab(t)
	h := openHost(t)
	within(t, peer, director, func() { must(t, netlink.LinkSetDown(link(t, "eth0"))) })
	await(t, h, "vip0 without carrier", func(v *View) bool { l, _ := v.LinkByName("vip0"); return !l.Up })
	within(t, peer, director, func() { must(t, netlink.LinkSetUp(link(t, "eth0"))) })
	await(t, h, "vip0 with carrier", func(v *View) bool { l, _ := v.LinkByName("vip0"); return l.Up })
}

func TestViewFollowsForwarding(t *testing.T) {
	hostLab(t)
	h := openHost(t)
	forwards := func(want bool) func(*View) bool {
		return func(v *View) bool { l, ok := v.LinkByName("vip0"); return ok && l.Forwarding == want }
	}
	await(t, h, "vip0 not forwarding", forwards(false))
	sysctl(t, "ipv4/conf/vip0/forwarding", "1")
	await(t, h, "vip0 forwarding", forwards(true))
	sysctl(t, "ipv4/ip_forward", "1")
	await(t, h, "lo forwarding", func(v *View) bool { l, _ := v.LinkByName("lo"); return l.Forwarding })
	sysctl(t, "ipv4/ip_forward", "0")
	await(t, h, "vip0 not forwarding again", forwards(false))
}

func TestResolveFindsAndMisses(t *testing.T) {
	director, peer := hostLab(t)
	h := openHost(t)
	l, _ := h.View().LinkByName("vip0")
	var want [6]byte
	within(t, peer, director, func() { copy(want[:], link(t, "eth0").Attrs().HardwareAddr) })

	if got := h.View().Neighbour(l.Index, addr("10.1.0.2")); got != (Neighbour{}) {
		t.Fatalf("Neighbour(10.1.0.2) = %+v before Resolve, want none", got)
	}
	h.Resolve(l.Index, addr("10.1.0.2"))
	v := await(t, h, "10.1.0.2 resolved", func(v *View) bool {
		return v.Neighbour(l.Index, addr("10.1.0.2")).State == NeighbourUsable
	})
	if got := v.Neighbour(l.Index, addr("10.1.0.2")); got.MAC != want || got.Stale {
		t.Errorf("Neighbour(10.1.0.2) = %+v, want MAC %x, not stale", got, want)
	}
	sysctl(t, "ipv4/neigh/vip0/retrans_time_ms", "10") // three requests, then it has failed
	h.Resolve(l.Index, addr("10.1.0.200"))
	await(t, h, "10.1.0.200 failed", func(v *View) bool {
		return v.Neighbour(l.Index, addr("10.1.0.200")).State == NeighbourFailed
	})
	h.Resolve(l.Index+1000, addr("10.1.0.2")) // no such link: nothing happens
	h.Resolve(0, addr("10.1.0.2"))
	h.Resolve(l.Index, netip.Addr{})
}

func TestResolveConfirmsStale(t *testing.T) {
	director, peer := hostLab(t)
	h := openHost(t)
	l, _ := h.View().LinkByName("vip0")
	var mac net.HardwareAddr
	within(t, peer, director, func() { mac = link(t, "eth0").Attrs().HardwareAddr })
	sysctl(t, "ipv4/neigh/vip0/delay_first_probe_time", "1")
	must(t, netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Index, IP: net.ParseIP("10.1.0.2"), HardwareAddr: mac, State: unix.NUD_STALE,
	}))
	entry := func(v *View) Neighbour { return v.Neighbour(l.Index, addr("10.1.0.2")) }
	v := await(t, h, "10.1.0.2 stale", func(v *View) bool { return entry(v).Stale })
	if got := entry(v).State; got != NeighbourUsable {
		t.Errorf("state of a stale neighbour = %v, want usable", got)
	}
	h.Resolve(l.Index, addr("10.1.0.2"))
	await(t, h, "10.1.0.2 confirmed", func(v *View) bool {
		n := entry(v)
		return n.State == NeighbourUsable && !n.Stale
	})
	must(t, netlink.NeighDel(&netlink.Neigh{LinkIndex: l.Index, IP: net.ParseIP("10.1.0.2")}))
	await(t, h, "10.1.0.2 gone", func(v *View) bool { return entry(v).State != NeighbourUsable })
}

func TestNeighboursDoNotRebuildRoutes(t *testing.T) {
	hostLab(t)
	h := openHost(t)
	l, _ := h.View().LinkByName("vip0")
	facts := h.View().facts
	must(t, netlink.NeighSet(permanent(l.Index, 7)))
	v := await(t, h, "10.1.0.7 known", func(v *View) bool {
		return v.Neighbour(l.Index, addr("10.1.0.7")).State == NeighbourUsable
	})
	if v.facts != facts {
		t.Error("a neighbour made new routes, want the old ones shared")
	}
}

func permanent(index, host int) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: index, IP: net.IPv4(10, 1, byte(host>>8), byte(host)), State: unix.NUD_PERMANENT,
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, byte(host >> 8), byte(host)},
	}
}

// TestOverrunIsReadAnew gives the event socket room for a few events only.
func TestOverrunIsReadAnew(t *testing.T) {
	hostLab(t)
	h := openHost(t)
	must(t, h.events.SetReceiveBufferSize(1, false))
	l, _ := h.View().LinkByName("vip0")
	const n = 500
	for i := range n {
		must(t, netlink.NeighSet(permanent(l.Index, 256+i)))
	}
	must(t, netlink.RouteAdd(viaRoute(t, "192.0.2.0/24", "vip0", "10.1.0.2", 0)))
	await(t, h, "all neighbours and the route", func(v *View) bool {
		for i := range n {
			ip, _ := netip.AddrFromSlice(permanent(l.Index, 256+i).IP.To4())
			if v.Neighbour(l.Index, ip).State != NeighbourUsable {
				return false
			}
		}
		return v.Route(addr("192.0.2.1")).Kind == Unicast
	})
}

func TestUnchangedDumpMakesNoView(t *testing.T) {
	hostLab(t)
	h := openHost(t)
	h.Close() // the test refreshes by itself, on sockets of its own
	client, err := newClient()
	must(t, err)
	defer client.close()
	h.client = client
	must(t, h.refresh(pending{facts: true, neighbours: true}))
	before := h.View()
	must(t, h.refresh(pending{facts: true, neighbours: true}))
	if h.View() != before {
		t.Errorf("a second dump of the same host made generation %d after %d", h.View().Generation, before.Generation)
	}
}

func TestCloseEndsAndKeepsTheView(t *testing.T) {
	hostLab(t)
	h := openHost(t)
	v := h.View()
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatalf("Close() = %v, want nil", err)
		}
	}
	h.Resolve(1, addr("10.1.0.2"))
	if h.View() != v {
		t.Error("View() changed by Close")
	}
}
