package rewrite

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// ndFrame is a message as another host sends it, made by gopacket.
func ndFrame(t *testing.T, src, dst Addr6, message gopacket.SerializableLayer, icmpType uint8) []byte {
	t.Helper()
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(icmpType, 0)}
	frame := build6(t, nil, layers.IPProtocolICMPv6, icmp, message)
	src.Put(frame[22:])
	dst.Put(frame[38:])
	frame[21] = 255
	setSum6(frame, false)
	return frame
}

var askerMAC = [6]byte{2, 0, 0, 0, 7, 7}

func solicitation(t *testing.T, src, dst, target Addr6, option bool) []byte {
	ns := &layers.ICMPv6NeighborSolicitation{TargetAddress: target.Addr().AsSlice()}
	if option {
		ns.Options = layers.ICMPv6Options{{Type: 14, Data: make([]byte, 6)}, {Type: layers.ICMPv6OptSourceAddress, Data: askerMAC[:]}}
	}
	return ndFrame(t, src, dst, ns, ICMPv6Solicitation)
}

func advert(t *testing.T, dst, target Addr6, flags uint8) []byte {
	return ndFrame(t, cip6, dst, &layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: target.Addr().AsSlice(),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: askerMAC[:]}}}, ICMPv6Advert)
}

func TestParseND(t *testing.T) {
	group := SolicitedNode(vip6)
	for _, tt := range []struct {
		name  string
		frame []byte
		want  ND
		claim Addr6
	}{
		{"question", solicitation(t, cip6, group, vip6, true), ND{Solicitation: true, Target: vip6, Src: cip6, Dst: group, MAC: askerMAC}, cip6},
		{"question to one host, without option", solicitation(t, cip6, vip6, vip6, false), ND{Solicitation: true, Target: vip6, Src: cip6, Dst: vip6, MAC: clientMAC}, cip6},
		{"probe for duplicates", solicitation(t, Addr6{}, group, vip6, false), ND{Solicitation: true, Target: vip6, Dst: group, MAC: clientMAC}, vip6},
		{"answer", advert(t, cip6, vip6, 0xc0), ND{Target: vip6, Src: cip6, Dst: cip6, MAC: askerMAC, Router: true, Solicited: true}, vip6},
		{"announcement", advert(t, AllNodes, vip6, 0x20), ND{Target: vip6, Src: cip6, Dst: AllNodes, MAC: askerMAC, Override: true}, vip6},
	} {
		p := mustParse6(t, tt.frame)
		var m ND
		if !ParseND(tt.frame, &p, &m) {
			t.Errorf("%s: ParseND() = false", tt.name)
			continue
		}
		if diff := cmp.Diff(tt.want, m); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if m.Claim() != tt.claim {
			t.Errorf("%s: Claim() = %v, want %v", tt.name, m.Claim().Addr(), tt.claim.Addr())
		}
	}
}

// TestParseNDIgnores: what RFC 4861 sections 7.1.1 and 7.1.2 have a host ignore.
func TestParseNDIgnores(t *testing.T) {
	group := SolicitedNode(vip6)
	// changed is a good question after change, with a right checksum.
	changed := func(change func(b []byte) []byte) []byte {
		b := change(solicitation(t, cip6, group, vip6, true))
		b[18], b[19] = 0, byte(len(b)-54)
		setSum6(b, false)
		return b
	}
	bad := changed(func(b []byte) []byte { return b })
	bad[60] ^= 1
	for name, frame := range map[string][]byte{
		"hop limit 254":             changed(func(b []byte) []byte { b[21] = 254; return b }),
		"wrong checksum":            bad,
		"code 1":                    changed(func(b []byte) []byte { b[55] = 1; return b }),
		"no whole target":           changed(func(b []byte) []byte { return b[:54+23] }),
		"option of length 0":        changed(func(b []byte) []byte { b[54+24+1] = 0; return b }),
		"last option of length 0":   changed(func(b []byte) []byte { b[54+32+1] = 0; return b }),
		"option of 2 units, 1 left": changed(func(b []byte) []byte { b[54+32+1] = 2; return b }),
		"one byte of an option":     changed(func(b []byte) []byte { return b[:54+33] }),
		"target is a group":         solicitation(t, cip6, group, AllNodes, true),
		"probe with an option":      solicitation(t, Addr6{}, group, vip6, true),
		"probe to one host":         solicitation(t, Addr6{}, vip6, vip6, false),
		"probe to another group":    solicitation(t, Addr6{}, SolicitedNode(cip6), vip6, false),
		"solicited, to all":         advert(t, AllNodes, vip6, 0x40),
		"router solicitation":       changed(func(b []byte) []byte { b[54] = 133; return b }),
		"fragment header": func() []byte {
			b := frame6(cip6, group, 255, []ext{atomic}, ProtoICMPv6, solicitation(t, cip6, group, vip6, true)[54:])
			setSum6(b, false)
			return b
		}(),
		"udp": udpFrame6(t, nil, make([]byte, 40)),
	} {
		p, m := mustParse6(t, frame), ND{}
		if ParseND(frame, &p, &m) {
			t.Errorf("%s: ParseND() = true", name)
		}
	}
	four := icmpFrame(t, 136, 0, 0, make([]byte, 16))
	four[22] = 255
	fixIPv4Checksum(four)
	p, m := mustParse(t, four), ND{}
	if ParseND(four, &p, &m) {
		t.Error("ParseND of ICMP of IPv4 = true")
	}
	// An option of another length than an Ethernet address has is not one.
	long := changed(func(b []byte) []byte {
		if b[54+24] != ndOptSource {
			t.Fatalf("the first option is % x", b[54+24:])
		}
		b[54+24+1] = 2
		return b
	})
	if p = mustParse6(t, long); !ParseND(long, &p, &m) || m.MAC != clientMAC {
		t.Errorf("with a long option: %+v, want the frame's address", m)
	}
}

// ndDecoded is what gopacket reads in a message.
type ndDecoded struct {
	EthDst, EthSrc, Src, Dst, Target string
	Type, Flags                      uint8
	Option                           string
}

func decodeND(t *testing.T, frame []byte) (d ndDecoded) {
	t.Helper()
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if l := packet.ErrorLayer(); l != nil {
		t.Fatalf("gopacket cannot decode % x: %v", frame, l.Error())
	}
	eth, ip := packet.LinkLayer().(*layers.Ethernet), packet.NetworkLayer().(*layers.IPv6)
	d.EthDst, d.EthSrc, d.Src, d.Dst = eth.DstMAC.String(), eth.SrcMAC.String(), ip.SrcIP.String(), ip.DstIP.String()
	if ip.HopLimit != 255 {
		t.Errorf("hop limit %d, want 255", ip.HopLimit)
	}
	checkSum6(t, frame)
	var options layers.ICMPv6Options
	switch l := packet.Layers()[3].(type) {
	case *layers.ICMPv6NeighborSolicitation:
		d.Type, d.Target, options = 135, l.TargetAddress.String(), l.Options
	case *layers.ICMPv6NeighborAdvertisement:
		d.Type, d.Flags, d.Target, options = 136, l.Flags, l.TargetAddress.String(), l.Options
	default:
		t.Fatalf("no neighbour discovery in % x", frame)
	}
	for _, o := range options {
		d.Option += o.String()
	}
	return d
}

func TestNDFrames(t *testing.T) {
	room := func() []byte {
		b := make([]byte, NDFrameLen)
		for i := range b {
			b[i] = 0xaa // leftovers must go
		}
		return b
	}
	var m ND
	question := solicitation(t, cip6, SolicitedNode(vip6), vip6, true)
	p := mustParse6(t, question)
	ParseND(question, &p, &m)
	probe := m
	probe.Src = Addr6{}
	allNodes := ndDecoded{"33:33:00:00:00:01", "02:00:00:00:09:09", "2001:db8:1::80", "ff02::1", "2001:db8:1::80", 136, 0x20, "ICMPv6Option(TargetAddress:02:00:00:00:09:09)"}
	for _, tt := range []struct {
		name  string
		write func(dst []byte) int
		want  ndDecoded
	}{
		{"answer", func(dst []byte) int { return NDReply(dst, question, routerMAC, &m) }, ndDecoded{
			"02:00:00:00:01:01", "02:00:00:00:09:09", "2001:db8:1::80", "2001:db8:3::5", "2001:db8:1::80", 136, 0x60, "ICMPv6Option(TargetAddress:02:00:00:00:09:09)"}},
		{"answer to a probe", func(dst []byte) int { return NDReply(dst, question, routerMAC, &probe) }, allNodes},
		{"announcement", func(dst []byte) int { return UnsolicitedAdvert(dst, routerMAC, vip6) }, allNodes},
		{"question", func(dst []byte) int { return NDSolicit(dst, routerMAC, vip6, cip6) }, ndDecoded{
			"33:33:ff:00:00:05", "02:00:00:00:09:09", "2001:db8:1::80", "ff02::1:ff00:5", "2001:db8:3::5", 135, 0, "ICMPv6Option(SourceAddress:02:00:00:00:09:09)"}},
		{"probe", func(dst []byte) int { return NDProbe(dst, routerMAC, vip6) }, ndDecoded{
			"33:33:ff:00:00:80", "02:00:00:00:09:09", "::", "ff02::1:ff00:80", "2001:db8:1::80", 135, 0, ""}},
	} {
		b := room()
		n := tt.write(b)
		if n == 0 || tt.write(b[:n-1]) != 0 {
			t.Errorf("%s: length %d, or written into less", tt.name, n)
			continue
		}
		if diff := cmp.Diff(tt.want, decodeND(t, b[:n])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		var again ND
		if p := mustParse6(t, b[:n]); !ParseND(b[:n], &p, &again) {
			t.Errorf("%s: ParseND() of what was written = false", tt.name)
		}
	}
	none := map[string]int{
		"an advertisement":      NDReply(room(), question, routerMAC, &ND{Target: vip6, Src: cip6}),
		"a question of a group": NDReply(room(), question, routerMAC, &ND{Solicitation: true, Target: vip6, Src: AllNodes}),
		"a frame of a group":    NDReply(room(), append([]byte{0, 0, 0, 0, 0, 0, 1}, question[7:]...), routerMAC, &m),
	}
	for name, n := range none {
		if n != 0 {
			t.Errorf("NDReply to %s = %d, want 0", name, n)
		}
	}
}

func TestGroups(t *testing.T) {
	a := Addr6Of(netip.MustParseAddr("2001:db8::a1b2:c3d4"))
	group := SolicitedNode(a)
	if got := group.Addr().String(); got != "ff02::1:ffb2:c3d4" {
		t.Errorf("SolicitedNode = %s", got)
	}
	if got, want := MulticastMAC(group), [6]byte{0x33, 0x33, 0xff, 0xb2, 0xc3, 0xd4}; got != want {
		t.Errorf("MulticastMAC = % x, want % x", got, want)
	}
	if AllNodes.Addr() != netip.MustParseAddr("ff02::1") {
		t.Errorf("AllNodes = %v", AllNodes.Addr())
	}
}
