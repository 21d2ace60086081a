package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"natlb/ipvs"
)

// What the two families have under different names.

// alone returns an address with the length of a network that has it alone, as ip addr
// and ip route take it.
func alone(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

// resolution is by what neighbours find an address.
func resolution(a netip.Addr) string {
	if a.Is6() {
		return "neighbour discovery"
	}
	return "ARP"
}

// ipCommand is the command for routes of a's family that do not name an address.
func ipCommand(a netip.Addr) string {
	if a.Is6() {
		return "ip -6"
	}
	return "ip"
}

// subnet returns the usual length of an interface's network, for cures.
func subnet(a netip.Addr) int {
	if a.Is6() {
		return 64
	}
	return 24
}

// askFor returns the command that asks by hand whether a neighbour is there.
func askFor(a netip.Addr, link string) string {
	if a.Is6() {
		return fmt.Sprintf("ping -6 -c 3 -I %s %s; ip -6 neigh show dev %s", link, a, link)
	}
	return fmt.Sprintf("arping -I %s %s", link, a)
}

// uses reports whether a service, a VIP or a real server is of a family.
func (f *Facts) uses(v6 bool) bool {
	return slices.ContainsFunc(f.VIPs, func(v VIP) bool { return v.Addr.Is6() == v6 }) ||
		f.serves(v6) ||
		slices.ContainsFunc(f.Services, func(s ipvs.ServiceStatus) bool { return s.Key.Is6() == v6 })
}

// uses4 does so for IPv4, which is also what a director without services is thought to
// be for.
func (f *Facts) uses4() bool { return f.uses(false) || !f.uses(true) }

// serves reports whether there is a real server of a family.
func (f *Facts) serves(v6 bool) bool {
	return slices.ContainsFunc(f.Servers, func(s Server) bool { return s.RIP.Is6() == v6 })
}

// misses reports whether a link of the DIP side has no address of a family that real
// servers have, unless all of these are beyond its other links.
func (f *Facts) misses(l *Link, v6 bool) bool {
	return l.DIP && !l.has(v6) && slices.ContainsFunc(f.Servers, func(s Server) bool {
		other := f.link(s.Way.Link)
		return s.RIP.Is6() == v6 && (other == nil || other == l || !other.DIP)
	})
}

// has reports whether the link has an address of a family that is not link-local.
func (l *Link) has(v6 bool) bool {
	return slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 })
}
