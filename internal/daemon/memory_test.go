package daemon

import "testing"

// TestSizesBySpeed: a link of 10 Gbit/s, a slower one and one that does not tell
// get the same, which shards divide among them down to what each needs; faster ones
// more, within bounds.
func TestSizesBySpeed(t *testing.T) {
	for _, tt := range []struct{ speed, rings, slots, buffer int }{
		{0, 1, 32768, 0}, {100, 1, 32768, 0}, {10_000, 1, 32768, 0}, {10_000, 2, 16384, 0}, {10_000, 3, 10922, 0}, {0, 8, 8192, 0},
		{25_000, 1, 32768, 83886075}, {25_000, 2, 20480, 83886075}, {100_000, 1, 81920, 256 << 20}, {1 << 30, 4, maxRing, 256 << 20},
	} {
		if slots, buffer := slotsFor(tt.speed, tt.rings), bufferFor(tt.speed); slots != tt.slots || buffer != tt.buffer {
			t.Errorf("%d Mbit/s, %d rings: %d slots and %d bytes, want %d and %d", tt.speed, tt.rings, slots, buffer, tt.slots, tt.buffer)
		}
	}
}

// TestRingOf: what was asked for is for all shards together, and all rings of all
// links stay within a sixteenth of the memory, whoever sized them.
func TestRingOf(t *testing.T) {
	const plentiful = 64 << 30
	for _, tt := range []struct{ asked, shards, links, memory, want int }{
		{0, 1, 2, plentiful, 0},
		{1000, 1, 2, plentiful, 1000},
		{1000, 4, 2, plentiful, 250},
		{3, 4, 2, plentiful, 1},
		{RingBySpeed, 1, 2, plentiful, 32768},
		{RingBySpeed, 2, 2, plentiful, 16384},
		{RingBySpeed, 1, 2, 2 << 30, 32768},
		{RingBySpeed, 1, 2, 1 << 30, 16384},
		{RingBySpeed, 1, 1, 1 << 30, 32768},
		{RingBySpeed, 2, 4, 1 << 30, 4096},
		{maxRing, 1, 2, 512 << 20, 8192},
		{RingBySpeed, 1, 2, 1 << 10, 1},
	} {
		if got := ringOf(tt.asked, 10_000, tt.shards, tt.links, tt.memory); got != tt.want {
			t.Errorf("%d frames for %d shards, %d links, %d MiB: rings of %d, want %d", tt.asked, tt.shards, tt.links, tt.memory>>20, got, tt.want)
		}
	}
}
