package rewrite

import "encoding/binary"

// TCPPayload returns what an unfragmented TCP segment carries: the bytes of frame
// from [HeadersLen] to the end of the packet. It returns nil for other packets
// and for a malformed TCP header.
func TCPPayload(frame []byte, p *Packet) []byte {
	header := tcpHeaderLen(frame, p)
	if header == 0 {
		return nil
	}
	return frame[p.L4+header : p.End]
}

// TCPChecksumOK reports whether the checksum of an unfragmented TCP segment is
// right. It has no meaning for a partial checksum.
func TCPChecksumOK(frame []byte, p *Packet) bool {
	l4 := frame[p.L4:p.End]
	return Sum(l4, p.pseudo(len(l4))) == 0xffff
}

// ReplacePayload writes into dst the TCP segment of frame with the bytes from up
// to to of its payload replaced by text, which may be longer or shorter, and makes
// p describe the new frame. It returns the new frame's length. Sequence numbers
// stay: see [SetTCPSeq].
//
// The length in the IP header follows. The TCP checksum is computed anew, as the kernel's
// IPVS does it; with partial the field is the new sum of the pseudo header, which
// counts the length.
//
// It returns 0, and leaves p as it is, when dst is too small, the place is not
// inside the payload, the packet is no unfragmented TCP segment or would be
// longer than IP can state.
func ReplacePayload(dst, frame []byte, p *Packet, from, to int, text []byte, partial bool) int {
	header := tcpHeaderLen(frame, p)
	if header == 0 || from < 0 || from > to || to > p.End-p.L4-header {
		return 0
	}
	start := p.L4 + header
	length := p.End + len(text) - (to - from)
	if length > len(dst) || length-p.L3 > p.maxLen() {
		return 0
	}
	dst = dst[:length]
	copy(dst, frame[:start+from])
	copy(dst[start+from:], text)
	copy(dst[start+from+len(text):], frame[start+to:p.End])
	p.End = length

	ip, l4 := dst[p.L3:p.L4], dst[p.L4:]
	if p.V6 {
		binary.BigEndian.PutUint16(ip[4:6], uint16(length-p.L3-ipv6Len))
	} else {
		old := binary.BigEndian.Uint16(ip[2:4])
		binary.BigEndian.PutUint16(ip[2:4], uint16(length-p.L3))
		updateChecksum(ip[10:12], delta16(old, uint16(length-p.L3)))
	}
	pseudo := p.pseudo(len(l4))
	if partial {
		binary.BigEndian.PutUint16(l4[16:18], fold(pseudo))
		return length
	}
	l4[16], l4[17] = 0, 0
	binary.BigEndian.PutUint16(l4[16:18], Checksum(l4, pseudo))
	return length
}

// maxTotalLen is the longest IPv4 packet (RFC 791 section 3.1), and what may follow
// the header of an IPv6 one (RFC 8200 section 3).
const maxTotalLen = 65535

// maxLen returns the length of the longest IP packet of the family.
func (p *Packet) maxLen() int {
	if p.V6 {
		return ipv6Len + maxTotalLen
	}
	return maxTotalLen
}
