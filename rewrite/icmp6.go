package rewrite

import "encoding/binary"

// ICMPv6 types that a director meets (RFC 4443, RFC 4861). Errors are below 128.
const (
	ICMPv6Unreachable  uint8 = 1
	ICMPv6TooBig       uint8 = 2
	ICMPv6TimeExceeded uint8 = 3
	ICMPv6Parameter    uint8 = 4
	ICMPv6Echo         uint8 = 128
	ICMPv6EchoReply    uint8 = 129
	ICMPv6Solicitation uint8 = 135 // of a neighbour
	ICMPv6Advert       uint8 = 136 // of a neighbour
	ICMPv6Redirect     uint8 = 137
)

// isICMPv6Error reports whether the ICMPv6 type is an error message.
func isICMPv6Error(icmpType uint8) bool { return icmpType < 128 }

// parseQuoted6 is [ParseQuoted] for the IPv6 packet at the offset at of the frame,
// which ends with the error.
func parseQuoted6(frame []byte, at int, q *Packet) bool {
	if len(frame)-at < ipv6Len {
		return false
	}
	ip := frame[at:]
	if ip[0]>>4 != 6 {
		return false
	}
	if total := ipv6Len + int(binary.BigEndian.Uint16(ip[4:6])); total >= ipv6Len+4 && total < len(ip) {
		ip = ip[:total]
	}
	q.readIPv6(ip, at)
	q.End = at + len(ip)
	if !q.walkExtensions(frame[:q.End]) || q.End-q.L4 < 4 {
		return false
	}
	q.readL4(frame[q.L4:q.End], ProtoICMPv6)
	return q.FragOff == 0
}

// TranslateICMPIn6 is [TranslateICMPIn] for IPv6. There is one checksum, which sums
// the outer addresses, too.
func TranslateICMPIn6(frame []byte, p, q *Packet, rip Addr6, rport uint16) {
	rip.Put(frame[p.L3+dstAddr6At:])
	rip.Put(frame[q.L3+srcAddr6At:])
	p.Dst, p.Dst6 = rip.Fold(), rip
	q.Src, q.Src6 = p.Dst, rip
	q.putSrcPort(frame, rport)
	setICMPChecksum(frame[p.L4:p.End], p.icmpPseudo(p.End-p.L4))
}

// TranslateICMPOut6 is [TranslateICMPOut] for IPv6.
func TranslateICMPOut6(frame []byte, p, q *Packet, vip Addr6, vport uint16) {
	vip.Put(frame[p.L3+srcAddr6At:])
	vip.Put(frame[q.L3+dstAddr6At:])
	p.Src, p.Src6 = vip.Fold(), vip
	q.Dst, q.Dst6 = p.Src, vip
	q.putDstPort(frame, vport)
	setICMPChecksum(frame[p.L4:p.End], p.icmpPseudo(p.End-p.L4))
}
