package replay

import (
	"net/netip"

	"natlb/dataplane"
)

// Links of the director, by the side that they are on.
const (
	VIPLink = 0
	DIPLink = 1
)

// linkMACs are the director's own; [neighbourMAC] never gives them.
var linkMACs = [2][6]byte{{2, 1, 0, 0, 0, 1}, {2, 1, 0, 0, 0, 2}}

// host is the machine that a replayed director believes to be on: it has no
// addresses of its own, so that natlb owns all VIPs, real servers are on the DIP
// side, and everybody else is on the VIP side. All neighbours answer.
type host struct {
	servers map[uint32]bool
	mtu     int
}

// dummyAddr is what a router without addresses signs its ICMP errors with
// (192.0.0.8, RFC 7600).
const dummyAddr = 0xc0000008

func newHost(servers []netip.Addr, mtu int) *host {
	h := &host{map[uint32]bool{}, mtu}
	for _, a := range servers {
		h.servers[dataplane.Number4(a)] = true
	}
	return h
}

// Lookup implements [dataplane.Host].
func (h *host) Lookup(dst uint32) dataplane.Hop {
	if top := dst >> 24; top >= 224 || top == 0 {
		return dataplane.Hop{Kind: dataplane.HopGroup}
	}
	link := uint8(VIPLink)
	if h.servers[dst] {
		link = DIPLink
	}
	return dataplane.Hop{
		Kind: dataplane.HopForward, Link: link, Resolved: true, MTU: h.mtu,
		MAC: neighbourMAC(dst), LinkMAC: linkMACs[link], Src: dummyAddr,
	}
}

// Link implements [dataplane.Host].
func (h *host) Link(i uint8) dataplane.LinkState {
	return dataplane.LinkState{MAC: linkMACs[i], MTU: h.mtu, Up: true, Addr: dummyAddr}
}

// IsLocal implements [dataplane.Host].
func (h *host) IsLocal(uint32) bool { return false }

// neighbourMAC is the MAC address of the station with an address (host byte
// order).
func neighbourMAC(addr uint32) [6]byte {
	return [6]byte{2, 0, byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}
}
