package dataplane

import (
	"net/netip"

	"natlb/ipvs"
	"natlb/rewrite"
)

// TapFilter says which frames a tap shows. Frames of a connection are judged by
// the connection, others by their own addresses. The zero value: all.
type TapFilter struct {
	Service  ipvs.ServiceKey   // zero: any
	Server   netip.AddrPort    // zero: any; port 0: any port
	Client   netip.Prefix      // zero: any
	Verdicts [NumVerdicts]bool // none: any
}

// wants reports whether the filter lets a frame through that p was read from
// before it was decided about; p is zero if it is no IP packet. The shard is held.
func (t *TapFilter) wants(s *Shard, f *Frame, p *rewrite.Packet, v Verdict) bool {
	if t.Verdicts != ([NumVerdicts]bool{}) && !t.Verdicts[v] {
		return false
	}
	if c := s.met.conn; c != nil {
		ends := s.view.endsRecord(c, s.endsOf(c, s.met.ref))
		return (t.Service == ipvs.ServiceKey{} || s.view.serviceOf(c.Dest) == t.Service) &&
			(!t.Server.IsValid() || hasEnd(t.Server, ends.rip.Addr(), ends.rport)) &&
			(!t.Client.IsValid() || t.Client.Contains(ends.cip.Addr()))
	}
	if isND(p) {
		p = &noPacket
	}
	return (t.Service == ipvs.ServiceKey{} || t.concernsService(s, f, p)) &&
		(!t.Server.IsValid() || packetHasEnd(t.Server, p)) &&
		(!t.Client.IsValid() || p.L4 != 0 && (t.Client.Contains(srcAddr(p)) || t.Client.Contains(dstAddr(p))))
}

// noPacket is what a filter by addresses sees of neighbour discovery, which is about a
// link and of no service, server or client, as ARP is.
var noPacket rewrite.Packet

func isND(p *rewrite.Packet) bool {
	return p.V6 && p.IsICMP() && (p.ICMPType == rewrite.ICMPv6Solicitation || p.ICMPType == rewrite.ICMPv6Advert)
}

// serviceOf returns the service that lists the server with that ID.
func (v *view) serviceOf(server uint32) ipvs.ServiceKey {
	if t := v.destinationOf(server); t != nil {
		return t.key.service
	}
	return ipvs.ServiceKey{}
}

// concernsService reports whether a packet without a connection is to the service,
// or from its address.
func (t *TapFilter) concernsService(s *Shard, f *Frame, p *rewrite.Packet) bool {
	if p.L4 == 0 {
		return false
	}
	if t.Service.IsMark() {
		if t.Service.V6 != p.V6 {
			return false
		}
		mark := s.view.marks.of(p, s.dir.cfg.Links[f.Link].Name)
		return mark == t.Service.Mark
	}
	if !packetHasEnd(t.Service.VIP, p) {
		return false
	}
	return p.Proto == uint8(t.Service.Proto) || p.IsICMP()
}

// packetHasEnd reports whether a packet is from or to end. One whose ports are not
// known, or that has none, is taken by its address.
func packetHasEnd(end netip.AddrPort, p *rewrite.Packet) bool {
	if p.L4 == 0 {
		return false
	}
	src, dst := p.SrcPort, p.DstPort
	if !p.HasPorts() {
		src, dst = end.Port(), end.Port()
	}
	return hasEnd(end, srcAddr(p), src) || hasEnd(end, dstAddr(p), dst)
}

func hasEnd(end netip.AddrPort, addr netip.Addr, port uint16) bool {
	return end.Addr() == addr && (end.Port() == 0 || end.Port() == port)
}
