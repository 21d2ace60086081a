package rewrite

import "encoding/binary"

// Addr6 is an IPv6 address as the data path has it: two words in host byte
// order. It is comparable, holds no pointer, and its zero value is ::.
type Addr6 struct{ Hi, Lo uint64 }

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
