package rewrite

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// drawEnds draws two ends.
func drawEnds(t *rapid.T) *Ends {
	return &Ends{
		Src: rapid.Uint32().Draw(t, "src"), Dst: rapid.Uint32().Draw(t, "dst"),
		Src6: drawAddr6(t, "src6"), Dst6: drawAddr6(t, "dst6"),
		SrcPort: rapid.Uint16().Draw(t, "sport"), DstPort: rapid.Uint16().Draw(t, "dport"),
	}
}

// TestFullNATIsBoth: FullNAT writes what DNAT and SNAT after it write.
func TestFullNATIsBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		six, partial, to := rapid.Bool().Draw(t, "six"), rapid.Bool().Draw(t, "partial"), drawEnds(t)
		var frame []byte
		if six {
			if frame = drawFrame6(t); partial {
				setSum6(frame, true)
			}
		} else if frame = drawFrame(t); partial {
			makePartial(frame)
		}
		want := bytes.Clone(frame)
		var p, q Packet
		if Parse(frame, &p) != FaultNone || Parse(want, &q) != FaultNone {
			t.Fatal("a frame that cannot be parsed was drawn")
		}
		if six {
			DNAT6(want, &q, to.Dst6, to.DstPort, partial)
			SNAT6(want, &q, to.Src6, to.SrcPort, partial)
		} else {
			DNAT(want, &q, to.Dst, to.DstPort, partial)
			SNAT(want, &q, to.Src, to.SrcPort, partial)
		}
		FullNAT(frame, &p, to, partial)
		if !bytes.Equal(frame, want) || p != q {
			t.Fatalf("partial %v\n got % x %+v\nwant % x %+v", partial, frame, p, want, q)
		}
	})
}

// TestFullNATDoesNotAllocate: it runs for each packet.
func TestFullNATDoesNotAllocate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame, to := drawFrame(t), drawEnds(t)
		var p Packet
		ParseIPv4(frame, &p)
		if n := testing.AllocsPerRun(10, func() { FullNAT(frame, &p, to, false) }); n != 0 {
			t.Fatalf("FullNAT allocates %v times, want 0", n)
		}
	})
}

// TestSetID: the header stays sound under another identification.
func TestSetID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame, id := drawFrame(t), rapid.Uint16().Draw(t, "id")
		var p, q Packet
		ParseIPv4(frame, &p)
		SetID(frame, &p, uint32(id)|1<<16)
		if fault := ParseIPv4(frame, &q); fault != FaultNone || q != p || q.ID != uint32(id) {
			t.Fatalf("ParseIPv4 after SetID(%d) = %v, %+v, want %+v", id, fault, q, p)
		}
	})
}
