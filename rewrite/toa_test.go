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
