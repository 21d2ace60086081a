package oracletest

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"natlb/internal/packettest"
)

// IP protocol numbers.
const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
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
	s, d := src.As4(), dst.As4()
	return uint32(s[0])<<8 + uint32(s[1]) + uint32(s[2])<<8 + uint32(s[3]) +
		uint32(d[0])<<8 + uint32(d[1]) + uint32(d[2])<<8 + uint32(d[3]) + uint32(proto) + uint32(n)
}

// ipHeader is an IPv4 header without options.
type ipHeader struct {
	src, dst netip.Addr
	proto    uint8
	ident    uint16
	ttl      uint8
	df, mf   bool
	off      int // of the payload in its datagram, in bytes
}

// packet returns the packet of h with payload.
func (h ipHeader) packet(payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[4:], h.ident)
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

// parseIP returns header and payload of a packet, which may be the cut one that
// an ICMP error quotes; false when not even the header is there.
func parseIP(b []byte) (h ipHeader, payload []byte, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 || len(b) < int(b[0]&15)*4 {
		return h, nil, false
	}
	frag := binary.BigEndian.Uint16(b[6:])
	h = ipHeader{
		src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])),
		proto: b[9], ident: binary.BigEndian.Uint16(b[4:]), ttl: b[8],
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

// icmpBytes returns an ICMP message; rest are the four bytes behind its
// checksum.
func icmpBytes(kind, code uint8, rest uint32, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	b[0], b[1] = kind, code
	binary.BigEndian.PutUint32(b[4:], rest)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[2:], checksum(b, 0))
	return b
}
