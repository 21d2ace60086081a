package hostnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteKind says what the host does with packets to a destination.
type RouteKind uint8

// The kinds of a [Route].
const (
	Unreachable RouteKind = iota // no route, or one of type unreachable, blackhole or prohibit
	Unicast                      // sent on to NextHop through Link
	Local                        // the host's own
	Broadcast                    // 255.255.255.255, or the broadcast address of a subnet
	Multicast                    // a group; Link and NextHop are not set
)

// String returns the kind in lower case, for messages.
func (k RouteKind) String() string {
	switch k {
	case Unreachable:
		return "unreachable"
	case Unicast:
		return "unicast"
	case Local:
		return "local"
	case Broadcast:
		return "broadcast"
	case Multicast:
		return "multicast"
	}
	return fmt.Sprintf("RouteKind(%d)", uint8(k))
}

// Route is the answer of [View.Route]. It is a plain value.
type Route struct {
	Kind    RouteKind
	Link    int        // interface index of the outlet
	NextHop netip.Addr // whose MAC is wanted: the gateway, or the destination itself when it is on the link
	MTU     int        // bytes; the route's own when it is smaller than the link's
	Source  netip.Addr // the route's preferred source, else the link's primary address; may be invalid
}

// routeEntry is a route as dumped.
type routeEntry struct {
	table  int // RT_TABLE_*
	prefix netip.Prefix
	typ    int // RTN_*
	scope  int // RT_SCOPE_*
	metric int // lower wins
	mtu    int // 0: the link's
	source netip.Addr
	encap  bool // wants an encapsulation that natlb does not make
	hops   []dumpedHop
}

// dumpedHop is one way a route goes; gateway is invalid when on the link.
type dumpedHop struct {
	link    int
	gateway netip.Addr
	weight  int // at least 1
}

func (r *routeEntry) equal(o *routeEntry) bool {
	return r.table == o.table && r.prefix == o.prefix && r.typ == o.typ && r.scope == o.scope &&
		r.metric == o.metric && r.mtu == o.mtu && r.source == o.source && r.encap == o.encap &&
		slices.Equal(r.hops, o.hops)
}

// dumpRoutes asks for the routes of the local, main and default tables that
// count for a lookup by destination, in the kernel's order.
func (c *client) dumpRoutes() ([]routeEntry, error) {
	var routes []routeEntry
	every := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	err := c.handle.RouteListFilteredIter(netlink.FAMILY_ALL, every, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
		if e, ok := newRouteEntry(&r); ok {
			routes = append(routes, e)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("dump routes: %w", err)
	}
	return routes, nil
}

// newRouteEntry translates a dumped route; ok is false for routes that a lookup
// by destination never meets: other tables, other families, routes for a type
// of service, and routes whose every next hop is dead.
func newRouteEntry(r *netlink.Route) (e routeEntry, ok bool) {
	switch r.Table {
	case unix.RT_TABLE_LOCAL, unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT:
	default:
		return e, false
	}
	prefix := prefixOf(r.Dst)
	if !prefix.IsValid() || r.Tos != 0 || r.Family != netlink.FAMILY_V4 && r.Family != netlink.FAMILY_V6 {
		return e, false
	}
	source, _ := netip.AddrFromSlice(r.Src)
	e = routeEntry{
		table: r.Table, prefix: prefix.Masked(), typ: r.Type, scope: int(r.Scope),
		metric: r.Priority, mtu: r.MTU, source: source, encap: r.Encap != nil,
	}
	for _, n := range r.MultiPath {
		if n.Flags&unix.RTNH_F_DEAD == 0 {
			e.hops = append(e.hops, dumpedHop{n.LinkIndex, gatewayOf(n.Gw, n.Via), n.Hops + 1})
			e.encap = e.encap || n.Encap != nil
		}
	}
	if len(r.MultiPath) == 0 && r.LinkIndex != 0 && r.Flags&unix.RTNH_F_DEAD == 0 {
		e.hops = []dumpedHop{{r.LinkIndex, gatewayOf(r.Gw, r.Via), 1}}
	}
	needsHop := r.Type == unix.RTN_UNICAST
	return e, !needsHop || len(e.hops) > 0
}

// gatewayOf reads a gateway of the route's own family (gw) or of the other one
// (via, RFC 5549 style); neither gives the zero Addr.
func gatewayOf(gw net.IP, via netlink.Destination) netip.Addr {
	if v, ok := via.(*netlink.Via); ok {
		gw = v.Addr
	}
	ip, _ := netip.AddrFromSlice(gw)
	if ip.IsUnspecified() {
		return netip.Addr{}
	}
	return ip
}

// prefixOf converts n; nil and malformed ones give the zero Prefix.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if bits == 32 {
		ip = ip.Unmap() // the default route comes in 16 bytes
	}
	if !ok || bits != ip.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(ip, ones)
}
