package rewrite

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// slowSum is the ones' complement sum as RFC 1071 words it: one word at a time,
// nothing shared with the code under test.
func slowSum(parts ...[]byte) uint16 {
	sum := 0
	for _, b := range parts {
		for i, c := range b {
			if i%2 == 0 {
				sum += int(c) << 8
			} else {
				sum += int(c)
			}
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// slowPseudo returns the bytes of the pseudo header of the packet in frame.
func slowPseudo(frame []byte) []byte {
	ip := frame[14:]
	length := int(binary.BigEndian.Uint16(ip[2:4])) - int(ip[0]&15)*4
	pseudo := append([]byte{}, ip[12:20]...)
	return append(pseudo, 0, ip[9], byte(length>>8), byte(length))
}

// split returns the IP header and what follows it, without Ethernet padding.
func split(frame []byte) (ip, l4 []byte) {
	ip = frame[14:]
	header := int(ip[0]&15) * 4
	return ip[:header], ip[header:binary.BigEndian.Uint16(ip[2:4])]
}

func fixIPv4Checksum(frame []byte) {
	ip, _ := split(frame)
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^slowSum(ip))
}

// checksumAt returns the offset of the L4 checksum, -1 for none that covers a
// pseudo header.
func checksumAt(proto uint8) int {
	switch proto {
	case ProtoTCP:
		return 16
	case ProtoUDP:
		return 6
	}
	return -1
}

// wantChecksum returns the L4 checksum that the packet in frame should have.
func wantChecksum(frame []byte) uint16 {
	ip, l4 := split(frame)
	at := checksumAt(ip[9])
	sum := ^slowSum(slowPseudo(frame), l4[:at], l4[at+2:])
	if sum == 0 && ip[9] == ProtoUDP {
		return 0xffff
	}
	return sum
}

func gotChecksum(frame []byte) uint16 {
	ip, l4 := split(frame)
	return binary.BigEndian.Uint16(l4[checksumAt(ip[9]):])
}

// checkSums fails the test unless both checksums of the TCP or UDP packet are
// those of a full computation.
func checkSums(t errorer, frame []byte) {
	t.Helper()
	ip, _ := split(frame)
	if sum := slowSum(ip); sum != 0xffff {
		t.Errorf("IPv4 header % x sums to %#04x, want 0xffff", ip, sum)
	}
	if got, want := gotChecksum(frame), wantChecksum(frame); got != want {
		t.Errorf("L4 checksum = %#04x, want %#04x", got, want)
	}
}

// errorer is what testing.T and rapid.T share.
type errorer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func mustParse(t errorer, frame []byte) Packet {
	t.Helper()
	var p Packet
	if f := ParseIPv4(frame, &p); f != FaultNone {
		t.Fatalf("ParseIPv4(% x) = %v, want %v", frame, f, FaultNone)
	}
	return p
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rawL4 is what follows an IP header, as it is.
type rawL4 = gopacket.Payload

// drawPayload draws up to 3000 bytes, no two stretches alike. (A drawn slice
// would be short nearly always.)
func drawPayload(t *rapid.T) []byte {
	n := 1000*rapid.IntRange(0, 2).Draw(t, "payload/1000") + rapid.IntRange(0, 1000).Draw(t, "payload")
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(i*i>>8 + i)
	}
	return payload
}

var (
	clientMAC = [6]byte{2, 0, 0, 0, 1, 1}
	vipMAC    = [6]byte{2, 0, 0, 0, 1, 2}
)

const (
	cip uint32 = 0x0a0a0305
	vip uint32 = 0x0a0a0101
	rip uint32 = 0x0a14000b
)

func ipv4Layer(proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 64, Id: 7, Flags: layers.IPv4DontFragment, Protocol: proto,
		SrcIP: []byte{10, 10, 3, 5}, DstIP: []byte{10, 10, 1, 1},
	}
}

// build serializes a frame from the client to the VIP with gopacket, lengths
// and checksums included.
func build(t errorer, ip *layers.IPv4, rest ...gopacket.SerializableLayer) []byte {
	t.Helper()
	return serialize(t, layers.EthernetTypeIPv4, ip, rest)
}

// serialize serializes a frame from the client's MAC address to the VIP's, with an IP
// header and what is behind it.
func serialize(t errorer, etherType layers.EthernetType, ip interface {
	gopacket.NetworkLayer
	gopacket.SerializableLayer
}, rest []gopacket.SerializableLayer) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: clientMAC[:], DstMAC: vipMAC[:], EthernetType: etherType}
	for _, l := range rest {
		if l, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := l.SetNetworkLayerForChecksum(ip); err != nil {
				t.Fatalf("SetNetworkLayerForChecksum: %v", err)
			}
		}
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append([]gopacket.SerializableLayer{eth, ip}, rest...)...); err != nil {
		t.Fatalf("SerializeLayers: %v", err)
	}
	return buf.Bytes()
}

func tcpFrame(t errorer, tcp layers.TCP, payload []byte) []byte {
	t.Helper()
	if tcp.SrcPort == 0 {
		tcp.SrcPort, tcp.DstPort = 5402, 80
	}
	tcp.Window = 4096
	return build(t, ipv4Layer(layers.IPProtocolTCP), &tcp, gopacket.Payload(payload))
}

func udpFrame(t errorer, payload []byte) []byte {
	t.Helper()
	return build(t, ipv4Layer(layers.IPProtocolUDP), &layers.UDP{SrcPort: 5401, DstPort: 53}, gopacket.Payload(payload))
}

func icmpFrame(t errorer, icmpType, code uint8, rest uint32, data []byte) []byte {
	t.Helper()
	return build(t, ipv4Layer(layers.IPProtocolICMPv4), &layers.ICMPv4{
		TypeCode: layers.CreateICMPv4TypeCode(icmpType, code), Id: uint16(rest >> 16), Seq: uint16(rest),
	}, gopacket.Payload(data))
}
