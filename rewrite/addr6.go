package rewrite

import (
	"encoding/binary"
	"net/netip"
)

// Addr6 is an IPv6 address as the data path has it: two words in host byte
// order. It is comparable, holds no pointer, and its zero value is ::.
type Addr6 struct{ Hi, Lo uint64 }

// Addr6Of returns a, which must be an IPv6 address, without its zone.
func Addr6Of(a netip.Addr) Addr6 {
	b := a.As16()
	return ReadAddr6(b[:])
}

// Addr returns the address as the world outside the data path has it.
func (a Addr6) Addr() netip.Addr {
	var b [16]byte
	a.Put(b[:])
	return netip.AddrFrom16(b)
}

// ReadAddr6 reads an address as packets carry it. b must have 16 bytes.
func ReadAddr6(b []byte) Addr6 {
	_ = b[15]
	return Addr6{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// Put writes the address as packets carry it. b must have room for 16 bytes.
func (a Addr6) Put(b []byte) {
	_ = b[15]
	binary.BigEndian.PutUint64(b, a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
}

// Fold returns the four 32-bit words of the address, XORed: what the kernel's
// hashing schedulers take for an IPv6 address (semantics 2.11).
func (a Addr6) Fold() uint32 {
	x := a.Hi ^ a.Lo
	return uint32(x>>32) ^ uint32(x)
}

// Masked returns the network that the address is in, by a prefix length of 0 to
// 128 bits: the rest of the address is zero.
func (a Addr6) Masked(bits int) Addr6 {
	if bits <= 64 {
		return Addr6{Hi: a.Hi &^ (^uint64(0) >> bits)}
	}
	return Addr6{Hi: a.Hi, Lo: a.Lo &^ (^uint64(0) >> (bits - 64))}
}

// IsMulticast reports whether the address is a group's, ff00::/8.
func (a Addr6) IsMulticast() bool { return a.Hi>>56 == 0xff }

// IsLinkLocal reports whether the address is good on its link alone, fe80::/10.
func (a Addr6) IsLinkLocal() bool { return a.Hi>>54 == 0xfe80>>6 }

// IsSingleHost reports whether the address is one that a host on a network can
// have: not ::, not ::1, not a group's.
func (a Addr6) IsSingleHost() bool { return (a.Hi != 0 || a.Lo > 1) && !a.IsMulticast() }
