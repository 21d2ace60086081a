package rewrite

import "encoding/binary"

const (
	answerTTL = 64 // the host's own default

	// MaxICMPError is the length in bytes of the longest frame that [ICMPError]
	// writes: an IP packet of 576 bytes (RFC 1812 4.3.2.3) behind its Ethernet
	// header.
	MaxICMPError = EthernetLen + maxErrorPacket

	// TCPResetLen is the length in bytes of the frame that [TCPReset] writes.
	TCPResetLen = EthernetLen + ipv4MinLen + tcpMinLen

	maxErrorPacket = 576
	tosNetControl  = 0xc0 // precedence internetwork control (RFC 1812 4.3.2.5)
)

// ICMPAnswer is what an ICMP error says.
type ICMPAnswer struct {
	Type, Code uint8
	Rest       uint32 // second word of the ICMP header, host order: the MTU of a fragmentation needed
	Src        uint32 // source address of the error, host order
}

// ICMPError writes into dst the frame of the ICMP error a about the packet in
// frame, and returns its length: at most [MaxICMPError]. It quotes the packet
// as it is in the frame now, so an error about the packet as received has to be
// made before it is rewritten. mac is the address of the interface that the
// frame came in by, and the answer's source.
//
// The answer is the kernel's: TTL 64, TOS 0xC0, no DF, at most 576 bytes. No
// error is owed (0 is returned) about a later fragment, an ICMP error, a packet
// or frame to a group, or a source that is not one host (RFC 1122 3.2.2).
func ICMPError(dst, frame []byte, p *Packet, mac [6]byte, a ICMPAnswer) int {
	if p.FragOff != 0 || mayBeICMPError(p) || !answerable(frame, p) {
		return 0
	}
	total := ICMPErrorLen(p)
	quoted := frame[p.L3 : p.L3+total-ipv4MinLen-icmpLen]
	if len(dst) < EthernetLen+total {
		return 0
	}
	dst = dst[:EthernetLen+total]
	putEthernet(dst, frame, mac)
	putIPv4(dst[EthernetLen:], ipv4Answer{tos: tosNetControl, proto: ProtoICMP, src: a.Src, dst: p.Src})
	icmp := dst[EthernetLen+ipv4MinLen:]
	icmp[0], icmp[1] = a.Type, a.Code
	binary.BigEndian.PutUint32(icmp[4:8], a.Rest)
	copy(icmp[icmpLen:], quoted)
	setICMPChecksum(icmp)
	return len(dst)
}

// ICMPErrorLen returns the IP total length of an ICMP error about p.
func ICMPErrorLen(p *Packet) int { return min(ipv4MinLen+icmpLen+p.Len(), maxErrorPacket) }

// EchoReply writes into dst the frame that answers the echo request in frame,
// and returns its length: that of the request without padding and IP options
// (they are not echoed). Identifier, sequence number and data are the
// request's (RFC 792), and so are TOS and IP identification; the TTL is 64. The
// source is the address that was pinged. No answer is owed to anything but a
// whole echo request with a right checksum, sent to one host by one host.
func EchoReply(dst, frame []byte, p *Packet, mac [6]byte) int {
	if p.ICMPType != ICMPEcho || !ICMPChecksumOK(frame, p) || !answerable(frame, p) {
		return 0
	}
	request := frame[p.L4:p.End]
	total := ipv4MinLen + len(request)
	if len(dst) < EthernetLen+total {
		return 0
	}
	dst = dst[:EthernetLen+total]
	putEthernet(dst, frame, mac)
	putIPv4(dst[EthernetLen:], ipv4Answer{tos: p.TOS, id: p.ID, proto: ProtoICMP, src: p.Dst, dst: p.Src})
	icmp := dst[EthernetLen+ipv4MinLen:]
	copy(icmp, request)
	icmp[0] = ICMPEchoReply
	setICMPChecksum(icmp)
	return len(dst)
}

// TCPReset writes into dst the frame of the reset that a host without that
// connection owes to the segment in frame (RFC 9293 3.10.7.1), and returns its
// length, [TCPResetLen]: to a segment with ACK a RST at the number that it
// acknowledged, to any other a RST and ACK of all that it carried. Like the
// kernel's: TTL 64, DF, window 0, no options. The payload of a super-packet
// counts in full.
//
// Nothing is owed to a reset, to a fragment, to a segment whose header is not
// whole, or to or from a group. The segment's checksum is not verified.
func TCPReset(dst, frame []byte, p *Packet, mac [6]byte) int {
	header := tcpHeaderLen(frame, p)
	if header == 0 || p.TCPFlags&TCPRst != 0 || !answerable(frame, p) || len(dst) < TCPResetLen {
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
	dst = dst[:TCPResetLen]
	putEthernet(dst, frame, mac)
	putIPv4(dst[EthernetLen:], ipv4Answer{flags: flagDF, proto: ProtoTCP, src: p.Dst, dst: p.Src})
	tcp := dst[EthernetLen+ipv4MinLen:]
	clear(tcp)
	binary.BigEndian.PutUint16(tcp[0:2], p.DstPort)
	binary.BigEndian.PutUint16(tcp[2:4], p.SrcPort)
	binary.BigEndian.PutUint32(tcp[4:8], seq)
	binary.BigEndian.PutUint32(tcp[8:12], ack)
	tcp[12], tcp[13] = tcpMinLen/4<<4, flags
	sum := Checksum(tcp, pseudoSum(p.Dst, p.Src, ProtoTCP, tcpMinLen))
	binary.BigEndian.PutUint16(tcp[16:18], sum)
	return len(dst)
}

// mayBeICMPError reports whether p is an ICMP error, or ICMP cut off before its
// type.
func mayBeICMPError(p *Packet) bool {
	return p.Proto == ProtoICMP && (IsICMPError(p.ICMPType) || p.End-p.L4 < 4)
}

// answerable reports whether the packet went from one host to one host, so that
// an answer has somebody to go to and somebody to come from (RFC 1812 4.3.2.7).
func answerable(frame []byte, p *Packet) bool {
	return frame[0]&1 == 0 && frame[6]&1 == 0 && SingleHost(p.Src) && SingleHost(p.Dst)
}

// SingleHost reports whether addr, in host byte order, is one that a host on a network can
// have: not in 0/8, not loopback, not class D or E (broadcast included).
func SingleHost(addr uint32) bool {
	net := addr >> 24
	return net != 0 && net != 127 && net < 224
}

// putEthernet writes the Ethernet header of an answer to the sender of frame.
func putEthernet(dst, frame []byte, mac [6]byte) {
	copy(dst[0:6], frame[6:12])
	copy(dst[6:12], mac[:])
	binary.BigEndian.PutUint16(dst[12:14], etherTypeIPv4)
}

// ipv4Answer is what differs between the IPv4 headers of answers.
type ipv4Answer struct {
	src, dst  uint32
	id, flags uint16
	tos       uint8
	proto     uint8
}

// putIPv4 writes the header of an answer to the front of packet, which is as
// long as the IP packet shall be.
func putIPv4(packet []byte, a ipv4Answer) {
	ip := packet[:ipv4MinLen]
	ip[0], ip[1] = 0x45, a.tos
	binary.BigEndian.PutUint16(ip[2:4], uint16(len(packet)))
	binary.BigEndian.PutUint16(ip[4:6], a.id)
	binary.BigEndian.PutUint16(ip[6:8], a.flags)
	ip[8], ip[9] = answerTTL, a.proto
	binary.BigEndian.PutUint32(ip[12:16], a.src)
	binary.BigEndian.PutUint32(ip[16:20], a.dst)
	setIPv4Checksum(ip)
}
