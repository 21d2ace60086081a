package rewrite

import "encoding/binary"

// ProbeLen is the length in bytes of the longest frame that [Probe] writes.
const ProbeLen = EthernetLen + ipv6Len + sctpMinLen + initLen

// probeWindow is the window of a probe: what Linux offers without options.
const probeWindow = 64240

// Probe writes into dst the frame of a packet without payload as a client or a
// server sends it, and returns its length, 0 when dst is too small: for p.Proto
// TCP a segment with the flags p.TCPFlags, for UDP a datagram, for SCTP a packet with
// the one chunk p.Chunk; other protocols are not written. Addresses, of the family
// that p.V6 says, and ports are those of p. TTL 64, DF, IP identification and sequence
// numbers 0; all checksums are complete.
func Probe(dst []byte, p *Packet, srcMAC, dstMAC [6]byte) int {
	if !CarriesPorts(p.Proto) {
		return 0
	}
	n := EthernetLen + p.minHeader() + l4MinLen(p.Proto, p.icmp())
	if p.Proto == ProtoSCTP {
		n += probeChunkLen(p.Chunk)
	}
	if len(dst) < n {
		return 0
	}
	dst = dst[:n]
	SetMACs(dst, dstMAC, srcMAC)
	if p.V6 {
		putIPv6(dst[EthernetLen:], 0, p.Proto, answerTTL, p.Src6, p.Dst6)
	} else {
		putIPv4(dst[EthernetLen:], answerHeader{flags: flagDF, proto: p.Proto, src: p.Src}, p.Dst)
	}
	SetEtherType(dst)
	l4 := dst[EthernetLen+p.minHeader():]
	clear(l4)
	binary.BigEndian.PutUint16(l4[0:2], p.SrcPort)
	binary.BigEndian.PutUint16(l4[2:4], p.DstPort)
	pseudo := p.pseudo(len(l4))
	switch p.Proto {
	case ProtoUDP:
		finishDatagram(l4, pseudo)
		return len(dst)
	case ProtoSCTP:
		putProbeChunk(l4, uint8(p.Chunk))
		return len(dst)
	}
	l4[12], l4[13] = tcpMinLen/4<<4, p.TCPFlags
	binary.BigEndian.PutUint16(l4[14:16], probeWindow)
	binary.BigEndian.PutUint16(l4[16:18], Checksum(l4, pseudo))
	return len(dst)
}

// ChecksumOK reports whether the checksum of an unfragmented TCP segment, UDP
// datagram, SCTP packet, ICMP message or tunnel's packet is right; where there is none,
// as with a UDP checksum of 0 in IPv4 or of a GUE tunnel (RFC 6935), it is. It has no meaning for a partial checksum,
// and for other protocols the answer is false.
func ChecksumOK(frame []byte, p *Packet) bool {
	switch l4 := frame[p.L4:p.End]; {
	case p.Fragment() || len(l4) < l4MinLen(p.Proto, p.icmp()):
		return false
	case p.Proto == ProtoTCP:
		return TCPChecksumOK(frame, p)
	case p.Proto == ProtoUDP:
		return l4[6] == 0 && l4[7] == 0 && (!p.V6 || isGUE(l4)) || Sum(l4, p.pseudo(len(l4))) == 0xffff
	}
	switch p.Proto {
	case ProtoSCTP:
		return sctpChecksumOK(frame[p.L4:p.End])
	case ProtoIPIP, ProtoIPv6:
		return true
	case ProtoGRE:
		gre := frame[p.L4:p.End]
		return len(gre) >= greLen && (gre[0]&greHasSum == 0 || Sum(gre, 0) == 0xffff)
	}
	return ICMPChecksumOK(frame, p)
}
