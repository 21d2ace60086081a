package rewrite

import "encoding/binary"

// A packet that came in fragments is put together in four steps:
//
//	AppendWholeHeaders(nil, frame, &first)   the headers, from the first fragment
//	… the pieces behind them, at their offsets
//	SetWhole(frame)                          lengths and flags
//	Parse(frame, &p), p.CutLike(&first)      FragmentAt cuts it as the sender did
//
// Fragments with the same addresses and p.ID belong together. In IPv4 the protocol
// has to be the same, too; in IPv6 it says nothing, since the fragments do not know it.

// AppendWholeHeaders appends the Ethernet header and the IP headers of the packet of
// which p, in frame, is the first fragment, without the fragment header of IPv6.
// [Piece] of each fragment goes behind them at its p.FragOff.
func AppendWholeHeaders(dst, frame []byte, p *Packet) []byte {
	if !p.FragHeader {
		return append(dst, frame[:p.cutBase()]...)
	}
	start := len(dst)
	dst = append(dst, frame[:p.FragAt]...)
	dst[start+int(p.FragName)] = frame[p.FragAt]
	return dst
}

// SetWhole makes the IP header in frame, which begins with [AppendWholeHeaders], that
// of a whole packet that ends with the frame. It reports false when IP cannot state
// the length.
func SetWhole(frame []byte) bool {
	ip := frame[EthernetLen:]
	if binary.BigEndian.Uint16(frame[12:14]) == etherTypeIPv6 {
		binary.BigEndian.PutUint16(ip[4:6], uint16(len(ip)-ipv6Len))
		return len(ip) <= ipv6Len+maxTotalLen
	}
	binary.BigEndian.PutUint16(ip[2:4], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[6:8], 0)
	setIPv4Checksum(ip[:int(ip[0]&0x0f)*4])
	return len(ip) <= maxTotalLen
}

// CutLike says that p is to be cut where the fragments were that it came in, of which
// first is the first, and with their identification.
func (p *Packet) CutLike(first *Packet) {
	p.ID = first.ID
	if p.V6 {
		p.FragAt, p.FragName = first.FragAt, first.FragName
	}
}
