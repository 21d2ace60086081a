package rewrite

import "encoding/binary"

// ICMP types that a director meets (RFC 792). Those of IPv6 are in icmp6.go.
const (
	ICMPEchoReply    uint8 = 0
	ICMPUnreachable  uint8 = 3
	ICMPSourceQuench uint8 = 4
	ICMPRedirect     uint8 = 5
	ICMPEcho         uint8 = 8
	ICMPTimeExceeded uint8 = 11
	ICMPParameter    uint8 = 12
)

// IsTranslatedICMPError reports whether IPVS translates ICMP errors of this
// type: destination unreachable, source quench and time exceeded. Redirects and
// parameter problems are nobody's connection to it (kernel ip_vs_core.c).
func IsTranslatedICMPError(icmpType uint8) bool {
	return icmpType == ICMPUnreachable || icmpType == ICMPSourceQuench || icmpType == ICMPTimeExceeded
}

// IsICMPError reports whether the ICMP type is an error message, about which no
// error is ever sent (RFC 1122 3.2.2).
func IsICMPError(icmpType uint8) bool {
	return IsTranslatedICMPError(icmpType) || icmpType == ICMPRedirect || icmpType == ICMPParameter
}

// IsTranslatedError reports whether the packet is an ICMP error of a type that
// IPVS translates: of IPv6 every type of error, which is below 128.
func (p *Packet) IsTranslatedError() bool {
	return p.IsICMP() && (p.V6 && isICMPv6Error(p.ICMPType) || !p.V6 && IsTranslatedICMPError(p.ICMPType))
}

// isError reports whether the packet, of which the type is there, is an ICMP error
// of any type.
func (p *Packet) isError() bool {
	return p.IsICMP() && (p.V6 && isICMPv6Error(p.ICMPType) || !p.V6 && IsICMPError(p.ICMPType))
}

// ParseQuoted reads the IP packet, of the same family, that the ICMP error p quotes
// into q, with offsets relative to the frame. It reports false when p is not an
// unfragmented ICMP error, or when there is no whole IP header with at least 4 bytes
// after it, or when it is the header of a later fragment, which has no ports.
//
// The quoted packet is cut off as a rule: q.End is the end of what is there,
// and only the ports of its L4 header can be relied on. Its checksums are not
// verified, and a total length too small for its own header is not believed
// (RFC 792, RFC 1812 4.3.2.3).
func ParseQuoted(frame []byte, p, q *Packet) bool {
	if !p.isError() || p.Fragment() {
		return false
	}
	at := p.L4 + icmpLen
	if p.V6 {
		return parseQuoted6(frame[:p.End], at, q)
	}
	if p.End-at < ipv4MinLen+4 {
		return false
	}
	ip := frame[at:p.End]
	header, total := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:4]))
	if ip[0]>>4 != 4 || header < ipv4MinLen || len(ip) < header+4 {
		return false
	}
	if total < header+4 || total > len(ip) {
		total = len(ip)
	}
	return q.readQuoted4(ip[:total], at, header)
}

// readQuoted4 reads the IPv4 packet of which ip, at the offset at in the frame, is
// what is quoted; header is the length of its IP header. It reports false for a later
// fragment.
func (q *Packet) readQuoted4(ip []byte, at, header int) bool {
	q.readIPv4(ip)
	q.L3, q.L4, q.End = at, at+header, at+len(ip)
	q.readL4(ip[header:], ProtoICMP)
	return q.FragOff == 0
}

// ICMPChecksumOK reports whether the checksum of the unfragmented ICMP message
// p is right. Of a fragment it is not known, and the answer is false.
func ICMPChecksumOK(frame []byte, p *Packet) bool {
	return p.IsICMP() && !p.Fragment() && p.End-p.L4 >= icmpLen &&
		Sum(frame[p.L4:p.End], p.icmpPseudo(p.End-p.L4)) == 0xffff
}

// icmpPseudo returns the sum that the checksum of an ICMP message begins with: that
// of the pseudo header in IPv6, none in IPv4.
func (p *Packet) icmpPseudo(length int) uint32 {
	if p.V6 {
		return pseudoSum6(p.Src6, p.Dst6, ProtoICMPv6, length)
	}
	return 0
}

// ICMPNextMTU returns the MTU that a "fragmentation needed" (RFC 1191) or a "packet
// too big" announces, 0 where a router does not know about that. p must be an ICMP
// error.
func ICMPNextMTU(frame []byte, p *Packet) uint32 {
	if p.V6 {
		return binary.BigEndian.Uint32(frame[p.L4+4:])
	}
	return uint32(binary.BigEndian.Uint16(frame[p.L4+6:]))
}

// TranslateICMPIn translates the error p about the quoted packet q that comes
// from the client's side, for the real server: outer destination and quoted
// source become rip, the quoted source port rport. p and q must come from
// [ParseIPv4] and [ParseQuoted], and are updated.
//
// Outer header checksum, quoted header checksum and ICMP checksum are computed
// in full. The quoted L4 checksum stays as it was, as with the kernel's IPVS: it
// belongs to a packet that nobody will check.
func TranslateICMPIn(frame []byte, p, q *Packet, rip uint32, rport uint16) {
	binary.BigEndian.PutUint32(frame[p.L3+dstAddrAt:], rip)
	binary.BigEndian.PutUint32(frame[q.L3+srcAddrAt:], rip)
	p.Dst, q.Src = rip, rip
	q.putSrcPort(frame, rport)
	setErrorChecksums(frame, p, q)
}

// TranslateICMPOut translates the error p about the quoted packet q that comes
// from the real servers' side, for the client: outer source (whoever sent the
// error) and quoted destination become vip, the quoted destination port vport.
// All else is as in [TranslateICMPIn].
func TranslateICMPOut(frame []byte, p, q *Packet, vip uint32, vport uint16) {
	binary.BigEndian.PutUint32(frame[p.L3+srcAddrAt:], vip)
	binary.BigEndian.PutUint32(frame[q.L3+dstAddrAt:], vip)
	p.Src, q.Dst = vip, vip
	q.putDstPort(frame, vport)
	setErrorChecksums(frame, p, q)
}

// putSrcPort and putDstPort write a port of a quoted packet, if it has any.
func (q *Packet) putSrcPort(frame []byte, port uint16) {
	if q.HasPorts() {
		binary.BigEndian.PutUint16(frame[q.L4+srcPortAt:], port)
		q.SrcPort = port
	}
}

func (q *Packet) putDstPort(frame []byte, port uint16) {
	if q.HasPorts() {
		binary.BigEndian.PutUint16(frame[q.L4+dstPortAt:], port)
		q.DstPort = port
	}
}

// setErrorChecksums computes the three checksums of a translated error, from
// the inside out.
func setErrorChecksums(frame []byte, p, q *Packet) {
	setIPv4Checksum(frame[q.L3:q.L4])
	setICMPChecksum(frame[p.L4:p.End], 0)
	setIPv4Checksum(frame[p.L3:p.L4])
}

// setICMPChecksum computes and stores the checksum of a whole ICMP message; pseudo
// is as icmpPseudo has it.
func setICMPChecksum(icmp []byte, pseudo uint32) {
	icmp[2], icmp[3] = 0, 0
	binary.BigEndian.PutUint16(icmp[2:4], Checksum(icmp, pseudo))
}
