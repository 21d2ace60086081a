package rewrite

import (
	"testing"

	"github.com/google/gopacket/layers"
)

// TestProbe reads probes with gopacket.
func TestProbe(t *testing.T) {
	client := [6]byte{2, 0, 0, 0, 1, 1}
	for _, p := range []Packet{
		{Src: cip, Dst: vip, SrcPort: 40000, DstPort: 80, Proto: ProtoTCP, TCPFlags: TCPSyn},
		{Src: cip, Dst: vip, SrcPort: 1, DstPort: 65535, Proto: ProtoTCP, TCPFlags: TCPFin | TCPAck},
		{Src: cip, Dst: vip, SrcPort: 53000, DstPort: 53, Proto: ProtoUDP},
		{Src: cip, Dst: vip, SrcPort: 53000, DstPort: 80, Proto: ProtoSCTP, Chunk: ChunkInit},
		{Src: cip, Dst: vip, SrcPort: 53000, DstPort: 80, Proto: ProtoSCTP, Chunk: ChunkInitAck},
		{Src: cip, Dst: vip, SrcPort: 53000, DstPort: 80, Proto: ProtoSCTP, Chunk: ChunkAbort},
	} {
		frame := make([]byte, ProbeLen)
		n := Probe(frame, &p, routerMAC, client) // decode wants these addresses
		if n == 0 || Probe(frame[:n-1], &p, routerMAC, client) != 0 {
			t.Fatalf("Probe(%+v) = %d", p, n)
		}
		frame = frame[:n]
		_, packet := decode(t, frame)
		got := mustParse(t, frame)
		want := p
		want.L3, want.L4, want.End, want.TTL, want.DontFrag = 14, 34, n, 64, true
		if got != want {
			t.Errorf("Probe(%+v) reads %+v", p, got)
		}
		if tcp, ok := packet.TransportLayer().(*layers.TCP); ok && (tcp.Window == 0 || len(tcp.Payload) != 0) {
			t.Errorf("segment %+v", tcp)
		}
		if p.Proto != ProtoSCTP {
			checkSums(t, frame)
		}
		if !ChecksumOK(frame, &got) {
			t.Errorf("Probe(%+v): a right checksum is found wrong", p)
		}
		frame[n-1] ^= 1
		if ChecksumOK(frame, &got) {
			t.Errorf("Probe(%+v) with a bit changed: the checksum is found right", p)
		}
	}
	if n := Probe(make([]byte, 100), &Packet{Proto: ProtoICMP}, routerMAC, client); n != 0 {
		t.Errorf("Probe of ICMP = %d", n)
	}
}

// TestChecksumOfNone: UDP without a checksum is right, a fragment is not judged.
func TestChecksumOfNone(t *testing.T) {
	frame := udpFrame(t, []byte("hello"))
	p := mustParse(t, frame)
	frame[p.L4+6], frame[p.L4+7] = 0, 0
	if !ChecksumOK(frame, &p) {
		t.Error("UDP without a checksum is found wrong")
	}
	p.MoreFrags = true
	if ChecksumOK(frame, &p) {
		t.Error("a fragment is found right")
	}
}
