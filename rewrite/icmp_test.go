package rewrite

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

func TestICMPErrorTypes(t *testing.T) {
	for icmpType, want := range map[uint8]struct{ translated, isError bool }{
		ICMPEchoReply: {}, ICMPEcho: {}, 13: {}, 255: {},
		ICMPUnreachable: {true, true}, ICMPSourceQuench: {true, true}, ICMPTimeExceeded: {true, true},
		ICMPRedirect: {false, true}, ICMPParameter: {false, true},
	} {
		if got := IsTranslatedICMPError(icmpType); got != want.translated {
			t.Errorf("IsTranslatedICMPError(%d) = %v, want %v", icmpType, got, want.translated)
		}
		if got := IsICMPError(icmpType); got != want.isError {
			t.Errorf("IsICMPError(%d) = %v, want %v", icmpType, got, want.isError)
		}
	}
}

// quoted returns the first n bytes of the IP packet that the VIP sent to the
// client, after change has had its way with it.
func quoted(t *testing.T, n int, change func(ip []byte)) []byte {
	t.Helper()
	q := mirror(tcpFrame(t, layers.TCP{ACK: true}, []byte("payload")))[14:]
	if change != nil {
		change(q)
	}
	return q[:n]
}

func TestParseQuoted(t *testing.T) {
	tests := []struct {
		name string
		data []byte
		want bool
		end  int // of the quoted packet, from its IP header
	}{
		{"whole", quoted(t, 47, nil), true, 47},
		{"8 bytes of TCP", quoted(t, 28, nil), true, 28},
		{"ports only", quoted(t, 24, nil), true, 24},
		{"3 bytes after the header", quoted(t, 23, nil), false, 0},
		{"no header", quoted(t, 12, nil), false, 0},
		{"nothing", nil, false, 0},
		{"version 6", quoted(t, 47, func(ip []byte) { ip[0] = 0x65 }), false, 0},
		{"header length 16", quoted(t, 47, func(ip []byte) { ip[0] = 0x44 }), false, 0},
		{"options reach the end", quoted(t, 40, func(ip []byte) { ip[0] = 0x4a }), false, 0},
		{"later fragment", quoted(t, 47, func(ip []byte) { ip[7] = 1 }), false, 0},
		{"first fragment", quoted(t, 47, func(ip []byte) { ip[6] = 0x20 }), true, 47},
		{"wrong header checksum", quoted(t, 47, func(ip []byte) { ip[10]++ }), true, 47},
		{"padding after the packet", append(quoted(t, 47, nil), 0, 0, 0), true, 47},
		{"total length 0", quoted(t, 30, func(ip []byte) { ip[2], ip[3] = 0, 0 }), true, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame := icmpFrame(t, ICMPUnreachable, 4, 1300, tt.data)
			p := mustParse(t, frame)
			var q Packet
			if got := ParseQuoted(frame, &p, &q); got != tt.want {
				t.Fatalf("ParseQuoted() = %v, want %v", got, tt.want)
			}
			if !tt.want {
				return
			}
			if q.L3 != 42 || q.L4 != 62 || q.End != 42+tt.end {
				t.Errorf("L3, L4, End = %d, %d, %d, want 42, 62, %d", q.L3, q.L4, q.End, 42+tt.end)
			}
			if q.Src != vip || q.Dst != cip || q.SrcPort != 80 || q.DstPort != 5402 || q.Proto != ProtoTCP {
				t.Errorf("quoted packet = %+v, want TCP from the VIP's port 80 to the client's 5402", q)
			}
		})
	}
}

func TestParseQuotedOfNoError(t *testing.T) {
	data := quoted(t, 47, nil)
	fragment := ipv4Layer(layers.IPProtocolICMPv4)
	fragment.Flags = layers.IPv4MoreFragments
	for name, frame := range map[string][]byte{
		"echo":           icmpFrame(t, ICMPEcho, 0, 0, data),
		"udp":            udpFrame(t, data),
		"first fragment": build(t, fragment, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4)}, rawL4(data)),
	} {
		p, q := mustParse(t, frame), Packet{}
		if ParseQuoted(frame, &p, &q) {
			t.Errorf("ParseQuoted(%s) = true, want false", name)
		}
		if name != "echo" && ICMPChecksumOK(frame, &p) {
			t.Errorf("ICMPChecksumOK(%s) = true, want false", name)
		}
	}
}

func TestICMPChecksumOK(t *testing.T) {
	frame := icmpFrame(t, ICMPUnreachable, 1, 0, quoted(t, 28, nil))
	p := mustParse(t, frame)
	if !ICMPChecksumOK(frame, &p) {
		t.Error("ICMPChecksumOK(right) = false, want true")
	}
	frame[50] ^= 1
	if ICMPChecksumOK(frame, &p) {
		t.Error("ICMPChecksumOK(wrong) = true, want false")
	}
}

// TestTranslateICMP: whatever is quoted, all three checksums are right
// afterwards and nothing but the addresses, port and checksums has changed.
func TestTranslateICMP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := drawFrame(t)[14:]
		n := rapid.IntRange(int(inner[0]&15)*4+4, len(inner)).Draw(t, "quoted")
		icmpType := rapid.SampledFrom([]uint8{3, 4, 11}).Draw(t, "type")
		frame := icmpFrame(t, icmpType, 0, rapid.Uint32().Draw(t, "rest"), inner[:n])
		addr, port := rapid.Uint32().Draw(t, "addr"), rapid.Uint16().Draw(t, "port")

		p, q := mustParse(t, frame), Packet{}
		if !ParseQuoted(frame, &p, &q) {
			t.Fatalf("ParseQuoted(% x) = false, want true", frame)
		}
		want := append([]byte{}, frame...)
		if rapid.Bool().Draw(t, "in") {
			binary.BigEndian.PutUint32(want[30:], addr)
			binary.BigEndian.PutUint32(want[42+12:], addr)
			binary.BigEndian.PutUint16(want[q.L4:], port)
			TranslateICMPIn(frame, &p, &q, addr, port)
		} else {
			binary.BigEndian.PutUint32(want[26:], addr)
			binary.BigEndian.PutUint32(want[42+16:], addr)
			binary.BigEndian.PutUint16(want[q.L4+2:], port)
			TranslateICMPOut(frame, &p, &q, addr, port)
		}
		fixIPv4Checksum(want)
		clear(want[42+10 : 42+12])
		binary.BigEndian.PutUint16(want[42+10:], ^slowSum(want[42:q.L4]))
		clear(want[36:38])
		binary.BigEndian.PutUint16(want[36:], ^slowSum(want[34:]))
		if string(frame) != string(want) {
			t.Fatalf("translated error:\n got % x\nwant % x", frame, want)
		}
	})
}

// TestTranslateICMPWithoutPorts: an error about a protocol without ports keeps
// what follows the quoted header.
func TestTranslateICMPWithoutPorts(t *testing.T) {
	data := quoted(t, 28, func(ip []byte) { ip[9] = 50 })
	frame := icmpFrame(t, ICMPUnreachable, 1, 0, data)
	p, q := mustParse(t, frame), Packet{}
	if !ParseQuoted(frame, &p, &q) {
		t.Fatal("ParseQuoted(esp) = false, want true")
	}
	TranslateICMPIn(frame, &p, &q, rip, 8080)
	if got, want := string(frame[62:70]), string(data[20:28]); got != want {
		t.Errorf("quoted ESP header = % x, want % x", got, want)
	}
	if q.SrcPort != 0 || q.Src != rip || p.Dst != rip {
		t.Errorf("quoted packet = %+v, want source %#x and no port", q, rip)
	}
}
