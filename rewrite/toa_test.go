package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// TestPutTOA: the option is there, first of the options, and everything else is as it
// was, with checksums as good as they were.
func TestPutTOA(t *testing.T) {
	tried := 0
	rapid.Check(t, func(t *rapid.T) {
		six, partial, client := rapid.Bool().Draw(t, "six"), rapid.Bool().Draw(t, "partial"), drawEnds(t)
		var frame []byte
		if six {
			frame = drawFrame6(t)
		} else {
			frame = drawFrame(t)
		}
		var p Packet
		if Parse(frame, &p) != FaultNone || !TOAFits(frame, &p) {
			return
		}
		tried++
		frame = frame[:p.End]
		n, header := TOALen(&p), tcpHeaderLen(frame, &p)
		if partial {
			if six {
				setSum6(frame, true)
			} else {
				makePartial(frame)
			}
		}
		sound := partial || ChecksumOK(frame, &p)
		buf := append(make([]byte, n), frame...)
		was := p
		PutTOA(buf, &p, client, partial)
		if partial && !CompleteChecksum(buf, p.L4, 16) {
			t.Fatal("the checksum cannot be completed")
		}
		again := was
		if fault := Parse(buf, &again); fault != FaultNone || again != p {
			t.Fatalf("Parse = %v, %+v, want %+v", fault, again, p)
		}
		if ChecksumOK(buf, &p) != sound {
			t.Fatalf("checksum right: %v, before: %v\n% x", !sound, sound, buf)
		}
		option := buf[p.L4+20:][:n]
		addr := option[4:]
		if option[0] != 254 || int(option[1]) != n || binary.BigEndian.Uint16(option[2:]) != client.SrcPort ||
			six && ReadAddr6(addr) != client.Src6 || !six && binary.BigEndian.Uint32(addr) != client.Src {
			t.Fatalf("option % x of %+v", option, client)
		}
		if got := tcpHeaderLen(buf, &p); got != header+n {
			t.Fatalf("the header has %d bytes, want %d", got, header+n)
		}
		if !bytes.Equal(buf[p.L4+20+n:p.End], frame[was.L4+20:]) {
			t.Fatal("options or payload have changed")
		}
	})
	if tried == 0 {
		t.Error("nothing was tried")
	}
}

// TestBlankTOA: what a client says of itself by the option is not there any more, and
// everything else is, with checksums as good as they were.
func TestBlankTOA(t *testing.T) {
	parts := [][]byte{{1}, {2, 4, 5, 180}, {8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, {254, 8, 1, 2, 3, 4, 5, 6}, {254, 4, 249, 137}, append([]byte{254, 20}, make([]byte, 18)...)}
	rapid.Check(t, func(t *rapid.T) {
		partial := rapid.Bool().Draw(t, "partial")
		var options, want []byte
		for _, part := range rapid.SliceOfN(rapid.SampledFrom(parts), 0, 5).Draw(t, "options") {
			if len(options)+len(part) > 38 {
				break
			}
			options = append(options, part...)
			if part[0] == 254 && len(part) >= 8 {
				part = bytes.Repeat([]byte{1}, len(part))
			}
			want = append(want, part...)
		}
		end := rapid.SampledFrom([][]byte{{0}, {1}, {254, 60}, {254, 1}, {254}}).Draw(t, "end")
		for _, list := range []*[]byte{&options, &want} {
			*list = append(*list, end...)
			for len(*list)%4 != 0 {
				*list = append(*list, 0)
			}
		}
		payload := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "payload")
		frame := drawFrame(t)
		var p Packet
		if Parse(frame, &p) != FaultNone || p.Proto != ProtoTCP {
			return
		}
		frame = append(append(frame[:p.L4+20:p.L4+20], options...), payload...)
		frame[p.L4+12] = byte(20+len(options)) << 2
		binary.BigEndian.PutUint16(frame[p.L3+2:], uint16(len(frame)-p.L3))
		binary.BigEndian.PutUint16(frame[p.L3+10:], 0)
		setIPv4Checksum(frame[p.L3:p.L4])
		binary.BigEndian.PutUint16(frame[p.L4+16:], 0)
		binary.BigEndian.PutUint16(frame[p.L4+16:], wantChecksum(frame))
		if Parse(frame, &p) != FaultNone {
			t.Fatal("the frame is not sound")
		}
		if partial {
			makePartial(frame)
		}
		sum := binary.BigEndian.Uint16(frame[p.L4+16:])
		BlankTOA(frame, &p, partial)
		if partial && binary.BigEndian.Uint16(frame[p.L4+16:]) != sum || !partial && !ChecksumOK(frame, &p) {
			t.Fatal("the checksum is wrong")
		}
		if got := frame[p.L4+20:]; !bytes.Equal(got, append(want, payload...)) {
			t.Fatalf("options and payload % x, want % x and % x", got, want, payload)
		}
	})
}
