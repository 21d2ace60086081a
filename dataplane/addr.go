package dataplane

import (
	"encoding/binary"
	"net/netip"
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
