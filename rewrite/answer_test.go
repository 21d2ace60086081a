package rewrite

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var routerMAC = [6]byte{2, 0, 0, 0, 9, 9}

// decodeAnswer reads an answer with gopacket and checks its MAC addresses.
func decodeAnswer(t *testing.T, frame []byte) gopacket.Packet {
	t.Helper()
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if l := packet.ErrorLayer(); l != nil {
		t.Fatalf("gopacket cannot decode % x: %v", frame, l.Error())
	}
	eth := packet.LinkLayer().(*layers.Ethernet)
	if got, want := eth.DstMAC.String()+" "+eth.SrcMAC.String(), "02:00:00:00:01:01 02:00:00:00:09:09"; got != want {
		t.Errorf("MAC addresses = %s, want %s", got, want)
	}
	return packet
}

// decode reads an answer and checks what all those of IPv4 share.
func decode(t *testing.T, frame []byte) (*layers.IPv4, gopacket.Packet) {
	t.Helper()
	packet := decodeAnswer(t, frame)
	ip := packet.NetworkLayer().(*layers.IPv4)
	if ip.TTL != 64 || int(ip.Length) != len(frame)-14 {
		t.Errorf("TTL, length = %d, %d, want 64, %d", ip.TTL, ip.Length, len(frame)-14)
	}
	header, _ := split(frame)
	if sum := slowSum(header); sum != 0xffff {
		t.Errorf("header of the answer sums to %#04x, want 0xffff", sum)
	}
	return ip, packet
}

func TestICMPError(t *testing.T) {
	short := udpFrame(t, []byte("x"))
	long := tcpFrame(t, layers.TCP{ACK: true}, make([]byte, 1400))
	for _, tt := range []struct {
		name   string
		frame  []byte
		answer ICMPAnswer
		quotes int
	}{
		{"port unreachable about a short datagram", append(short, 0, 0, 0), ICMPAnswer{Type: 3, Code: 3, Src: vip}, 29},
		{"fragmentation needed about a long segment", long, ICMPAnswer{Type: 3, Code: 4, Rest: 1300, Src: vip}, 548},
		{"time exceeded by another address", short, ICMPAnswer{Type: 11, Src: rip}, 29},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, tt.frame)
			dst := make([]byte, MaxICMPError)
			n := ICMPError(dst, tt.frame, &p, routerMAC, tt.answer)
			if want := 14 + 28 + tt.quotes; n != want {
				t.Fatalf("ICMPError() = %d, want %d", n, want)
			}
			ip, packet := decode(t, dst[:n])
			if ip.TOS != 0xc0 || ip.Flags != 0 || ip.Id != 0 ||
				binary.BigEndian.Uint32(ip.SrcIP) != tt.answer.Src || binary.BigEndian.Uint32(ip.DstIP) != cip {
				t.Errorf("IP header = %+v, want TOS 0xc0, no flags, id 0, from %#x to the client", ip, tt.answer.Src)
			}
			icmp := packet.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			got := ICMPAnswer{Type: icmp.TypeCode.Type(), Code: icmp.TypeCode.Code(), Rest: uint32(icmp.Id)<<16 | uint32(icmp.Seq), Src: tt.answer.Src}
			if diff := cmp.Diff(tt.answer, got); diff != "" {
				t.Errorf("ICMP header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.frame[14:14+tt.quotes], icmp.Payload); diff != "" {
				t.Errorf("quoted packet (-want +got):\n%s", diff)
			}
			if q := mustParse(t, dst[:n]); !ICMPChecksumOK(dst, &q) {
				t.Error("ICMPChecksumOK() = false, want true")
			}
			if n := ICMPError(dst[:n-1], tt.frame, &p, routerMAC, tt.answer); n != 0 {
				t.Errorf("ICMPError() into a short buffer = %d, want 0", n)
			}
		})
	}
}

// TestNoAnswer: nothing is owed to these, whatever is asked for.
func TestNoAnswer(t *testing.T) {
	with := func(change func(ip *layers.IPv4), proto layers.IPProtocol, l4 ...gopacket.SerializableLayer) []byte {
		ip := ipv4Layer(proto)
		change(ip)
		return build(t, ip, l4...)
	}
	from := func(addr string, l4 gopacket.SerializableLayer, proto layers.IPProtocol) []byte {
		return with(func(ip *layers.IPv4) { ip.SrcIP = addr4(addr) }, proto, l4)
	}
	echo := func() gopacket.SerializableLayer {
		return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(ICMPEcho, 0)}
	}
	syn := func() gopacket.SerializableLayer { return &layers.TCP{SrcPort: 1, DstPort: 2, SYN: true} }
	group := tcpFrame(t, layers.TCP{SYN: true}, nil)
	group[0] |= 1
	fromGroup := tcpFrame(t, layers.TCP{SYN: true}, nil)
	fromGroup[6] |= 1
	bad := icmpFrame(t, ICMPEcho, 0, 1, nil)
	bad[36] ^= 1
	rst := tcpFrame(t, layers.TCP{RST: true, ACK: true}, nil)
	offset := tcpFrame(t, layers.TCP{SYN: true}, nil)
	offset[46] = 6 << 4

	for _, tt := range []struct {
		name  string
		frame []byte
		not   string // e: ICMP error, p: echo reply, r: reset
	}{
		{"later fragment", with(func(ip *layers.IPv4) { ip.FragOffset = 8 }, layers.IPProtocolTCP, syn()), "epr"},
		{"first fragment", with(func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }, layers.IPProtocolTCP, syn()), "pr"},
		{"first fragment of an echo", with(func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }, layers.IPProtocolICMPv4, echo()), "pr"},
		{"redirect", icmpFrame(t, ICMPRedirect, 0, 0, nil), "epr"},
		{"parameter problem", icmpFrame(t, ICMPParameter, 0, 0, nil), "epr"},
		{"time exceeded", icmpFrame(t, ICMPTimeExceeded, 0, 0, nil), "epr"},
		{"icmp without a type", with(func(*layers.IPv4) {}, layers.IPProtocolICMPv4, rawL4{8, 0, 0}), "epr"},
		{"echo reply", icmpFrame(t, ICMPEchoReply, 0, 0, nil), "pr"},
		{"echo with a bad checksum", bad, "pr"},
		{"echo", icmpFrame(t, ICMPEcho, 0, 0, nil), "r"},
		{"reset", rst, "pr"},
		{"segment with a bad data offset", offset, "pr"},
		{"frame to a group", group, "epr"},
		{"frame from a group", fromGroup, "epr"},
		{"to class D", with(func(ip *layers.IPv4) { ip.DstIP = addr4("\xe0\x00\x00\x01") }, layers.IPProtocolTCP, syn()), "epr"},
		{"to broadcast", with(func(ip *layers.IPv4) { ip.DstIP = addr4("\xff\xff\xff\xff") }, layers.IPProtocolICMPv4, echo()), "epr"},
		{"from nobody, segment", from("\x00\x00\x00\x00", syn(), layers.IPProtocolTCP), "epr"},
		{"from nobody, echo", from("\x00\x00\x00\x00", echo(), layers.IPProtocolICMPv4), "epr"},
		{"from loopback", from("\x7f\x00\x00\x01", syn(), layers.IPProtocolTCP), "epr"},
		{"from class D", from("\xef\x01\x01\x01", syn(), layers.IPProtocolTCP), "epr"},
		{"from class E", from("\xf0\x01\x01\x01", syn(), layers.IPProtocolTCP), "epr"},
		{"datagram", udpFrame(t, nil), "pr"},
		{"segment", tcpFrame(t, layers.TCP{SYN: true}, nil), "p"},
	} {
		var p Packet
		ParseIPv4(tt.frame, &p)
		dst := make([]byte, 2048)
		for _, a := range []struct {
			kind string
			n    int
		}{
			{"e", ICMPError(dst, tt.frame, &p, routerMAC, ICMPAnswer{Type: 3, Code: 3, Src: vip})},
			{"p", EchoReply(dst, tt.frame, &p, routerMAC)},
			{"r", TCPReset(dst, tt.frame, &p, routerMAC)},
		} {
			if owed := !strings.Contains(tt.not, a.kind); owed != (a.n > 0) {
				t.Errorf("%s: answer %q has length %d, want an answer: %v", tt.name, a.kind, a.n, owed)
			}
		}
	}
}

func addr4(s string) []byte { return []byte(s) }

func TestEchoReply(t *testing.T) {
	ip := ipv4Layer(layers.IPProtocolICMPv4)
	ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	ip.TOS = 0x10
	data := []byte(strings.Repeat("p", 1001))
	frame := build(t, ip, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 77, Seq: 1}, gopacket.Payload(data))
	p := mustParse(t, frame)
	dst := make([]byte, 2048)
	n := EchoReply(dst, frame, &p, routerMAC)
	if want := 14 + 20 + 8 + len(data); n != want {
		t.Fatalf("EchoReply() = %d, want %d", n, want)
	}
	got, packet := decode(t, dst[:n])
	if got.TOS != 0x10 || got.Flags != 0 || got.Id != 7 || len(got.Options) != 0 ||
		binary.BigEndian.Uint32(got.SrcIP) != vip || binary.BigEndian.Uint32(got.DstIP) != cip {
		t.Errorf("IP header = %+v, want the request's TOS and id, no flags, no options, VIP to client", got)
	}
	icmp := packet.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if icmp.TypeCode != 0 || icmp.Id != 77 || icmp.Seq != 1 || string(icmp.Payload) != string(data) {
		t.Errorf("reply = %v id %d seq %d, %d bytes; want echo reply 77 1 and the request's data", icmp.TypeCode, icmp.Id, icmp.Seq, len(icmp.Payload))
	}
	if q := mustParse(t, dst[:n]); !ICMPChecksumOK(dst, &q) {
		t.Error("ICMPChecksumOK() = false, want true")
	}
	if n := EchoReply(dst[:n-1], frame, &p, routerMAC); n != 0 {
		t.Errorf("EchoReply() into a short buffer = %d, want 0", n)
	}
}

// TestTCPReset has the segments and answers of records tcp-noport and
// tcp-midstream, where the kernel's own stack answered.
func TestTCPReset(t *testing.T) {
	const first = 1000
	for _, tt := range []struct {
		name     string
		segment  layers.TCP
		payload  int
		seq, ack uint32
		flags    uint8
	}{
		{"SYN", layers.TCP{SYN: true}, 0, 0, first + 1, TCPRst | TCPAck},
		{"FIN", layers.TCP{FIN: true}, 0, 0, first + 1, TCPRst | TCPAck},
		{"no flag", layers.TCP{}, 0, 0, first, TCPRst | TCPAck},
		{"PSH with data", layers.TCP{PSH: true}, 5, 0, first + 5, TCPRst | TCPAck},
		{"SYN and FIN with data", layers.TCP{SYN: true, FIN: true}, 7, 0, first + 9, TCPRst | TCPAck},
		{"super-packet", layers.TCP{}, 60000, 0, first + 60000, TCPRst | TCPAck},
		{"ACK", layers.TCP{ACK: true, Ack: 0xdeadbeef}, 3, 0xdeadbeef, 0, TCPRst},
		{"SYN+ACK", layers.TCP{SYN: true, ACK: true, Ack: 0}, 0, 0, 0, TCPRst},
		{"FIN+ACK", layers.TCP{FIN: true, ACK: true, Ack: 42}, 0, 42, 0, TCPRst},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.segment.Seq = first
			tt.segment.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}}
			frame := tcpFrame(t, tt.segment, make([]byte, tt.payload))
			p := mustParse(t, frame)
			dst := make([]byte, 54)
			for i := range dst {
				dst[i] = 0xaa // leftovers must go
			}
			n := TCPReset(dst, frame, &p, routerMAC)
			if n != len(dst) {
				t.Fatalf("TCPReset() = %d, want %d", n, len(dst))
			}
			ip, packet := decode(t, dst)
			if ip.Flags != layers.IPv4DontFragment || ip.Id != 0 || ip.TOS != 0 ||
				binary.BigEndian.Uint32(ip.SrcIP) != vip || binary.BigEndian.Uint32(ip.DstIP) != cip {
				t.Errorf("IP header = %+v, want DF, id 0, TOS 0, VIP to client", ip)
			}
			tcp := packet.TransportLayer().(*layers.TCP)
			if tcp.Seq != tt.seq || tcp.Ack != tt.ack || dst[47] != tt.flags || tcp.Window != 0 ||
				tcp.SrcPort != 80 || tcp.DstPort != 5402 || tcp.Urgent != 0 {
				t.Errorf("reset = %d>%d seq=%d ack=%d flags=%#x window=%d, want 80>5402 seq=%d ack=%d flags=%#x window=0",
					tcp.SrcPort, tcp.DstPort, tcp.Seq, tcp.Ack, dst[47], tcp.Window, tt.seq, tt.ack, tt.flags)
			}
			checkSums(t, dst)
			if n := TCPReset(dst[:n-1], frame, &p, routerMAC); n != 0 {
				t.Errorf("TCPReset() into a short buffer = %d, want 0", n)
			}
		})
	}
}
