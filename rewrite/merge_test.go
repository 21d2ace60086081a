package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// TestMergeUndoesSegment cuts a random super-packet and merges the pieces: all of
// them follow each other, and cutting the result gives the same pieces.
func TestMergeUndoesSegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		proto := rapid.SampledFrom([]uint8{ProtoTCP, ProtoUDP}).Draw(t, "proto")
		size := rapid.IntRange(1, 1448).Draw(t, "size")
		frame := superPacket(proto, size*rapid.IntRange(1, 9).Draw(t, "full")+rapid.IntRange(0, size-1).Draw(t, "rest"), rapid.Bool().Draw(t, "psh"))
		var p Packet
		if f := ParseIPv4(frame, &p); f != FaultNone {
			t.Fatal(f)
		}
		var pieces [][]byte
		for i := range SegmentCount(&p, frame, size) {
			room := make([]byte, 2000)
			pieces = append(pieces, room[:Segment(room, frame, &p, size, i)])
		}
		merged := mergeAll(t, pieces)
		if f := ParseIPv4(merged, &p); f != FaultNone {
			t.Fatalf("the merged packet has fault %v", f)
		}
		if n := SegmentCount(&p, merged, size); n != len(pieces) {
			t.Fatalf("%d pieces became %d", len(pieces), n)
		}
		for i := range pieces {
			room := make([]byte, 2000)
			if got := room[:Segment(room, merged, &p, size, i)]; !bytes.Equal(got, pieces[i]) {
				t.Fatalf("piece %d of %d was\n%x\nand comes back as\n%x", i, len(pieces), pieces[i], got)
			}
		}
		partial := bytes.Clone(merged)
		start, offset := mergeable(t, pieces[0]).ChecksumField()
		if CompleteChecksum(partial, start, offset); !checksumRight(partial) {
			t.Fatal("the partial checksum of the merged packet does not become right")
		}
	})
}

// superPacket returns a TCP or UDP packet with n bytes of payload, complete.
func superPacket(proto uint8, n int, psh bool) []byte {
	headers := 34 + 8
	if proto == ProtoTCP {
		headers = 34 + 32
	}
	b := make([]byte, headers+n)
	b[12], b[13], b[14], b[20], b[22], b[23] = 8, 0, 0x45, 0x40, 63, proto
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
	binary.BigEndian.PutUint16(b[18:], 0xfffe) // the identification wraps
	copy(b[26:], []byte{10, 0, 0, 1, 192, 0, 2, 9, 0x9c, 0x40, 0, 80})
	if proto == ProtoTCP {
		binary.BigEndian.PutUint32(b[38:], 0xffffff00) // so does the sequence
		b[46], b[47], b[48] = 8<<4, TCPAck, 7
		if psh {
			b[47] |= TCPPsh
		}
		copy(b[54:66], []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8})
	} else {
		binary.BigEndian.PutUint16(b[38:], uint16(8+n))
	}
	for i := range b[headers:] {
		b[headers+i] = byte(i * 7)
	}
	setIPv4Checksum(b[14:34])
	return b
}

func mergeable(t interface{ Fatalf(string, ...any) }, frame []byte) *Mergeable {
	m := new(Mergeable)
	if !m.FlowOf(frame) || !ParseMergeable(frame, m) {
		t.Fatalf("not mergeable: %x", frame)
	}
	return m
}

func mergeAll(t *rapid.T, pieces [][]byte) []byte {
	head := mergeable(t, pieces[0])
	merged, prev := bytes.Clone(pieces[0]), head
	_, total := head.Len()
	for i, piece := range pieces[1:] {
		n := mergeable(t, piece)
		if !prev.Follows(pieces[0], piece, head, n, i+1) || !n.ChecksumOK(piece) {
			t.Fatalf("piece %d does not follow", i+1)
		}
		headers, payload := n.Len()
		merged, prev, total = append(merged, piece[headers:]...), n, total+payload
	}
	head.SetSuper(merged, total, prev.Last())
	return merged
}

func checksumRight(frame []byte) bool {
	var p Packet
	if ParseIPv4(frame, &p) != FaultNone {
		return false
	}
	l4 := frame[p.L4:p.End]
	return Sum(l4, pseudoSum(p.Src, p.Dst, p.Proto, len(l4))) == 0xffff
}

// TestNotMergeable changes one thing in the second of two segments that follow
// each other.
func TestNotMergeable(t *testing.T) {
	pieces := func() (a, b []byte) {
		frame := superPacket(ProtoTCP, 2000, false)
		var p Packet
		ParseIPv4(frame, &p)
		a, b = make([]byte, 2000), make([]byte, 2000)
		return a[:Segment(a, frame, &p, 1000, 0)], b[:Segment(b, frame, &p, 1000, 1)]
	}
	follows := func(a, b []byte) bool {
		m, n := new(Mergeable), new(Mergeable)
		m.FlowOf(a)
		n.FlowOf(b)
		return m.Flow == n.Flow && ParseMergeable(a, m) && ParseMergeable(b, n) && m.Follows(a, b, m, n, 1)
	}
	if a, b := pieces(); !follows(a, b) {
		t.Fatal("the unchanged one does not follow")
	}
	for name, change := range map[string]func(a, b []byte){
		"destination MAC": func(_, b []byte) { b[0] ^= 1 },
		"TOS":             func(_, b []byte) { b[15] ^= 1 },
		"IP options":      func(_, b []byte) { b[14] = 0x46 },
		"TTL":             func(_, b []byte) { b[22]-- },
		"fragment":        func(_, b []byte) { b[20] |= 0x20 },
		"identification without DF": func(a, b []byte) {
			a[20], b[20] = 0, 0
			b[19]++
		},
		"client":           func(_, b []byte) { b[33] ^= 1 },
		"port":             func(_, b []byte) { b[35] ^= 1 },
		"sequence":         func(_, b []byte) { b[41] ^= 1 },
		"acknowledgement":  func(_, b []byte) { b[45] ^= 1 },
		"window":           func(_, b []byte) { b[49] ^= 1 },
		"timestamp":        func(_, b []byte) { b[65] ^= 1 },
		"FIN":              func(_, b []byte) { b[47] |= TCPFin },
		"URG":              func(_, b []byte) { b[47] |= TCPUrg },
		"CWR":              func(_, b []byte) { b[47] |= TCPCwr },
		"no ACK":           func(_, b []byte) { b[47] = 0 },
		"PSH on the first": func(a, _ []byte) { a[47] |= TCPPsh },
		"padding":          func(_, b []byte) { b[17] -= 4 },
		"reserved bits":    func(_, b []byte) { b[46] |= 1 },
		"header length":    func(_, b []byte) { b[46] = 5 << 4 },
		"header beyond":    func(_, b []byte) { b[46] = 15 << 4 },
		"header shorter":   func(_, b []byte) { b[46] = 4 << 4 },
	} {
		a, b := pieces()
		if change(a, b); follows(a, b) {
			t.Errorf("a segment with another %s follows", name)
		}
	}
	a, b := pieces()
	b[100]++
	if m := mergeable(t, b); m.ChecksumOK(b) || !mergeable(t, a).ChecksumOK(a) {
		t.Error("a wrong checksum counts as right, or a right one as wrong")
	}
	if new(Mergeable).FlowOf(a[:37]) {
		t.Error("a frame of 37 bytes has a flow")
	}
}
