package rewrite

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"
)

func TestParseIPv4(t *testing.T) {
	later := ipv4Layer(layers.IPProtocolUDP)
	later.Flags, later.FragOffset = layers.IPv4MoreFragments, 64
	options := ipv4Layer(layers.IPProtocolUDP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	base := Packet{L3: 14, L4: 34, Src: cip, Dst: vip, ID: 7, TTL: 64, DontFrag: true}

	tests := []struct {
		name  string
		frame []byte
		want  func(p *Packet)
	}{
		{"tcp", append(tcpFrame(t, layers.TCP{SYN: true, ECE: true, CWR: true}, nil), 0xaa, 0xaa), func(p *Packet) {
			p.Proto, p.SrcPort, p.DstPort, p.End, p.TCPFlags = ProtoTCP, 5402, 80, 54, TCPSyn|TCPEce|TCPCwr
		}},
		{"udp", udpFrame(t, []byte("abc")), func(p *Packet) {
			p.Proto, p.SrcPort, p.DstPort, p.End = ProtoUDP, 5401, 53, 45
		}},
		{"icmp", icmpFrame(t, ICMPTimeExceeded, 1, 0, []byte("abcd")), func(p *Packet) {
			p.Proto, p.ICMPType, p.ICMPCode, p.End = ProtoICMP, ICMPTimeExceeded, 1, 46
		}},
		{"options", build(t, options, &layers.UDP{SrcPort: 1, DstPort: 2}), func(p *Packet) {
			p.Proto, p.SrcPort, p.DstPort, p.L4, p.End = ProtoUDP, 1, 2, 38, 46
		}},
		{"later fragment", build(t, later, &layers.UDP{SrcPort: 1, DstPort: 2}), func(p *Packet) {
			p.Proto, p.End, p.DontFrag, p.MoreFrags, p.FragOff = ProtoUDP, 42, false, true, 512
		}},
		{"gre", build(t, ipv4Layer(layers.IPProtocolGRE)), func(p *Packet) {
			p.Proto, p.End = 47, 34
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := base
			tt.want(&want)
			got := Packet{ICMPType: 99, TCPFlags: 99, SrcPort: 99, FragOff: 99} // leftovers must go
			if f := ParseIPv4(tt.frame, &got); f != FaultNone {
				t.Fatalf("ParseIPv4() = %v, want %v", f, FaultNone)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packet (-want +got):\n%s", diff)
			}
			if got.Fragment() != (tt.name == "later fragment") || got.Len() != got.End-14 {
				t.Errorf("Fragment(), Len() = %v, %d of %+v", got.Fragment(), got.Len(), got)
			}
		})
	}
}

func TestParseIPv4Faults(t *testing.T) {
	// set changes one byte of the frame and makes the header checksum right again.
	set := func(frame []byte, at int, value byte) []byte {
		frame[at] = value
		ip := frame[14:34]
		ip[10], ip[11] = 0, 0
		sum := ^slowSum(ip)
		ip[10], ip[11] = byte(sum>>8), byte(sum)
		return frame
	}
	cut := func(frame []byte, l4 int) []byte { return set(frame, 17, byte(20+l4)) }
	tcp := func() []byte { return tcpFrame(t, layers.TCP{ACK: true}, []byte("payload")) }

	tests := []struct {
		name  string
		frame []byte
		want  Fault
	}{
		{"nothing", nil, FaultTruncated},
		{"ethernet header cut", tcp()[:13], FaultTruncated},
		{"arp", set(tcp(), 13, 6), FaultNotIP},
		{"ip header cut", tcp()[:33], FaultTruncated},
		{"version 6", set(tcp(), 14, 0x65), FaultHeader},
		{"header length 16", set(tcp(), 14, 0x44), FaultHeader},
		{"total length below header length", set(tcp(), 17, 19), FaultHeader},
		{"total length above frame", set(tcp(), 17, 48), FaultTruncated},
		{"options above total length", set(set(tcp(), 17, 56), 14, 0x4f)[:70-10], FaultHeader},
		{"header checksum", append(tcp()[:24:24], append([]byte{0, 0}, tcp()[26:]...)...), FaultChecksum},
		{"tcp of 19 bytes", cut(tcp(), 19), FaultL4},
		{"tcp of 20 bytes", cut(tcp(), 20), FaultNone},
		{"tcp data offset 0 is not IPVS's business", set(tcp(), 46, 0), FaultNone},
		{"udp of 7 bytes", cut(udpFrame(t, nil), 7), FaultL4},
		{"udp length field too long is not IPVS's business", set(udpFrame(t, nil), 38, 0xff), FaultNone},
		{"icmp of 7 bytes", cut(icmpFrame(t, 8, 0, 0, nil), 7), FaultL4},
		{"sctp of 11 bytes", cut(set(tcp(), 23, ProtoSCTP), 11), FaultL4},
		{"sctp of 12 bytes", cut(set(tcp(), 23, ProtoSCTP), 12), FaultNone},
		{"tcp of 8 bytes in a first fragment", cut(set(tcp(), 20, 0x20), 8), FaultNone},
	}
	for _, tt := range tests {
		var p Packet
		if got := ParseIPv4(tt.frame, &p); got != tt.want {
			t.Errorf("%s: ParseIPv4(% x) = %v, want %v", tt.name, tt.frame, got, tt.want)
		}
	}
}

func TestFirstFragmentHasPorts(t *testing.T) {
	ip := ipv4Layer(layers.IPProtocolTCP)
	ip.Flags = layers.IPv4MoreFragments
	frame := build(t, ip, &layers.TCP{SrcPort: 5402, DstPort: 80, SYN: true})
	p := mustParse(t, frame)
	if p.SrcPort != 5402 || p.DstPort != 80 || p.TCPFlags != TCPSyn || !p.Fragment() || !p.HasPorts() {
		t.Errorf("first fragment parsed as %+v, want ports, flags and HasPorts", p)
	}
}

func TestFaultString(t *testing.T) {
	for f, want := range map[Fault]string{FaultNone: "none", FaultL4: "short-l4", 77: "fault(77)"} {
		if got := f.String(); got != want {
			t.Errorf("Fault(%d).String() = %q, want %q", f, got, want)
		}
	}
}
