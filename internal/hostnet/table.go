package hostnet

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// table is one routing table made for lookups: a map for all prefixes, probed
// once for each prefix length that occurs, longest first. It is immutable.
type table struct {
	v4, v6  []int // prefix lengths that occur, descending
	entries map[netip.Prefix]*tableEntry
}

// tableEntry is the winning route of one prefix.
type tableEntry struct {
	kind   RouteKind
	throw  bool // go on with the next table (RTN_THROW)
	metric int
	hops   []tableHop
	weight uint64 // sum over hops
}

// tableHop is a next hop with all that a lookup wants to know.
type tableHop struct {
	link    int
	gateway netip.Addr // invalid: the destination itself
	weight  uint64
	mtu     int
	source  netip.Addr
}

// newTable collects the routes of one table. links and addrs complete what the
// routes leave open: MTU and source.
func newTable(id int, routes []routeEntry, links map[int]Link, addrs []address) *table {
	t := &table{entries: make(map[netip.Prefix]*tableEntry)}
	for i := range routes {
		r := &routes[i]
		if r.table != id {
			continue
		}
		old := t.entries[r.prefix]
		if old != nil && old.metric <= r.metric {
			continue // the kernel lists the preferred one of equals first
		}
		t.entries[r.prefix] = newTableEntry(r, links, addrs)
	}
	var has4, has6 [129]bool
	for p := range t.entries {
		if p.Addr().Is4() {
			has4[p.Bits()] = true
		} else {
			has6[p.Bits()] = true
		}
	}
	t.v4, t.v6 = descending(has4[:]), descending(has6[:])
	return t
}

func descending(has []bool) []int {
	var lengths []int
	for bits, ok := range has {
		if ok {
			lengths = append(lengths, bits)
		}
	}
	slices.Reverse(lengths)
	return lengths
}

func newTableEntry(r *routeEntry, links map[int]Link, addrs []address) *tableEntry {
	e := &tableEntry{metric: r.metric, kind: kindOf(r), throw: r.typ == unix.RTN_THROW}
	for _, h := range r.hops {
		hop := tableHop{link: h.link, gateway: h.gateway, weight: uint64(h.weight), source: r.source}
		hop.mtu = links[h.link].MTU
		if r.mtu > 0 && r.mtu < hop.mtu {
			hop.mtu = r.mtu
		}
		if !hop.source.IsValid() {
			hop.source = selectSource(addrs, h.link, r.scope, h.gateway, r.prefix.Addr().Is4())
		}
		e.hops = append(e.hops, hop)
		e.weight += hop.weight
	}
	return e
}

// kindOf maps a route's type; what natlb cannot do (encapsulation, types that
// it does not know) is unreachable.
func kindOf(r *routeEntry) RouteKind {
	switch r.typ {
	case unix.RTN_UNICAST:
		if r.encap {
			return Unreachable
		}
		return Unicast
	case unix.RTN_LOCAL, unix.RTN_ANYCAST:
		return Local
	case unix.RTN_BROADCAST:
		return Broadcast
	case unix.RTN_MULTICAST:
		return Multicast
	}
	return Unreachable
}

// lookup finds the longest prefix that contains dst, or nil.
func (t *table) lookup(dst netip.Addr) *tableEntry {
	lengths := t.v6
	if dst.Is4() {
		lengths = t.v4
	}
	for _, bits := range lengths {
		p, err := dst.Prefix(bits)
		if err != nil {
			return nil // invalid address
		}
		if e := t.entries[p]; e != nil {
			return e
		}
	}
	return nil
}

// route completes the answer for dst.
func (e *tableEntry) route(dst netip.Addr) Route {
	r := Route{Kind: e.kind}
	if e.kind == Unreachable || e.kind == Multicast || len(e.hops) == 0 {
		return r
	}
	hop := &e.hops[0]
	if len(e.hops) > 1 {
		hop = e.pick(dst)
	}
	r.Link, r.MTU, r.Source, r.NextHop = hop.link, hop.mtu, hop.source, hop.gateway
	if !r.NextHop.IsValid() {
		r.NextHop = dst
	}
	return r
}

// pick chooses among several hops by their weights and a hash of dst, so that
// a destination keeps its hop.
func (e *tableEntry) pick(dst netip.Addr) *tableHop {
	n := hashAddr(dst) % e.weight
	for i := range e.hops {
		if n < e.hops[i].weight {
			return &e.hops[i]
		}
		n -= e.hops[i].weight
	}
	return &e.hops[0]
}

// hashAddr is FNV-1a over the address with a final mix, because the low bits of
// plain FNV-1a favour neighbours in a subnet. No secret is needed: the hosts a
// destination can be steered to are all the operator's own.
func hashAddr(ip netip.Addr) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range ip.As16() {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}
