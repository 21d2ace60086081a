package hostnet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestLookupIsLongestPrefixLowestMetric compares a table with a search through
// all routes.
func TestLookupIsLongestPrefixLowestMetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		routes := rapid.SliceOfN(rapid.Custom(drawRoute), 0, 40).Draw(t, "routes")
		dst := drawAddr(t)
		var want *routeEntry
		for i := range routes {
			r := &routes[i]
			if !r.prefix.Contains(dst) || r.table != unix.RT_TABLE_MAIN {
				continue
			}
			longer := want == nil || r.prefix.Bits() > want.prefix.Bits()
			if longer || r.prefix.Bits() == want.prefix.Bits() && r.metric < want.metric {
				want = r
			}
		}
		got := newTable(unix.RT_TABLE_MAIN, routes, nil, nil).lookup(dst)
		switch {
		case want == nil && got == nil:
		case want == nil || got == nil:
			t.Fatalf("lookup(%v) = %v, want %v", dst, got, want)
		case got.hops[0].gateway != want.hops[0].gateway:
			t.Fatalf("lookup(%v) goes to %v, want %v", dst, got.hops[0].gateway, want.hops[0].gateway)
		}
	})
}

// drawAddr draws from few subnets, so that prefixes nest.
func drawAddr(t *rapid.T) netip.Addr {
	b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 128, 255}), 4, 4).Draw(t, "ip")
	v4 := [4]byte{10, b[1], b[2], b[3]}
	if rapid.Bool().Draw(t, "ipv6") {
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 14: v4[2], 15: v4[3]})
	}
	return netip.AddrFrom4(v4)
}

func drawRoute(t *rapid.T) routeEntry {
	ip := drawAddr(t)
	p, _ := ip.Prefix(rapid.IntRange(0, ip.BitLen()).Draw(t, "bits"))
	gateway := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "gateway")))
	return routeEntry{
		table:  rapid.SampledFrom([]int{unix.RT_TABLE_MAIN, unix.RT_TABLE_LOCAL}).Draw(t, "table"),
		prefix: p, typ: unix.RTN_UNICAST,
		metric: rapid.IntRange(0, 3).Draw(t, "metric"),
		hops:   []dumpedHop{{1, gateway, 1}},
	}
}

// lookupView is a view of a small host, made without a kernel.
func lookupView() *View {
	links := []Link{{Index: 1, Name: "eth0", MTU: 1500}}
	addrs := []address{{link: 1, local: netip.MustParsePrefix("10.1.0.1/24")}}
	routes := []routeEntry{
		{table: unix.RT_TABLE_MAIN, prefix: netip.MustParsePrefix("10.1.0.0/24"), typ: unix.RTN_UNICAST,
			scope: unix.RT_SCOPE_LINK, hops: []dumpedHop{{1, netip.Addr{}, 1}}},
		{table: unix.RT_TABLE_MAIN, prefix: netip.MustParsePrefix("0.0.0.0/0"), typ: unix.RTN_UNICAST,
			hops: []dumpedHop{{1, netip.MustParseAddr("10.1.0.2"), 1}, {1, netip.MustParseAddr("10.1.0.3"), 2}}},
	}
	known := neighbourUpdate{neighbourKey{1, netip.MustParseAddr("10.1.0.2")}, Neighbour{State: NeighbourUsable}}
	return &View{
		facts:      newFacts(links, addrs, routes),
		neighbours: new(neighbourTable).update([]neighbourUpdate{known}),
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	v := lookupView()
	dst, hop := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.1.0.2")
	n := testing.AllocsPerRun(1000, func() {
		v.Route(dst)
		v.Route(hop)
		v.Neighbour(1, hop)
		v.IsLocal(dst)
		v.Link(1)
	})
	if n != 0 {
		t.Errorf("the lookups of a cache miss allocate %v times, want 0", n)
	}
}

func TestSelectSource(t *testing.T) {
	addrs := []address{
		{link: 9, local: netip.MustParsePrefix("127.0.0.1/8"), scope: unix.RT_SCOPE_HOST},
		{link: 1, local: netip.MustParsePrefix("10.1.0.9/24"), secondary: true},
		{link: 1, local: netip.MustParsePrefix("10.1.0.1/24")},
		{link: 1, local: netip.MustParsePrefix("10.2.0.1/24")},
		{link: 1, local: netip.MustParsePrefix("169.254.0.1/16"), scope: unix.RT_SCOPE_LINK},
		{link: 2, local: netip.MustParsePrefix("10.9.0.1/32"), peer: netip.MustParsePrefix("10.9.0.2/32")},
		{link: 2, local: netip.MustParsePrefix("2001:db8::1/64")},
	}
	for _, tt := range []struct {
		name, gateway, want string
		link, scope         int
		v4                  bool
	}{
		{"first primary", "", "10.1.0.1", 1, unix.RT_SCOPE_LINK, true},
		{"in the gateway's subnet", "10.2.0.7", "10.2.0.1", 1, unix.RT_SCOPE_UNIVERSE, true},
		{"gateway in no subnet", "10.7.0.7", "10.1.0.1", 1, unix.RT_SCOPE_UNIVERSE, true},
		{"link scope for a link route", "169.254.0.7", "169.254.0.1", 1, unix.RT_SCOPE_LINK, true},
		{"link scope not for a remote route", "169.254.0.7", "10.1.0.1", 1, unix.RT_SCOPE_UNIVERSE, true},
		{"point to point", "10.9.0.2", "10.9.0.1", 2, unix.RT_SCOPE_UNIVERSE, true},
		{"link without addresses", "", "10.1.0.1", 3, unix.RT_SCOPE_LINK, true},
		{"IPv6", "", "2001:db8::1", 2, unix.RT_SCOPE_UNIVERSE, false},
	} {
		var gateway netip.Addr
		if tt.gateway != "" {
			gateway = netip.MustParseAddr(tt.gateway)
		}
		if got := selectSource(addrs, tt.link, tt.scope, gateway, tt.v4); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: selectSource = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestNeighbourTableIsAMap drives the table beside a plain map, and checks that
// no earlier table changes.
func TestNeighbourTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, model := new(neighbourTable), make(map[neighbourKey]Neighbour)
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			us := rapid.SliceOf(rapid.Custom(func(t *rapid.T) neighbourUpdate {
				return neighbourUpdate{
					key: neighbourKey{rapid.IntRange(1, 2).Draw(t, "link"), drawAddr(t)},
					now: Neighbour{State: NeighbourState(rapid.IntRange(0, 3).Draw(t, "state"))},
				}
			})).Draw(t, "updates")
			old := *table
			next := table.update(us)
			changed := false
			for _, u := range us {
				changed = changed || model[u.key] != u.now
				model[u.key] = u.now
			}
			if !changed && next != table {
				t.Fatalf("update(%v) made a new table of the same content", us)
			}
			for k, want := range model {
				if got := next.get(k); got != want {
					t.Fatalf("get(%v) = %v, want %v", k, got, want)
				}
			}
			for i := range old.shards {
				if len(old.shards[i]) != len(table.shards[i]) {
					t.Fatal("update changed the table it was called on")
				}
			}
			table = next
		}
	})
}

func TestNewNeighbourUpdate(t *testing.T) {
	mac := []byte{2, 0, 0, 0, 0, 1}
	usable := Neighbour{MAC: [6]byte(mac), State: NeighbourUsable}
	stale := usable
	stale.Stale = true
	for _, tt := range []struct {
		name string
		in   netlink.Neigh
		want Neighbour
		ok   bool
	}{
		{"reachable", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_REACHABLE, HardwareAddr: mac}, usable, true},
		{"stale", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_STALE, HardwareAddr: mac}, stale, true},
		{"delay", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_DELAY, HardwareAddr: mac}, usable, true},
		{"probe", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_PROBE, HardwareAddr: mac}, usable, true},
		{"permanent", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_PERMANENT, HardwareAddr: mac}, usable, true},
		{"noarp", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_NOARP, HardwareAddr: mac}, usable, true},
		{"incomplete", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_INCOMPLETE}, Neighbour{State: NeighbourIncomplete}, true},
		{"failed", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_FAILED, HardwareAddr: mac}, Neighbour{State: NeighbourFailed}, true},
		{"no Ethernet address", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_NOARP, HardwareAddr: mac[:4]}, Neighbour{State: NeighbourFailed}, true},
		{"none", netlink.Neigh{Family: unix.AF_INET, State: unix.NUD_NONE}, Neighbour{}, true},
		{"bridge entry", netlink.Neigh{Family: unix.AF_BRIDGE, State: unix.NUD_REACHABLE, HardwareAddr: mac}, Neighbour{}, false},
		{"proxy entry", netlink.Neigh{Family: unix.AF_INET, Flags: unix.NTF_PROXY}, Neighbour{}, false},
	} {
		tt.in.IP = []byte{10, 0, 0, 1}
		got, ok := newNeighbourUpdate(&tt.in)
		if ok != tt.ok || ok && got.now != tt.want {
			t.Errorf("%s: newNeighbourUpdate = %+v, %v, want %+v, %v", tt.name, got.now, ok, tt.want, tt.ok)
		}
	}
	if _, ok := newNeighbourUpdate(&netlink.Neigh{Family: unix.AF_INET}); ok {
		t.Error("newNeighbourUpdate took an entry without an address")
	}
}

func TestParseNetconfRefusesShortMessages(t *testing.T) {
	whole := []byte{2, 0, 0, 0, 8, 0, 1, 0, 5, 0, 0, 0, 8, 0, 2, 0, 1, 0, 0, 0}
	if index, on, ok := parseNetconf(whole); index != 5 || !on || !ok {
		t.Errorf("parseNetconf(whole) = %d, %v, %v, want 5, true, true", index, on, ok)
	}
	for n := range whole {
		if _, _, ok := parseNetconf(whole[:n]); ok {
			t.Errorf("parseNetconf of the first %d bytes is ok, want not", n)
		}
	}
}

func TestResolverAsksOnceASecond(t *testing.T) {
	r := &resolver{queue: make(chan neighbourKey, 2), asked: nil}
	r.asked = map[neighbourKey]time.Time{}
	key := func(n byte) neighbourKey { return neighbourKey{1, netip.AddrFrom4([4]byte{10, 0, 0, n})} }
	for range 3 {
		r.ask(key(1))
	}
	r.ask(key(2))
	r.ask(key(3)) // the queue is full: dropped, and free to be asked again
	if got := len(r.queue); got != 2 {
		t.Fatalf("%d requests are queued, want 2", got)
	}
	<-r.queue
	r.ask(key(3))
	if got := len(r.queue); got != 2 {
		t.Errorf("%d requests are queued after one was taken, want 2", got)
	}
	<-r.queue
	r.asked[key(1)] = time.Now().Add(-resolveInterval)
	r.ask(key(1))
	if got := len(r.queue); got != 2 {
		t.Errorf("%d requests are queued after a second, want 2", got)
	}
}

func BenchmarkRoute(b *testing.B) {
	v, dst := lookupView(), netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		v.Route(dst)
	}
}
