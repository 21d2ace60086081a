package replay

import (
	"encoding/binary"
	"slices"

	"natlb/dataplane"
	"natlb/internal/classify"
	"natlb/rewrite"
)

// Side says where a capture was taken, and so which of its packets the
// recorded director had received. The others it has sent itself: they are
// counted and not played, for the replayed director will send its own.
type Side uint8

// Sides. The rules go by addresses, because a capture may be from any machine on
// the way; see docs/replay.md.
const (
	// VIPSide: what is from a VIP or a real server was sent by the director,
	// all else is from clients.
	VIPSide Side = iota
	// DIPSide: what is to a real server was sent by the director, all else is
	// from the servers.
	DIPSide
	// BothSides is a capture of the director itself on all its interfaces, or
	// on its only one. Where the capture says what went out, that was sent by
	// the director; elsewhere what is from a VIP or to a real server was. Of the
	// rest, what is from a real server came by the DIP side.
	BothSides
)

// String returns the word of the command line for s.
func (s Side) String() string { return [...]string{"vip", "dip", "both"}[s] }

// judge knows which packets of a capture were the director's own.
type judge struct {
	vips, servers map[dataplane.Address]bool
	targets       []classify.Target
}

func newJudge(sc dataplane.Scope) *judge {
	j := &judge{map[dataplane.Address]bool{}, map[dataplane.Address]bool{}, sc.Targets}
	for _, a := range slices.Concat(sc.Owned, sc.Marked) {
		j.vips[dataplane.AddressOf(a)] = true
	}
	for _, a := range sc.Servers {
		j.servers[dataplane.AddressOf(a)] = true
	}
	return j
}

// place says by which link a frame of a capture came in, or that it was the
// director's own.
func (j *judge) place(side Side, c *captured, marked bool) (link uint8, own bool) {
	a, ok := endsOf(c.Data)
	fromServer, toServer := j.servers[a.src], j.servers[a.dst]
	switch side {
	case VIPSide:
		return VIPLink, ok && (fromServer || j.fromVIP(&a))
	case DIPSide:
		return DIPLink, ok && toServer && (!a.arp || !fromServer)
	}
	if fromServer {
		link = DIPLink
	}
	if marked {
		return link, c.outgoing
	}
	return link, ok && (toServer && (!a.arp || !fromServer) || j.fromVIP(&a))
}

func (j *judge) fromVIP(a *ends) bool {
	return j.vips[a.src] || len(j.targets) > 0 &&
		slices.ContainsFunc(j.targets, func(t classify.Target) bool { return t.Has(a.proto, a.src.Addr(), a.sport) })
}

// ends are the addresses of a packet, and where it has them its protocol and source
// port.
type ends struct {
	src, dst dataplane.Address
	sport    uint16
	proto    uint8
	arp      bool // or neighbour discovery
}

// endsOf reads the ends of an IP or ARP frame. Those of ARP and of neighbour
// discovery are who speaks, and whom it is about.
func endsOf(frame []byte) (a ends, ok bool) {
	if len(frame) < rewrite.EthernetLen+20 {
		return a, false
	}
	b := frame[rewrite.EthernetLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		a = ends{src: dataplane.Address4(binary.BigEndian.Uint32(b[12:])), dst: dataplane.Address4(binary.BigEndian.Uint32(b[16:])), proto: b[9]}
		if at := int(b[0]&15) * 4; len(b) >= at+2 {
			a.sport = binary.BigEndian.Uint16(b[at:])
		}
		return a, true
	case etherTypeIPv6:
		return ends6Of(frame)
	case etherTypeARP:
		if len(b) < arpIPv4Len {
			return a, false
		}
		return ends{src: dataplane.Address4(binary.BigEndian.Uint32(b[14:])), dst: dataplane.Address4(binary.BigEndian.Uint32(b[24:])), arp: true}, true
	}
	return a, false
}

// ends6Of reads the ends of an IPv6 frame.
func ends6Of(frame []byte) (a ends, ok bool) {
	b := frame[rewrite.EthernetLen:]
	if len(b) < ipv6Len {
		return a, false
	}
	a = ends{src: dataplane.Address6(rewrite.ReadAddr6(b[8:])), dst: dataplane.Address6(rewrite.ReadAddr6(b[24:])), proto: b[6]}
	var p rewrite.Packet
	if rewrite.ParseIPv6(frame, &p) != rewrite.FaultNone {
		return a, true
	}
	a.proto, a.sport = p.Proto, p.SrcPort
	var m rewrite.ND
	if p.IsICMP() && rewrite.ParseND(frame, &p, &m) {
		a.dst, a.arp = dataplane.Address6(m.Target), true
		if m.Src == (rewrite.Addr6{}) || !m.Solicitation {
			a.src = dataplane.Address6(m.Claim())
		}
		if !m.Solicitation {
			a.dst = dataplane.Address6(m.Dst)
		}
	}
	return a, true
}
