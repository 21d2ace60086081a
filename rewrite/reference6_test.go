package rewrite

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

var (
	cip6 = Addr6Of(netip.MustParseAddr("2001:db8:3::5"))
	vip6 = Addr6Of(netip.MustParseAddr("2001:db8:1::80"))
	rip6 = Addr6Of(netip.MustParseAddr("fd10:20::b:1"))
)

// ext is an extension header: its number, and its bytes but for the first, which
// names what follows.
type ext struct {
	kind uint8
	rest []byte
}

var (
	hopByHop  = ext{ExtHopByHop, []byte{0, 5, 2, 0, 0, 1, 0}}                      // a router alert
	destOpts  = ext{ExtDestination, append([]byte{1, 1, 12}, make([]byte, 12)...)} // 16 bytes of padding
	routing0  = ext{ExtRouting, append([]byte{2, 0, 0}, make([]byte, 20)...)}      // at its end
	routing4  = ext{ExtRouting, append([]byte{2, 4, 1}, make([]byte, 20)...)}      // a segment left
	atomic    = ext{ExtFragment, []byte{0, 0, 0, 1, 2, 3, 4}}                      // RFC 6946
	firstFrag = ext{ExtFragment, []byte{0, 0, 1, 0xde, 0xad, 0xbe, 0xef}}          // more follow
	laterFrag = ext{ExtFragment, []byte{0, 2, 1, 0xde, 0xad, 0xbe, 0xef}}          // from byte 512 on
)

// frame6 puts an IPv6 packet together, byte by byte.
func frame6(src, dst Addr6, hopLimit uint8, chain []ext, proto uint8, l4 []byte) []byte {
	frame := bytes.Join([][]byte{vipMAC[:], clientMAC[:], {0x86, 0xdd}, {0x60, 0, 0, 0, 0, 0, proto, hopLimit}}, nil)
	frame = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(frame, src.Hi), src.Lo)
	frame = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(frame, dst.Hi), dst.Lo)
	name := 20
	for _, e := range chain {
		frame[name] = e.kind
		name = len(frame)
		frame = append(append(frame, proto), e.rest...)
	}
	frame = append(frame, l4...)
	binary.BigEndian.PutUint16(frame[18:], uint16(len(frame)-54))
	return frame
}

// build6 serializes a frame from the client to the VIP with gopacket, lengths and
// checksums included, and puts extension headers in afterwards.
func build6(t errorer, chain []ext, proto layers.IPProtocol, rest ...gopacket.SerializableLayer) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: 0x2e, NextHeader: proto, SrcIP: cip6.Addr().AsSlice(), DstIP: vip6.Addr().AsSlice()}
	plain := serialize(t, layers.EthernetTypeIPv6, ip, rest)
	frame := frame6(cip6, vip6, 64, chain, uint8(proto), plain[54:])
	copy(frame[14:18], plain[14:18]) // traffic class
	return frame
}

func tcpFrame6(t errorer, chain []ext, tcp layers.TCP, payload []byte) []byte {
	t.Helper()
	if tcp.SrcPort == 0 {
		tcp.SrcPort, tcp.DstPort = 5402, 80
	}
	tcp.Window = 4096
	return build6(t, chain, layers.IPProtocolTCP, &tcp, gopacket.Payload(payload))
}

func udpFrame6(t errorer, chain []ext, payload []byte) []byte {
	t.Helper()
	return build6(t, chain, layers.IPProtocolUDP, &layers.UDP{SrcPort: 5401, DstPort: 53}, gopacket.Payload(payload))
}

// icmpFrame6 is an ICMPv6 message; rest is the second word of its header.
func icmpFrame6(t errorer, chain []ext, icmpType, code uint8, rest uint32, data []byte) []byte {
	t.Helper()
	return build6(t, chain, layers.IPProtocolICMPv6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(icmpType, code)},
		gopacket.Payload(append(binary.BigEndian.AppendUint32(nil, rest), data...)))
}

// walk6 returns where the L4 header of the packet at l3 is and what it is, by
// believing everything that is written there.
func walk6(frame []byte, l3 int) (l4 int, proto uint8) {
	l4, proto = l3+40, frame[l3+6]
	for {
		switch proto {
		case ExtFragment:
			proto, l4 = frame[l4], l4+8
		case ExtHopByHop, ExtRouting, ExtDestination:
			proto, l4 = frame[l4], l4+8+8*int(frame[l4+1])
		default:
			return l4, proto
		}
	}
}

// slowSum6 is the sum of the L4 packet in frame with its pseudo header: 0xffff when
// its checksum is right.
func slowSum6(frame []byte) uint16 {
	l4, proto := walk6(frame, 14)
	end := 54 + int(binary.BigEndian.Uint16(frame[18:]))
	return slowSum(slowPseudo6(frame, proto, end-l4), frame[l4:end])
}

func slowPseudo6(frame []byte, proto uint8, length int) []byte {
	pseudo := append([]byte{}, frame[22:54]...)
	return append(pseudo, 0, 0, byte(length>>8), byte(length), 0, 0, 0, proto)
}

func sumAt6(proto uint8) int {
	if proto == ProtoICMPv6 {
		return 2
	}
	return checksumAt(proto)
}

// setSum6 gives the TCP, UDP or ICMPv6 packet the checksum that it should have, or
// the partial one.
func setSum6(frame []byte, partial bool) {
	l4, proto := walk6(frame, 14)
	field := frame[l4+sumAt6(proto):][:2]
	field[0], field[1] = 0, 0
	sum := ^slowSum6(frame)
	if partial {
		end := 54 + int(binary.BigEndian.Uint16(frame[18:]))
		sum = slowSum(slowPseudo6(frame, proto, end-l4))
	} else if sum == 0 && proto == ProtoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
}

func checkSum6(t errorer, frame []byte) {
	t.Helper()
	if got := slowSum6(frame); got != 0xffff {
		t.Errorf("packet % x sums to %#04x, want 0xffff", frame, got)
	}
}

func mustParse6(t errorer, frame []byte) Packet {
	t.Helper()
	var p Packet
	if f := Parse(frame, &p); f != FaultNone || !p.V6 {
		t.Fatalf("Parse(% x) = %v, V6 %v, want %v, true", frame, f, p.V6, FaultNone)
	}
	return p
}

func drawAddr6(t *rapid.T, name string) Addr6 {
	return Addr6{rapid.Uint64().Draw(t, name+" hi"), rapid.Uint64().Draw(t, name+" lo")}
}

// drawChain draws extension headers in an order that senders use.
func drawChain(t *rapid.T) []ext {
	var chain []ext
	for _, e := range []ext{hopByHop, destOpts, routing0, routing4, atomic, destOpts} {
		if rapid.IntRange(0, 3).Draw(t, "extension") == 0 {
			chain = append(chain, e)
		}
	}
	return chain
}

// drawFrame6 draws a TCP, UDP or ICMPv6 packet with a right checksum, some with
// extension headers, some with Ethernet padding.
func drawFrame6(t *rapid.T) []byte {
	proto := rapid.SampledFrom([]uint8{ProtoTCP, ProtoUDP, ProtoICMPv6}).Draw(t, "proto")
	payload := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "payload")
	l4 := make([]byte, 20)
	binary.BigEndian.PutUint16(l4[0:], rapid.Uint16().Draw(t, "sport"))
	binary.BigEndian.PutUint16(l4[2:], rapid.Uint16().Draw(t, "dport"))
	switch proto {
	case ProtoTCP:
		l4[12], l4[13] = 5<<4, rapid.Uint8().Draw(t, "flags")
	case ProtoUDP:
		l4 = l4[:8]
		binary.BigEndian.PutUint16(l4[4:], uint16(8+len(payload)))
	case ProtoICMPv6:
		l4 = l4[:8]
		l4[0] = ICMPv6Echo
	}
	frame := frame6(drawAddr6(t, "src"), drawAddr6(t, "dst"), rapid.Uint8().Draw(t, "hop limit"), drawChain(t), proto, append(l4, payload...))
	setSum6(frame, false)
	return append(frame, rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "padding")...)
}
