package replay

import (
	"net/netip"

	"natlb/dataplane"
	"natlb/rewrite"
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
	servers  map[uint32]bool
	servers6 map[rewrite.Addr6]bool
	mtu      int
}

// dummyAddr is what a router without addresses signs its ICMP errors with
// (192.0.0.8, RFC 7600). IPv6 has no such address: 100::8, of the block that is
// thrown away (RFC 6666), stands in.
const dummyAddr = 0xc0000008

var dummyAddr6 = rewrite.Addr6{Hi: 0x0100 << 48, Lo: 8}

func newHost(servers []netip.Addr, mtu int) *host {
	h := &host{map[uint32]bool{}, map[rewrite.Addr6]bool{}, mtu}
	for _, a := range servers {
		if a.Is4() {
			h.servers[dataplane.Number4(a)] = true
		} else {
			h.servers6[rewrite.Addr6Of(a)] = true
		}
	}
	return h
}

// Lookup implements [dataplane.Host].
func (h *host) Lookup(dst uint32) dataplane.Hop {
	if top := dst >> 24; top >= 224 || top == 0 {
		return dataplane.Hop{Kind: dataplane.HopGroup}
	}
	return h.hop(h.servers[dst], neighbourMAC(dst))
}

// Lookup6 implements [dataplane.Host].
func (h *host) Lookup6(dst rewrite.Addr6) dataplane.Hop {
	const groups, linkLocal = 0xff, 0xfe80 >> 6
	switch {
	case dst.Hi>>56 == groups:
		return dataplane.Hop{Kind: dataplane.HopGroup}
	case dst.Hi>>54 == linkLocal || dst == rewrite.Addr6{}:
		return dataplane.Hop{}
	}
	mac := neighbourMAC(dst.Fold())
	mac[1] = 6
	return h.hop(h.servers6[dst], mac)
}

func (h *host) hop(toServer bool, mac [6]byte) dataplane.Hop {
	link := uint8(VIPLink)
	if toServer {
		link = DIPLink
	}
	return dataplane.Hop{
		Kind: dataplane.HopForward, Link: link, Resolved: true, MTU: h.mtu, MAC: mac, LinkMAC: linkMACs[link],
		Src: dummyAddr, Src6: dummyAddr6,
	}
}

// Link implements [dataplane.Host].
func (h *host) Link(i uint8) dataplane.LinkState {
	return dataplane.LinkState{MAC: linkMACs[i], MTU: h.mtu, Up: true, Addr: dummyAddr, Addr6: dummyAddr6}
}

// IsLocal implements [dataplane.Host].
func (h *host) IsLocal(uint32) bool { return false }

// IsLocal6 implements [dataplane.Host].
func (h *host) IsLocal6(rewrite.Addr6) bool { return false }

// neighbourMAC is the MAC address of the station with an address (host byte
// order).
func neighbourMAC(addr uint32) [6]byte {
	return [6]byte{2, 0, byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}
}
