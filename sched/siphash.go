package sched

import "math/bits"

// sipHash13 returns SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast
// short-input PRF", 2012; one round a word, three to finish) of the four bytes
// of m, least significant first, under the key of the two words k0 and k1.
func sipHash13(k0, k1 uint64, m uint32) uint64 {
	v0 := k0 ^ 0x736f6d6570736575
	v1 := k1 ^ 0x646f72616e646f6d
	v2 := k0 ^ 0x6c7967656e657261
	v3 := k1 ^ 0x7465646279746573

	const length = 4 // of the message; its low byte tops the last word
	word := length<<56 | uint64(m)
	v3 ^= word
	for round := range 4 {
		if round == 1 {
			v0 ^= word
			v2 ^= 0xff
		}
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	return v0 ^ v1 ^ v2 ^ v3
}
