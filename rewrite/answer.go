package rewrite

import "encoding/binary"

const (
	answerTTL = 64 // the host's own default

	// MaxICMPError is the length in bytes of the longest frame that [ICMPError]
	// writes: an IPv6 packet of 1280 bytes (RFC 4443 2.4 c) behind its Ethernet
	// header. IPv4 stops at 576 (RFC 1812 4.3.2.3).
	MaxICMPError = EthernetLen + maxErrorPacket6

	// TCPResetLen is the length in bytes of the longest frame that [TCPReset]
	// writes, one of IPv6.
	TCPResetLen = EthernetLen + ipv6Len + tcpMinLen

	maxErrorPacket  = 576
	maxErrorPacket6 = 1280
	tosNetControl   = 0xc0 // precedence internetwork control (RFC 1812 4.3.2.5)
)

// ICMPAnswer is what an ICMP error says. [Problem.About] fills it in.
type ICMPAnswer struct {
	Type, Code uint8
	Rest       uint32 // second word of the ICMP header, host order: an MTU, or where the problem is
	Src        uint32 // source address of the error, host order, about an IPv4 packet
	Src6       Addr6  // the same about an IPv6 packet
}

// ICMPError writes into dst the frame of the ICMP error a about the packet in
// frame, and returns its length: at most [MaxICMPError]. It quotes the packet
// as it is in the frame now, so an error about the packet as received has to be
// made before it is rewritten. mac is the address of the interface that the
// frame came in by, and the answer's source.
//
// The answer is the kernel's: TTL 64; in IPv4 TOS 0xC0, no DF, at most 576 bytes,
// in IPv6 at most 1280. No error is owed (0 is returned) about a later fragment, an
// ICMP error or redirect, a packet or frame to a group, or a source that is not one
// host (RFC 1122 3.2.2, RFC 4443 2.4 e).
func ICMPError(dst, frame []byte, p *Packet, mac [6]byte, a ICMPAnswer) int {
	if p.FragOff != 0 || mayBeICMPError(p) || !answerable(frame, p) {
		return 0
	}
	h := answerHeader{src: a.Src, src6: a.Src6, proto: p.icmp()}
	if !p.V6 {
		h.tos = tosNetControl
	}
	length := ICMPErrorLen(p) - p.minHeader()
	icmp, n := putAnswer(dst, frame, p, mac, h, length)
	if n == 0 {
		return 0
	}
	icmp[0], icmp[1] = a.Type, a.Code
	binary.BigEndian.PutUint32(icmp[4:8], a.Rest)
	copy(icmp[icmpLen:], frame[p.L3:p.L3+length-icmpLen])
	pseudo := uint32(0)
	if p.V6 {
		pseudo = pseudoSum6(a.Src6, p.Src6, ProtoICMPv6, length)
	}
	setICMPChecksum(icmp, pseudo)
	return n
}

// ICMPErrorLen returns the IP total length of an ICMP error about p.
func ICMPErrorLen(p *Packet) int {
	if p.V6 {
		return min(ipv6Len+icmpLen+p.Len(), maxErrorPacket6)
	}
	return min(ipv4MinLen+icmpLen+p.Len(), maxErrorPacket)
}

// EchoReply writes into dst the frame that answers the echo request in frame,
// and returns its length: that of the request without padding, IP options and
// extension headers (they are not echoed). Identifier, sequence number and data are
// the request's (RFC 792), and so are TOS and IPv4 identification; the TTL is 64.
// The source is the address that was pinged. No answer is owed to anything but a
// whole echo request with a right checksum, sent to one host by one host.
func EchoReply(dst, frame []byte, p *Packet, mac [6]byte) int {
	request, reply := ICMPEcho, ICMPEchoReply
	if p.V6 {
		request, reply = ICMPv6Echo, ICMPv6EchoReply
	}
	if p.ICMPType != request || !ICMPChecksumOK(frame, p) || !answerable(frame, p) {
		return 0
	}
	h := answerHeader{src: p.Dst, src6: p.Dst6, tos: p.TOS, id: uint16(p.ID), proto: p.icmp()}
	icmp, n := putAnswer(dst, frame, p, mac, h, p.End-p.L4)
	if n == 0 {
		return 0
	}
	copy(icmp, frame[p.L4:p.End])
	icmp[0] = reply
	setICMPChecksum(icmp, p.icmpPseudo(len(icmp))) // the sum of the addresses is the request's
	return n
}

// TCPReset writes into dst the frame of the reset that a host without that
// connection owes to the segment in frame (RFC 9293 3.10.7.1), and returns its
// length, at most [TCPResetLen]: to a segment with ACK a RST at the number that it
// acknowledged, to any other a RST and ACK of all that it carried. Like the
// kernel's: TTL 64, DF, window 0, no options. The payload of a super-packet
// counts in full.
//
// Nothing is owed to a reset, to a fragment, to a segment whose header is not
// whole, or to or from a group. The segment's checksum is not verified.
func TCPReset(dst, frame []byte, p *Packet, mac [6]byte) int {
	header := tcpHeaderLen(frame, p)
	if header == 0 || p.TCPFlags&TCPRst != 0 || !answerable(frame, p) {
		return 0
	}
	segment := frame[p.L4:p.End]
	var seq, ack uint32
	flags := TCPRst
	if p.TCPFlags&TCPAck != 0 {
		seq = binary.BigEndian.Uint32(segment[8:12])
	} else {
		flags |= TCPAck
		ack = binary.BigEndian.Uint32(segment[4:8]) + uint32(len(segment)-header)
		ack += uint32(p.TCPFlags&TCPSyn)/uint32(TCPSyn) + uint32(p.TCPFlags&TCPFin) // each takes a number
	}
	h := answerHeader{src: p.Dst, src6: p.Dst6, flags: flagDF, proto: ProtoTCP}
	tcp, n := putAnswer(dst, frame, p, mac, h, tcpMinLen)
	if n == 0 {
		return 0
	}
	clear(tcp)
	binary.BigEndian.PutUint16(tcp[0:2], p.DstPort)
	binary.BigEndian.PutUint16(tcp[2:4], p.SrcPort)
	binary.BigEndian.PutUint32(tcp[4:8], seq)
	binary.BigEndian.PutUint32(tcp[8:12], ack)
	tcp[12], tcp[13] = tcpMinLen/4<<4, flags
	binary.BigEndian.PutUint16(tcp[16:18], Checksum(tcp, p.pseudo(tcpMinLen))) // of the answer: the same sum
	return n
}

// mayBeICMPError reports whether p is an ICMP error, or ICMP cut off before its
// type, or a redirect.
func mayBeICMPError(p *Packet) bool {
	return p.IsICMP() && (p.isError() || p.End-p.L4 < 4 || p.V6 && p.ICMPType == ICMPv6Redirect)
}

// answerable reports whether the packet went from one host to one host, so that
// an answer has somebody to go to and somebody to come from (RFC 1812 4.3.2.7).
func answerable(frame []byte, p *Packet) bool {
	if frame[0]&1 != 0 || frame[6]&1 != 0 {
		return false
	}
	if p.V6 {
		return p.Src6.IsSingleHost() && p.Dst6.IsSingleHost()
	}
	return SingleHost(p.Src) && SingleHost(p.Dst)
}

// SingleHost reports whether addr, in host byte order, is one that a host on a network can
// have: not in 0/8, not loopback, not class D or E (broadcast included).
func SingleHost(addr uint32) bool {
	net := addr >> 24
	return net != 0 && net != 127 && net < 224
}

// minHeader returns the length of the packet's IP header without options or
// extension headers.
func (p *Packet) minHeader() int {
	if p.V6 {
		return ipv6Len
	}
	return ipv4MinLen
}

// answerHeader is what differs between the IP headers of answers.
type answerHeader struct {
	src       uint32
	src6      Addr6
	id, flags uint16 // IPv4
	tos       uint8
	proto     uint8
}

// putAnswer writes into dst the Ethernet and the IP header of an answer, of the same
// family, to the packet in frame. It returns the place of the length bytes that
// follow, and the length of the frame: 0 when dst is shorter.
func putAnswer(dst, frame []byte, p *Packet, mac [6]byte, h answerHeader, length int) (l4 []byte, n int) {
	l3 := p.minHeader()
	n = EthernetLen + l3 + length
	if len(dst) < n {
		return nil, 0
	}
	dst = dst[:n]
	SetMACs(dst, [6]byte(frame[6:12]), mac)
	if p.V6 {
		putIPv6(dst[EthernetLen:], h.tos, h.proto, answerTTL, h.src6, p.Src6)
	} else {
		putIPv4(dst[EthernetLen:], h, p.Src)
	}
	SetEtherType(dst)
	return dst[EthernetLen+l3:], n
}

// putIPv4 writes the header of an answer to the front of packet, which is as
// long as the IP packet shall be.
func putIPv4(packet []byte, h answerHeader, dst uint32) {
	ip := packet[:ipv4MinLen]
	ip[0], ip[1] = 0x45, h.tos
	binary.BigEndian.PutUint16(ip[2:4], uint16(len(packet)))
	binary.BigEndian.PutUint16(ip[4:6], h.id)
	binary.BigEndian.PutUint16(ip[6:8], h.flags)
	ip[8], ip[9] = answerTTL, h.proto
	binary.BigEndian.PutUint32(ip[12:16], h.src)
	binary.BigEndian.PutUint32(ip[16:20], dst)
	setIPv4Checksum(ip)
}

// putIPv6 does the same with an IPv6 header; its flow label is 0.
func putIPv6(packet []byte, tos, proto, hopLimit uint8, src, dst Addr6) {
	ip := packet[:ipv6Len]
	binary.BigEndian.PutUint32(ip[0:4], 6<<28|uint32(tos)<<20)
	binary.BigEndian.PutUint16(ip[4:6], uint16(len(packet)-ipv6Len))
	ip[6], ip[7] = proto, hopLimit
	src.Put(ip[8:24])
	dst.Put(ip[24:40])
}
