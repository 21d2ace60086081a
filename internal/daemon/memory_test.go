package daemon

import "testing"

// TestSizesBySpeed: a link of 10 Gbit/s, a slower one and one that does not tell
// get the same; faster ones more, within bounds.
func TestSizesBySpeed(t *testing.T) {
	for _, tt := range []struct{ speed, slots, buffer int }{
		{0, 8192, 0}, {100, 8192, 0}, {10_000, 8192, 0}, {25_000, 20480, 83886075}, {100_000, 81920, 256 << 20}, {1 << 30, maxRing, 256 << 20},
	} {
		if slots, buffer := slotsFor(tt.speed), bufferFor(tt.speed); slots != tt.slots || buffer != tt.buffer {
			t.Errorf("%d Mbit/s: %d slots and %d bytes, want %d and %d", tt.speed, slots, buffer, tt.slots, tt.buffer)
		}
	}
}
