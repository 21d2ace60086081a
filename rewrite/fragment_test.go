package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// fragments cuts the packet and checks what holds for every piece: length,
// checksum, and that everything but length, offset, flags and checksum of the
// fixed header is the packet's.
func fragments(t errorer, frame []byte, size int) [][]byte {
	t.Helper()
	p := mustParse(t, frame)
	n := FragmentCount(&p, size)
	var pieces [][]byte
	for i := range n {
		dst := make([]byte, EthernetLen+size)
		length := Fragment(dst, frame, &p, size, i)
		if length == 0 {
			t.Fatalf("Fragment(%d of %d) = 0, want a length", i, n)
		}
		piece := mustParse(t, dst[:length])
		if piece.Len() > size || piece.End != length {
			t.Errorf("fragment %d: %d bytes of IP in a frame of %d, want at most %d and no padding", i, piece.Len(), length, size)
		}
		if more := i < n-1 || p.MoreFrags; piece.MoreFrags != more || piece.DontFrag != p.DontFrag {
			t.Errorf("fragment %d of %d: MF %v DF %v, want %v %v", i, n, piece.MoreFrags, piece.DontFrag, more, p.DontFrag)
		}
		if piece.MoreFrags && (piece.End-piece.L4)%8 != 0 {
			t.Errorf("fragment %d of %d carries %d bytes, want a multiple of 8", i, n, piece.End-piece.L4)
		}
		if piece.ID != p.ID || piece.Src != p.Src || piece.Dst != p.Dst || piece.Proto != p.Proto || piece.TTL != p.TTL || piece.L4 != p.L4 {
			t.Errorf("fragment %d = %+v, want the fields of %+v", i, piece, p)
		}
		pieces = append(pieces, dst[:length])
	}
	if got := Fragment(make([]byte, 1<<16), frame, &p, size, n); got != 0 {
		t.Errorf("Fragment(%d of %d) = %d, want 0", n, n, got)
	}
	return pieces
}

// reassemble puts the payload of fragments together by their offsets.
func reassemble(t errorer, pieces [][]byte) []byte {
	t.Helper()
	var payload []byte
	for _, piece := range pieces {
		p := mustParse(t, piece)
		if first := mustParse(t, pieces[0]); int(p.FragOff) != int(first.FragOff)+len(payload) {
			t.Fatalf("fragment at %d, want %d", p.FragOff, int(first.FragOff)+len(payload))
		}
		payload = append(payload, piece[p.L4:p.End]...)
	}
	return payload
}

func TestFragment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := drawPayload(t)
		size := rapid.IntRange(68, 1500).Draw(t, "size") // 68 is what every link must carry (RFC 791)
		frame := udpFrame(t, payload)
		frame[20] &^= byte(rapid.SampledFrom([]int{0, 0x40}).Draw(t, "clear DF"))
		fixIPv4Checksum(frame)
		pieces := fragments(t, frame, size)
		if _, want := split(frame); !bytes.Equal(reassemble(t, pieces), want) {
			t.Fatalf("payload after fragmentation differs from the packet's")
		}
		// A router further on may have to cut the pieces again.
		var again [][]byte
		for _, piece := range pieces {
			again = append(again, fragments(t, piece, 68)...)
		}
		if _, want := split(frame); !bytes.Equal(reassemble(t, again), want) {
			t.Fatalf("payload after fragmentation of the fragments differs from the packet's")
		}
	})
}

func TestFragmentOptions(t *testing.T) {
	frame := make([]byte, 14+60+64)
	copy(frame, udpFrame(t, nil)[:34])
	frame[14] = 0x4b // 24 bytes of options
	binary.BigEndian.PutUint16(frame[16:], 44+64)
	copy(frame[34:], []byte{
		7, 7, 4, 1, 2, 3, 4, // record route: first fragment only
		1,            // NOP
		148, 4, 5, 6, // router alert: copied
		68, 8, 5, 0, 1, 2, 3, 4, // timestamp: first fragment only
		0, 9, 9, 9, // end, and what nobody reads
	})
	frame = frame[:14+44+64]
	fixIPv4Checksum(frame)
	later := []byte{1, 1, 1, 1, 1, 1, 1, 1, 148, 4, 5, 6, 1, 1, 1, 1, 1, 1, 1, 1, 0, 9, 9, 9}

	pieces := fragments(t, frame, 44+24)
	if len(pieces) != 3 {
		t.Fatalf("%d fragments, want 3", len(pieces))
	}
	for i, piece := range pieces {
		want := later
		if i == 0 {
			want = frame[34:58]
		}
		if got := piece[34:58]; !bytes.Equal(got, want) {
			t.Errorf("options of fragment %d = % x, want % x", i, got, want)
		}
	}
}

func TestBlankOptionsMalformed(t *testing.T) {
	for _, tt := range []struct{ in, want []byte }{
		{[]byte{7}, []byte{7}},
		{[]byte{7, 0, 1, 1}, []byte{7, 0, 1, 1}},
		{[]byte{7, 1, 1, 1}, []byte{7, 1, 1, 1}},
		{[]byte{7, 5, 1, 1}, []byte{7, 5, 1, 1}},
		{[]byte{7, 2, 68, 9}, []byte{1, 1, 68, 9}},
	} {
		got := bytes.Clone(tt.in)
		if blankOptions(got); !bytes.Equal(got, tt.want) {
			t.Errorf("blankOptions(% x) = % x, want % x", tt.in, got, tt.want)
		}
	}
}

func TestFragmentCount(t *testing.T) {
	frame := udpFrame(t, make([]byte, 100)) // 128 bytes of IP
	overlong := bytes.Clone(frame)
	binary.BigEndian.PutUint16(overlong[20:], 0x1fff)
	fixIPv4Checksum(overlong)
	for _, tt := range []struct {
		name       string
		frame      []byte
		size, want int
	}{
		{"fits", frame, 128, 1},
		{"fits with room", frame, 1500, 1},
		{"one byte too long", frame, 127, 2},
		{"8 bytes each", frame, 28, 14},
		{"7 bytes more are of no use", frame, 35, 14},
		{"no room for 8 bytes", frame, 27, 0},
		{"no room for the header", frame, 10, 0},
		{"negative size", frame, -100, 0},
		{"fragment beyond the longest packet", overlong, 100, 0},
	} {
		p := mustParse(t, tt.frame)
		if got := FragmentCount(&p, tt.size); got != tt.want {
			t.Errorf("%s: FragmentCount(%d) = %d, want %d", tt.name, tt.size, got, tt.want)
		}
		if tt.want == 0 {
			continue
		}
		if n := Fragment(make([]byte, 14+20), tt.frame, &p, tt.size, 0); n != 0 {
			t.Errorf("%s: Fragment() into a short buffer = %d, want 0", tt.name, n)
		}
		if n := Fragment(make([]byte, 2048), tt.frame, &p, tt.size, -1); n != 0 {
			t.Errorf("%s: Fragment(-1) = %d, want 0", tt.name, n)
		}
	}
}

// TestFragmentAt cuts at places of the caller's choice, as a director does that
// sends a reassembled packet on in the sizes in which it came.
func TestFragmentAt(t *testing.T) {
	payload := bytes.Repeat([]byte("01234567"), 40)
	frame := udpFrame(t, payload[8:]) // with the UDP header 320 bytes after the IP header
	p := mustParse(t, frame)
	var pieces [][]byte
	cuts := []int{0, 8, 136, 304, 320}
	for i, from := range cuts[:len(cuts)-1] {
		to := cuts[i+1]
		dst := make([]byte, 34+to-from)
		if n := FragmentAt(dst, frame, &p, from, to); n != len(dst) {
			t.Fatalf("FragmentAt(%d, %d) = %d, want %d", from, to, n, len(dst))
		}
		piece := mustParse(t, dst)
		if int(piece.FragOff) != from || piece.MoreFrags != (to < 320) {
			t.Errorf("FragmentAt(%d, %d): offset %d, MF %v, want %d, %v", from, to, piece.FragOff, piece.MoreFrags, from, to < 320)
		}
		pieces = append(pieces, dst)
		if n := FragmentAt(dst[:len(dst)-1], frame, &p, from, to); n != 0 {
			t.Errorf("FragmentAt(%d, %d) into a short buffer = %d, want 0", from, to, n)
		}
	}
	if got := reassemble(t, pieces); !bytes.Equal(got, frame[34:p.End]) {
		t.Errorf("pieces put together = % x, want % x", got, frame[34:p.End])
	}
	for _, tt := range []struct{ from, to int }{{-8, 8}, {16, 8}, {312, 328}, {328, 328}} {
		if n := FragmentAt(make([]byte, 2048), frame, &p, tt.from, tt.to); n != 0 {
			t.Errorf("FragmentAt(%d, %d) of 320 bytes = %d, want 0", tt.from, tt.to, n)
		}
	}
}
