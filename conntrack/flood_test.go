package conntrack

import (
	"math/bits"
	"testing"

	"natlb/rewrite"
)

// TestFloodSpreads: whoever may send from any address, knows the hash, but not the
// seed, cannot choose clients that meet in few buckets. The hash reads words one
// after the other, in a way that can be undone; a difference that one word makes in the
// uppermost bits goes through to the next word, which can take it back.
func TestFloodSpreads(t *testing.T) {
	const variants = 256
	for seed := range uint64(4) {
		table := NewTable(Config{Seed: seed * 0x9e3779b97f4a7c15, V6: true})
		met := map[uint32]int{}
		most := 0
		for i := range uint64(variants) {
			for k := range uint64(variants) {
				a := rewrite.Addr6{Hi: wordFor(i << 29), Lo: wordFor(k << 56)}
				h := table.Hash6(protoTCP, a, 4000)
				met[h]++
				most = max(most, met[h])
			}
		}
		if most > 4 {
			t.Errorf("seed %d: of %d clients %d have one hash, want at most 4", seed, variants*variants, most)
		}
	}
}

// wordFor returns the word of which XXH64 makes the round value x.
func wordFor(x uint64) uint64 {
	const prime1, prime2 = 11400714785074694791, 14029467366897019727
	return bits.RotateLeft64(x*inverse(prime1), -31) * inverse(prime2)
}

// inverse returns the number that makes 1 with odd n, modulo 2^64.
func inverse(n uint64) uint64 {
	x := n
	for range 5 {
		x *= 2 - n*x
	}
	return x
}
