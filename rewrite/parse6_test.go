package rewrite

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

func TestParseIPv6(t *testing.T) {
	base := Packet{
		L3: 14, L4: 54, Src: cip6.Fold(), Dst: vip6.Fold(), TTL: 64, TOS: 0x2e, DontFrag: true,
		V6: true, FragAt: 54, FragName: 20, ProtoName: 20, Src6: cip6, Dst6: vip6,
	}
	udp := func(p *Packet) { p.Proto, p.SrcPort, p.DstPort = ProtoUDP, 5401, 53 }
	tests := []struct {
		name  string
		frame []byte
		want  func(p *Packet)
	}{
		{"tcp", append(tcpFrame6(t, nil, layers.TCP{SYN: true, ECE: true, CWR: true}, nil), 0xaa, 0xaa), func(p *Packet) {
			p.Proto, p.SrcPort, p.DstPort, p.End, p.TCPFlags = ProtoTCP, 5402, 80, 74, TCPSyn|TCPEce|TCPCwr
		}},
		{"udp", udpFrame6(t, nil, []byte("abc")), func(p *Packet) { udp(p); p.End = 65 }},
		{"icmp", icmpFrame6(t, nil, ICMPv6TimeExceeded, 1, 0, []byte("abcd")), func(p *Packet) {
			p.Proto, p.ICMPType, p.ICMPCode, p.End = ProtoICMPv6, ICMPv6TimeExceeded, 1, 66
		}},
		{"icmp of IPv4", frame6(cip6, vip6, 64, nil, ProtoICMP, []byte{8, 1, 2, 3, 4, 5, 6, 7}), func(p *Packet) {
			p.Proto, p.End, p.TOS = ProtoICMP, 62, 0
		}},
		{"hop by hop", udpFrame6(t, []ext{hopByHop}, nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.FragAt, p.FragName, p.ProtoName = 62, 70, 62, 54, 54
		}},
		{"destination options", udpFrame6(t, []ext{destOpts}, nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.ProtoName = 70, 78, 54 // a fragment header would come in front
		}},
		{"all that may go in front of a fragment header", udpFrame6(t, []ext{hopByHop, destOpts, routing0, destOpts}, nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.FragAt, p.FragName, p.ProtoName = 118, 126, 102, 78, 102
		}},
		{"routing with a segment left", udpFrame6(t, []ext{routing4}, nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.FragAt, p.FragName, p.ProtoName = 78, 86, 78, 54, 54
		}},
		{"atomic fragment", udpFrame6(t, []ext{destOpts, atomic}, nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.FragAt, p.FragName, p.ProtoName, p.FragHeader, p.ID = 78, 86, 70, 54, 70, true, 0x01020304
		}},
		{"first fragment", udpFrame6(t, []ext{firstFrag, destOpts}, nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.ProtoName, p.FragHeader, p.MoreFrags, p.ID = 78, 86, 62, true, true, 0xdeadbeef
		}},
		{"routing behind a fragment header, with reserved bits", udpFrame6(t, []ext{{ExtFragment, []byte{9, 0, 6, 1, 2, 3, 4}}, routing0}, nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.ProtoName, p.FragHeader, p.ID = 86, 94, 62, true, 0x01020304
		}},
		{"later fragment", frame6(cip6, vip6, 64, []ext{hopByHop, laterFrag}, ExtDestination, []byte{1, 2, 3}), func(p *Packet) {
			p.Proto, p.TOS, p.L4, p.End, p.FragAt, p.FragName, p.ProtoName = ExtDestination, 0, 70, 73, 62, 54, 62
			p.FragHeader, p.MoreFrags, p.FragOff, p.ID = true, true, 512, 0xdeadbeef
		}},
		{"no next header", frame6(cip6, vip6, 64, []ext{destOpts}, 59, []byte{1}), func(p *Packet) {
			p.Proto, p.TOS, p.L4, p.End, p.ProtoName = 59, 0, 70, 71, 54
		}},
		{"nothing at all", frame6(cip6, vip6, 64, nil, 59, nil), func(p *Packet) { p.Proto, p.TOS, p.End = 59, 0, 54 }},
		{"esp", frame6(cip6, vip6, 64, nil, 50, make([]byte, 9)), func(p *Packet) { p.Proto, p.TOS, p.End = 50, 0, 63 }},
		{"ah", frame6(cip6, vip6, 64, []ext{hopByHop}, 51, append([]byte{ProtoTCP, 4}, make([]byte, 42)...)), func(p *Packet) {
			p.Proto, p.TOS, p.L4, p.End, p.FragAt, p.FragName, p.ProtoName = 51, 0, 62, 106, 62, 54, 54
		}},
		{"routing type 0 not at its end", frame6(cip6, vip6, 64, []ext{{ExtRouting, []byte{0, 0, 1, 0, 0, 0, 0}}}, ProtoUDP, make([]byte, 8)), func(p *Packet) {
			p.Proto, p.TOS, p.End = ExtRouting, 0, 70
		}},
		{"hop by hop behind another", frame6(cip6, vip6, 64, []ext{destOpts, hopByHop}, ProtoUDP, make([]byte, 8)), func(p *Packet) {
			p.Proto, p.TOS, p.L4, p.End, p.ProtoName = ExtHopByHop, 0, 70, 86, 54
		}},
		{"as many headers as are taken", udpFrame6(t, slicesOf(destOpts, 8), nil), func(p *Packet) {
			udp(p)
			p.L4, p.End, p.ProtoName = 54+8*16, 62+8*16, 54+7*16
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := base
			tt.want(&want)
			got := Packet{ICMPType: 99, TCPFlags: 99, SrcPort: 99, FragOff: 99} // leftovers must go
			if f := Parse(tt.frame, &got); f != FaultNone {
				t.Fatalf("Parse() = %v, want %v", f, FaultNone)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packet (-want +got):\n%s", diff)
			}
			if got.Fragment() != (tt.name == "first fragment" || tt.name == "later fragment") || got.Len() != got.End-14 {
				t.Errorf("Fragment(), Len() = %v, %d of %+v", got.Fragment(), got.Len(), got)
			}
			if got.IsICMP() != (tt.name == "icmp") || got.HasPorts() != (got.SrcPort != 0) {
				t.Errorf("IsICMP(), HasPorts() = %v, %v of %+v", got.IsICMP(), got.HasPorts(), got)
			}
		})
	}
}

func slicesOf(e ext, n int) (chain []ext) {
	for range n {
		chain = append(chain, e)
	}
	return chain
}

func TestParseIPv6Faults(t *testing.T) {
	set := func(frame []byte, at int, values ...byte) []byte {
		copy(frame[at:], values)
		return frame
	}
	// cut shortens the packet, not the frame.
	cut := func(frame []byte, by byte) []byte { return set(frame, 19, frame[19]-by) }
	udp := func(chain ...ext) []byte { return udpFrame6(t, chain, nil) }
	tcp := func(chain ...ext) []byte { return tcpFrame6(t, chain, layers.TCP{ACK: true}, nil) }
	long := ext{ExtDestination, []byte{255, 0, 0, 0, 0, 0, 0}}

	tests := []struct {
		name  string
		frame []byte
		want  Fault
	}{
		{"nothing", nil, FaultTruncated},
		{"ethernet header cut", udp()[:13], FaultTruncated},
		{"ip header cut", udp()[:53], FaultTruncated},
		{"version 4", set(udp(), 14, 0x45), FaultHeader},
		{"payload length above frame", set(udp(), 18, 0, 9), FaultTruncated},
		{"jumbogram", set(udp(ext{ExtHopByHop, []byte{0, 0xc2, 4, 0, 1, 0, 1}}), 18, 0, 0), FaultHeader},
		{"extension header of 7 bytes", cut(udp(hopByHop), 9), FaultHeader},
		{"extension header of 8 bytes and nothing behind", cut(udp(hopByHop), 8), FaultL4},
		{"extension header longer than the packet", udp(long), FaultHeader},
		{"extension header longer than the packet, not the frame", cut(udp(destOpts), 9), FaultHeader},
		{"routing header of 3 bytes", cut(frame6(cip6, vip6, 64, nil, ExtRouting, make([]byte, 8)), 5), FaultHeader},
		{"fragment header of 7 bytes", cut(udp(atomic), 9), FaultHeader},
		{"two fragment headers", udp(atomic, atomic), FaultHeader},
		{"nine extension headers", udp(slicesOf(destOpts, 9)...), FaultHeader},
		{"tcp of 19 bytes", cut(tcp(), 1), FaultL4},
		{"tcp of 20 bytes", tcp(), FaultNone},
		{"udp of 7 bytes", cut(udp(), 1), FaultL4},
		{"icmp of 7 bytes", cut(icmpFrame6(t, nil, 128, 0, 0, nil), 1), FaultL4},
		{"icmp of IPv4 of 7 bytes", frame6(cip6, vip6, 64, nil, ProtoICMP, make([]byte, 7)), FaultNone},
		{"sctp of 11 bytes", frame6(cip6, vip6, 64, nil, ProtoSCTP, make([]byte, 11)), FaultL4},
		{"tcp of 19 bytes in a first fragment", cut(tcp(firstFrag), 1), FaultL4},
		{"extension header cut off in a first fragment", cut(udp(firstFrag, destOpts), 9), FaultHeader},
		{"tcp of 1 byte in a later fragment", cut(tcp(laterFrag), 19), FaultNone},
	}
	for _, tt := range tests {
		var p Packet
		if got := ParseIPv6(tt.frame, &p); got != tt.want {
			t.Errorf("%s: ParseIPv6(% x) = %v, want %v", tt.name, tt.frame, got, tt.want)
		}
	}
	var p Packet
	if f := ParseIPv6(udpFrame(t, nil), &p); f != FaultNotIP {
		t.Errorf("ParseIPv6 of an IPv4 packet = %v, want %v", f, FaultNotIP)
	}
	if f := Parse(udpFrame(t, nil), &p); f != FaultNone || p.V6 {
		t.Errorf("Parse of an IPv4 packet = %v and %+v", f, p)
	}
	if f := Parse(set(udp(), 12, 8, 6), &p); f != FaultNotIP {
		t.Errorf("Parse of ARP = %v, want %v", f, FaultNotIP)
	}
}

// TestParseLikeGopacket compares with what gopacket makes of the same frames.
func TestParseLikeGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := drawFrame6(t)
		p := mustParse6(t, frame)
		if l4, proto := walk6(frame, 14); p.L4 != l4 || p.Proto != proto {
			t.Fatalf("L4 %d of protocol %d, want %d of %d", p.L4, p.Proto, l4, proto)
		}
		packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		ip := packet.NetworkLayer().(*layers.IPv6)
		if !bytes.Equal(ip.SrcIP, p.Src6.Addr().AsSlice()) || !bytes.Equal(ip.DstIP, p.Dst6.Addr().AsSlice()) || ip.HopLimit != p.TTL || ip.TrafficClass != p.TOS {
			t.Fatalf("%+v, gopacket reads %+v", p, ip)
		}
	})
}

func TestAddr6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAddr6(t, "a")
		var b [16]byte
		a.Put(b[:])
		addr := netip.AddrFrom16(b)
		if a.Addr() != addr || Addr6Of(addr) != a || ReadAddr6(b[:]) != a {
			t.Fatalf("%v becomes %v and %v", addr, a.Addr(), Addr6Of(addr))
		}
		for bits := range 129 {
			if want := netip.PrefixFrom(addr, bits).Masked().Addr(); a.Masked(bits).Addr() != want {
				t.Fatalf("%v masked to %d bits is %v, want %v", addr, bits, a.Masked(bits).Addr(), want)
			}
		}
		var fold [4]byte
		for i := range b {
			fold[i%4] ^= b[i]
		}
		if got := [4]byte{byte(a.Fold() >> 24), byte(a.Fold() >> 16), byte(a.Fold() >> 8), byte(a.Fold())}; got != fold {
			t.Fatalf("Fold(%v) = %v, want %v", addr, got, fold)
		}
	})
	for _, s := range []string{"::", "::1", "::2", "1::", "ff02::1", "ff00::", "feff::1", "fe80::1", "febf:ffff::", "fec0::", "fe7f::1", "2001:db8::1"} {
		addr := netip.MustParseAddr(s)
		a := Addr6Of(addr)
		if a.IsMulticast() != addr.IsMulticast() || a.IsLinkLocal() != addr.IsLinkLocalUnicast() {
			t.Errorf("%v: multicast %v, link-local %v", addr, a.IsMulticast(), a.IsLinkLocal())
		}
		if want := !addr.IsMulticast() && !addr.IsUnspecified() && !addr.IsLoopback(); a.IsSingleHost() != want {
			t.Errorf("%v: single host %v, want %v", addr, a.IsSingleHost(), want)
		}
	}
}
