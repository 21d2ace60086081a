package rewrite

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// fragments6 cuts the packet and checks what holds for every piece.
func fragments6(t errorer, frame []byte, p *Packet, size int) [][]byte {
	t.Helper()
	n := FragmentCount(p, size)
	var pieces [][]byte
	for i := range n {
		dst := bytes.Repeat([]byte{0xaa}, EthernetLen+size)
		length := Fragment(dst, frame, p, size, i)
		if length == 0 || Fragment(dst[:length-1], frame, p, size, i) != 0 {
			t.Fatalf("Fragment(%d of %d) = %d, want a length, and none in less room", i, n, length)
		}
		var piece Packet
		if f := Parse(dst[:length], &piece); f > FaultHeader && f != FaultL4 {
			t.Fatalf("fragment %d of %d has fault %v", i, n, f)
		}
		if piece.Len() > size || piece.End != length {
			t.Errorf("fragment %d: %d bytes of IP in a frame of %d, want at most %d and no padding", i, piece.Len(), length, size)
		}
		if more := i < n-1 || p.MoreFrags; piece.MoreFrags != more {
			t.Errorf("fragment %d of %d: more to follow %v, want %v", i, n, piece.MoreFrags, more)
		}
		if n > 1 && (piece.ID != p.ID || !piece.FragHeader || piece.FragAt != p.FragAt || piece.FragName != p.FragName) {
			t.Errorf("fragment %d = %+v, want the identification %#x and a header at %d", i, piece, p.ID, p.FragAt)
		}
		if piece.MoreFrags && len(Piece(dst[:length], &piece))%8 != 0 {
			t.Errorf("fragment %d of %d carries %d bytes, want a multiple of 8", i, n, len(Piece(dst, &piece)))
		}
		if !bytes.Equal(dst[:18], frame[:18]) || !bytes.Equal(dst[21:54], frame[21:54]) {
			t.Errorf("fragment %d has another header:\n%x\n%x", i, dst[:54], frame[:54])
		}
		pieces = append(pieces, dst[:length])
	}
	if got := Fragment(make([]byte, 1<<16), frame, p, size, n); got != 0 {
		t.Errorf("Fragment(%d of %d) = %d, want 0", n, n, got)
	}
	return pieces
}

// whole6 puts fragments together as a receiver does.
func whole6(t errorer, pieces [][]byte) (frame []byte, p Packet) {
	t.Helper()
	first := parsePiece(t, pieces[0])
	frame = AppendWholeHeaders([]byte("in front"), pieces[0], &first)
	frame = frame[copy(frame, "in front"):]
	for _, b := range pieces {
		piece := parsePiece(t, b)
		if base := parsePiece(t, pieces[0]).FragAt; len(frame) != int(base)+int(piece.FragOff) {
			t.Fatalf("fragment at %d, want %d", piece.FragOff, len(frame)-int(base))
		}
		frame = append(frame, Piece(b, &piece)...)
	}
	if !SetWhole(frame) {
		t.Fatalf("SetWhole of %d bytes = false", len(frame))
	}
	p = mustParse6(t, frame)
	p.CutLike(&first)
	return frame, p
}

func parsePiece(t errorer, frame []byte) (p Packet) {
	t.Helper()
	if f := Parse(frame, &p); f == FaultTruncated || f == FaultNotIP {
		t.Fatalf("Parse(% x) = %v", frame, f)
	}
	return p
}

// TestFragment6: a packet is cut and put together, and cut again where it was cut,
// and nothing is lost; gopacket reads the pieces.
func TestFragment6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var chain []ext
		for _, e := range []ext{hopByHop, destOpts, routing0, destOpts} {
			if rapid.IntRange(0, 3).Draw(t, "extension") == 0 {
				chain = append(chain, e)
			}
		}
		frame := udpFrame6(t, chain, drawPayload(t))
		size := rapid.IntRange(250, 1500).Draw(t, "size")
		p := mustParse6(t, frame)
		p.ID = rapid.Uint32().Draw(t, "id")
		pieces := fragments6(t, frame, &p, size)
		if len(pieces) == 1 {
			if !bytes.Equal(pieces[0], frame) {
				t.Fatalf("a packet that fits became\n%x\nfrom\n%x", pieces[0], frame)
			}
			return
		}
		for i, b := range pieces {
			packet := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
			f, ok := packet.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
			if !ok || f.Identification != p.ID || f.MoreFragments != (i < len(pieces)-1) || f.Reserved1 != 0 || f.Reserved2 != 0 {
				t.Fatalf("gopacket reads fragment %d as %v", i, f)
			}
		}
		again, q := whole6(t, pieces)
		if !bytes.Equal(again, frame) || q != p {
			t.Fatalf("put together:\n%x, %+v\nwant\n%x, %+v", again, q, frame, p)
		}
		for i, b := range pieces {
			piece := parsePiece(t, b)
			dst := make([]byte, len(b))
			if n := FragmentAt(dst, again, &q, int(piece.FragOff), int(piece.FragOff)+len(Piece(b, &piece))); !bytes.Equal(dst[:n], b) {
				t.Fatalf("fragment %d was\n%x\nand is cut again as\n%x", i, b, dst[:n])
			}
		}
		// Pieces may be cut further.
		var finer [][]byte
		for _, b := range pieces {
			piece := parsePiece(t, b)
			finer = append(finer, fragments6(t, b, &piece, 200)...)
		}
		if again, _ := whole6(t, finer); !bytes.Equal(again, frame) {
			t.Fatalf("after fragmentation of the fragments:\n%x\nwant\n%x", again, frame)
		}
	})
}

// TestFragmentHeaderStays: an atomic fragment keeps its header, and a sender's choice
// of its place is respected.
func TestFragmentHeaderStays(t *testing.T) {
	frame := udpFrame6(t, []ext{destOpts, atomic}, make([]byte, 100))
	p := mustParse6(t, frame)
	dst := make([]byte, 2000)
	if n := Fragment(dst, frame, &p, 1500, 0); !bytes.Equal(dst[:n], frame) {
		t.Errorf("an atomic fragment that fits became\n%x\nfrom\n%x", dst[:n], frame)
	}
	pieces := fragments6(t, frame, &p, 150)
	want := udpFrame6(t, []ext{destOpts}, make([]byte, 100))
	if got, q := whole6(t, pieces); !bytes.Equal(got, want) || q.FragAt != 70 || q.ID != 0x01020304 {
		t.Errorf("put together:\n%x, %+v\nwant\n%x", got, q, want)
	} else if again := fragments6(t, got, &q, 150); !slices.EqualFunc(again, pieces, bytes.Equal) {
		t.Errorf("cut again:\n%x\nwant\n%x", again, pieces)
	}
	if n := FragmentCount(&p, 120); n != 2 { // 56 bytes of 108 with the headers
		t.Errorf("FragmentCount of an atomic fragment for 120 bytes = %d, want 2", n)
	}
}

// TestWholeOfIPv4: the same steps with the fragments of IPv4.
func TestWholeOfIPv4(t *testing.T) {
	ip := ipv4Layer(layers.IPProtocolUDP)
	ip.Flags = 0
	ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	frame := build(t, ip, &layers.UDP{SrcPort: 5401, DstPort: 53}, gopacket.Payload(make([]byte, 500)))
	pieces := fragments(t, frame, 100)
	first := mustParse(t, pieces[0])
	whole := AppendWholeHeaders(nil, pieces[0], &first)
	for _, b := range pieces {
		p := mustParse(t, b)
		whole = append(whole, Piece(b, &p)...)
	}
	if !SetWhole(whole) || !bytes.Equal(whole, frame) {
		t.Errorf("put together:\n%x\nwant\n%x", whole, frame)
	}
	p, want := mustParse(t, whole), mustParse(t, frame)
	if p.CutLike(&first); p != want {
		t.Errorf("packet %+v, want %+v", p, want)
	}
}

func TestSetWholeRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		frame []byte
		most  int
	}{
		"IPv4": {udpFrame(t, nil), 65535}, "IPv6": {udpFrame6(t, nil, nil), 65575},
	} {
		for n, want := range map[int]bool{tt.most: true, tt.most + 1: false} {
			frame := make([]byte, 14+n)
			copy(frame, tt.frame)
			if got := SetWhole(frame); got != want {
				t.Errorf("%s: SetWhole of %d bytes = %v, want %v", name, n, got, want)
			}
		}
	}
}

// TestFragment6Limits: what cannot be cut.
func TestFragment6Limits(t *testing.T) {
	frame := udpFrame6(t, nil, make([]byte, 100))
	p := mustParse6(t, frame)
	if n := FragmentCount(&p, 55); n != 0 {
		t.Errorf("FragmentCount for 55 bytes = %d, want 0", n)
	}
	if n := FragmentCount(&p, 56); n != 14 {
		t.Errorf("FragmentCount for 56 bytes = %d, want 14", n)
	}
	for _, r := range [][2]int{{-8, 8}, {16, 8}, {0, 109}} {
		if n := FragmentAt(make([]byte, 500), frame, &p, r[0], r[1]); n != 0 {
			t.Errorf("FragmentAt(%d, %d) = %d, want 0", r[0], r[1], n)
		}
	}
	if n := FragmentAt(make([]byte, len(frame)-1), frame, &p, 0, 108); n != 0 {
		t.Errorf("FragmentAt of all into less = %d, want 0", n)
	}
	// A fragment whose end no offset can state is not cut further.
	last := frame6(cip6, vip6, 9, []ext{{ExtFragment, []byte{0, 0xff, 0xf8, 0, 0, 0, 1}}}, ProtoUDP, make([]byte, 100))
	p = mustParse6(t, last)
	if n := FragmentCount(&p, 100); p.FragOff != 65528 || n != 0 {
		t.Errorf("FragmentCount at offset %d = %d, want 0", p.FragOff, n)
	}
	if got := binary.BigEndian.Uint16(last[18:]); got != 108 {
		t.Errorf("payload length %d", got)
	}
}
