package hostnet

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// View is what the host's network was at one moment. It is immutable and any
// goroutine may use it without a lock. Its lookups do not allocate; slices it
// returns belong to it and must not be changed.
type View struct {
	// Generation grows by one with each change that a lookup can see, so that
	// a cache built from a view can tell when it is out of date.
	Generation uint64

	facts      *facts
	neighbours *neighbourTable
}

// facts are all but the neighbours. The first three fields are the truth as
// dumped and decide equality; the others are derived from them.
type facts struct {
	links     map[int]Link // by index
	addresses []address    // in the kernel's order
	routes    []routeEntry // in the kernel's order

	byName map[string]int
	owned  map[netip.Addr]bool
	byLink map[int][]netip.Prefix
	tables [3]*table // local, main, default: the order of the default rules
}

// newFacts indexes what was dumped.
func newFacts(links []Link, addrs []address, routes []routeEntry) *facts {
	f := &facts{
		links: make(map[int]Link, len(links)), addresses: addrs, routes: routes,
		byName: make(map[string]int, len(links)),
		owned:  make(map[netip.Addr]bool, len(addrs)),
		byLink: make(map[int][]netip.Prefix),
	}
	for _, l := range links {
		f.links[l.Index] = l
		f.byName[l.Name] = l.Index
	}
	for i := range addrs {
		a := &addrs[i]
		f.owned[a.local.Addr()] = true
		f.byLink[a.link] = append(f.byLink[a.link], a.local)
	}
	for i, id := range [...]int{unix.RT_TABLE_LOCAL, unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT} {
		f.tables[i] = newTable(id, routes, f.links, addrs)
	}
	return f
}

// same reports whether the dumps equal what f was made from.
func (f *facts) same(links []Link, addrs []address, routes []routeEntry) bool {
	return len(links) == len(f.links) &&
		!slices.ContainsFunc(links, func(l Link) bool { return f.links[l.Index] != l }) &&
		slices.Equal(addrs, f.addresses) &&
		slices.EqualFunc(routes, f.routes, func(a, b routeEntry) bool { return a.equal(&b) })
}

// SameFacts reports whether v and o differ in neighbours at most.
func (v *View) SameFacts(o *View) bool { return v.facts == o.facts }

// Route finds the way to dst by the longest matching prefix in the local, main
// and default tables, in this order; among equal prefixes the lowest metric
// wins, and among several next hops a hash of dst chooses. The host's policy
// rules (ip rule), source addresses and types of service are not consulted: a
// VIP that is on no interface could not be a source of such a lookup. An
// invalid or unspecified dst is Unreachable, and so is a link-local one of IPv6
// that is not the host's own: without its link it names nobody.
func (v *View) Route(dst netip.Addr) Route {
	dst = dst.Unmap().WithZone("")
	switch {
	case !dst.IsValid() || dst.IsUnspecified():
		return Route{Kind: Unreachable}
	case dst.IsMulticast():
		return Route{Kind: Multicast}
	case dst == limitedBroadcast:
		return Route{Kind: Broadcast}
	}
	for _, t := range &v.facts.tables {
		e := t.lookup(dst)
		switch {
		case e == nil || e.throw:
		case dst.Is6() && dst.IsLinkLocalUnicast() && e.kind != Local:
			return Route{Kind: Unreachable}
		default:
			return e.route(dst)
		}
	}
	return Route{Kind: Unreachable}
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Neighbour returns the kernel's entry for ip on the link with that interface
// index; the zero Neighbour (state NeighbourNone) when there is none.
func (v *View) Neighbour(link int, ip netip.Addr) Neighbour {
	return v.neighbours.get(neighbourKey{link, ip.Unmap().WithZone("")})
}

// Link returns the link with that interface index, and whether it exists.
func (v *View) Link(index int) (Link, bool) {
	l, ok := v.facts.links[index]
	return l, ok
}

// LinkByName returns the link with that name, and whether it exists.
func (v *View) LinkByName(name string) (Link, bool) {
	index, ok := v.facts.byName[name]
	if !ok {
		return Link{}, false
	}
	return v.Link(index)
}

// IsLocal reports whether ip is the host's own: an address of any of its
// interfaces, up or down, or covered by a route of type local, as 127.0.0.0/8
// is.
func (v *View) IsLocal(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if v.facts.owned[ip] || ip.IsLoopback() {
		return true
	}
	e := v.facts.tables[0].lookup(ip)
	return e != nil && e.kind == Local
}

// Addrs returns the addresses of the link with that interface index, each with
// the length of its subnet, in the kernel's order.
func (v *View) Addrs(link int) []netip.Prefix {
	return v.facts.byLink[link]
}

// Addrs6 returns the IPv6 addresses that the host speaks with on the link with
// that interface index: its primary global one, which errors come from, and its
// link-local one. Either may be invalid. Temporary, deprecated and tentative
// addresses are not taken.
func (v *View) Addrs6(link int) (global, linkLocal netip.Addr) {
	for i := range v.facts.addresses {
		a := &v.facts.addresses[i]
		ip := a.local.Addr()
		switch {
		case a.link != link || a.secondary || ip.Is4():
		case ip.IsLinkLocalUnicast() && !linkLocal.IsValid():
			linkLocal = ip
		case a.scope < unix.RT_SCOPE_LINK && !global.IsValid():
			global = ip
		}
	}
	return global, linkLocal
}

// OwnAddrs returns the addresses of all of the host's interfaces, in the kernel's
// order. The slice is the caller's.
func (v *View) OwnAddrs() []netip.Addr {
	addrs := make([]netip.Addr, 0, len(v.facts.addresses))
	for i := range v.facts.addresses {
		addrs = append(addrs, v.facts.addresses[i].local.Addr())
	}
	return addrs
}

// emptyView is what a Host starts from.
func emptyView() *View {
	return &View{facts: newFacts(nil, nil, nil), neighbours: new(neighbourTable)}
}
