package rewrite

import (
	"testing"

	"github.com/google/gopacket/layers"
)

func BenchmarkParse(b *testing.B) {
	options := ipv4Layer(layers.IPProtocolUDP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	for _, bm := range []struct {
		name  string
		frame []byte
	}{
		{"proto=tcp/options=0", tcpFrame(b, layers.TCP{ACK: true}, nil)},
		{"proto=udp/options=0", udpFrame(b, []byte("payload"))},
		{"proto=udp/options=4", build(b, options, &layers.UDP{SrcPort: 5401, DstPort: 53})},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			var p Packet
			for b.Loop() {
				if f := ParseIPv4(bm.frame, &p); f != FaultNone {
					b.Fatal(f)
				}
			}
		})
	}
}

// BenchmarkParse6 is [BenchmarkParse] for IPv6.
func BenchmarkParse6(b *testing.B) {
	for _, bm := range []struct {
		name  string
		frame []byte
	}{
		{"proto=tcp/extensions=0", tcpFrame6(b, nil, layers.TCP{ACK: true}, nil)},
		{"proto=tcp/extensions=2", tcpFrame6(b, []ext{hopByHop, destOpts}, layers.TCP{ACK: true}, nil)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			var p Packet
			for b.Loop() {
				if f := ParseIPv6(bm.frame, &p); f != FaultNone {
					b.Fatal(f)
				}
			}
		})
	}
}

// BenchmarkDNAT rewrites to and fro, so that the frame never has to be copied
// back; one operation is one DNAT.
func BenchmarkDNAT(b *testing.B) {
	for _, bm := range []struct {
		name    string
		frame   []byte
		partial bool
	}{
		{"proto=tcp/sum=complete", tcpFrame(b, layers.TCP{ACK: true}, make([]byte, 1400)), false},
		{"proto=tcp/sum=partial", tcpFrame(b, layers.TCP{ACK: true}, make([]byte, 1400)), true},
		{"proto=udp/sum=complete", udpFrame(b, make([]byte, 1400)), false},
		{"proto=icmp/sum=none", icmpFrame(b, ICMPEcho, 0, 0, make([]byte, 1400)), false},
	} {
		b.Run(bm.name, func(b *testing.B) {
			p := mustParse(b, bm.frame)
			addrs, ports := [2]uint32{rip, vip}, [2]uint16{8080, 80}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				DNAT(bm.frame, &p, addrs[i&1], ports[i&1], bm.partial)
			}
		})
	}
}

// BenchmarkDNAT6 is [BenchmarkDNAT] for IPv6.
func BenchmarkDNAT6(b *testing.B) {
	for _, bm := range []struct {
		name    string
		frame   []byte
		partial bool
	}{
		{"proto=tcp/sum=complete", tcpFrame6(b, nil, layers.TCP{ACK: true}, make([]byte, 1400)), false},
		{"proto=tcp/sum=partial", tcpFrame6(b, nil, layers.TCP{ACK: true}, make([]byte, 1400)), true},
		{"proto=udp/sum=complete", udpFrame6(b, nil, make([]byte, 1400)), false},
		{"proto=icmp/sum=complete", icmpFrame6(b, nil, ICMPv6Echo, 0, 0, make([]byte, 1400)), false},
	} {
		b.Run(bm.name, func(b *testing.B) {
			p := mustParse6(b, bm.frame)
			addrs, ports := [2]Addr6{rip6, vip6}, [2]uint16{8080, 80}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				DNAT6(bm.frame, &p, addrs[i&1], ports[i&1], bm.partial)
			}
		})
	}
}

func BenchmarkSum(b *testing.B) {
	for _, bm := range []struct {
		name string
		n    int
	}{{"bytes=20", 20}, {"bytes=1480", 1480}, {"bytes=65000", 65000}} {
		b.Run(bm.name, func(b *testing.B) {
			data := make([]byte, bm.n)
			b.SetBytes(int64(bm.n))
			b.ReportAllocs()
			for b.Loop() {
				Sum(data, 0)
			}
		})
	}
}
