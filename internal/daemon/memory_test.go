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
