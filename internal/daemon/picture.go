package daemon

import (
	"net/netip"

	"natlb/dataplane"
	"natlb/internal/hostnet"
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
		state := dataplane.LinkState{MAC: link.MAC, MTU: link.MTU, Up: link.Up, Forwarding: link.Forwarding}
		for _, prefix := range v.Addrs(link.Index) {
			if prefix.Addr().Is4() {
				state.Addr = dataplane.Number4(prefix.Addr())
				break
			}
		}
		p.links[i] = state
		p.number[link.Index] = uint8(i)
	}
	return p
}

// Lookup implements [dataplane.Host].
func (p *picture) Lookup(dst uint32) dataplane.Hop {
	r := p.view.Route(dataplane.Addr4(dst))
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
	var via uint32
	if r.NextHop.Is4() {
		via = dataplane.Number4(r.NextHop)
	}
	return dataplane.Hop{
		Kind: dataplane.HopForward, Link: link, MTU: r.MTU,
		Resolved: n.State == hostnet.NeighbourUsable, Failed: n.State == hostnet.NeighbourFailed,
		Stale: n.Stale, MAC: n.MAC, LinkMAC: p.links[link].MAC, Via: via, Src: source(r.Source),
	}
}

// source returns an address as a number, 0 for none.
func source(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	return dataplane.Number4(a)
}

// Link implements [dataplane.Host].
func (p *picture) Link(i uint8) dataplane.LinkState { return p.links[i] }

// IsLocal implements [dataplane.Host].
func (p *picture) IsLocal(addr uint32) bool { return p.view.IsLocal(dataplane.Addr4(addr)) }

// interfaceOf returns the interface index of link i, 0 when there is none now.
func (p *picture) interfaceOf(i uint8) int {
	for index, n := range p.number {
		if n == i {
			return index
		}
	}
	return 0
}
