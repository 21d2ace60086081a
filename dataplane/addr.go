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

// Number6 returns an IPv6 address as the data path has it. A zone is dropped.
func Number6(a netip.Addr) rewrite.Addr6 {
	b := a.As16()
	return rewrite.ReadAddr6(b[:])
}

// Addr6 is the inverse of [Number6].
func Addr6(n rewrite.Addr6) netip.Addr {
	var b [16]byte
	n.Put(b[:])
	return netip.AddrFrom16(b)
}
