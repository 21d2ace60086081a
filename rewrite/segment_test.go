package rewrite

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// segments cuts the super-packet and decodes the pieces, checking what holds
// for every one of them.
func segments(t errorer, frame []byte, size int) []gopacket.Packet {
	t.Helper()
	p := mustParse(t, frame)
	dst := make([]byte, HeadersLen(frame, &p)+size)
	var pieces []gopacket.Packet
	for i := range SegmentCount(&p, frame, size) {
		n := Segment(dst, frame, &p, size, i)
		if n == 0 {
			t.Fatalf("Segment(%d) = 0, want a length", i)
		}
		checkSums(t, dst[:n])
		piece := gopacket.NewPacket(bytes.Clone(dst[:n]), layers.LayerTypeEthernet, gopacket.Default)
		if piece.TransportLayer() == nil {
			t.Fatalf("gopacket cannot decode segment %d: %v", i, piece.ErrorLayer())
		}
		ip := piece.NetworkLayer().(*layers.IPv4)
		if ip.Id != uint16(p.ID)+uint16(i) || int(ip.Length) != n-14 || ip.Flags != layers.IPv4DontFragment {
			t.Errorf("segment %d: id, length, flags = %d, %d, %v, want %d, %d, DF", i, ip.Id, ip.Length, ip.Flags, uint16(p.ID)+uint16(i), n-14)
		}
		if !bytes.Equal(dst[:12], frame[:12]) {
			t.Errorf("segment %d: MAC addresses % x, want % x", i, dst[:12], frame[:12])
		}
		pieces = append(pieces, piece)
	}
	if n := Segment(dst, frame, &p, size, len(pieces)); n != 0 {
		t.Errorf("Segment(%d of %d) = %d, want 0", len(pieces), len(pieces), n)
	}
	return pieces
}

func TestSegmentTCP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := drawPayload(t)
		size := rapid.IntRange(1+len(payload)/20, 1500).Draw(t, "size")
		seq := rapid.Uint32().Draw(t, "seq")
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		super := layers.TCP{Seq: seq, Ack: 42, ACK: true, FIN: flag("fin"), PSH: flag("psh"), CWR: flag("cwr"), ECE: flag("ece"),
			Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}}}
		frame := tcpFrame(t, super, payload)
		if flag("partial") {
			makePartial(frame)
		}

		var got []byte
		pieces := segments(t, frame, size)
		for i, piece := range pieces {
			first, last := i == 0, i == len(pieces)-1
			tcp := piece.TransportLayer().(*layers.TCP)
			if err := tcp.SetNetworkLayerForChecksum(piece.NetworkLayer()); err != nil {
				t.Fatalf("SetNetworkLayerForChecksum: %v", err)
			}
			if sum, err := tcp.ComputeChecksum(); err != nil || sum != 0 {
				t.Errorf("segment %d: gopacket's checksum over all = %#04x, %v, want 0", i, sum, err)
			}
			if tcp.Seq != seq+uint32(len(got)) {
				t.Errorf("segment %d: seq = %d, want %d", i, tcp.Seq, seq+uint32(len(got)))
			}
			if tcp.FIN != (super.FIN && last) || tcp.PSH != (super.PSH && last) || tcp.CWR != (super.CWR && first) || tcp.ECE != super.ECE || !tcp.ACK {
				t.Errorf("segment %d of %d: FIN %v PSH %v CWR %v ECE %v of %+v", i, len(pieces), tcp.FIN, tcp.PSH, tcp.CWR, tcp.ECE, super)
			}
			if len(tcp.Options) != len(super.Options)+1 && len(tcp.Options) != len(super.Options)+2 {
				t.Errorf("segment %d: options = %v, want the timestamps", i, tcp.Options)
			}
			if !last && len(tcp.Payload) != size {
				t.Errorf("segment %d: %d bytes, want %d", i, len(tcp.Payload), size)
			}
			got = append(got, tcp.Payload...)
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("payload after segmentation: %d bytes, want the %d given", len(got), len(payload))
		}
	})
}

func TestSegmentUDP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := drawPayload(t)
		size := rapid.IntRange(1+len(payload)/20, 1500).Draw(t, "size")
		frame := udpFrame(t, payload)
		makePartial(frame)
		var got []byte
		for i, piece := range segments(t, frame, size) {
			udp := piece.TransportLayer().(*layers.UDP)
			if udp.SrcPort != 5401 || udp.DstPort != 53 || int(udp.Length) != 8+len(udp.Payload) {
				t.Errorf("datagram %d = %+v, want 5401>53 and its own length", i, udp)
			}
			got = append(got, udp.Payload...)
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("payload after segmentation: %d bytes, want the %d given", len(got), len(payload))
		}
	})
}

func TestSegmentRefuses(t *testing.T) {
	fragment := ipv4Layer(layers.IPProtocolTCP)
	fragment.Flags = layers.IPv4MoreFragments
	offset := tcpFrame(t, layers.TCP{}, []byte("payload"))
	offset[46] = 0xf0
	tcp := tcpFrame(t, layers.TCP{}, []byte("payload"))
	for _, tt := range []struct {
		name  string
		frame []byte
		size  int
		room  int
		want  int
	}{
		{"segment", tcp, 5, 59, 59},
		{"short buffer", tcp, 5, 58, 0},
		{"size 0", tcp, 0, 100, 0},
		{"negative size", tcp, -1, 100, 0},
		{"icmp", icmpFrame(t, ICMPEcho, 0, 0, []byte("data")), 4, 100, 0},
		{"fragment", build(t, fragment, &layers.TCP{}, rawL4("data")), 4, 100, 0},
		{"data offset beyond the packet", offset, 4, 100, 0},
	} {
		p := mustParse(t, tt.frame)
		if got := Segment(make([]byte, tt.room), tt.frame, &p, tt.size, 0); got != tt.want {
			t.Errorf("%s: Segment() = %d, want %d", tt.name, got, tt.want)
		}
		if got := Segment(make([]byte, tt.room), tt.frame, &p, tt.size, -1); got != 0 {
			t.Errorf("%s: Segment(-1) = %d, want 0", tt.name, got)
		}
	}
}

func TestSegmentCount(t *testing.T) {
	for _, tt := range []struct{ payload, size, want int }{
		{0, 5, 1}, {1, 5, 1}, {5, 5, 1}, {6, 5, 2}, {10, 5, 2}, {11, 5, 3}, {65000, 1448, 45},
	} {
		for name, frame := range map[string][]byte{
			"tcp": tcpFrame(t, layers.TCP{}, make([]byte, tt.payload)),
			"udp": udpFrame(t, make([]byte, tt.payload)),
		} {
			p := mustParse(t, frame)
			if got := SegmentCount(&p, frame, tt.size); got != tt.want {
				t.Errorf("SegmentCount(%s, %d bytes by %d) = %d, want %d", name, tt.payload, tt.size, got, tt.want)
			}
		}
	}
}
