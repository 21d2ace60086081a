package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// quoted6 returns the first n bytes of the IPv6 packet that the VIP sent to the
// client, after change has had its way with it.
func quoted6(t *testing.T, chain []ext, n int, change func(ip []byte)) []byte {
	t.Helper()
	q := mirror6(tcpFrame6(t, chain, layers.TCP{ACK: true}, []byte("payload")))[14:]
	if change != nil {
		change(q)
	}
	return q[:n]
}

func TestParseQuoted6(t *testing.T) {
	const whole = 40 + 27
	tests := []struct {
		name string
		data []byte
		want bool
		l4   int // from the quoted IP header
		end  int
	}{
		{"whole", quoted6(t, nil, whole, nil), true, 40, whole},
		{"8 bytes of TCP", quoted6(t, nil, 48, nil), true, 40, 48},
		{"ports only", quoted6(t, nil, 44, nil), true, 40, 44},
		{"3 bytes after the header", quoted6(t, nil, 43, nil), false, 0, 0},
		{"no header", quoted6(t, nil, 12, nil), false, 0, 0},
		{"nothing", nil, false, 0, 0},
		{"version 4", quoted6(t, nil, whole, func(ip []byte) { ip[0] = 0x45 }), false, 0, 0},
		{"extension header", quoted6(t, []ext{hopByHop, destOpts}, 68, nil), true, 64, 68},
		{"extension header and 3 bytes", quoted6(t, []ext{hopByHop, destOpts}, 67, nil), false, 0, 0},
		{"extension header cut off", quoted6(t, []ext{destOpts}, 50, nil), false, 0, 0},
		{"later fragment", quoted6(t, []ext{laterFrag}, whole, nil), false, 0, 0},
		{"first fragment", quoted6(t, []ext{firstFrag}, whole, nil), true, 48, whole},
		{"padding after the packet", append(quoted6(t, nil, whole, nil), 0, 0, 0), true, 40, whole},
		{"payload length 0", quoted6(t, nil, 60, func(ip []byte) { ip[4], ip[5] = 0, 0 }), true, 40, 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame := icmpFrame6(t, []ext{destOpts}, ICMPv6TooBig, 0, 1300, tt.data)
			p := mustParse6(t, frame)
			var q Packet
			if got := ParseQuoted(frame, &p, &q); got != tt.want {
				t.Fatalf("ParseQuoted() = %v, want %v", got, tt.want)
			}
			if !tt.want {
				return
			}
			if q.L3 != 78 || q.L4 != 78+tt.l4 || q.End != 78+tt.end {
				t.Errorf("L3, L4, End = %d, %d, %d, want 78, %d, %d", q.L3, q.L4, q.End, 78+tt.l4, 78+tt.end)
			}
			if q.Src6 != vip6 || q.Dst6 != cip6 || q.Dst != cip6.Fold() || q.SrcPort != 80 || q.DstPort != 5402 || q.Proto != ProtoTCP || !q.V6 {
				t.Errorf("quoted packet = %+v, want TCP from the VIP's port 80 to the client's 5402", q)
			}
		})
	}
}

// TestICMPv6Kinds: which messages are errors. ICMP of the other family is none.
func TestICMPv6Kinds(t *testing.T) {
	data := quoted6(t, nil, 48, nil)
	for icmpType, want := range map[uint8]bool{0: true, 1: true, 2: true, 3: true, 4: true, 100: true, 127: true, 128: false, 129: false, 135: false, 137: false, 255: false} {
		frame := icmpFrame6(t, nil, icmpType, 0, 0, data)
		p, q := mustParse6(t, frame), Packet{}
		if p.IsTranslatedError() != want || ParseQuoted(frame, &p, &q) != want {
			t.Errorf("type %d: IsTranslatedError = %v, want %v", icmpType, p.IsTranslatedError(), want)
		}
	}
	for name, frame := range map[string][]byte{
		"udp":            udpFrame6(t, nil, data),
		"icmp of IPv4":   frame6(cip6, vip6, 9, nil, ProtoICMP, append([]byte{3, 0, 0, 0, 0, 0, 0, 0}, data...)),
		"first fragment": icmpFrame6(t, []ext{firstFrag}, ICMPv6TooBig, 0, 0, data),
	} {
		p, q := mustParse6(t, frame), Packet{}
		if ParseQuoted(frame, &p, &q) || ICMPChecksumOK(frame, &p) {
			t.Errorf("%s: ParseQuoted or ICMPChecksumOK = true, want false", name)
		}
	}
	v4 := icmpFrame(t, ICMPRedirect, 0, 0, nil)
	p := mustParse(t, v4)
	if p.IsTranslatedError() {
		t.Error("an IPv4 redirect is to be translated")
	}
	if p.ICMPType = ICMPTimeExceeded; !p.IsTranslatedError() {
		t.Error("an IPv4 time exceeded is not to be translated")
	}
}

func TestICMPv6ChecksumOK(t *testing.T) {
	frame := icmpFrame6(t, []ext{hopByHop}, ICMPv6Unreachable, 1, 0, quoted6(t, nil, 48, nil))
	p := mustParse6(t, frame)
	if !ICMPChecksumOK(frame, &p) || !ChecksumOK(frame, &p) {
		t.Error("ICMPChecksumOK(right) = false, want true")
	}
	// The checksum as IPv4 has it, without the pseudo header.
	frame[p.L4+2], frame[p.L4+3] = 0, 0
	binary.BigEndian.PutUint16(frame[p.L4+2:], ^slowSum(frame[p.L4:p.End]))
	if ICMPChecksumOK(frame, &p) || ChecksumOK(frame, &p) {
		t.Error("ICMPChecksumOK(without pseudo header) = true, want false")
	}
}

// TestTranslateICMP6: whatever is quoted, the checksum is right afterwards and
// nothing but the addresses, port and checksum has changed.
func TestTranslateICMP6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := drawFrame6(t)
		inner := whole[14:]
		innerL4, proto := walk6(whole, 14)
		innerL4 -= 14
		n := rapid.IntRange(innerL4+4, len(inner)).Draw(t, "quoted")
		icmpType := rapid.SampledFrom([]uint8{1, 2, 3, 4}).Draw(t, "type")
		l4 := append([]byte{icmpType, 0, 0, 0, 1, 2, 3, 4}, inner[:n]...)
		frame := frame6(cip6, vip6, 9, drawChain(t), ProtoICMPv6, l4)
		setSum6(frame, false)
		addr, port := drawAddr6(t, "addr"), rapid.Uint16().Draw(t, "port")

		p, q := mustParse6(t, frame), Packet{}
		if !ParseQuoted(frame, &p, &q) {
			t.Fatalf("ParseQuoted(% x) = false, want true", frame)
		}
		want := bytes.Clone(frame)
		at := p.L4 + 8
		if rapid.Bool().Draw(t, "in") {
			addr.Put(want[38:])
			addr.Put(want[at+8:])
			if CarriesPorts(proto) {
				binary.BigEndian.PutUint16(want[at+innerL4:], port)
			}
			TranslateICMPIn6(frame, &p, &q, addr, port)
		} else {
			addr.Put(want[22:])
			addr.Put(want[at+24:])
			if CarriesPorts(proto) {
				binary.BigEndian.PutUint16(want[at+innerL4+2:], port)
			}
			TranslateICMPOut6(frame, &p, &q, addr, port)
		}
		setSum6(want, false)
		if !bytes.Equal(frame, want) {
			t.Fatalf("translated error:\n got % x\nwant % x", frame, want)
		}
		again, quoted := mustParse6(t, frame), Packet{}
		if ParseQuoted(frame, &again, &quoted); p != again || q != quoted {
			t.Fatalf("packets after translation = %+v and %+v, want %+v and %+v", p, q, again, quoted)
		}
	})
}
