package packettest

import (
	"maps"
	"net/netip"

	"natlb/dataplane"
	"natlb/rewrite"
)

// Neighbour is what the host knows of a next hop.
type Neighbour uint8

// States of a neighbour. The zero value is a neighbour that answers.
const (
	Reachable Neighbour = iota
	Stale               // known, and to be confirmed while used
	Unresolved
	Failed
)

// Route sends the addresses of a prefix out by a link, to Via or, if that is
// not set, straight to the address itself.
type Route struct {
	Prefix netip.Prefix
	Kind   dataplane.HopKind
	Link   uint8
	Via    netip.Addr
}

// Host is a host in memory: a [dataplane.Host]. The exported fields are its
// whole state; change them only in a Host that no director has yet, a
// [Host.Clone] for instance.
type Host struct {
	Links      []dataplane.LinkState
	Locals     map[netip.Addr]bool
	Routes     []Route // the longest prefix wins
	Neighbours map[netip.Addr]Neighbour
}

// Clone returns a copy that shares nothing with h.
func (h *Host) Clone() *Host {
	c := *h
	c.Links = append([]dataplane.LinkState(nil), h.Links...)
	c.Routes = append([]Route(nil), h.Routes...)
	c.Locals, c.Neighbours = maps.Clone(h.Locals), maps.Clone(h.Neighbours)
	return &c
}

// NeighbourMAC is the MAC address of the station with address a.
func NeighbourMAC(a netip.Addr) [6]byte {
	if a.Is6() {
		b := a.As16()
		return [6]byte{2, 6, b[7], b[13], b[14], b[15]}
	}
	b := a.As4()
	return [6]byte{2, 0, b[0], b[1], b[2], b[3]}
}

// Lookup implements [dataplane.Host].
func (h *Host) Lookup(dst uint32) dataplane.Hop { return h.hop(dataplane.Addr4(dst)) }

// Lookup6 implements [dataplane.Host].
func (h *Host) Lookup6(dst rewrite.Addr6) dataplane.Hop { return h.hop(dst.Addr()) }

func (h *Host) hop(a netip.Addr) dataplane.Hop {
	if h.Locals[a] {
		return dataplane.Hop{Kind: dataplane.HopLocal}
	}
	best := Route{}
	for _, r := range h.Routes {
		if r.Prefix.Contains(a) && (!best.Prefix.IsValid() || r.Prefix.Bits() > best.Prefix.Bits()) {
			best = r
		}
	}
	if best.Kind != dataplane.HopForward {
		return dataplane.Hop{Kind: best.Kind}
	}
	gateway := a
	if best.Via.IsValid() {
		gateway = best.Via
	}
	link := h.Links[best.Link]
	state := h.Neighbours[gateway]
	hop := dataplane.Hop{
		Kind: dataplane.HopForward, Link: best.Link, MTU: link.MTU, LinkMAC: link.MAC, Src: link.Addr, Src6: link.Addr6,
		Resolved: state <= Stale, Stale: state == Stale, Failed: state == Failed,
	}
	if gateway.Is4() {
		hop.Via = dataplane.Number4(gateway)
	} else {
		hop.Via6 = rewrite.Addr6Of(gateway)
	}
	if hop.Resolved {
		hop.MAC = NeighbourMAC(gateway)
	}
	return hop
}

// Link implements [dataplane.Host].
func (h *Host) Link(i uint8) dataplane.LinkState { return h.Links[i] }

// IsLocal implements [dataplane.Host].
func (h *Host) IsLocal(addr uint32) bool { return h.Locals[dataplane.Addr4(addr)] }

// IsLocal6 implements [dataplane.Host].
func (h *Host) IsLocal6(addr rewrite.Addr6) bool { return h.Locals[addr.Addr()] }
