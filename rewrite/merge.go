package rewrite

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Mergeable describes a TCP segment or a UDP datagram that may be put together
// with its successors into a super-packet: the reverse of [Segment]. What a
// super-packet cannot say of each of its parts (options of IP, extension headers, flags of TCP but
// ACK and PSH, fragments, padding) is not mergeable.
type Mergeable struct {
	// Flow is made of addresses and ports: one direction of one connection has one
	// flow. Two of IPv6 may share theirs, and are told apart by [Mergeable.Follows].
	Flow  [2]uint64
	Proto uint8
	V6    bool

	l4      int    // offset of the L4 header in the frame
	headers int    // bytes in front of the payload
	payload int    // bytes of payload
	next    uint32 // sequence number behind the payload, TCP
	last    bool   // nothing follows in the same super-packet
}

// Last reports whether nothing follows the packet in the same super-packet.
func (m *Mergeable) Last() bool { return m.last }

// Len returns the length in bytes of the headers, from the Ethernet header on, and
// of the payload.
func (m *Mergeable) Len() (headers, payload int) { return m.headers, m.payload }

// FlowOf fills in flow, protocol and family of the TCP or UDP packet in a frame,
// with or without IPv4 options and whole or in part: so that a packet that is not
// mergeable can keep its place among those of its flow that are. It reports false
// for other frames, and for IPv6 packets with extension headers.
func (m *Mergeable) FlowOf(frame []byte) bool {
	if len(frame) < EthernetLen+ipv4MinLen+4 {
		return false
	}
	ip := frame[EthernetLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		l4 := int(ip[0]&15) * 4
		m.V6, m.Proto = false, ip[9]
		if m.Proto != ProtoTCP && m.Proto != ProtoUDP || len(ip) < l4+4 {
			return false
		}
		m.Flow = [2]uint64{binary.BigEndian.Uint64(ip[12:]), uint64(binary.BigEndian.Uint32(ip[l4:]))}
		return true
	case etherTypeIPv6:
		if len(ip) < ipv6Len+4 {
			return false
		}
		m.V6, m.Proto = true, ip[6]
		src, dst := ReadAddr6(ip[srcAddr6At:]), ReadAddr6(ip[dstAddr6At:])
		m.Flow = [2]uint64{src.Hi ^ bits.RotateLeft64(dst.Hi, 32), src.Lo + bits.RotateLeft64(dst.Lo, 32) ^ uint64(binary.BigEndian.Uint32(ip[ipv6Len:]))<<16}
		return m.Proto == ProtoTCP || m.Proto == ProtoUDP
	}
	return false
}

// ParseMergeable describes the packet in a frame of the flow that [Mergeable.FlowOf]
// has filled in. It reports false when that is not mergeable.
func ParseMergeable(frame []byte, m *Mergeable) bool {
	if m.V6 {
		if len(frame) < EthernetLen+ipv6Len+udpLen || frame[EthernetLen]>>4 != 6 ||
			ipv6Len+int(binary.BigEndian.Uint16(frame[EthernetLen+4:])) != len(frame)-EthernetLen {
			return false
		}
		m.l4 = EthernetLen + ipv6Len
		return m.parseL4(frame)
	}
	if len(frame) < EthernetLen+ipv4MinLen+udpLen || frame[EthernetLen] != 0x45 {
		return false
	}
	total := int(binary.BigEndian.Uint16(frame[EthernetLen+2:]))
	fragment := binary.BigEndian.Uint16(frame[EthernetLen+6:]) &^ flagDF
	if total != len(frame)-EthernetLen || fragment != 0 {
		return false
	}
	m.l4 = EthernetLen + ipv4MinLen
	return m.parseL4(frame)
}

// parseL4 is the part of [ParseMergeable] about what is behind the IP header, which
// has at least the length of a UDP header.
func (m *Mergeable) parseL4(frame []byte) bool {
	l4 := frame[m.l4:]
	switch m.Proto {
	case ProtoTCP:
		if len(l4) < tcpMinLen {
			return false
		}
		flags, header := l4[13], int(l4[12]>>4)*4
		if flags&^TCPPsh != TCPAck || l4[12]&15 != 0 || header < tcpMinLen || header >= len(l4) {
			return false
		}
		m.headers, m.payload = m.l4+header, len(l4)-header
		m.last = flags&TCPPsh != 0
		m.next = binary.BigEndian.Uint32(l4[4:]) + uint32(m.payload)
	case ProtoUDP:
		m.headers, m.payload = m.l4+udpLen, len(l4)-udpLen
		m.last = false
		if m.payload == 0 || int(binary.BigEndian.Uint16(l4[4:])) != len(l4) || binary.BigEndian.Uint16(l4[6:]) == 0 {
			return false
		}
	default:
		return false
	}
	return true
}

// Follows reports whether the packet n in frame next may follow, as part i of a
// super-packet, those in front, of which head describes the first, in frame first,
// and prev the last: both of the same flow. Checksums are not looked at.
func (prev *Mergeable) Follows(first, next []byte, head, n *Mergeable, i int) bool {
	if prev.last || prev.payload != head.payload || n.payload > head.payload || n.headers != head.headers {
		return false
	}
	if head.V6 && !sameIPv6(first, next) || !head.V6 && !sameIPv4(first, next, i) {
		return false
	}
	if head.Proto == ProtoUDP {
		return true
	}
	// Sequence, acknowledgement, window, options.
	a, b := first[head.l4:head.headers], next[head.l4:head.headers]
	return binary.BigEndian.Uint32(b[4:]) == prev.next &&
		bytes.Equal(a[8:13], b[8:13]) && bytes.Equal(a[14:16], b[14:16]) && bytes.Equal(a[tcpMinLen:], b[tcpMinLen:])
}

// sameIPv4 reports whether a super-packet can say of its first part and of part i
// what their Ethernet and IPv4 headers say.
func sameIPv4(first, next []byte, i int) bool {
	const ip = EthernetLen
	// MAC addresses, type, version and TOS; then flags, TTL and protocol.
	if !bytes.Equal(first[:ip+2], next[:ip+2]) || !bytes.Equal(first[ip+6:ip+10], next[ip+6:ip+10]) {
		return false
	}
	id := binary.BigEndian.Uint16(first[ip+4:]) + uint16(i)
	// The identification may be needed farther on.
	return first[ip+6]&(flagDF>>8) != 0 || binary.BigEndian.Uint16(next[ip+4:]) == id
}

// sameIPv6 is [sameIPv4] for IPv6: all but the length. It looks at the ports, too,
// since the flow does not quite tell.
func sameIPv6(first, next []byte) bool {
	const ip = EthernetLen
	return bytes.Equal(first[:ip+4], next[:ip+4]) && bytes.Equal(first[ip+6:ip+ipv6Len+4], next[ip+6:ip+ipv6Len+4])
}

// pseudo returns the sum of the pseudo header over length bytes.
func (m *Mergeable) pseudo(frame []byte, length int) uint32 {
	ip := frame[EthernetLen:]
	if m.V6 {
		return pseudoSum6(ReadAddr6(ip[srcAddr6At:]), ReadAddr6(ip[dstAddr6At:]), m.Proto, length)
	}
	return pseudoSum(binary.BigEndian.Uint32(ip[srcAddrAt:]), binary.BigEndian.Uint32(ip[dstAddrAt:]), m.Proto, length)
}

// ChecksumOK reports whether the complete checksum of a mergeable packet is right.
// One that is wrong must not become right by being merged.
func (m *Mergeable) ChecksumOK(frame []byte) bool {
	l4 := frame[m.l4:]
	return Sum(l4, m.pseudo(frame, len(l4))) == 0xffff
}

// SetSuper makes the headers in frame, which m describes, those of a super-packet
// with payload bytes of payload: lengths, the checksum of IPv4, and the partial one
// of TCP or UDP; last sets PSH.
func (m *Mergeable) SetSuper(frame []byte, payload int, last bool) {
	ip := frame[EthernetLen:m.l4]
	length := m.headers - m.l4 + payload
	if m.V6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(ipv4MinLen+length))
		setIPv4Checksum(ip)
	}
	sum := fold(m.pseudo(frame, length))
	l4 := frame[m.l4:]
	if m.Proto == ProtoUDP {
		binary.BigEndian.PutUint16(l4[4:], uint16(length))
		binary.BigEndian.PutUint16(l4[6:], sum)
		return
	}
	if last {
		l4[13] |= TCPPsh
	}
	binary.BigEndian.PutUint16(l4[16:], sum)
}

// ChecksumField returns where the checksum of m is: the offset of its header in
// the frame, and that of the field in the header (virtio's csum_start and
// csum_offset).
func (m *Mergeable) ChecksumField() (start, offset int) {
	if m.Proto == ProtoUDP {
		return m.l4, 6
	}
	return m.l4, 16
}
