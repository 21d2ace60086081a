package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// sixOf returns the frame with the same L4 packet in IPv6, behind a chain of extension
// headers: what is done to the payload of one has to come out the same in the other.
func sixOf(frame []byte, chain []ext, partial bool) []byte {
	ip, l4 := split(frame)
	six := frame6(cip6, vip6, 64, chain, ip[9], l4)
	copy(six, frame[:12])
	setSum6(six, partial)
	return six
}

// TestSegment6: the segments of a super-packet in IPv6 are those of IPv4.
func TestSegment6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := drawPayload(t)
		size := rapid.IntRange(1+len(payload)/20, 1500).Draw(t, "size")
		frame := udpFrame(t, payload)
		if rapid.Bool().Draw(t, "tcp") {
			frame = tcpFrame(t, layers.TCP{Seq: rapid.Uint32().Draw(t, "seq"), ACK: true, FIN: true, PSH: true, CWR: true}, payload)
		}
		chain := drawChain(t)
		six := sixOf(frame, chain, rapid.Bool().Draw(t, "partial"))
		p, q := mustParse(t, frame), mustParse6(t, six)
		n := SegmentCount(&p, frame, size)
		if got := SegmentCount(&q, six, size); got != n || HeadersLen(six, &q)-q.L4 != HeadersLen(frame, &p)-p.L4 {
			t.Fatalf("%d segments of %d bytes of headers, want %d", got, HeadersLen(six, &q), n)
		}
		for i := range n {
			a, b := make([]byte, 2000), bytes.Repeat([]byte{0xaa}, 2000)
			a, b = a[:Segment(a, frame, &p, size, i)], b[:Segment(b, six, &q, size, i)]
			if want := sixOf(a, chain, false); !bytes.Equal(b, want) {
				t.Fatalf("segment %d of %d:\n got % x\nwant % x", i, n, b, want)
			}
			checkSum6(t, b)
		}
	})
}

// TestReplacePayload6: a payload is replaced as in IPv4.
func TestReplacePayload6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := drawPayload(t)
		text := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "text")
		from := rapid.IntRange(0, len(payload)).Draw(t, "from")
		to := rapid.IntRange(from, len(payload)).Draw(t, "to")
		chain, partial := drawChain(t), rapid.Bool().Draw(t, "partial")
		tcp := layers.TCP{Seq: 77, Ack: 42, ACK: true}
		six := sixOf(tcpFrame(t, tcp, payload), chain, partial)
		want := sixOf(tcpFrame(t, tcp, bytes.Join([][]byte{payload[:from], text, payload[to:]}, nil)), chain, partial)
		p, before := mustParse6(t, six), bytes.Clone(six)
		dst := bytes.Repeat([]byte{0xaa}, len(six)+len(text))
		n := ReplacePayload(dst, six, &p, from, to, text, partial)
		if !bytes.Equal(dst[:n], want) || !bytes.Equal(six, before) {
			t.Fatalf("ReplacePayload(%d, %d, %q):\n got % x\nwant % x", from, to, text, dst[:n], want)
		}
		if again := mustParse6(t, dst[:n]); p != again {
			t.Fatalf("the packet is %+v, want %+v", p, again)
		}
		if !partial && !TCPChecksumOK(dst[:n], &p) {
			t.Fatal("TCPChecksumOK = false")
		}
	})
	big := tcpFrame6(t, nil, layers.TCP{}, make([]byte, 65000))
	for text, want := range map[int]bool{515: true, 516: false} { // 20 + 65,000 + 515 = 65,535
		p, room := mustParse6(t, big), make([]byte, 70000)
		if n := ReplacePayload(room, big, &p, 5, 5, make([]byte, text), false); (n > 0) != want {
			t.Errorf("ReplacePayload with %d bytes more = %d, want that it can be said: %v", text, n, want)
		}
	}
}

// TestTCPNumbers6: sequence numbers, acknowledgements and SACK are changed as in IPv4.
func TestTCPNumbers6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift, partial := rapid.Uint32().Draw(t, "shift"), rapid.Bool().Draw(t, "partial")
		chain := drawChain(t)
		segment := func(shift uint32) []byte {
			return sixOf(tcpFrame(t, layers.TCP{Seq: 5 + shift, Ack: 9 + shift, ACK: true, Options: []layers.TCPOption{sack(11+shift, 12+shift)}}, []byte("data")), chain, partial)
		}
		got := segment(0)
		p := mustParse6(t, got)
		if TCPSeq(got, &p) != 5 || string(TCPPayload(got, &p)) != "data" {
			t.Fatalf("TCPSeq = %d, TCPPayload = %q", TCPSeq(got, &p), TCPPayload(got, &p))
		}
		SetTCPSeq(got, &p, 5+shift, partial)
		MapTCPAcks(got, &p, func(n uint32) uint32 { return n + shift }, partial)
		if want := segment(shift); !bytes.Equal(got, want) {
			t.Fatalf("shift %d:\n got % x\nwant % x", shift, got, want)
		}
	})
}

// TestProbe6 reads probes with gopacket.
func TestProbe6(t *testing.T) {
	client := [6]byte{2, 0, 0, 0, 1, 1}
	for _, p := range []Packet{
		{V6: true, Src6: vip6, Dst6: cip6, SrcPort: 40000, DstPort: 80, Proto: ProtoTCP, TCPFlags: TCPSyn},
		{V6: true, Src6: vip6, Dst6: cip6, SrcPort: 53000, DstPort: 53, Proto: ProtoUDP},
		{V6: true, Src6: vip6, Dst6: cip6, SrcPort: 53000, DstPort: 53, Proto: ProtoSCTP, Chunk: ChunkInit},
	} {
		frame := bytes.Repeat([]byte{0xaa}, ProbeLen)
		n := Probe(frame, &p, routerMAC, client) // decode6 wants these addresses
		if n == 0 || Probe(frame[:n-1], &p, routerMAC, client) != 0 {
			t.Fatalf("Probe(%+v) = %d", p, n)
		}
		frame = frame[:n]
		if p.Proto != ProtoSCTP { // which sums no addresses
			decode6(t, frame)
		}
		got := mustParse6(t, frame)
		want := p
		want.L3, want.L4, want.End, want.TTL, want.DontFrag = 14, 54, n, 64, true
		want.Src, want.Dst, want.FragAt, want.FragName, want.ProtoName = vip6.Fold(), cip6.Fold(), 54, 20, 20
		if got != want {
			t.Errorf("Probe(%+v) reads %+v", p, got)
		}
		if !ChecksumOK(frame, &got) {
			t.Errorf("Probe(%+v): a right checksum is found wrong", p)
		}
		frame[n-1] ^= 1
		if ChecksumOK(frame, &got) {
			t.Errorf("Probe(%+v) with a bit changed: the checksum is found right", p)
		}
	}
	if n := Probe(make([]byte, 100), &Packet{V6: true, Proto: ProtoICMPv6}, routerMAC, client); n != 0 {
		t.Errorf("Probe of ICMP = %d", n)
	}
}

// TestChecksumOfNone6: IPv6 knows no UDP without a checksum.
func TestChecksumOfNone6(t *testing.T) {
	frame := udpFrame6(t, nil, []byte("hello"))
	p := mustParse6(t, frame)
	if frame[60], frame[61] = 0, 0; ChecksumOK(frame, &p) {
		t.Error("UDP without a checksum is found right")
	}
}

// TestChecksumOfTunnel6: a tunnel's UDP packets may have none, also in IPv6 (RFC 6935).
func TestChecksumOfTunnel6(t *testing.T) {
	for _, inner := range [][]byte{udpFrame6(t, nil, []byte("hello")), unhex(t, tunnelMACs+tunnelled[0].inner)} {
		tunnel := Tunnel{Kind: GUE, Port: 6080, V6: true}
		buf := append(make([]byte, tunnel.Overhead()), inner...)
		frame := buf[:Encapsulate(buf, tunnel, &Outer{Src6: Addr6{1, 2}, Dst6: Addr6{1, 3}})]
		p := mustParse6(t, frame)
		if !ChecksumOK(frame, &p) {
			t.Errorf("GUE without a checksum is found wrong: % x", frame)
		}
		if frame[p.L4+8] = 0x20; ChecksumOK(frame, &p) { // a control message
			t.Error("what natlb does not send without a checksum is found right")
		}
	}
}

// TestMergeUndoesSegment6: segments of a super-packet are merged into one that is cut
// into the same segments.
func TestMergeUndoesSegment6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		proto := rapid.SampledFrom([]uint8{ProtoTCP, ProtoUDP}).Draw(t, "proto")
		size := rapid.IntRange(1, 1448).Draw(t, "size")
		payload := size*rapid.IntRange(1, 9).Draw(t, "full") + rapid.IntRange(0, size-1).Draw(t, "rest")
		super := sixOf(superPacket(proto, payload, rapid.Bool().Draw(t, "psh")), nil, false)
		p := mustParse6(t, super)
		pieces := cutAll(super, &p, size)
		merged := mergeAll(t, pieces)
		q := mustParse6(t, merged)
		want := bytes.Clone(super)
		if setSum6(want, true); !bytes.Equal(merged, want) {
			t.Fatalf("merged:\n% x\nwant\n% x", merged, want)
		}
		for i, b := range cutAll(merged, &q, size) {
			if !bytes.Equal(b, pieces[i]) {
				t.Fatalf("piece %d of %d was\n%x\nand comes back as\n%x", i, len(pieces), pieces[i], b)
			}
		}
		start, offset := mergeable(t, pieces[0]).ChecksumField()
		CompleteChecksum(merged, start, offset)
		checkSum6(t, merged)
	})
}

func cutAll(super []byte, p *Packet, size int) (pieces [][]byte) {
	for i := range SegmentCount(p, super, size) {
		room := make([]byte, 2000)
		pieces = append(pieces, room[:Segment(room, super, p, size, i)])
	}
	return pieces
}

// TestNotMergeable6 changes one thing in the second of two segments that follow each
// other.
func TestNotMergeable6(t *testing.T) {
	pieces := func() (a, b []byte) {
		super := sixOf(superPacket(ProtoTCP, 2000, false), nil, false)
		p := mustParse6(t, super)
		all := cutAll(super, &p, 1000)
		return all[0], all[1]
	}
	follows := func(a, b []byte) bool {
		m, n := new(Mergeable), new(Mergeable)
		return m.FlowOf(a) && n.FlowOf(b) && ParseMergeable(a, m) && ParseMergeable(b, n) && m.Follows(a, b, m, n, 1)
	}
	if a, b := pieces(); !follows(a, b) {
		t.Fatal("the unchanged one does not follow")
	}
	for name, change := range map[string]func(a, b []byte){
		"destination MAC":          func(_, b []byte) { b[0] ^= 1 },
		"version":                  func(_, b []byte) { b[14] = 0x50 },
		"traffic class":            func(_, b []byte) { b[15] ^= 0x10 },
		"flow label":               func(_, b []byte) { b[17] ^= 1 },
		"payload length":           func(_, b []byte) { b[19]-- },
		"hop limit":                func(_, b []byte) { b[21]-- },
		"client":                   func(_, b []byte) { b[22] ^= 1 },
		"client and VIP, one flow": func(_, b []byte) { b[22] ^= 1; b[38+4] ^= 1 },
		"client, last byte":        func(_, b []byte) { b[37] ^= 1 },
		"VIP":                      func(_, b []byte) { b[53] ^= 1 },
		"port":                     func(_, b []byte) { b[55] ^= 1 },
		"sequence":                 func(_, b []byte) { b[61] ^= 1 },
		"acknowledgement":          func(_, b []byte) { b[65] ^= 1 },
		"window":                   func(_, b []byte) { b[69] ^= 1 },
		"timestamp":                func(_, b []byte) { b[85] ^= 1 },
		"FIN":                      func(_, b []byte) { b[67] |= TCPFin },
		"PSH on the first":         func(a, _ []byte) { a[67] |= TCPPsh },
		"reserved bits":            func(_, b []byte) { b[66] |= 1 },
		"header beyond":            func(_, b []byte) { b[66] = 15 << 4 },
		"extension header":         func(_, b []byte) { b[20] = ExtDestination },
	} {
		a, b := pieces()
		if change(a, b); name != "header beyond" && follows(a, b) {
			t.Errorf("a segment with another %s follows", name)
		}
	}
	a, b := pieces()
	b[100]++
	if mergeable(t, b).ChecksumOK(b) || !mergeable(t, a).ChecksumOK(a) {
		t.Error("a wrong checksum counts as right, or a right one as wrong")
	}
	four := superPacket(ProtoTCP, 1000, false)
	m, n := mergeable(t, four), mergeable(t, a)
	if m.V6 || !n.V6 || m.Follows(four, a, m, n, 1) || n.Follows(a, four, n, m, 1) {
		t.Error("a segment of the other family follows")
	}
	for _, short := range [][]byte{a[:57], a[:37]} {
		if new(Mergeable).FlowOf(short) {
			t.Errorf("a frame of %d bytes has a flow", len(short))
		}
	}
	if m := new(Mergeable); !m.FlowOf(a[:60]) || ParseMergeable(a[:60], m) {
		t.Error("a frame of 60 bytes has no flow, or is mergeable")
	}
	if m := mergeable(t, a); m.V6 {
		if a[14] = 0x50; ParseMergeable(a, m) {
			t.Error("a packet of version 5 is mergeable")
		}
	}
	if new(Mergeable).FlowOf(icmpFrame6(t, nil, ICMPv6Echo, 0, 0, nil)) {
		t.Error("an echo request has a flow")
	}
	// Both directions, and other ports, are other flows.
	flows := map[[2]uint64]bool{}
	ntp := tcpFrame6(t, nil, layers.TCP{SrcPort: 123, DstPort: 123}, nil)
	for _, f := range [][]byte{tcpFrame6(t, nil, layers.TCP{SrcPort: 1, DstPort: 2}, nil), ntp, mirror6(ntp)} {
		m := new(Mergeable)
		m.FlowOf(f)
		flows[m.Flow] = true
	}
	if len(flows) != 3 {
		t.Errorf("three flows are %v", flows)
	}
}

// TestSegmentsReadByGopacket: a super-packet of IPv6, cut, is what gopacket takes for
// packets with right checksums.
func TestSegmentsReadByGopacket(t *testing.T) {
	super := tcpFrame6(t, []ext{hopByHop}, layers.TCP{ACK: true}, make([]byte, 3000))
	p := mustParse6(t, super)
	for i, b := range cutAll(super, &p, 1000) {
		packet := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		tcp := packet.TransportLayer().(*layers.TCP)
		if err := tcp.SetNetworkLayerForChecksum(packet.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
		if sum, err := tcp.ComputeChecksum(); err != nil || sum != 0 || tcp.Seq != uint32(1000*i) || len(tcp.Payload) != 1000 {
			t.Errorf("segment %d: checksum over all %#04x, %v, sequence %d, %d bytes", i, sum, err, tcp.Seq, len(tcp.Payload))
		}
		if got := binary.BigEndian.Uint16(b[18:]); int(got) != 8+20+1000 {
			t.Errorf("segment %d: payload length %d", i, got)
		}
	}
}
