package rewrite

import "encoding/binary"

// Ends are the two ends of a packet. Addresses and ports are in host byte order;
// which addresses count, the packet's family says.
type Ends struct {
	Src, Dst         uint32
	Src6, Dst6       Addr6
	SrcPort, DstPort uint16
}

// FullNAT gives the packet, of either family, both its ends anew, and updates p. All
// else is as in [DNAT].
func FullNAT(frame []byte, p *Packet, to *Ends, partial bool) {
	var delta uint32 // what the addresses change a sum by
	if p.V6 {
		delta = delta6(p.Src6, to.Src6) + delta6(p.Dst6, to.Dst6)
		to.Src6.Put(frame[p.L3+srcAddr6At:])
		to.Dst6.Put(frame[p.L3+dstAddr6At:])
		p.Src, p.Src6, p.Dst, p.Dst6 = to.Src6.Fold(), to.Src6, to.Dst6.Fold(), to.Dst6
	} else {
		ip := frame[p.L3 : p.L3+ipv4MinLen]
		delta = setAddr(ip, srcAddrAt, to.Src) + setAddr(ip, dstAddrAt, to.Dst)
		p.Src, p.Dst = to.Src, to.Dst
	}
	if p.HasPorts() {
		translatePorts(frame, p, to, delta, partial)
	} else if p.V6 {
		translateICMPv6(frame, p, delta, partial)
	}
}

// translatePorts is translateL4 for both ports.
func translatePorts(frame []byte, p *Packet, to *Ends, delta uint32, partial bool) {
	l4 := frame[p.L4:p.End]
	old := binary.BigEndian.Uint16(l4[srcPortAt:])
	binary.BigEndian.PutUint16(l4[srcPortAt:], to.SrcPort)
	p.SrcPort, p.DstPort = to.SrcPort, to.DstPort
	switch {
	case p.Proto == ProtoSCTP && old != to.SrcPort: // one CRC for both
		binary.BigEndian.PutUint16(l4[dstPortAt:], to.DstPort)
		if !partial && !p.Fragment() {
			setSCTPChecksum(l4)
		}
		return
	case !partial:
		delta += delta16(old, to.SrcPort)
	}
	translateL4(frame, p, dstPortAt, to.DstPort, delta, partial)
}

// TranslateError gives the ICMP error p, of either family, and the packet q that it
// quotes new ends: to are the error's, and turned around the quoted packet's. The
// ports are the quoted packet's. All else is as in [TranslateICMPIn].
func TranslateError(frame []byte, p, q *Packet, to *Ends) {
	if p.V6 {
		to.Src6.Put(frame[p.L3+srcAddr6At:])
		to.Dst6.Put(frame[p.L3+dstAddr6At:])
		to.Dst6.Put(frame[q.L3+srcAddr6At:])
		to.Src6.Put(frame[q.L3+dstAddr6At:])
		p.Src, p.Src6, p.Dst, p.Dst6 = to.Src6.Fold(), to.Src6, to.Dst6.Fold(), to.Dst6
		q.Src, q.Src6, q.Dst, q.Dst6 = p.Dst, to.Dst6, p.Src, to.Src6
	} else {
		binary.BigEndian.PutUint32(frame[p.L3+srcAddrAt:], to.Src)
		binary.BigEndian.PutUint32(frame[p.L3+dstAddrAt:], to.Dst)
		binary.BigEndian.PutUint32(frame[q.L3+srcAddrAt:], to.Dst)
		binary.BigEndian.PutUint32(frame[q.L3+dstAddrAt:], to.Src)
		p.Src, p.Dst, q.Src, q.Dst = to.Src, to.Dst, to.Dst, to.Src
	}
	q.putSrcPort(frame, to.DstPort)
	q.putDstPort(frame, to.SrcPort)
	if p.V6 {
		setICMPChecksum(frame[p.L4:p.End], p.icmpPseudo(p.End-p.L4))
		return
	}
	setErrorChecksums(frame, p, q)
}

// SetID gives an IPv4 packet another identification, and updates p; of one of IPv6,
// which has none before it is cut, p alone.
func SetID(frame []byte, p *Packet, id uint32) {
	if p.V6 {
		p.ID = id
		return
	}
	ip := frame[p.L3 : p.L3+ipv4MinLen]
	old := binary.BigEndian.Uint16(ip[4:6])
	binary.BigEndian.PutUint16(ip[4:6], uint16(id))
	updateChecksum(ip[10:12], delta16(old, uint16(id)))
	p.ID = uint32(uint16(id))
}
