package rewrite

import (
	"bytes"
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
}

// hostile makes header length, total length and checksum of a fuzzed frame
// plausible, so that the rest of it gets past the parser.
func hostile(frame []byte) []byte {
	frame = bytes.Clone(frame)
	if len(frame) < 34 {
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

func FuzzParseIPv4(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte, _ uint32, _ uint16, _ bool) {
		for _, b := range [][]byte{frame, hostile(frame)} {
			before := bytes.Clone(b)
			var p, q Packet
			var a ARP
			ParseARP(b, &a)
			if fault := ParseIPv4(b, &p); fault != FaultNone && fault != FaultL4 {
				continue
			}
			if p.L3 != 14 || p.L4 < 34 || p.L4 > p.End || p.End > len(b) {
				t.Fatalf("offsets of %+v do not lie in order in a frame of %d bytes", p, len(b))
			}
			ICMPChecksumOK(b, &p)
			if ParseQuoted(b, &p, &q) && (q.L3 != p.L4+8 || q.L4 < q.L3+20 || q.L4+4 > q.End || q.End > p.End) {
				t.Fatalf("offsets of the quoted %+v do not lie in order in %+v", q, p)
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

// FuzzRewrite runs every rewriter over hostile packets. None may panic, and
// bytes that are not theirs stay as they were.
func FuzzRewrite(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte, addr uint32, port uint16, partial bool) {
		frame = hostile(frame)
		var parsed Packet
		if fault := ParseIPv4(frame, &parsed); fault != FaultNone && fault != FaultL4 {
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
		ipSum := span(24, 2)
		run("DNAT", join(ipSum, span(30, 4), dport, sum), func(b []byte, p *Packet) { DNAT(b, p, addr, port, partial) })
		run("SNAT", join(ipSum, span(26, 4), sport, sum), func(b []byte, p *Packet) { SNAT(b, p, addr, port, partial) })
		run("DecrementTTL", join(ipSum, span(22, 1)), DecrementTTL)
		run("SetMACs", span(0, 12), func(b []byte, _ *Packet) { SetMACs(b, clientMAC, vipMAC) })
		var q Packet
		if ParseQuoted(frame, &parsed, &q) {
			qSport, qDport, _ := l4Fields(&q)
			sums := join(ipSum, span(parsed.L4+2, 2), span(q.L3+10, 2))
			run("TranslateICMPIn", join(sums, span(30, 4), span(q.L3+12, 4), qSport), func(b []byte, p *Packet) {
				q := q
				TranslateICMPIn(b, p, &q, addr, port)
			})
			run("TranslateICMPOut", join(sums, span(26, 4), span(q.L3+16, 4), qDport), func(b []byte, p *Packet) {
				q := q
				TranslateICMPOut(b, p, &q, addr, port)
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
	lengths := map[string]int{
		"ICMPError": ICMPError(dst, b, p, vipMAC, ICMPAnswer{Type: 3, Code: 3, Src: vip}),
		"EchoReply": EchoReply(dst, b, p, vipMAC),
		"TCPReset":  TCPReset(dst, b, p, vipMAC),
		"SCTP":      SCTPRefusal(dst, b, p, vipMAC, size&1 == 0),
		"Segment":   Segment(dst, b, p, size, SegmentCount(p, b, size)-1),
		"Fragment":  Fragment(dst, b, p, size, FragmentCount(p, size)-1),
	}
	if lengths["Fragment"] > 0 {
		var again Packet
		if fault := ParseIPv4(dst[:lengths["Fragment"]], &again); fault != FaultNone && fault != FaultL4 {
			t.Fatalf("ParseIPv4(last fragment) = %v", fault)
		}
	}
	for _, kind := range []TunnelKind{IPIP, GUE, GRE} {
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

func join(parts ...[]int) []int {
	var all []int
	for _, s := range parts {
		all = append(all, s...)
	}
	return all
}
