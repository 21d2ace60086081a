package hostnet

import (
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
)

// The namespaces of these tests, with IPv6 that is usable at once:
//
//	director: vip0 fd10:1::1/64 and fe80::1/64 ---- eth0 fd10:1::2/64 and fe80::2/64 :peer
func host6Lab(t *testing.T) (director, peer *namespace) {
	t.Helper()
	ns := newNamespaces(t, 2)
	for _, n := range ns {
		within(t, n, ns[0], func() {
			// No duplicate address detection, and link-local addresses by hand.
			for name, value := range map[string]string{"disable_ipv6": "0", "accept_dad": "0", "addr_gen_mode": "1"} {
				setting(t, "default", name, value)
			}
		})
	}
	veth(t, ns[0], "vip0", "fd10:1::1/64", ns[1], "eth0", "fd10:1::2/64")
	addAddr(t, "vip0", "fe80::1/64")
	within(t, ns[1], ns[0], func() { addAddr(t, "eth0", "fe80::2/64") })
	return ns[0], ns[1]
}

// setting sets net.ipv6.conf.LINK.NAME in the thread's namespace.
func setting(t *testing.T, link, name, value string) {
	t.Helper()
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/"+name, []byte(value), 0)
	if os.IsNotExist(err) {
		t.Skipf("no IPv6 here: %v", err)
	}
	must(t, err)
}

// speaks6 returns the first view in which vip0 is up with both its addresses.
func speaks6(t *testing.T, h *Host) *View {
	t.Helper()
	return await(t, h, "vip0 up, with its addresses", func(v *View) bool {
		l, _ := v.LinkByName("vip0")
		global, local := v.Addrs6(l.Index)
		return l.Up && global.IsValid() && local.IsValid() && v.Route(local).Kind == Local
	})
}

func TestViewOfIPv6(t *testing.T) {
	host6Lab(t)
	h := openHost(t)
	v := speaks6(t, h)
	l, _ := v.LinkByName("vip0")
	self := addr("fd10:1::1")

	for ip, want := range map[string]bool{
		"fd10:1::1": true, "fe80::1": true, "::1": true, "fd10:1::2": false, "fe80::2": false, "fd10:1::": false,
	} {
		if got := v.IsLocal(addr(ip)); got != want {
			t.Errorf("IsLocal(%s) = %v, want %v", ip, got, want)
		}
	}
	if global, local := v.Addrs6(l.Index); global != self || local != addr("fe80::1") {
		t.Errorf("Addrs6(vip0) = %v, %v, want %v and fe80::1", global, local, self)
	}
	if global, local := v.Addrs6(l.Index + 100); global.IsValid() || local.IsValid() {
		t.Errorf("Addrs6 of no link = %v, %v", global, local)
	}
	unreachable := Route{Kind: Unreachable}
	for dst, want := range map[string]Route{
		"fd10:1::77": {Unicast, l.Index, addr("fd10:1::77"), 1500, self},
		"fe80::77":   unreachable, // on which link?
		"ff02::1":    {Kind: Multicast},
		"fd10:2::1":  unreachable,
		"::":         unreachable,
	} {
		if got := v.Route(addr(dst)); got != want {
			t.Errorf("Route(%s) = %+v, want %+v", dst, got, want)
		}
	}
	for _, own := range []string{"fd10:1::1", "fe80::1"} {
		if got := v.Route(addr(own)); got.Kind != Local {
			t.Errorf("Route(%s) = %+v, want Local", own, got)
		}
	}
}

// TestViewFollowsIPv6 changes routes, addresses and switches under a view.
func TestViewFollowsIPv6(t *testing.T) {
	host6Lab(t)
	h := openHost(t)
	l, _ := speaks6(t, h).LinkByName("vip0")
	via := func(gw string, mtu int) Route {
		return Route{Unicast, l.Index, addr(gw), mtu, addr("fd10:1::1")}
	}

	must(t, netlink.RouteAdd(viaRoute(t, "::/0", "vip0", "fe80::2", 1024)))
	routesTo(t, h, "2001:db8::1", via("fe80::2", 1500)) // a gateway as routers announce themselves

	narrow := viaRoute(t, "2001:db8:1::/48", "vip0", "fd10:1::2", 1024)
	narrow.MTU = 1280
	must(t, netlink.RouteAdd(narrow))
	routesTo(t, h, "2001:db8:1::1", via("fd10:1::2", 1280))
	must(t, netlink.RouteDel(narrow))
	routesTo(t, h, "2001:db8:1::1", via("fe80::2", 1500))

	forwarding := func(want bool) {
		t.Helper()
		await(t, h, "the switch of IPv6 alone", func(v *View) bool {
			l, _ := v.LinkByName("vip0")
			return l.Forwarding6 == want && !l.Forwarding
		})
	}
	forwarding(false)
	setting(t, "vip0", "forwarding", "1")
	forwarding(true)
	setting(t, "vip0", "forwarding", "0")
	forwarding(false)

	delAddr(t, "vip0", "fd10:1::1/64")
	await(t, h, "no global address", func(v *View) bool {
		global, local := v.Addrs6(l.Index)
		return !global.IsValid() && local.IsValid() && !v.IsLocal(addr("fd10:1::1"))
	})
}

// TestAddrs6TakesLastingAddresses lists addresses as a kernel would.
func TestAddrs6TakesLastingAddresses(t *testing.T) {
	const linkScope, hostScope = 253, 254
	prefix := netip.MustParsePrefix
	v := &View{facts: newFacts(nil, []address{
		{link: 1, local: prefix("::1/128"), scope: hostScope},
		{link: 1, local: prefix("192.0.2.1/24")},
		{link: 1, local: prefix("fd10::5/64"), secondary: true},
		{link: 1, local: prefix("fe80::5/64"), scope: linkScope, secondary: true},
		{link: 2, local: prefix("fd10::6/64")},
		{link: 1, local: prefix("fd10::7/64")},
		{link: 1, local: prefix("fd10::8/64")},
		{link: 1, local: prefix("fe80::9/64"), scope: linkScope},
	}, nil)}
	if global, local := v.Addrs6(1); global != addr("fd10::7") || local != addr("fe80::9") {
		t.Errorf("Addrs6 = %v, %v, want fd10::7 and fe80::9", global, local)
	}
}

func TestResolveFindsAndMissesIPv6(t *testing.T) {
	director, peer := host6Lab(t)
	var peerMAC [6]byte
	within(t, peer, director, func() { copy(peerMAC[:], link(t, "eth0").Attrs().HardwareAddr) })
	h := openHost(t)
	l, _ := speaks6(t, h).LinkByName("vip0")

	for _, ip := range []string{"fd10:1::2", "fe80::2"} {
		h.Resolve(l.Index, addr(ip))
		await(t, h, ip+" known", func(v *View) bool {
			n := v.Neighbour(l.Index, addr(ip))
			return n.State == NeighbourUsable && n.MAC == peerMAC
		})
	}
	h.Resolve(l.Index, addr("fd10:1::200"))
	await(t, h, "fd10:1::200 failed", func(v *View) bool {
		return v.Neighbour(l.Index, addr("fd10:1::200")).State == NeighbourFailed
	})
}
