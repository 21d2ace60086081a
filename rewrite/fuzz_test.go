package rewrite

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/google/gopacket/layers"
)

func addSeeds(f *testing.F) {
	for _, r := range recorded {
		b, err := hex.DecodeString(r.in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint32(rip), uint16(8080), true)
		f.Add(b, uint32(rip), uint16(8080), false)
	}
	options := ipv4Layer(layers.IPProtocolUDP)
	options.Flags = layers.IPv4MoreFragments
	options.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 1, 2, 3, 4}}}
	f.Add(build(f, options, rawL4(make([]byte, 200))), uint32(vip), uint16(0), false)
	f.Add(build(f, ipv4Layer(layers.IPProtocolSCTP), rawL4(make([]byte, 16))), uint32(vip), uint16(1), false)
	for _, r := range tunnelled {
		b, err := hex.DecodeString(tunnelMACs + "4500004c0003000040016685" + "0a14000b0a140001" + "0304eef300000578" + r.outer + r.inner)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint32(rip), uint16(6080), true)
	}
	f.Add(sctpPacket(f, 1, "\x0a\x00\x00\x05c\x00\x00\x00\x06\x00\x00\x04"), uint32(vip), uint16(8080), true)
	f.Add(sctpPacket(f, 0, "\x01\x00\x00\x14\x00\x00\x00\x07\x00\x00\xff\xff\x00\x0a\x00\x0a\x00\x00\x00\x01"), uint32(vip), uint16(34), false)
	f.Add(bytes.Repeat([]byte{0xff}, 60), uint32(0), uint16(0), true)
	for _, chain := range [][]ext{nil, {hopByHop, destOpts, routing0}, {firstFrag, destOpts}, {laterFrag}, {atomic}} {
		f.Add(tcpFrame6(f, chain, layers.TCP{ACK: true}, []byte("payload")), uint32(1), uint16(80), true)
		quoted := udpFrame6(f, chain, make([]byte, 20))[14:]
		f.Add(icmpFrame6(f, nil, ICMPv6TooBig, 0, 1280, quoted), uint32(1), uint16(80), false)
		f.Add(icmpFrame6(f, chain, ICMPv6Solicitation, 0, 0, make([]byte, 24)), uint32(1), uint16(80), false)
	}
}

// hostile makes header length, total length and checksum of a fuzzed frame
// plausible, so that the rest of it gets past the parser.
func hostile(frame []byte) []byte {
	frame = bytes.Clone(frame)
	if len(frame) < 34 {
		return frame
	}
	if frame[14]>>4 == 6 && len(frame) >= 54 {
		frame[12], frame[13] = 0x86, 0xdd
		payload := min(len(frame)-54, 65535)
		if payload < len(frame)-54-6 || frame[19]&1 == 0 {
			payload = max(0, payload-int(frame[19]>>5))
		}
		binary.BigEndian.PutUint16(frame[18:], uint16(payload))
		return frame
	}
	frame[12], frame[13], frame[14] = 8, 0, 0x40|frame[14]&15
	header := max(5, int(frame[14]&15)) * 4
	if header > len(frame)-14 {
		header = 20
	}
	frame[14] = 0x40 | byte(header/4)
	total := min(len(frame)-14, 65535)
	if total < len(frame)-14-6 || frame[17]&1 == 0 {
		total = max(header, total-int(frame[17]>>5)) // some Ethernet padding
	}
	frame[16], frame[17] = byte(total>>8), byte(total)
	fixIPv4Checksum(frame)
	return frame
}

func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte, _ uint32, _ uint16, _ bool) {
		for _, b := range [][]byte{frame, hostile(frame)} {
			before := bytes.Clone(b)
			var p, q Packet
			var a ARP
			ParseARP(b, &a)
			if fault := Parse(b, &p); fault != FaultNone && fault != FaultL4 {
				continue
			}
			checkOffsets(t, &p, 14, len(b))
			var m ND
			ParseND(b, &p, &m)
			ChecksumOK(b, &p)
			if ParseQuoted(b, &p, &q) {
				checkOffsets(t, &q, p.L4+8, p.End)
				if q.L4+4 > q.End || q.V6 != p.V6 {
					t.Fatalf("quoted %+v in %+v", q, p)
				}
			}
			flow := new(Mergeable)
			if flow.FlowOf(b) && ParseMergeable(b, flow) {
				if headers, payload := flow.Len(); headers+payload != len(b) || payload == 0 {
					t.Fatalf("mergeable with %d and %d bytes of %d", headers, payload, len(b))
				}
			}
			if _, ok := ParseTunnelled(b, &q, &q); q.L3 > 0 && ok && (q.L4 < q.L3+20 || q.L4+8 > q.End || q.End > p.End) {
				t.Fatalf("offsets of the tunnelled %+v do not lie in order in %+v", q, p)
			}
			if !bytes.Equal(b, before) {
				t.Fatalf("parsing changed the frame:\n got % x\nwant % x", b, before)
			}
		}
	})
}

// checkOffsets: the IP header at l3, then all else in order, up to end at most.
func checkOffsets(t *testing.T, p *Packet, l3, end int) {
	if p.L3 != l3 || p.L4 < l3+p.minHeader() || p.L4 > p.End || p.End > end {
		t.Fatalf("offsets of %+v do not lie in order from %d to %d", p, l3, end)
	}
	if !p.V6 {
		return
	}
	at, name, proto := int(p.FragAt), int(p.FragName), int(p.ProtoName)
	if at < l3+ipv6Len || name >= at || p.cutBase() > p.L4 || name > proto || proto >= p.L4 || p.FragHeader != (p.cutBase() == at+8) {
		t.Fatalf("a fragment header at %d, named at %d, does not lie right in %+v", at, name, p)
	}
}

// FuzzRewrite runs every rewriter over hostile packets. None may panic, and
// bytes that are not theirs stay as they were.
func FuzzRewrite(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte, addr uint32, port uint16, partial bool) {
		frame = hostile(frame)
		var parsed Packet
		if fault := Parse(frame, &parsed); fault != FaultNone && fault != FaultL4 {
			return
		}
		sport, dport, sum := l4Fields(&parsed)
		run := func(name string, owned []int, rewrite func(b []byte, p *Packet)) {
			b, p := bytes.Clone(frame), parsed
			rewrite(b, &p)
			for _, at := range owned {
				b[at] = frame[at]
			}
			if !bytes.Equal(b, frame) {
				t.Fatalf("%s changed what is not its own:\n got % x\nwant % x", name, b, frame)
			}
		}
		// Where addresses and checksums are, from the start of an IP header.
		src, dst, ipSum, ttl := span(12, 4), span(16, 4), span(10, 2), span(8, 1)
		dnat := func(b []byte, p *Packet) { DNAT(b, p, addr, port, partial) }
		snat := func(b []byte, p *Packet) { SNAT(b, p, addr, port, partial) }
		errorIn := func(b []byte, p, q *Packet) { TranslateICMPIn(b, p, q, addr, port) }
		errorOut := func(b []byte, p, q *Packet) { TranslateICMPOut(b, p, q, addr, port) }
		if parsed.V6 {
			six := Addr6{uint64(addr) << 7, uint64(port)}
			src, dst, ipSum, ttl = span(8, 16), span(24, 16), nil, span(7, 1)
			dnat = func(b []byte, p *Packet) { DNAT6(b, p, six, port, partial) }
			snat = func(b []byte, p *Packet) { SNAT6(b, p, six, port, partial) }
			errorIn = func(b []byte, p, q *Packet) { TranslateICMPIn6(b, p, q, six, port) }
			errorOut = func(b []byte, p, q *Packet) { TranslateICMPOut6(b, p, q, six, port) }
		}
		run("DNAT", join(shift(14, ipSum, dst), dport, sum), dnat)
		run("SNAT", join(shift(14, ipSum, src), sport, sum), snat)
		run("DecrementTTL", shift(14, ipSum, ttl), DecrementTTL)
		run("SetMACs", span(0, 12), func(b []byte, _ *Packet) { SetMACs(b, clientMAC, vipMAC) })
		var q Packet
		if ParseQuoted(frame, &parsed, &q) {
			qSport, qDport, _ := l4Fields(&q)
			sums := join(shift(14, ipSum), span(parsed.L4+2, 2), shift(q.L3, ipSum))
			run("TranslateICMPIn", join(sums, shift(14, dst), shift(q.L3, src), qSport), func(b []byte, p *Packet) {
				q := q
				errorIn(b, p, &q)
			})
			run("TranslateICMPOut", join(sums, shift(14, src), shift(q.L3, dst), qDport), func(b []byte, p *Packet) {
				q := q
				errorOut(b, p, &q)
			})
		}
		run("CompleteChecksum", span(parsed.L3, parsed.End-parsed.L3), func(b []byte, _ *Packet) {
			CompleteChecksum(b, int(port), int(addr))
		})
		acked := span(parsed.L4, HeadersLen(frame, &parsed)-parsed.L4)
		run("MapTCPAcks", acked, func(b []byte, p *Packet) { MapTCPAcks(b, p, func(n uint32) uint32 { return n + addr }, partial) })
		run("SetTCPSeq", join(span(parsed.L4+4, min(4, len(acked))), sum), func(b []byte, p *Packet) { SetTCPSeq(b, p, addr, partial) })
		run("answers", nil, func(b []byte, p *Packet) { writeNewFrames(t, b, p, int(port)) })
	})
}

// writeNewFrames runs everything that writes a new frame and parses the result.
func writeNewFrames(t *testing.T, b []byte, p *Packet, size int) {
	dst := make([]byte, MaxICMPError+len(b))
	nd := ND{Solicitation: true, Src: p.Src6, Target: p.Dst6}
	lengths := map[string]int{
		"ICMPError": ICMPError(dst, b, p, vipMAC, ICMPAnswer{Type: 3, Code: 3, Src: vip}),
		"EchoReply": EchoReply(dst, b, p, vipMAC),
		"TCPReset":  TCPReset(dst, b, p, vipMAC),
		"SCTP":      SCTPRefusal(dst, b, p, vipMAC, size&1 == 0),
		"NDReply":   NDReply(dst, b, vipMAC, &nd),
		"Segment":   Segment(dst, b, p, size, SegmentCount(p, b, size)-1),
		"Fragment":  Fragment(dst, b, p, size, FragmentCount(p, size)-1),
	}
	if n := lengths["Fragment"]; n > 0 {
		var again Packet
		dst := make([]byte, len(dst))
		Fragment(dst, b, p, size, FragmentCount(p, size)-1)
		// The last piece of an IPv6 packet that is cut inside its extension headers may be one.
		if fault := Parse(dst[:n], &again); fault != FaultNone && fault != FaultL4 && !(fault == FaultHeader && p.V6) {
			t.Fatalf("Parse(last fragment) = %v", fault)
		}
	}
	if !p.Fragment() && p.Proto != ExtHopByHop { // which is one, without the fragment header in front
		whole := append(AppendWholeHeaders(nil, b, p), Piece(b, p)...)
		var again Packet
		ok := SetWhole(whole)
		if want, got := Parse(b, &again), Parse(whole, &again); !ok || got != want {
			t.Fatalf("Parse of\n% x\nput together\n% x = %v, want %v", b, whole, got, want)
		}
	}
	for _, kind := range []TunnelKind{IPIP, GUE, GRE} {
		if p.V6 {
			break // tunnels carry IPv4
		}
		tunnel := Tunnel{Kind: kind, Port: uint16(size), Checksum: size&1 != 0 && kind != IPIP}
		buf := append(make([]byte, tunnel.Overhead()), b...)
		n := Encapsulate(buf, tunnel, &Outer{Src: vip, Dst: rip})
		var outer Packet
		if n > 0 && (ParseIPv4(buf[:n], &outer) != FaultNone || outer.Len() != p.Len()+tunnel.Overhead() || !bytes.Equal(buf[n-p.Len():n], b[p.L3:p.End])) {
			t.Fatalf("Encapsulate(%+v) of %+v = %+v:\n% x", tunnel, p, outer, buf[:n])
		}
	}
	for name, n := range lengths {
		if n < 0 || n > len(dst) {
			t.Fatalf("%s wrote %d bytes into %d", name, n, len(dst))
		}
	}
}

// l4Fields returns the indices of the ports and of the L4 checksum.
func l4Fields(p *Packet) (sport, dport, sum []int) {
	if p.V6 && p.IsICMP() && p.FragOff == 0 {
		return nil, nil, span(p.L4+2, min(2, p.End-p.L4-2))
	}
	if !p.HasPorts() {
		return nil, nil, nil
	}
	sport, dport = span(p.L4, 2), span(p.L4+2, 2)
	room := p.End - p.L4
	switch {
	case p.Proto == ProtoTCP && room >= 18:
		sum = span(p.L4+16, 2)
	case p.Proto == ProtoUDP && room >= 8:
		sum = span(p.L4+6, 2)
	case p.Proto == ProtoSCTP && room >= 12:
		sum = span(p.L4+8, 4)
	}
	return sport, dport, sum
}

func span(from, n int) []int {
	s := make([]int, max(n, 0))
	for i := range s {
		s[i] = from + i
	}
	return s
}

// shift joins the parts, which count from an offset.
func shift(from int, parts ...[]int) []int {
	all := join(parts...)
	for i := range all {
		all[i] += from
	}
	return all
}

func join(parts ...[]int) []int {
	var all []int
	for _, s := range parts {
		all = append(all, s...)
	}
	return all
}
