package rewrite

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

func TestSumEqualsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "b")
		initial := rapid.Uint32().Draw(t, "initial")
		want := slowSum(b, binary.BigEndian.AppendUint32(nil, initial))
		if got := Sum(b, initial); got != want {
			t.Fatalf("Sum(% x, %#x) = %#04x, want %#04x", b, initial, got, want)
		}
		if got := Checksum(b, initial); got != ^want {
			t.Fatalf("Checksum(% x, %#x) = %#04x, want %#04x", b, initial, got, ^want)
		}
	})
}

// TestSumCarries fills every length with ones, so that each addition carries.
func TestSumCarries(t *testing.T) {
	b := make([]byte, 300)
	for i := range b {
		b[i] = 0xff
	}
	for n := range b {
		if got, want := Sum(b[:n], 0xffffffff), slowSum(b[:n], b[:4]); got != want {
			t.Errorf("Sum(%d bytes of ff) = %#04x, want %#04x", n, got, want)
		}
	}
	if got := Sum(make([]byte, 99), 0); got != 0 {
		t.Errorf("Sum(zeros) = %#04x, want 0", got)
	}
}

func TestUpdateChecksum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 4, 60).Draw(t, "b")
		b = b[:len(b)&^1]
		b[0] |= 0x40 // an IP header is never all zero
		at := rapid.IntRange(1, len(b)/2-1).Draw(t, "word") * 2
		old, new := binary.BigEndian.Uint16(b[at:]), rapid.Uint16().Draw(t, "new")
		field := binary.BigEndian.AppendUint16(nil, ^slowSum(b))
		binary.BigEndian.PutUint16(b[at:], new)
		updateChecksum(field, delta16(old, new))
		if got, want := binary.BigEndian.Uint16(field), ^slowSum(b); got != want {
			t.Fatalf("updateChecksum(%#04x -> %#04x) = %#04x, want %#04x", old, new, got, want)
		}
	})
}

func TestCompleteChecksum(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frame  []byte
		offset int
	}{
		{"tcp", tcpFrame(t, layers.TCP{ACK: true}, []byte("odd")), 16},
		{"udp", udpFrame(t, []byte("even")), 6},
		{"udp, checksum 0 sent as ffff", udpFrame(t, udpZeroPayload(t)), 6},
	} {
		frame := append(tt.frame, 0xde, 0xad) // padding that is not part of the packet
		want := wantChecksum(frame)
		makePartial(frame)
		if !CompleteChecksum(frame, 34, tt.offset) {
			t.Fatalf("%s: CompleteChecksum() = false, want true", tt.name)
		}
		if got := gotChecksum(frame); got != want {
			t.Errorf("%s: completed checksum = %#04x, want %#04x", tt.name, got, want)
		}
	}
}

func TestCompleteChecksumOutside(t *testing.T) {
	frame := udpFrame(t, nil)
	before := string(frame)
	for _, tt := range []struct{ start, offset int }{
		{-1, 6}, {0, 6}, {34, -1}, {34, 7}, {35, 6}, {42, 0}, {43, 0}, {1 << 20, 0}, {34, 1 << 40},
	} {
		if CompleteChecksum(frame, tt.start, tt.offset) {
			t.Errorf("CompleteChecksum(packet ends at 42, %d, %d) = true, want false", tt.start, tt.offset)
		}
	}
	if string(frame) != before {
		t.Errorf("CompleteChecksum() outside the packet changed it to % x", frame)
	}
	if CompleteChecksum(nil, 34, 6) {
		t.Error("CompleteChecksum(nil) = true, want false")
	}
}

// udpZeroPayload returns two bytes with which the checksum of udpFrame computes
// to 0.
func udpZeroPayload(t errorer) []byte {
	_, l4 := split(udpFrame(t, []byte{0, 0}))
	return append([]byte{}, l4[6:8]...) // adding the complement of a sum gives ffff, the complement of which is 0
}

// makePartial replaces the L4 checksum by the sum of the pseudo header.
func makePartial(frame []byte) {
	ip, l4 := split(frame)
	binary.BigEndian.PutUint16(l4[checksumAt(ip[9]):], slowSum(slowPseudo(frame)))
}
