package dataplane_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
)

// lastOf returns the last packet with a verdict as one line.
func (w *world) lastOf(v dataplane.Verdict) string {
	s := w.dir.Ledger().Entries[v].Last
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%v %s %04x proto %d %v > %v icmp %d/%d, %d bytes", s.At, s.Link, s.EtherType, s.Proto, s.Src, s.Dst, s.Type, s.Code, s.Length)
}

// TestLedgerLast: of each verdict but those that are sent on the last packet is
// kept, whatever it is.
func TestLedgerLast(t *testing.T) {
	ap, addr := netip.MustParseAddrPort, netip.MustParseAddr
	udp := packettest.Packet{Proto: 17, Src: ap("10.10.3.5:4000"), Dst: ap("10.10.1.1:99"), Payload: make([]byte, 100)}
	toServer := packettest.Packet{Proto: 17, Src: ap("10.10.3.5:4000"), Dst: ap("10.10.1.1:80"), Payload: make([]byte, 100)}
	udp6 := packettest.Packet{Proto: 17, Src: ap("[fd10::5]:4000"), Dst: ap("[fd10:1::1]:99"), Payload: make([]byte, 100)}
	pieces := packettest.Fragments(toServer.Frame(), 64)
	for _, tt := range []struct {
		name    string
		verdict dataplane.Verdict
		frame   []byte
		later   time.Duration // until it meets its verdict
		want    string
	}{
		{"UDP", dataplane.AnswerPortUnreachable, udp.Frame(), 0, "16m40s vip 0800 proto 17 10.10.3.5:4000 > 10.10.1.1:99 icmp -1/-1, 142 bytes"},
		{"TCP", dataplane.DropMartian, packettest.Packet{Proto: 6, Flags: "S", Src: ap("10.10.1.1:1"), Dst: ap("10.10.1.1:80")}.Frame(), 0,
			"16m40s vip 0800 proto 6 10.10.1.1:1 > 10.10.1.1:80 icmp -1/-1, 54 bytes"},
		{"SCTP", dataplane.AnswerReset, packettest.Packet{Proto: 132, Chunks: "SACK", Src: ap("10.10.3.5:1"), Dst: ap("10.10.1.1:80")}.Frame(), 0,
			"16m40s vip 0800 proto 132 10.10.3.5:1 > 10.10.1.1:80 icmp -1/-1, 62 bytes"},
		{"ICMP", dataplane.AnswerEcho, packettest.Packet{Proto: 1, Type: 8, Src: ap("10.10.3.5:0"), Dst: ap("10.10.1.1:0")}.Frame(), 0,
			"16m40s vip 0800 proto 1 10.10.3.5:0 > 10.10.1.1:0 icmp 8/0, 42 bytes"},
		{"ARP", dataplane.AnswerARP, packettest.ARPRequest(packettest.NeighbourMAC(addr("10.10.3.5")), addr("10.10.3.5"), addr("10.10.1.1")), 0,
			"16m40s vip 0806 proto 0 10.10.3.5:0 > 10.10.1.1:0 icmp -1/-1, 60 bytes"},
		{"half of IPv6", dataplane.DropTruncated, append(make([]byte, 12), 0x86, 0xdd, 1), 0, "16m40s vip 86dd proto 0 invalid AddrPort > invalid AddrPort icmp -1/-1, 15 bytes"},
		{"IPv6", dataplane.AnswerPortUnreachable, udp6.Frame(), 0, "16m40s vip 86dd proto 17 [fd10::5]:4000 > [fd10:1::1]:99 icmp -1/-1, 162 bytes"},
		{"ICMPv6", dataplane.AnswerEcho, packettest.Packet{Proto: 58, Type: 128, Src: ap("[fd10::5]:0"), Dst: ap("[fd10:1::1]:0")}.Frame(), 0,
			"16m40s vip 86dd proto 58 [fd10::5]:0 > [fd10:1::1]:0 icmp 128/0, 62 bytes"},
		{"a piece of IPv6", dataplane.HeldFragment, packettest.Fragments6(udp6.Frame(), 64, 7)[1], 0, "16m40s vip 86dd proto 17 [fd10::5]:0 > [fd10:1::1]:0 icmp -1/-1, 106 bytes"},
		{"a first piece of IPv6 alone", dataplane.DropFragmentTimeout, packettest.Fragments6(udp6.Frame(), 64, 7)[0], time.Minute,
			"17m40s vip 86dd proto 17 [fd10::5]:4000 > [fd10:1::1]:99 icmp -1/-1, 118 bytes"},
		{"LLDP", dataplane.PassEtherType, append(make([]byte, 12), 0x88, 0xcc, 1), 0, "16m40s vip 88cc proto 0 invalid AddrPort > invalid AddrPort icmp -1/-1, 15 bytes"},
		{"nothing", dataplane.DropTruncated, nil, 0, "16m40s vip 0000 proto 0 invalid AddrPort > invalid AddrPort icmp -1/-1, 0 bytes"},
		{"half a header", dataplane.DropTruncated, udp.Frame()[:20], 0, "16m40s vip 0800 proto 0 0.0.0.0:0 > 0.0.0.0:0 icmp -1/-1, 20 bytes"},
		{"a piece", dataplane.HeldFragment, pieces[1], 0, "16m40s vip 0800 proto 17 10.10.3.5:0 > 10.10.1.1:0 icmp -1/-1, 78 bytes"},
		{"a first piece alone", dataplane.DropFragmentTimeout, pieces[0], time.Minute, "17m40s vip 0800 proto 17 10.10.3.5:4000 > 10.10.1.1:80 icmp -1/-1, 98 bytes"},
		{"forwarded", dataplane.Forward, toServer.Frame(), 0, "none"},
	} {
		w := newWorld(nil)
		w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m\n-A -u 10.10.1.1:80 -s rr\n-a -u 10.10.1.1:80 -r 10.20.0.11 -m\n-A -t [fd10:1::1]:80")
		w.batch(frame(0, tt.frame))
		w.now += tt.later
		w.batch()
		if got := w.lastOf(tt.verdict); got != tt.want {
			t.Errorf("%s: the last %v is\n%s, want\n%s", tt.name, tt.verdict, got, tt.want)
		}
	}
}

// TestLedgerLastHeld: a packet for a server that does not answer ARP is shown
// with that server.
func TestLedgerLastHeld(t *testing.T) {
	ap := netip.MustParseAddrPort
	w := newWorld(nil)
	w.mustRules(t, "-A -u 10.10.1.1:80 -s rr\n-a -u 10.10.1.1:80 -r 10.20.0.11 -m")
	w.host.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Unresolved
	w.dir.SetHost(w.host)
	w.batch(frame(0, packettest.Packet{Proto: 17, Src: ap("10.10.3.5:4000"), Dst: ap("10.10.1.1:80")}.Frame()))
	for _, v := range []dataplane.Verdict{dataplane.HeldNeighbour, dataplane.AnswerUnreachable} {
		if got, want := w.dir.Ledger().Entries[v].Last, "10.10.3.5:4000 > 10.20.0.11:80"; got == nil || fmt.Sprintf("%v > %v", got.Src, got.Dst) != want {
			t.Errorf("the last %v is %+v, want %s", v, got, want)
		}
		w.now += time.Minute
		w.batch()
	}
}
