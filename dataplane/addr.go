package dataplane

import (
	"encoding/binary"
	"net/netip"
)

// addr4 returns an IPv4 address in host byte order.
func addr4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// fromAddr4 is the inverse of addr4.
func fromAddr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}
