package rewrite

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the ones' complement sum of b as big-endian 16-bit words, added
// to initial (RFC 1071). An odd last byte counts as if a zero followed. The
// result is not complemented; it is 0 only if b and initial are all zero.
func Sum(b []byte, initial uint32) uint16 {
	// The sum does not depend on byte order but for a swap at the end, so the
	// words are loaded as the machine likes them, eight bytes at a time.
	var acc, carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[0:8]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:16]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:24]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:32]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[:8]), carry)
		b = b[8:]
	}
	var tail uint64
	if len(b) >= 4 {
		tail = uint64(binary.LittleEndian.Uint32(b[:4]))
		b = b[4:]
	}
	if len(b) >= 2 {
		tail += uint64(binary.LittleEndian.Uint16(b[:2]))
		b = b[2:]
	}
	if len(b) == 1 {
		tail += uint64(b[0])
	}
	acc, carry = bits.Add64(acc, tail, carry)
	acc = acc>>32 + acc&0xffffffff + carry
	acc = acc>>32 + acc&0xffffffff
	words := fold(uint32(acc>>16) + uint32(acc&0xffff))
	return fold(uint32(bits.ReverseBytes16(words)) + fold32(initial))
}

// Checksum returns the internet checksum (RFC 1071) of b: the complement of
// [Sum]. Over bytes that contain their own correct checksum it is 0.
func Checksum(b []byte, initial uint32) uint16 { return ^Sum(b, initial) }

// fold32 brings a sum of words down to at most 17 bits, so that it can be added
// to without overflow.
func fold32(sum uint32) uint32 { return sum>>16 + sum&0xffff }

// fold adds the carries of a sum of 16-bit words back into it.
func fold(sum uint32) uint16 {
	sum = fold32(sum)
	return uint16(sum>>16 + sum&0xffff)
}

// pseudoSum returns the unfolded sum of the IPv4 pseudo header: addresses,
// protocol and the length in bytes of L4 header and payload (RFC 9293 3.1).
func pseudoSum(src, dst uint32, proto uint8, length int) uint32 {
	return src>>16 + src&0xffff + dst>>16 + dst&0xffff + uint32(proto) + uint32(length)
}

// pseudoSum6 is [pseudoSum] for IPv6 (RFC 8200 section 8.1).
func pseudoSum6(src, dst Addr6, proto uint8, length int) uint32 {
	return sum6(src) + sum6(dst) + uint32(proto) + uint32(length)
}

// sum6 returns the sum of the words of an address, at most 17 bits.
func sum6(a Addr6) uint32 {
	sum, carry := bits.Add64(a.Hi, a.Lo, 0)
	sum = sum>>32 + sum&0xffffffff + carry
	return uint32(sum>>32) + uint32(sum>>16)&0xffff + uint32(sum)&0xffff
}

// pseudo returns the unfolded sum of the packet's pseudo header over length bytes
// of L4 header and payload.
func (p *Packet) pseudo(length int) uint32 {
	if p.V6 {
		return pseudoSum6(p.Src6, p.Dst6, p.Proto, length)
	}
	return pseudoSum(p.Src, p.Dst, p.Proto, length)
}

// delta16 is what a sum changes by when the word old becomes new (RFC 1624:
// ~m + m'), unfolded.
func delta16(old, new uint16) uint32 { return uint32(^old) + uint32(new) }

// delta32 is [delta16] for a field of two words.
func delta32(old, new uint32) uint32 {
	return delta16(uint16(old>>16), uint16(new>>16)) + delta16(uint16(old), uint16(new))
}

// delta6 is [delta16] for an IPv6 address.
func delta6(old, new Addr6) uint32 { return sum6(Addr6{^old.Hi, ^old.Lo}) + sum6(new) }

// updateChecksum changes the complete checksum in field, two bytes, by delta:
// HC' = ~(~HC + ~m + m') (RFC 1624, equation 3).
func updateChecksum(field []byte, delta uint32) {
	sum := uint32(^binary.BigEndian.Uint16(field)) + delta
	binary.BigEndian.PutUint16(field, ^fold(sum))
}

// addToSum changes the plain sum in field, two bytes, by delta: a partial checksum.
func addToSum(field []byte, delta uint32) {
	binary.BigEndian.PutUint16(field, fold(uint32(binary.BigEndian.Uint16(field))+delta))
}

// setIPv4Checksum computes the header checksum of ip, a whole IPv4 header with
// its options, and stores it.
func setIPv4Checksum(ip []byte) {
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:12], Checksum(ip, 0))
}

// nonZero returns the checksum as UDP sends it: a computed 0 goes out as
// 0xffff, the other zero of ones' complement, because a UDP checksum of 0 means
// that there is none (RFC 768).
func nonZero(checksum uint16) uint16 {
	if checksum == 0 {
		return 0xffff
	}
	return checksum
}

// CompleteChecksum finishes a partial checksum: it sums the packet from the
// offset start in the frame (virtio's csum_start) to the packet's end and puts
// the complement at start+offset (csum_offset), where the sum of the pseudo
// header is. As in the kernel, a result of 0 is stored as 0xffff for every
// protocol, which UDP needs and the others do not mind. Ethernet padding after
// the packet is not counted. The field of SCTP, and of no other protocol, is at
// offset 8: what virtio's header has no word for is its CRC32c, and computed here. It
// reports false, and changes nothing, when the place is not inside the packet.
func CompleteChecksum(frame []byte, start, offset int) bool {
	end := packetEnd(frame)
	if start < EthernetLen || start > end || offset < 0 || offset+2 > end-start {
		return false
	}
	l4 := frame[start:end]
	if offset == sctpSumAt {
		setSCTPChecksum(l4)
		return len(l4) >= sctpMinLen
	}
	binary.BigEndian.PutUint16(l4[offset:offset+2], nonZero(Checksum(l4, 0)))
	return true
}

// packetEnd returns where the packet in the frame ends: after the length that its
// IP header states, or with the frame.
func packetEnd(frame []byte) int {
	if len(frame) < EthernetLen+ipv4MinLen {
		return len(frame)
	}
	switch binary.BigEndian.Uint16(frame[12:14]) {
	case etherTypeIPv4:
		return min(len(frame), EthernetLen+int(binary.BigEndian.Uint16(frame[16:18])))
	case etherTypeIPv6:
		return min(len(frame), EthernetLen+ipv6Len+int(binary.BigEndian.Uint16(frame[18:20])))
	}
	return len(frame)
}
