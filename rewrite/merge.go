package rewrite

import (
	"bytes"
	"encoding/binary"
)

// Mergeable describes a TCP segment or a UDP datagram that may be put together
// with its successors into a super-packet: the reverse of [Segment]. What a
// super-packet cannot say of each of its parts (options of IP, flags of TCP but
// ACK and PSH, fragments, padding) is not mergeable.
type Mergeable struct {
	// Flow is addresses and ports; equal flows of equal protocol are one
	// direction of one connection.
	Flow  [2]uint64
	Proto uint8

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

// FlowOf reports the flow of a TCP or UDP packet in a frame, with or without IPv4
// options and whole or in part: so that a packet that is not mergeable can keep
// its place among those of its flow that are. It reports false for other frames.
func FlowOf(frame []byte) (flow [2]uint64, proto uint8, ok bool) {
	if len(frame) < EthernetLen+ipv4MinLen+4 || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return flow, 0, false
	}
	ip := frame[EthernetLen:]
	l4 := int(ip[0]&15) * 4
	if proto = ip[9]; proto != ProtoTCP && proto != ProtoUDP || len(ip) < l4+4 {
		return flow, 0, false
	}
	return [2]uint64{binary.BigEndian.Uint64(ip[12:]), uint64(binary.BigEndian.Uint32(ip[l4:]))}, proto, true
}

// ParseMergeable describes the packet in a frame of an IPv4 TCP or UDP flow. It
// reports false when that is not mergeable.
func ParseMergeable(frame []byte, m *Mergeable) bool {
	const l4 = EthernetLen + ipv4MinLen
	if len(frame) < l4+udpLen || frame[EthernetLen] != 0x45 {
		return false
	}
	total := int(binary.BigEndian.Uint16(frame[EthernetLen+2:]))
	fragment := binary.BigEndian.Uint16(frame[EthernetLen+6:]) &^ flagDF
	if total != len(frame)-EthernetLen || fragment != 0 {
		return false
	}
	switch m.Proto {
	case ProtoTCP:
		if len(frame) < l4+tcpMinLen {
			return false
		}
		flags := frame[l4+13]
		m.headers = l4 + int(frame[l4+12]>>4)*4
		if flags&^TCPPsh != TCPAck || frame[l4+12]&15 != 0 || m.headers < l4+tcpMinLen || m.headers >= len(frame) {
			return false
		}
		m.last = flags&TCPPsh != 0
		m.payload = len(frame) - m.headers
		m.next = binary.BigEndian.Uint32(frame[l4+4:]) + uint32(m.payload)
	case ProtoUDP:
		m.headers = l4 + udpLen
		m.payload = len(frame) - m.headers
		m.last = false
		if m.payload == 0 || int(binary.BigEndian.Uint16(frame[l4+4:])) != len(frame)-l4 || binary.BigEndian.Uint16(frame[l4+6:]) == 0 {
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
	const ip, l4 = EthernetLen, EthernetLen + ipv4MinLen
	// MAC addresses, type, version and TOS; then flags, TTL and protocol.
	if !bytes.Equal(first[:ip+2], next[:ip+2]) || !bytes.Equal(first[ip+6:ip+10], next[ip+6:ip+10]) {
		return false
	}
	id := binary.BigEndian.Uint16(first[ip+4:]) + uint16(i)
	if first[ip+6]&(flagDF>>8) == 0 && binary.BigEndian.Uint16(next[ip+4:]) != id {
		return false // the identification may be needed farther on
	}
	if head.Proto == ProtoUDP {
		return true
	}
	// Sequence, acknowledgement, window, options.
	return binary.BigEndian.Uint32(next[l4+4:]) == prev.next &&
		bytes.Equal(first[l4+8:l4+13], next[l4+8:l4+13]) && bytes.Equal(first[l4+14:l4+16], next[l4+14:l4+16]) &&
		bytes.Equal(first[l4+tcpMinLen:head.headers], next[l4+tcpMinLen:head.headers])
}

// ChecksumOK reports whether the complete checksum of a mergeable packet is right.
// One that is wrong must not become right by being merged.
func (m *Mergeable) ChecksumOK(frame []byte) bool {
	l4 := frame[EthernetLen+ipv4MinLen:]
	src, dst := binary.BigEndian.Uint32(frame[EthernetLen+12:]), binary.BigEndian.Uint32(frame[EthernetLen+16:])
	return Sum(l4, pseudoSum(src, dst, m.Proto, len(l4))) == 0xffff
}

// SetSuper makes the headers in frame, which m describes, those of a super-packet
// with payload bytes of payload: lengths, the checksum of IP, and the partial one
// of TCP or UDP; last sets PSH.
func (m *Mergeable) SetSuper(frame []byte, payload int, last bool) {
	const l4 = EthernetLen + ipv4MinLen
	ip := frame[EthernetLen:l4]
	length := m.headers - l4 + payload
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4MinLen+length))
	setIPv4Checksum(ip)
	sum := fold(pseudoSum(binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint32(ip[16:]), m.Proto, length))
	if m.Proto == ProtoUDP {
		binary.BigEndian.PutUint16(frame[l4+4:], uint16(length))
		binary.BigEndian.PutUint16(frame[l4+6:], sum)
		return
	}
	if last {
		frame[l4+13] |= TCPPsh
	}
	binary.BigEndian.PutUint16(frame[l4+16:], sum)
}

// ChecksumField returns where the checksum of m is: the offset of its header in
// the frame, and that of the field in the header (virtio's csum_start and
// csum_offset).
func (m *Mergeable) ChecksumField() (start, offset int) {
	if m.Proto == ProtoUDP {
		return EthernetLen + ipv4MinLen, 6
	}
	return EthernetLen + ipv4MinLen, 16
}
