package oracletest

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"natlb/internal/packettest"
)

// IP protocol numbers.
const (
	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
)

// TCP flags.
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
	urg
)

func flagsOf(letters string) (flags uint8) {
	for _, l := range letters {
		flags |= 1 << strings.IndexRune(packettest.FlagLetters, l)
	}
	return flags
}

// checksum is the Internet checksum of b with initial added (RFC 1071).
func checksum(b []byte, initial uint32) uint16 {
	sum := initial
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// pseudo is the sum of the pseudo header of n bytes of proto.
func pseudo(src, dst netip.Addr, proto uint8, n int) uint32 {
	sum := uint32(proto) + uint32(n)
	for _, b := range [][]byte{src.AsSlice(), dst.AsSlice()} {
		for ; len(b) > 0; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
		}
	}
	return sum
}

// icmpOf returns the number of ICMP in the family of an address.
func icmpOf(a netip.Addr) uint8 {
	if a.Is6() {
		return protoICMP6
	}
	return protoICMP
}

// headerLen returns the length of the IP header of a packet to an address.
func headerLen(a netip.Addr) int {
	if a.Is6() {
		return 40
	}
	return 20
}

// ipHeader is an IPv4 header without options, or an IPv6 header with a fragment
// header where the packet is a fragment.
type ipHeader struct {
	src, dst netip.Addr
	proto    uint8
	ident    uint32
	ttl      uint8
	df, mf   bool
	off      int // of the payload in its datagram, in bytes
}

// packet returns the packet of h with payload.
func (h ipHeader) packet(payload []byte) []byte {
	if h.src.Is6() {
		return h.packet6(payload)
	}
	b := make([]byte, 20, 20+len(payload))
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[4:], uint16(h.ident))
	frag := uint16(h.off / 8)
	if h.df {
		frag |= 0x4000
	}
	if h.mf {
		frag |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], frag)
	b[8], b[9] = h.ttl, h.proto
	s, d := h.src.As4(), h.dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], checksum(b, 0))
	return append(b, payload...)
}

func (h ipHeader) packet6(payload []byte) []byte {
	b := make([]byte, 40, 48+len(payload))
	b[0], b[6], b[7] = 0x60, h.proto, h.ttl
	s, d := h.src.As16(), h.dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	if h.mf || h.off != 0 {
		field := uint16(h.off)
		if h.mf {
			field |= 1
		}
		b = binary.BigEndian.AppendUint16(append(b, h.proto, 0), field)
		b = binary.BigEndian.AppendUint32(b, h.ident)
		b[6] = 44
	}
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// parseIP6 is parseIP for IPv6; the only extension header that it knows is that of a
// fragment.
func parseIP6(b []byte) (h ipHeader, payload []byte, ok bool) {
	if len(b) < 40 {
		return h, nil, false
	}
	h = ipHeader{
		src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])), proto: b[6], ttl: b[7], df: true,
	}
	n, end := 40, min(40+int(binary.BigEndian.Uint16(b[4:])), len(b))
	if h.proto == 44 && end >= 48 {
		field := binary.BigEndian.Uint16(b[42:])
		h.proto, h.off, h.mf, h.ident = b[40], int(field&^7), field&1 != 0, binary.BigEndian.Uint32(b[44:])
		n = 48
	}
	return h, b[n:end], true
}

// parseIP returns header and payload of a packet, which may be the cut one that
// an ICMP error quotes; false when not even the header is there.
func parseIP(b []byte) (h ipHeader, payload []byte, ok bool) {
	if len(b) > 0 && b[0]>>4 == 6 {
		return parseIP6(b)
	}
	if len(b) < 20 || b[0]>>4 != 4 || len(b) < int(b[0]&15)*4 {
		return h, nil, false
	}
	frag := binary.BigEndian.Uint16(b[6:])
	h = ipHeader{
		src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])),
		proto: b[9], ident: uint32(binary.BigEndian.Uint16(b[4:])), ttl: b[8],
		df: frag&0x4000 != 0, mf: frag&0x2000 != 0, off: int(frag&0x1fff) * 8,
	}
	n := int(b[0]&15) * 4
	end := min(max(int(binary.BigEndian.Uint16(b[2:])), n), len(b))
	return h, b[n:end], true
}

// segment is a TCP segment.
type segment struct {
	sport, dport uint16
	seq, ack     uint32
	flags        uint8
	urgent       uint16
	opts, data   []byte
	bad          bool // with a wrong checksum
}

// bytes returns the segment as it goes from src to dst. Options are padded.
func (s segment) bytes(src, dst netip.Addr) []byte {
	opts := s.opts
	for len(opts)%4 != 0 {
		opts = append(opts[:len(opts):len(opts)], 1)
	}
	b := make([]byte, 20, 20+len(opts)+len(s.data))
	binary.BigEndian.PutUint16(b, s.sport)
	binary.BigEndian.PutUint16(b[2:], s.dport)
	binary.BigEndian.PutUint32(b[4:], s.seq)
	binary.BigEndian.PutUint32(b[8:], s.ack)
	b[12], b[13] = uint8(5+len(opts)/4)<<4, s.flags
	binary.BigEndian.PutUint16(b[14:], 29200)
	binary.BigEndian.PutUint16(b[18:], s.urgent)
	b = append(append(b, opts...), s.data...)
	sum := checksum(b, pseudo(src, dst, protoTCP, len(b)))
	if s.bad {
		sum ^= 0x5555
	}
	binary.BigEndian.PutUint16(b[16:], sum)
	return b
}

func parseSegment(b []byte) (s segment, ok bool) {
	if len(b) < 20 || len(b) < int(b[12]>>4)*4 || b[12]>>4 < 5 {
		return s, false
	}
	n := int(b[12]>>4) * 4
	return segment{
		sport: binary.BigEndian.Uint16(b), dport: binary.BigEndian.Uint16(b[2:]),
		seq: binary.BigEndian.Uint32(b[4:]), ack: binary.BigEndian.Uint32(b[8:]),
		flags: b[13], urgent: binary.BigEndian.Uint16(b[18:]), opts: b[20:n], data: b[n:],
	}, true
}

// length is what the segment takes of the sequence space.
func (s *segment) length() uint32 {
	n := uint32(len(s.data))
	if s.flags&syn != 0 {
		n++
	}
	if s.flags&fin != 0 {
		n++
	}
	return n
}

// udpKind says what checksum a datagram has.
type udpKind int

const (
	udpGood udpKind = iota
	udpZero
	udpBad
)

// udpBytes returns a UDP datagram from src to dst.
func udpBytes(src, dst netip.AddrPort, data []byte, kind udpKind) []byte {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	b = append(b, data...)
	if kind == udpZero {
		return b
	}
	sum := checksum(b, pseudo(src.Addr(), dst.Addr(), protoUDP, len(b)))
	if sum == 0 {
		sum = 0xffff
	}
	if kind == udpBad {
		sum ^= 0x5555
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return b
}

// icmpFrom returns an ICMP message of the family of src; rest are the four bytes
// behind its checksum.
func icmpFrom(src, dst netip.Addr, kind, code uint8, rest uint32, data []byte) []byte {
	b := icmpBytes(kind, code, rest, data)
	if src.Is6() {
		b[2], b[3] = 0, 0
		binary.BigEndian.PutUint16(b[2:], checksum(b, pseudo(src, dst, protoICMP6, len(b))))
	}
	return b
}

// icmpBytes is icmpFrom for IPv4.
func icmpBytes(kind, code uint8, rest uint32, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	b[0], b[1] = kind, code
	binary.BigEndian.PutUint32(b[4:], rest)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[2:], checksum(b, 0))
	return b
}
