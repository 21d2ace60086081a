package rewrite

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// decode6 reads an answer and checks what all those of IPv6 share.
func decode6(t *testing.T, frame []byte) (*layers.IPv6, gopacket.Packet) {
	t.Helper()
	packet := decodeAnswer(t, frame)
	ip := packet.NetworkLayer().(*layers.IPv6)
	if ip.HopLimit != 64 || int(ip.Length) != len(frame)-54 || ip.FlowLabel != 0 || Addr6(ReadAddr6(ip.DstIP)) != cip6 {
		t.Errorf("IP header = %+v, want hop limit 64, length %d, to the client", ip, len(frame)-54)
	}
	checkSum6(t, frame)
	return ip, packet
}

func TestICMPv6Error(t *testing.T) {
	short := udpFrame6(t, nil, []byte("x"))
	long := tcpFrame6(t, []ext{destOpts}, layers.TCP{ACK: true}, make([]byte, 1400))
	for _, tt := range []struct {
		name   string
		frame  []byte
		answer ICMPAnswer
		quotes int
	}{
		{"port unreachable about a short datagram", append(short, 0, 0, 0), ICMPAnswer{Type: 1, Code: 4, Src6: vip6}, 49},
		{"too big about a long segment", long, ICMPAnswer{Type: 2, Rest: 1400, Src6: vip6}, 1280 - 48},
		{"time exceeded by another address", short, ICMPAnswer{Type: 3, Src6: rip6}, 49},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse6(t, tt.frame)
			dst := make([]byte, MaxICMPError)
			n := ICMPError(dst, tt.frame, &p, routerMAC, tt.answer)
			if want := 14 + 48 + tt.quotes; n != want || ICMPErrorLen(&p) != want-14 {
				t.Fatalf("ICMPError() = %d, ICMPErrorLen() = %d, want %d and %d", n, ICMPErrorLen(&p), want, want-14)
			}
			ip, packet := decode6(t, dst[:n])
			if ip.TrafficClass != 0 || ReadAddr6(ip.SrcIP) != tt.answer.Src6 {
				t.Errorf("IP header = %+v, want no traffic class, from %v", ip, tt.answer.Src6.Addr())
			}
			icmp := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
			got := ICMPAnswer{Type: icmp.TypeCode.Type(), Code: icmp.TypeCode.Code(), Rest: binary.BigEndian.Uint32(icmp.Payload), Src6: ReadAddr6(ip.SrcIP)}
			if diff := cmp.Diff(tt.answer, got); diff != "" {
				t.Errorf("ICMP header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.frame[14:14+tt.quotes], icmp.Payload[4:]); diff != "" {
				t.Errorf("quoted packet (-want +got):\n%s", diff)
			}
			if n := ICMPError(dst[:n-1], tt.frame, &p, routerMAC, tt.answer); n != 0 {
				t.Errorf("ICMPError() into a short buffer = %d, want 0", n)
			}
		})
	}
}

// TestProblems: what both families say, by RFC 792, 1812 and 4443.
func TestProblems(t *testing.T) {
	v4, v6 := mustParse(t, udpFrame(t, nil)), mustParse6(t, udpFrame6(t, []ext{hopByHop, destOpts}, nil))
	for problem, want := range map[Problem][2]ICMPAnswer{
		NoRoute:             {{Type: 3, Code: 0}, {Type: 1, Code: 0}},
		HostUnreachable:     {{Type: 3, Code: 1}, {Type: 1, Code: 3}},
		ProtocolUnreachable: {{Type: 3, Code: 2}, {Type: 4, Code: 1, Rest: 48}}, // named by the destination options
		PortUnreachable:     {{Type: 3, Code: 3}, {Type: 1, Code: 4}},
		TooBig:              {{Type: 3, Code: 4, Rest: 1400}, {Type: 2, Code: 0, Rest: 1400}},
		TTLExceeded:         {{Type: 11, Code: 0}, {Type: 3, Code: 0}},
	} {
		want[0].Src, want[1].Src, want[1].Src6 = vip, vip6.Fold(), vip6
		if got := [2]ICMPAnswer{problem.About(&v4, 1400), problem.About(&v6, 1400)}; got != want {
			t.Errorf("problem %d: %+v, want %+v", problem, got, want)
		}
	}
}

// TestNoAnswer6: nothing is owed to these, whatever is asked for.
func TestNoAnswer6(t *testing.T) {
	from := func(src, dst Addr6, proto uint8, l4 []byte) []byte {
		frame := frame6(src, dst, 64, nil, proto, l4)
		setSum6(frame, false)
		return frame
	}
	syn := []byte{0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 5 << 4, TCPSyn, 0, 0, 0, 0, 0, 0}
	echo := []byte{ICMPv6Echo, 0, 0, 0, 0, 1, 0, 1}
	group := tcpFrame6(t, nil, layers.TCP{SYN: true}, nil)
	group[0] |= 1
	fromGroup := tcpFrame6(t, nil, layers.TCP{SYN: true}, nil)
	fromGroup[6] |= 1
	bad := from(cip6, vip6, ProtoICMPv6, echo)
	bad[56] ^= 1
	v4sum := from(cip6, vip6, ProtoICMPv6, echo)
	v4sum[56], v4sum[57] = 0, 0
	binary.BigEndian.PutUint16(v4sum[56:], ^slowSum(v4sum[54:]))
	later := frame6(cip6, vip6, 64, []ext{laterFrag}, ProtoTCP, syn)
	offset := from(cip6, vip6, ProtoTCP, syn)
	offset[66] = 6 << 4

	for _, tt := range []struct {
		name  string
		frame []byte
		not   string // e: ICMP error, p: echo reply, r: reset
	}{
		{"later fragment", later, "epr"},
		{"first fragment", tcpFrame6(t, []ext{firstFrag}, layers.TCP{SYN: true}, nil), "pr"},
		{"first fragment of an echo", icmpFrame6(t, []ext{firstFrag}, ICMPv6Echo, 0, 0, nil), "pr"},
		{"atomic fragment", tcpFrame6(t, []ext{atomic}, layers.TCP{SYN: true}, nil), "p"},
		{"redirect", icmpFrame6(t, nil, ICMPv6Redirect, 0, 0, nil), "epr"},
		{"parameter problem", icmpFrame6(t, nil, ICMPv6Parameter, 0, 0, nil), "epr"},
		{"an error that nobody knows", icmpFrame6(t, nil, 127, 0, 0, nil), "epr"},
		{"icmp without a type", frame6(cip6, vip6, 64, nil, ProtoICMPv6, []byte{128, 0, 0}), "epr"},
		{"echo reply", icmpFrame6(t, nil, ICMPv6EchoReply, 0, 0, nil), "pr"},
		{"echo with a bad checksum", bad, "pr"},
		{"echo with a checksum as in IPv4", v4sum, "pr"},
		{"echo of IPv4", frame6(cip6, vip6, 64, nil, ProtoICMP, echo), "pr"},
		{"echo", icmpFrame6(t, []ext{destOpts}, ICMPv6Echo, 0, 0, nil), "r"},
		{"reset", tcpFrame6(t, nil, layers.TCP{RST: true, ACK: true}, nil), "pr"},
		{"segment with a bad data offset", offset, "pr"},
		{"frame to a group", group, "epr"},
		{"frame from a group", fromGroup, "epr"},
		{"to a group", from(cip6, AllNodes, ProtoTCP, syn), "epr"},
		{"echo to a group", from(cip6, AllNodes, ProtoICMPv6, echo), "epr"},
		{"from nobody, segment", from(Addr6{}, vip6, ProtoTCP, syn), "epr"},
		{"from nobody, echo", from(Addr6{}, vip6, ProtoICMPv6, echo), "epr"},
		{"from loopback", from(Addr6{0, 1}, vip6, ProtoTCP, syn), "epr"},
		{"to loopback", from(cip6, Addr6{0, 1}, ProtoTCP, syn), "epr"},
		{"from a group", from(AllNodes, vip6, ProtoTCP, syn), "epr"},
		{"datagram", udpFrame6(t, nil, nil), "pr"},
		{"segment", tcpFrame6(t, nil, layers.TCP{SYN: true}, nil), "p"},
		{"from a link-local address", from(Addr6{0xfe80 << 48, 5}, vip6, ProtoTCP, syn), "p"},
	} {
		var p Packet
		Parse(tt.frame, &p)
		dst := make([]byte, 2048)
		for _, a := range []struct {
			kind string
			n    int
		}{
			{"e", ICMPError(dst, tt.frame, &p, routerMAC, PortUnreachable.About(&p, 0))},
			{"p", EchoReply(dst, tt.frame, &p, routerMAC)},
			{"r", TCPReset(dst, tt.frame, &p, routerMAC)},
		} {
			if owed := !strings.Contains(tt.not, a.kind); owed != (a.n > 0) {
				t.Errorf("%s: answer %q has length %d, want an answer: %v", tt.name, a.kind, a.n, owed)
			}
		}
	}
}

func TestEchoReply6(t *testing.T) {
	data := []byte(strings.Repeat("p", 1001))
	frame := icmpFrame6(t, []ext{hopByHop, destOpts}, ICMPv6Echo, 0, 77<<16|1, data)
	p := mustParse6(t, frame)
	dst := make([]byte, 2048)
	n := EchoReply(dst, frame, &p, routerMAC)
	if want := 14 + 40 + 8 + len(data); n != want {
		t.Fatalf("EchoReply() = %d, want %d", n, want)
	}
	ip, packet := decode6(t, dst[:n])
	if ip.TrafficClass != 0x2e || ip.NextHeader != layers.IPProtocolICMPv6 || ReadAddr6(ip.SrcIP) != vip6 {
		t.Errorf("IP header = %+v, want the request's traffic class, no extension headers, from the VIP", ip)
	}
	icmp := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	echo := packet.Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
	if icmp.TypeCode != layers.CreateICMPv6TypeCode(129, 0) || echo.Identifier != 77 || echo.SeqNumber != 1 || string(icmp.Payload[4:]) != string(data) {
		t.Errorf("reply = %v %+v, %d bytes; want echo reply 77 1 and the request's data", icmp.TypeCode, echo, len(icmp.Payload)-4)
	}
	if n := EchoReply(dst[:n-1], frame, &p, routerMAC); n != 0 {
		t.Errorf("EchoReply() into a short buffer = %d, want 0", n)
	}
}

func TestTCPReset6(t *testing.T) {
	for _, tt := range []struct {
		name     string
		segment  layers.TCP
		payload  int
		seq, ack uint32
		flags    uint8
	}{
		{"SYN", layers.TCP{SYN: true}, 0, 0, 1001, TCPRst | TCPAck},
		{"super-packet", layers.TCP{}, 60000, 0, 61000, TCPRst | TCPAck},
		{"ACK", layers.TCP{ACK: true, Ack: 0xdeadbeef}, 3, 0xdeadbeef, 0, TCPRst},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.segment.Seq = 1000
			frame := tcpFrame6(t, []ext{destOpts}, tt.segment, make([]byte, tt.payload))
			p := mustParse6(t, frame)
			dst := make([]byte, TCPResetLen)
			for i := range dst {
				dst[i] = 0xaa // leftovers must go
			}
			n := TCPReset(dst, frame, &p, routerMAC)
			if n != TCPResetLen {
				t.Fatalf("TCPReset() = %d, want %d", n, TCPResetLen)
			}
			ip, packet := decode6(t, dst)
			tcp := packet.TransportLayer().(*layers.TCP)
			if ip.TrafficClass != 0 || ReadAddr6(ip.SrcIP) != vip6 || tcp.Seq != tt.seq || tcp.Ack != tt.ack || dst[67] != tt.flags ||
				tcp.Window != 0 || tcp.SrcPort != 80 || tcp.DstPort != 5402 || tcp.Urgent != 0 {
				t.Errorf("reset = %+v in %+v, want 80>5402 seq=%d ack=%d flags=%#x window=0 from the VIP", tcp, ip, tt.seq, tt.ack, tt.flags)
			}
			if n := TCPReset(dst[:n-1], frame, &p, routerMAC); n != 0 {
				t.Errorf("TCPReset() into a short buffer = %d, want 0", n)
			}
		})
	}
}
