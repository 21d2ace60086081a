package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// TestARPMessages reads what the constructors write with gopacket.
func TestARPMessages(t *testing.T) {
	request := make([]byte, ARPFrameLen)
	PutARP(request, broadcastMAC, &ARP{Op: ARPOpRequest, SenderMAC: clientMAC, SenderIP: cip, TargetIP: vip})
	var asked ARP
	if !ParseARP(request, &asked) {
		t.Fatalf("ParseARP(% x) = false, want true", request)
	}
	for _, tt := range []struct {
		name   string
		put    func(dst []byte) int
		ethDst [6]byte
		want   ARP
	}{
		{"reply", func(dst []byte) int { return ARPReply(dst, request, vipMAC, &asked) }, clientMAC,
			ARP{Op: 2, SenderMAC: vipMAC, SenderIP: vip, TargetMAC: clientMAC, TargetIP: cip}},
		{"gratuitous", func(dst []byte) int { return GratuitousARP(dst, vipMAC, vip) }, broadcastMAC,
			ARP{Op: 1, SenderMAC: vipMAC, SenderIP: vip, TargetIP: vip}},
		{"probe", func(dst []byte) int { return ARPProbe(dst, vipMAC, vip) }, broadcastMAC,
			ARP{Op: 1, SenderMAC: vipMAC, TargetIP: vip}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := bytes.Repeat([]byte{0xaa}, 64)
			if n := tt.put(dst); n != ARPFrameLen {
				t.Fatalf("length = %d, want %d", n, ARPFrameLen)
			}
			if !bytes.Equal(dst[42:60], make([]byte, 18)) {
				t.Errorf("padding = % x, want zeros", dst[42:60])
			}
			packet := gopacket.NewPacket(dst[:60], layers.LayerTypeEthernet, gopacket.Default)
			eth, arp := packet.LinkLayer().(*layers.Ethernet), packet.Layer(layers.LayerTypeARP).(*layers.ARP)
			if !bytes.Equal(eth.DstMAC, tt.ethDst[:]) || !bytes.Equal(eth.SrcMAC, vipMAC[:]) {
				t.Errorf("MAC addresses = %v %v, want %x %x", eth.DstMAC, eth.SrcMAC, tt.ethDst, vipMAC)
			}
			got := ARP{
				Op:        arp.Operation,
				SenderMAC: [6]byte(arp.SourceHwAddress), SenderIP: binary.BigEndian.Uint32(arp.SourceProtAddress),
				TargetMAC: [6]byte(arp.DstHwAddress), TargetIP: binary.BigEndian.Uint32(arp.DstProtAddress),
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if n := tt.put(dst[:59]); n != 0 {
				t.Errorf("length in a short buffer = %d, want 0", n)
			}
		})
	}
}

func TestParseARPRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var raw [22]byte
		copy(raw[:], rapid.SliceOfN(rapid.Byte(), 22, 22).Draw(t, "fields"))
		want := ARP{
			Op:        binary.BigEndian.Uint16(raw[0:]),
			SenderMAC: [6]byte(raw[2:8]), SenderIP: binary.BigEndian.Uint32(raw[8:]),
			TargetMAC: [6]byte(raw[12:18]), TargetIP: binary.BigEndian.Uint32(raw[18:]),
		}
		frame := make([]byte, ARPFrameLen)
		PutARP(frame, broadcastMAC, &want)
		var got ARP
		if !ParseARP(frame[:42], &got) || got != want {
			t.Fatalf("ParseARP(PutARP(%+v)) = %+v", want, got)
		}
	})
}

func TestParseARPRefuses(t *testing.T) {
	for name, change := range map[string]func(frame []byte) []byte{
		"cut":            func(f []byte) []byte { return f[:41] },
		"other type":     func(f []byte) []byte { f[12] = 0x86; return f },
		"token ring":     func(f []byte) []byte { f[15] = 6; return f },
		"other protocol": func(f []byte) []byte { f[17] = 1; return f },
		"MAC length":     func(f []byte) []byte { f[18] = 8; return f },
		"address length": func(f []byte) []byte { f[19] = 16; return f },
	} {
		frame := make([]byte, ARPFrameLen)
		ARPProbe(frame, vipMAC, vip)
		a := ARP{Op: 77}
		if ParseARP(change(frame), &a) || a.Op != 77 {
			t.Errorf("%s: ParseARP() = true or changed its result to %+v", name, a)
		}
	}
}

func TestARPReplyRefuses(t *testing.T) {
	frame := make([]byte, ARPFrameLen)
	ARPProbe(frame, clientMAC, vip)
	group := bytes.Clone(frame)
	group[6] |= 1
	request := ARP{Op: ARPOpRequest, SenderMAC: clientMAC, SenderIP: cip, TargetIP: vip}
	reply, groupSender := request, request
	reply.Op, groupSender.SenderMAC = ARPOpReply, broadcastMAC
	for _, tt := range []struct {
		name  string
		frame []byte
		a     ARP
		want  int
	}{
		{"request", frame, request, ARPFrameLen},
		{"reply", frame, reply, 0},
		{"sender is a group", frame, groupSender, 0},
		{"frame from a group", group, request, 0},
		{"no frame", nil, request, 0},
	} {
		if got := ARPReply(make([]byte, 60), tt.frame, vipMAC, &tt.a); got != tt.want {
			t.Errorf("%s: ARPReply() = %d, want %d", tt.name, got, tt.want)
		}
	}
}
