package rewrite

// Offsets in an IPv6 header.
const (
	srcAddr6At, dstAddr6At = 8, 24
)

// DNAT6 is [DNAT] for an IPv6 packet. IPv6 has no header checksum; its ICMP sums
// the addresses, so the checksum of an ICMPv6 message follows, too. A UDP checksum
// of 0, which IPv6 does not allow, becomes a computed one, as in the kernel's IPVS.
func DNAT6(frame []byte, p *Packet, dst Addr6, port uint16, partial bool) {
	delta := delta6(p.Dst6, dst)
	dst.Put(frame[p.L3+dstAddr6At:])
	p.Dst, p.Dst6 = dst.Fold(), dst
	if p.HasPorts() {
		p.DstPort = port
		translateL4(frame, p, dstPortAt, port, delta, partial)
	} else {
		translateICMPv6(frame, p, delta, partial)
	}
}

// SNAT6 is [SNAT] for an IPv6 packet; see [DNAT6].
func SNAT6(frame []byte, p *Packet, src Addr6, port uint16, partial bool) {
	delta := delta6(p.Src6, src)
	src.Put(frame[p.L3+srcAddr6At:])
	p.Src, p.Src6 = src.Fold(), src
	if p.HasPorts() {
		p.SrcPort = port
		translateL4(frame, p, srcPortAt, port, delta, partial)
	} else {
		translateICMPv6(frame, p, delta, partial)
	}
}

// translateICMPv6 changes the checksum of an ICMPv6 message of which an address has
// changed the pseudo header by delta. Other packets are left alone.
func translateICMPv6(frame []byte, p *Packet, delta uint32, partial bool) {
	if p.Proto != ProtoICMPv6 || p.FragOff != 0 || p.End-p.L4 < icmpLen {
		return
	}
	field := frame[p.L4+2 : p.L4+4]
	if partial {
		addToSum(field, delta)
		return
	}
	updateChecksum(field, delta)
}
