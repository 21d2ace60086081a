package dataplane

import (
	"encoding/binary"
	"net/netip"

	"natlb/rewrite"
)

// Number4 returns an IPv4 address as the data path has it, in host byte order.
func Number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Addr4 is the inverse of [Number4].
func Addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// Address is an address of either family without a pointer, to be compared and kept
// by the million: of IPv4 the low word, in host byte order. The zero value is 0.0.0.0.
type Address struct {
	rewrite.Addr6
	V6 bool
}

// Address4 returns an IPv4 address, n in host byte order.
func Address4(n uint32) Address { return Address{rewrite.Addr6{Lo: uint64(n)}, false} }

// Address6 returns an IPv6 address.
func Address6(n rewrite.Addr6) Address { return Address{n, true} }

// AddressOf returns a, which is not IPv4-mapped.
func AddressOf(a netip.Addr) Address {
	if a.Is4() {
		return Address4(Number4(a))
	}
	return Address6(rewrite.Addr6Of(a))
}

// Addr is the inverse of [AddressOf].
func (a Address) Addr() netip.Addr {
	if a.V6 {
		return a.Addr6.Addr()
	}
	return Addr4(uint32(a.Lo))
}

// SourceOf returns the address that a packet comes from.
func SourceOf(p *rewrite.Packet) Address {
	if p.V6 {
		return Address6(p.Src6)
	}
	return Address4(p.Src)
}

// DestinationOf returns the address that a packet goes to.
func DestinationOf(p *rewrite.Packet) Address {
	if p.V6 {
		return Address6(p.Dst6)
	}
	return Address4(p.Dst)
}
