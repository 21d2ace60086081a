package conntrack

import (
	"testing"

	"pgregory.net/rapid"
)

// stream is a TCP stream through a helper, byte by byte: what the server sent,
// what the client is to get, and for each the numbers of the other.
type stream struct {
	isn    uint32
	adjust SeqAdjust
	sent   []piece
}

// piece is a segment of the server, and what the helper made of it.
type piece struct{ at, length, newAt, newLength uint32 }

func (s *stream) end() (sent, got uint32) {
	if len(s.sent) == 0 {
		return s.isn, s.isn
	}
	last := s.sent[len(s.sent)-1]
	return last.at + last.length, last.newAt + last.newLength
}

// TestSeqAdjust sends segments, resizes some of them, repeats them, and compares
// where they and their acknowledgements come out with a stream that is spelled
// out. As in life, what is repeated is not older than the last resized segment
// but one.
func TestSeqAdjust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stream{isn: rapid.SampledFrom([]uint32{0, 1, 1000, 1<<31 - 50, 1<<32 - 1, 1<<32 - 300, 1<<32 - 60}).Draw(t, "isn")}
		oldest := 0 // first piece that two shifts can place
		lastResized := -1
		for range rapid.IntRange(1, 12).Draw(t, "segments") {
			at, newAt := s.end()
			p := piece{at: at, length: rapid.Uint32Range(1, 60).Draw(t, "length"), newAt: newAt}
			p.newLength = p.length
			if rapid.IntRange(0, 2).Draw(t, "resize") == 0 {
				p.newLength = rapid.Uint32Range(1, 60).Draw(t, "new length")
				if p.newLength != p.length {
					oldest, lastResized = lastResized+1, len(s.sent)
				}
			}
			s.adjust.Resize(p.at, int32(p.newLength-p.length))
			s.sent = append(s.sent, p)
			for _, p := range s.sent[oldest:] {
				s.check(t, p)
			}
		}
	})
}

// check repeats a segment and acknowledges its two ends.
func (s *stream) check(t *rapid.T, p piece) {
	before := s.adjust
	s.adjust.Resize(p.at, int32(p.newLength-p.length))
	if s.adjust != before {
		t.Fatalf("%+v became %+v by the repetition of segment %+v", before, s.adjust, p)
	}
	if got := s.adjust.Seq(p.at); got != p.newAt {
		t.Fatalf("%+v.Seq(%d) = %d, want %d", s.adjust, p.at, got, p.newAt)
	}
	if got := s.adjust.Ack(p.newAt); got != p.at {
		t.Fatalf("%+v.Ack(%d) = %d, want %d", s.adjust, p.newAt, got, p.at)
	}
	if got, want := s.adjust.Ack(p.newAt+p.newLength), p.at+p.length; got != want {
		t.Fatalf("%+v.Ack(%d) = %d, want %d", s.adjust, p.newAt+p.newLength, got, want)
	}
}

// A segment that has become shorter is lost and the one before it acknowledged
// again: none of the lost bytes may be.
func TestSeqAdjustLostShorterSegment(t *testing.T) {
	var a SeqAdjust
	a.Resize(1000, -7)
	for _, tt := range []struct{ ack, want uint32 }{{999, 999}, {1000, 1000}, {1043, 1050}} {
		if got := a.Ack(tt.ack); got != tt.want {
			t.Errorf("Ack(%d) = %d, want %d", tt.ack, got, tt.want)
		}
	}
}

// What is kept about an entry ends with it.
func TestHelperEndsWithEntry(t *testing.T) {
	table := NewTable(Config{})
	key := Key4{CIP: 1, VIP: 2, CPort: 3, VPort: 21, Proto: 6}
	r := table.Insert(&key, 0)
	table.At(r).Flags |= Helped
	table.Helper(r).Awaits = 1
	if got := table.Helper(r).Awaits; got != 1 {
		t.Errorf("Helper(%d).Awaits = %d, want 1", r, got)
	}
	table.Remove(r)
	again := table.Insert(&key, 0)
	if again != r {
		t.Fatalf("Insert = %d, want the place %d of the removed entry", again, r)
	}
	if got := *table.Helper(r); got != (Helper{}) {
		t.Errorf("Helper(%d) of the successor = %+v, want nothing", r, got)
	}
}
