package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// TestReplacePayload compares with a frame that has the new payload from the
// beginning.
func TestReplacePayload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := drawPayload(t)
		text := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "text")
		from := rapid.IntRange(0, len(payload)).Draw(t, "from")
		to := rapid.IntRange(from, len(payload)).Draw(t, "to")
		tcp := layers.TCP{Seq: 77, Ack: 42, ACK: true}
		if rapid.Bool().Draw(t, "options") {
			tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}}
		}
		partial := rapid.Bool().Draw(t, "partial")
		frame := tcpFrame(t, tcp, payload)
		want := tcpFrame(t, tcp, bytes.Join([][]byte{payload[:from], text, payload[to:]}, nil))
		if partial {
			makePartial(frame)
			makePartial(want)
		}
		p, before := mustParse(t, frame), bytes.Clone(frame)
		dst := bytes.Repeat([]byte{0xaa}, len(frame)+len(text))
		n := ReplacePayload(dst, frame, &p, from, to, text, partial)
		want = want[:14+int(binary.BigEndian.Uint16(want[16:]))] // without padding
		if !bytes.Equal(dst[:n], want) {
			t.Fatalf("ReplacePayload(%d, %d, %q):\n got % x\nwant % x", from, to, text, dst[:n], want)
		}
		if again := mustParse(t, dst[:n]); p != again {
			t.Fatalf("the packet is %+v, want %+v", p, again)
		}
		if !bytes.Equal(frame, before) {
			t.Fatal("the old frame has changed")
		}
	})
}

func TestReplacePayloadRefuses(t *testing.T) {
	frame := tcpFrame(t, layers.TCP{}, make([]byte, 100))
	udp := udpFrame(t, make([]byte, 100))
	big := tcpFrame(t, layers.TCP{}, make([]byte, 65000))
	room := make([]byte, 70000)
	for _, tt := range []struct {
		name     string
		dst      []byte
		frame    []byte
		from, to int
		text     int
	}{
		{"in front of the payload", room, frame, -1, 3, 1},
		{"behind the payload", room, frame, 3, 101, 1},
		{"turned round", room, frame, 5, 4, 1},
		{"no room", room[:len(frame)], frame, 5, 5, 1},
		{"UDP", room, udp, 5, 5, 1},
		{"longer than IPv4 can say", room, big, 5, 5, 600},
	} {
		p := mustParse(t, tt.frame)
		before := p
		if n := ReplacePayload(tt.dst, tt.frame, &p, tt.from, tt.to, make([]byte, tt.text), false); n != 0 || p != before {
			t.Errorf("%s: ReplacePayload = %d and %+v, want 0 and %+v", tt.name, n, p, before)
		}
	}
}

// FuzzReplacePayload replaces parts of hostile packets: none may panic, and the
// result has the old bytes around the new ones and sums that are right.
func FuzzReplacePayload(f *testing.F) {
	f.Add(tcpFrame(f, layers.TCP{ACK: true}, []byte("227 Entering Passive Mode (10,20,0,11,117,49)\r\n")), 27, 44, []byte("10,10,1,1,117,49"), false)
	f.Add(tcpFrame(f, layers.TCP{ACK: true}, nil), 0, 0, []byte("x"), true)
	f.Add(udpFrame(f, nil), 0, 0, []byte("x"), true)
	f.Add(tcpFrame6(f, []ext{hopByHop, atomic}, layers.TCP{ACK: true}, []byte("229 Entering Extended Passive Mode (|||30001|)\r\n")), 36, 45, []byte("40001"), false)
	f.Fuzz(func(t *testing.T, frame []byte, from, to int, text []byte, partial bool) {
		frame = hostile(frame)
		var p Packet
		if fault := Parse(frame, &p); fault != FaultNone && fault != FaultL4 {
			return
		}
		old := bytes.Clone(TCPPayload(frame, &p))
		header := p.End - p.L4 - len(old)
		dst := make([]byte, len(frame)+len(text))
		n := ReplacePayload(dst, frame, &p, from, to, text, partial)
		if n == 0 {
			return
		}
		want := bytes.Join([][]byte{old[:from], text, old[to:]}, nil)
		if got := dst[p.L4+header : n]; !bytes.Equal(got, want) {
			t.Fatalf("payload % x, want % x", got, want)
		}
		if !bytes.Equal(dst[p.L4:p.L4+16], frame[p.L4:p.L4+16]) || !bytes.Equal(dst[p.L4+18:p.L4+header], frame[p.L4+18:p.L4+header]) {
			t.Fatalf("header % x was % x", dst[p.L4:p.L4+header], frame[p.L4:p.L4+header])
		}
		var again Packet
		if fault := Parse(dst[:n], &again); fault != FaultNone {
			t.Fatalf("Parse of the result = %v", fault)
		}
		if !partial && !TCPChecksumOK(dst[:n], &again) {
			t.Fatalf("wrong checksum in % x", dst[:n])
		}
	})
}

func TestTCPChecksumOK(t *testing.T) {
	for n := range 64 {
		frame := tcpFrame(t, layers.TCP{Seq: uint32(n) << 20}, make([]byte, n))
		p := mustParse(t, frame)
		if !TCPChecksumOK(frame, &p) {
			t.Errorf("TCPChecksumOK with a payload of %d bytes = false, want true", n)
		}
		frame[p.End-1] ^= 4
		if TCPChecksumOK(frame, &p) {
			t.Errorf("TCPChecksumOK with a payload of %d bytes, one bit wrong = true, want false", n)
		}
	}
}
