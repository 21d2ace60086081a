package rewrite

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// drawFrame draws a TCP or UDP packet with right checksums, some with IP
// options, some with Ethernet padding.
func drawFrame(t *rapid.T) []byte {
	ip := ipv4Layer(rapid.SampledFrom([]layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolUDP}).Draw(t, "proto"))
	ip.SrcIP = binary.BigEndian.AppendUint32(nil, rapid.Uint32().Draw(t, "src"))
	ip.DstIP = binary.BigEndian.AppendUint32(nil, rapid.Uint32().Draw(t, "dst"))
	ip.TTL, ip.Id = rapid.Uint8().Draw(t, "ttl"), rapid.Uint16().Draw(t, "id")
	if rapid.Bool().Draw(t, "options") {
		ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	}
	sport, dport := rapid.Uint16().Draw(t, "sport"), rapid.Uint16().Draw(t, "dport")
	payload := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "payload")
	var l4 []byte
	if ip.Protocol == layers.IPProtocolTCP {
		l4 = make([]byte, 20, 100)
		l4[12] = 5 << 4
		l4[13] = rapid.Uint8().Draw(t, "flags")
	} else {
		l4 = make([]byte, 8, 88)
		binary.BigEndian.PutUint16(l4[4:], uint16(8+len(payload)))
	}
	binary.BigEndian.PutUint16(l4[0:], sport)
	binary.BigEndian.PutUint16(l4[2:], dport)
	frame := build(t, ip, rawL4(append(l4, payload...)))
	_, l4 = split(frame)
	binary.BigEndian.PutUint16(l4[checksumAt(uint8(ip.Protocol)):], wantChecksum(frame))
	padding := rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "padding")
	return append(frame, padding...)
}

// mirror returns the frame of the answer: addresses and ports exchanged, which
// changes no checksum.
func mirror(frame []byte) []byte {
	frame = bytes.Clone(frame)
	ip, l4 := split(frame)
	swap := func(a, b []byte) {
		for i := range a {
			a[i], b[i] = b[i], a[i]
		}
	}
	swap(ip[12:16], ip[16:20])
	swap(l4[0:2], l4[2:4])
	return frame
}

// TestThereAndBack: what DNAT does to a request, SNAT undoes in the answer.
func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame, partial := drawFrame(t), rapid.Bool().Draw(t, "partial")
		if partial {
			makePartial(frame)
		}
		want := mirror(frame)
		p := mustParse(t, frame)
		orig := p
		DNAT(frame, &p, rapid.Uint32().Draw(t, "rip"), rapid.Uint16().Draw(t, "rport"), partial)
		if again := mustParse(t, frame); p != again {
			t.Fatalf("packet after DNAT = %+v, want %+v", p, again)
		}
		answer := mirror(frame)
		p = mustParse(t, answer)
		SNAT(answer, &p, orig.Dst, orig.DstPort, partial)
		if again := mustParse(t, answer); p != again {
			t.Fatalf("packet after SNAT = %+v, want %+v", p, again)
		}
		if !bytes.Equal(answer, want) {
			t.Fatalf("after DNAT and SNAT (partial %v):\n got % x\nwant % x", partial, answer, want)
		}
	})
}

// TestNATChecksums: incremental updates, and finishing a partial checksum after
// NAT, give what a computation over the whole packet gives.
func TestNATChecksums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame, partial := drawFrame(t), rapid.Bool().Draw(t, "partial")
		if partial {
			makePartial(frame)
		}
		p := mustParse(t, frame)
		addr, port := rapid.Uint32().Draw(t, "addr"), rapid.Uint16().Draw(t, "port")
		if rapid.Bool().Draw(t, "source") {
			SNAT(frame, &p, addr, port, partial)
		} else {
			DNAT(frame, &p, addr, port, partial)
		}
		DecrementTTL(frame, &p)
		if !partial {
			checkSums(t, frame)
			return
		}
		_, l4 := split(frame)
		if got, want := binary.BigEndian.Uint16(l4[checksumAt(p.Proto):]), slowSum(slowPseudo(frame)); got != want {
			t.Fatalf("partial checksum = %#04x, want the pseudo-header sum %#04x", got, want)
		}
		CompleteChecksum(frame, p.L4, checksumAt(p.Proto))
		if p.Proto == ProtoTCP && gotChecksum(frame) == 0xffff && wantChecksum(frame) == 0 {
			return // the two zeros of ones' complement
		}
		checkSums(t, frame)
	})
}

// TestWrongChecksumStaysWrong: NAT must not hide corruption.
func TestWrongChecksumStaysWrong(t *testing.T) {
	frame := tcpFrame(t, layers.TCP{ACK: true}, []byte("payload"))
	frame[56] ^= 0x10
	p := mustParse(t, frame)
	DNAT(frame, &p, rip, 8080, false)
	if got, want := gotChecksum(frame), wantChecksum(frame); got == want {
		t.Errorf("checksum of a corrupt segment after DNAT = %#04x, the right one", got)
	}
}

func TestMissingUDPChecksum(t *testing.T) {
	none := func(payload string) []byte {
		frame := udpFrame(t, []byte(payload))
		frame[40], frame[41] = 0, 0
		return frame
	}
	t.Run("computed", func(t *testing.T) {
		frame := none("payload")
		p := mustParse(t, frame)
		DNAT(frame, &p, rip, 5353, false)
		checkSums(t, frame)
	})
	t.Run("over what the UDP length covers", func(t *testing.T) {
		frame := none("payload and more")
		frame[39] = 8 + 7
		p := mustParse(t, frame)
		DNAT(frame, &p, rip, 5353, false)
		pseudo := slowPseudo(frame)
		pseudo[11] = 8 + 7
		if sum := slowSum(pseudo, frame[34:34+8+7]); sum != 0xffff {
			t.Errorf("datagram inside a longer packet sums to %#04x, want 0xffff", sum)
		}
	})
	t.Run("computed 0 becomes ffff", func(t *testing.T) {
		frame := udpFrame(t, udpZeroPayload(t))
		frame[40], frame[41] = 0, 0
		p := mustParse(t, frame)
		DNAT(frame, &p, p.Dst, p.DstPort, false)
		if got := gotChecksum(frame); got != 0xffff {
			t.Errorf("checksum = %#04x, want 0xffff", got)
		}
	})
	t.Run("none in a first fragment", func(t *testing.T) {
		ip := ipv4Layer(layers.IPProtocolUDP)
		ip.Flags = layers.IPv4MoreFragments
		frame := build(t, ip, rawL4{0x15, 0x19, 0, 53, 1, 0, 0, 0})
		p := mustParse(t, frame)
		DNAT(frame, &p, rip, 5353, false)
		if frame[40] != 0 || frame[41] != 0 || p.DstPort != 5353 || frame[37] != 5353&0xff {
			t.Errorf("first fragment after DNAT = % x, want port 5353 and checksum 0", frame)
		}
	})
}

// TestAddressesOnly: without ports only the IP header changes.
func TestAddressesOnly(t *testing.T) {
	later := ipv4Layer(layers.IPProtocolUDP)
	later.FragOffset = 64
	for name, frame := range map[string][]byte{
		"icmp":           icmpFrame(t, ICMPEcho, 0, 0x4d0001, []byte("ping")),
		"later fragment": build(t, later, rawL4("payload of the rest")),
		"esp":            build(t, ipv4Layer(layers.IPProtocolESP), rawL4("opaque")),
	} {
		want := bytes.Clone(frame)
		binary.BigEndian.PutUint32(want[26:], 0x01020304)
		binary.BigEndian.PutUint32(want[30:], rip)
		fixIPv4Checksum(want)
		p := mustParse(t, frame)
		DNAT(frame, &p, rip, 8080, false)
		SNAT(frame, &p, 0x01020304, 8080, true)
		if !bytes.Equal(frame, want) {
			t.Errorf("%s after NAT:\n got % x\nwant % x", name, frame, want)
		}
		if p != mustParse(t, frame) {
			t.Errorf("%s: packet after NAT = %+v, want %+v", name, p, mustParse(t, frame))
		}
	}
}

// TestShortFirstFragment: the port is there and the checksum is not.
func TestShortFirstFragment(t *testing.T) {
	for _, proto := range []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolSCTP} {
		for _, partial := range []bool{false, true} {
			ip := ipv4Layer(proto)
			ip.Flags = layers.IPv4MoreFragments
			frame := build(t, ip, rawL4("\x15\x1a\x00\x50\x00\x00\x03\xe8"))
			want := bytes.Clone(frame)
			binary.BigEndian.PutUint32(want[30:], rip)
			binary.BigEndian.PutUint16(want[36:], 8080)
			fixIPv4Checksum(want)
			p := mustParse(t, frame)
			DNAT(frame, &p, rip, 8080, partial)
			if !bytes.Equal(frame, want) {
				t.Errorf("%v, partial %v: first fragment after DNAT:\n got % x\nwant % x", proto, partial, frame, want)
			}
		}
	}
}

// TestShortSCTP: a packet that the parser faulted is still safe to rewrite.
func TestShortSCTP(t *testing.T) {
	frame := build(t, ipv4Layer(layers.IPProtocolSCTP), rawL4("\x15\x19\x00\x50tag"))
	var p Packet
	if f := ParseIPv4(frame, &p); f != FaultL4 {
		t.Fatalf("ParseIPv4(7 bytes of SCTP) = %v, want %v", f, FaultL4)
	}
	DNAT(frame, &p, rip, 8080, false)
	if got := string(frame[p.L4:p.End]); got != "\x15\x19\x1f\x90tag" {
		t.Errorf("SCTP after DNAT = %q, want port 8080 and nothing else changed", got)
	}
}

func TestSCTPChecksum(t *testing.T) {
	crc := func(l4 []byte) uint32 {
		l4 = bytes.Clone(l4)
		clear(l4[8:12])
		return crc32.Checksum(l4, crc32.MakeTable(crc32.Castagnoli))
	}
	sctp := rawL4("\x15\x19\x00\x50tagtag__chunks")
	for _, tt := range []struct {
		name    string
		port    uint16
		partial bool
		want    bool // a right checksum
	}{
		{"port changes", 8080, false, true},
		{"port stays", 80, false, false},
		{"partial", 8080, true, false},
	} {
		frame := build(t, ipv4Layer(layers.IPProtocolSCTP), sctp)
		p := mustParse(t, frame)
		DNAT(frame, &p, rip, tt.port, tt.partial)
		_, l4 := split(frame)
		if got := binary.LittleEndian.Uint32(l4[8:12]) == crc(l4); got != tt.want {
			t.Errorf("%s: CRC32c right = %v, want %v", tt.name, got, tt.want)
		}
		if got := binary.BigEndian.Uint16(l4[2:4]); got != tt.port {
			t.Errorf("%s: port = %d, want %d", tt.name, got, tt.port)
		}
	}
}

func TestDecrementTTL(t *testing.T) {
	for ttl := 2; ttl < 256; ttl++ {
		ip := ipv4Layer(layers.IPProtocolUDP)
		ip.TTL = uint8(ttl)
		frame := build(t, ip, &layers.UDP{})
		want := bytes.Clone(frame)
		want[22]--
		fixIPv4Checksum(want)
		p := mustParse(t, frame)
		DecrementTTL(frame, &p)
		if !bytes.Equal(frame, want) || int(p.TTL) != ttl-1 {
			t.Errorf("DecrementTTL(%d): TTL %d, frame % x, want % x", ttl, p.TTL, frame, want)
		}
	}
}

func TestTranslateDoesNotAllocate(t *testing.T) {
	orig := tcpFrame(t, layers.TCP{ACK: true}, []byte("payload"))
	frame := make([]byte, len(orig))
	run := func() {
		copy(frame, orig)
		var p Packet
		ParseIPv4(frame, &p)
		DNAT(frame, &p, rip, 8080, false)
		SNAT(frame, &p, vip, 80, false)
		DecrementTTL(frame, &p)
		SetMACs(frame, clientMAC, vipMAC)
	}
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("parse, DNAT and SNAT allocate %v times per packet, want 0", n)
	}
}
