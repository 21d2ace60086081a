package packettest

import (
	"encoding/hex"
	"net/netip"
	"testing"
)

// TestDescribeRecordedIPv6 reads frames that a real director sent; the lines are
// those of the recording.
func TestDescribeRecordedIPv6(t *testing.T) {
	for _, tt := range []struct{ frame, want string }{
		{
			"02000000021202000000020186dd6000000000280620fd100010000300000000000000000005fd20000000000001000000000000001213891f90000003e800000000a0027210c2610000020405a00402080a0001e240000000000103030a",
			"fd10:10:3::5 > fd20:0:0:1::12 hop=32 TCP 5001>8080 S seq=1000 ack=0 len=0",
		},
		{
			"02000000010202000000010186dd6000000000443a3ffd100010000100000000000000000001fd1000100003000000000000000000050200b6d400000578600000000014063ffd100010000300000000000000000005fd10001000010000000000000000000105790050000003e906010897501072100bdf0000",
			"fd10:10:1::1 > fd10:10:3::5 hop=63 ICMP6 type=2 code=0 rest=00000578 { fd10:10:3::5 > fd10:10:1::1 hop=63 TCP 1401>80 A seq=1001 ack=100731031 len=0 BADSUM }",
		},
	} {
		b, err := hex.DecodeString(tt.frame)
		if err != nil {
			t.Fatal(err)
		}
		if got := Describe(b); got != tt.want {
			t.Errorf("Describe(%s)\n got %s\nwant %s", tt.frame, got, tt.want)
		}
		b[21] ^= 1
		if got := Describe(b); got == tt.want {
			t.Errorf("Describe does not notice another hop limit: %s", got)
		}
	}
}

// TestBuildersAndDescribeIPv6 checks each against the other.
func TestBuildersAndDescribeIPv6(t *testing.T) {
	client6, vip6 := netip.MustParseAddrPort("[fd10::5]:5402"), netip.MustParseAddrPort("[fd10::1]:80")
	tcp := Packet{Src: client6, Dst: vip6, Proto: 6, Flags: "PA", Seq: 7, Ack: 9, Payload: make([]byte, 5)}
	udp := Packet{Src: client6, Dst: vip6, Proto: 17, TTL: 9, TOS: 0xb8, FlowLabel: 0x12345, Payload: make([]byte, 20)}
	with := func(p Packet, change func(*Packet)) []byte { change(&p); return p.Frame() }
	super := Partial(with(tcp, func(p *Packet) { p.Payload = make([]byte, 3000) }), 1440)
	broken := Partial(tcp.Frame(), 0)
	broken.Data[70] ^= 1
	pieces := Fragments6(udp.Frame(), 16, 77)
	extended := with(tcp, func(p *Packet) {
		p.Extensions = []Extension{{Type: 0}, {Type: 43, Body: make([]byte, 14)}, {Type: 44}, {Type: 60}}
	})
	mac, other := MAC("02:00:00:00:00:01"), MAC("02:00:00:00:00:02")
	router := netip.MustParseAddr("fe80::2")
	const head = "fd10::5 > fd10::1 hop=64"
	for _, tt := range []struct{ name, got, want string }{
		{"tcp", Describe(tcp.Frame()), head + " TCP 5402>80 PA seq=7 ack=9 len=5"},
		{"udp", Describe(udp.Frame()), "fd10::5 > fd10::1 hop=9 UDP 5402>80 len=20"},
		{"bad sum", Describe(with(tcp, func(p *Packet) { p.BadSum = true })), head + " TCP 5402>80 PA seq=7 ack=9 len=5 BADSUM"},
		{"bad udp sum", Describe(with(udp, func(p *Packet) { p.BadSum = true })), "fd10::5 > fd10::1 hop=9 UDP 5402>80 len=20 BADSUM"},
		{"no sum", Describe(with(udp, func(p *Packet) { p.ZeroSum = true })), "fd10::5 > fd10::1 hop=9 UDP 5402>80 len=20 nosum"},
		{"extensions", Describe(extended), head + " ext=0 ext=43 ext=60 frag off=0 TCP 5402>80 PA (truncated)"},
		{"first fragment", Describe(pieces[0]), "fd10::5 > fd10::1 hop=9 frag off=0 MF UDP 5402>80 len=20"},
		{"last fragment", Describe(pieces[1]), "fd10::5 > fd10::1 hop=9 frag off=16 proto=17 len=12"},
		{"icmp error", Describe(Packet{Src: client6, Dst: vip6, Proto: 58, Type: 2, Rest: 1400, Payload: tcp.Frame()[14:74]}.Frame()),
			head + " ICMP6 type=2 code=0 rest=00000578 { fd10::5 > fd10::1 hop=64 TCP 5402>80 PA (truncated) }"},
		{"echo", Describe(Packet{Src: client6, Dst: vip6, Proto: 58, Type: 128, Rest: 77<<16 | 1, BadSum: true}.Frame()),
			head + " ICMP6 type=128 code=0 len=0 BADSUM"},
		{"other", Describe(Packet{Src: client6, Dst: vip6, Proto: 47, Payload: []byte{1}}.Frame()), head + " proto=47 len=1"},
		{"raw", Describe(Packet{Src: client6, Dst: vip6, Proto: 6, Raw: true, Payload: []byte{1}}.Frame()), head + " proto=6 len=1"},
		{"super", DescribeFrame(&super), head + " TCP 5402>80 PA seq=7 ack=9 len=3000 partial gso=1440"},
		{"bad partial", DescribeFrame(&broken), "fd10::5 > fd10::1 hop=64 TCP 5402>80 PA seq=7 ack=9 len=5 BADPARTIAL"},
		{"solicitation", Describe(NeighbourSolicitation(mac, router, vip6.Addr())), "fe80::2 > ff02::1:ff00:1 hop=255 NS fd10::1 02:00:00:00:00:01"},
		{"address detection", Describe(NeighbourSolicitation(mac, netip.IPv6Unspecified(), vip6.Addr())), ":: > ff02::1:ff00:1 hop=255 NS fd10::1"},
		{"advertisement", Describe(NeighbourAdvertisement(mac, other, vip6.Addr(), router, vip6.Addr(), NASolicited|NAOverride)),
			"fd10::1 > fe80::2 hop=255 NA SO fd10::1 02:00:00:00:00:01"},
		{"short ip", Describe(tcp.Frame()[:53]), "short"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
	if got := udp.Frame()[14:18]; [4]byte(got) != [4]byte{0x6b, 0x81, 0x23, 0x45} {
		t.Errorf("version, traffic class and flow label are % x", got)
	}
}
