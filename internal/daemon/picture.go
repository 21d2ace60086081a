package daemon

import (
	"net/netip"

	"natlb/dataplane"
	"natlb/internal/hostnet"
	"natlb/rewrite"
)

// picture is a view of the host in the terms of the data path: interfaces are
// the director's links, addresses are numbers. It is immutable.
type picture struct {
	view   *hostnet.View
	links  []dataplane.LinkState
	number map[int]uint8 // interface index to link
}

func newPicture(v *hostnet.View, links []dataplane.Link) *picture {
	p := &picture{view: v, links: make([]dataplane.LinkState, len(links)), number: map[int]uint8{}}
	for i, l := range links {
		link, ok := v.LinkByName(l.Name)
		if !ok {
			continue
		}
		state := dataplane.LinkState{MAC: link.MAC, MTU: link.MTU, Up: link.Up, Forwarding: link.Forwarding, Forwarding6: link.Forwarding6}
		for _, prefix := range v.Addrs(link.Index) {
			if prefix.Addr().Is4() {
				state.Addr = dataplane.Number4(prefix.Addr())
				break
			}
		}
		global, local := v.Addrs6(link.Index)
		state.Addr6, state.LinkLocal = number6(global), number6(local)
		p.links[i] = state
		p.number[link.Index] = uint8(i)
	}
	return p
}

// number4 is [dataplane.Number4] for an address that may be missing, or of IPv6: 0
// then.
func number4(a netip.Addr) (n uint32) {
	if a.Is4() {
		n = dataplane.Number4(a)
	}
	return n
}

// number6 is [rewrite.Addr6Of] for an address that may be missing: zero then.
func number6(a netip.Addr) (n rewrite.Addr6) {
	if a.Is6() {
		n = rewrite.Addr6Of(a)
	}
	return n
}

// Lookup implements [dataplane.Host].
func (p *picture) Lookup(dst uint32) dataplane.Hop { return p.hop(dataplane.Addr4(dst)) }

// Lookup6 implements [dataplane.Host].
func (p *picture) Lookup6(dst rewrite.Addr6) dataplane.Hop {
	a := dst.Addr()
	if a.Is4In6() {
		return dataplane.Hop{} // a view would take it for the IPv4 address
	}
	return p.hop(a)
}

func (p *picture) hop(dst netip.Addr) dataplane.Hop {
	r := p.view.Route(dst)
	switch r.Kind {
	case hostnet.Unicast:
	case hostnet.Local:
		return dataplane.Hop{Kind: dataplane.HopLocal}
	case hostnet.Broadcast, hostnet.Multicast:
		return dataplane.Hop{Kind: dataplane.HopGroup}
	default:
		return dataplane.Hop{}
	}
	link, ok := p.number[r.Link]
	if !ok {
		return dataplane.Hop{Kind: dataplane.HopElsewhere}
	}
	n := p.view.Neighbour(r.Link, r.NextHop)
	return dataplane.Hop{
		Kind: dataplane.HopForward, Link: link, MTU: r.MTU,
		Resolved: n.State == hostnet.NeighbourUsable, Failed: n.State == hostnet.NeighbourFailed,
		Stale: n.Stale, MAC: n.MAC, LinkMAC: p.links[link].MAC, Via: number4(r.NextHop), Src: number4(r.Source),
		Via6: number6(r.NextHop), Src6: number6(r.Source),
	}
}

// Link implements [dataplane.Host].
func (p *picture) Link(i uint8) dataplane.LinkState { return p.links[i] }

// IsLocal implements [dataplane.Host].
func (p *picture) IsLocal(addr uint32) bool { return p.view.IsLocal(dataplane.Addr4(addr)) }

// IsLocal6 implements [dataplane.Host].
func (p *picture) IsLocal6(addr rewrite.Addr6) bool {
	a := addr.Addr()
	return !a.Is4In6() && p.view.IsLocal(a)
}

// interfaceOf returns the interface index of link i, 0 when there is none now.
func (p *picture) interfaceOf(i uint8) int {
	for index, n := range p.number {
		if n == i {
			return index
		}
	}
	return 0
}
