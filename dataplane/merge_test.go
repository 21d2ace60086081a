package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"natlb/rewrite"
)

// flowFrames makes the frames of a batch: segments and datagrams of a few flows
// that go on where the last one ended, or do not.
func flowFrames(t *rapid.T) (fs []Frame) {
	type state struct {
		seq uint32
		id  uint16
	}
	flows := map[string]*state{}
	for range rapid.IntRange(1, DefaultBatch).Draw(t, "frames") {
		proto := rapid.SampledFrom([]uint8{rewrite.ProtoTCP, rewrite.ProtoTCP, rewrite.ProtoUDP}).Draw(t, "proto")
		port := rapid.Uint16Range(1, 12).Draw(t, "port")
		key := fmt.Sprint(proto, port)
		if flows[key] == nil {
			flows[key] = &state{seq: 0xfffffff0, id: 0xfff8}
		}
		st := flows[key]
		n := rapid.SampledFrom([]int{0, 1, 100, 100, 100, 1448, 1448, 1448}).Draw(t, "payload")
		b := flowFrame(proto, port, st.id, st.seq, n)
		st.seq += uint32(n)
		st.id++
		switch rapid.IntRange(0, 12).Draw(t, "kind") {
		case 0:
			st.seq += 5 // a hole
		case 1:
			if proto == rewrite.ProtoTCP {
				b[47] |= rapid.SampledFrom([]byte{rewrite.TCPPsh, rewrite.TCPFin, rewrite.TCPRst}).Draw(t, "flag")
				sumFrame(b)
			}
		case 2:
			if n > 0 {
				b[len(b)-1] ^= 0x55 // a wrong checksum
			}
		}
		fs = append(fs, Frame{Data: b, WireLen: uint32(len(b)), Link: 1})
	}
	return fs
}

func flowFrame(proto uint8, port, id uint16, seq uint32, n int) []byte {
	headers := 34 + 8
	if proto == rewrite.ProtoTCP {
		headers = 34 + 20
	}
	b := make([]byte, headers+n)
	b[12], b[13], b[14], b[20], b[22], b[23] = 8, 0, 0x45, 0x40, 63, proto
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
	binary.BigEndian.PutUint16(b[18:], id)
	copy(b[26:], []byte{10, 0, 0, 1, 192, 0, 2, 9})
	binary.BigEndian.PutUint16(b[34:], port)
	if proto == rewrite.ProtoTCP {
		binary.BigEndian.PutUint32(b[38:], seq)
		b[46], b[47] = 5<<4, rewrite.TCPAck
	} else {
		binary.BigEndian.PutUint16(b[38:], uint16(8+n))
	}
	for i := range b[headers:] {
		b[headers+i] = byte(int(port) + i*3)
	}
	sumFrame(b)
	return b
}

// sumFrame sets the checksums of a frame of flowFrame's shape.
func sumFrame(b []byte) {
	b[24], b[25] = 0, 0
	binary.BigEndian.PutUint16(b[24:], rewrite.Checksum(b[14:34], 0))
	at := 50
	if b[23] == rewrite.ProtoUDP {
		at = 40
	}
	b[at], b[at+1] = 0, 0
	var pseudo [12]byte
	copy(pseudo[:], b[26:34])
	pseudo[9] = b[23]
	binary.BigEndian.PutUint16(pseudo[10:], uint16(len(b)-34))
	sum := rewrite.Checksum(append(pseudo[:], b[34:]...), 0)
	if sum == 0 && b[23] == rewrite.ProtoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], sum)
}

// expand returns the packets that a link gets of the messages that a batch
// becomes.
func expand(t *rapid.T, fs []Frame) (out [][]byte, messages int) {
	m := newMerger(len(fs), false)
	messages = m.plan(fs)
	heads := 0
	for i := range fs {
		e := &m.frames[i]
		if !e.head {
			continue
		}
		heads++
		super := slices.Clone(fs[i].Data)
		parts := 1
		for k := e.next; k >= 0; k = m.frames[k].next {
			headers, _ := m.frames[k].Len()
			super = append(super, fs[k].Data[headers:]...)
			parts++
		}
		if parts != int(e.parts) {
			t.Fatalf("a chain of %d counts %d", parts, e.parts)
		}
		if parts == 1 {
			if fs[i].Offload != (Offload{}) {
				t.Fatalf("a frame alone has metadata %+v", fs[i].Offload)
			}
			out = append(out, super)
			continue
		}
		var p rewrite.Packet
		if f := rewrite.ParseIPv4(super, &p); f != rewrite.FaultNone {
			t.Fatalf("a super-packet has fault %v", f)
		}
		size := int(fs[i].Offload.GSOSize)
		if n := rewrite.SegmentCount(&p, super, size); n != parts {
			t.Fatalf("%d frames become %d", parts, n)
		}
		for k := range parts {
			room := make([]byte, 2000)
			out = append(out, room[:rewrite.Segment(room, super, &p, size, k)])
		}
	}
	if heads != messages {
		t.Fatalf("%d messages, %d heads", messages, heads)
	}
	return out, messages
}

func flowName(frame []byte) string {
	var m rewrite.Mergeable
	m.FlowOf(frame)
	return fmt.Sprint(m.Flow, m.Proto)
}

// TestMergerKeepsPackets checks that the link gets every packet as it was, those
// of one flow in their order.
func TestMergerKeepsPackets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := flowFrames(t)
		want := map[string][][]byte{}
		for _, f := range fs {
			key := flowName(f.Data)
			want[key] = append(want[key], slices.Clone(f.Data))
		}
		out, _ := expand(t, fs)
		for _, b := range out {
			key := flowName(b)
			if len(want[key]) == 0 || !bytes.Equal(want[key][0], b) {
				t.Fatalf("flow %s: got\n%x\nwant next\n%x", key, b, want[key])
			}
			want[key] = want[key][1:]
		}
		for key, left := range want {
			if len(left) > 0 {
				t.Fatalf("flow %s: %d packets are missing", key, len(left))
			}
		}
	})
}

// TestMergerMerges says what becomes of streams in turn: one message each.
func TestMergerMerges(t *testing.T) {
	var fs []Frame
	for i := range 20 {
		for port := uint16(1); port <= 3; port++ {
			b := flowFrame(rewrite.ProtoTCP, port, uint16(i), uint32(i*1000), 1000)
			fs = append(fs, Frame{Data: b})
		}
	}
	m := newMerger(len(fs), false)
	if n := m.plan(fs); n != 3 {
		t.Errorf("60 segments of 3 streams become %d messages, want 3", n)
	}
	if n := testing.AllocsPerRun(10, func() { m.plan(fs[3:]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMergerOfStreams checks that datagrams stay alone where the outlet cannot be
// told of several.
func TestMergerOfStreams(t *testing.T) {
	var fs []Frame
	for i := range 10 {
		fs = append(fs,
			Frame{Data: flowFrame(rewrite.ProtoTCP, 1, uint16(i), uint32(i*1000), 1000)},
			Frame{Data: flowFrame(rewrite.ProtoUDP, 2, uint16(i), 0, 1000)})
	}
	m := newMerger(len(fs), true)
	if n := m.plan(fs); n != 11 {
		t.Errorf("10 segments and 10 datagrams become %d messages, want 11", n)
	}
}

// BenchmarkMerger plans batches of 64 frames: of one stream, and of 64 flows, where
// nothing is to be merged. One operation is one frame.
func BenchmarkMerger(b *testing.B) {
	for _, streams := range []int{1, 64} {
		b.Run(fmt.Sprintf("flows=%d", streams), func(b *testing.B) {
			var fresh, fs []Frame
			for i := range DefaultBatch {
				fresh = append(fresh, Frame{Data: flowFrame(rewrite.ProtoTCP, uint16(1+i%streams), uint16(i), uint32(i/streams*1448), 1448)})
			}
			m := newMerger(DefaultBatch, false)
			for i := 0; b.Loop(); i++ {
				if i%DefaultBatch != 0 {
					continue
				}
				fs = append(fs[:0], fresh...)
				for k := range fs { // as if its checksum had been verified on the way
					fs[k].Offload.Flags = OffloadDataValid
				}
				m.plan(fs)
				sumFrame(fresh[0].Data) // the head was rewritten
			}
		})
	}
}
