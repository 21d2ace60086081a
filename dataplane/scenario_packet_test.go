package dataplane_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/rewrite"
)

// packet reads what a link receives:
//
//	LINK tcp SRC:PORT > DST:PORT FLAGS [seq= ack= tcpmss= sack=FROM-TO] ...     FLAGS: letters, or - for none
//	LINK udp SRC:PORT > DST:PORT [zerosum] ...
//	LINK sctp SRC:PORT > DST:PORT CHUNK[+CHUNK] [tag= chunks=HEX] ...     chunks: by hand, behind - for CHUNK
//	LINK icmp SRC > DST echo [id= no=] | type= code= rest= about PACKET [inner=N] ...
//	LINK ip SRC > DST proto=N ...
//	LINK arp who-has ADDR tell ADDR | LINK arp ADDR is-at MAC
//	LINK nd who-has ADDR tell ADDR | LINK nd is-free ADDR | LINK nd ADDR is-at MAC
//	LINK hex BYTES
//
// All packets take ttl= tos= id= len= (of the payload) say= (the payload, _ for a blank and / for a line's end) nodf badsum badipsum
// ipopts=HEX, and what becomes of the frame: frag=SIZE order=2,0,1 partial gso=MSS
// vlan=N as=otherhost|broadcast|outgoing cut=BYTES pad=BYTES gsokind=N.
// inner is how much of a quoted packet follows its IP header.
func packet(t *testing.T, w *world, words []string) []dataplane.Frame {
	t.Helper()
	link := uint8(slices.Index(linkNames, words[0]))
	switch words[1] {
	case "arp":
		return []dataplane.Frame{frame(link, arpFrame(w, link, words[2:]))}
	case "nd":
		f := frame(link, ndFrame(words[2:]))
		f.Type = dataplane.Multicast
		return []dataplane.Frame{f}
	case "hex":
		b, err := hex.DecodeString(words[2])
		if err != nil {
			t.Fatal(err)
		}
		return []dataplane.Frame{frame(link, b)}
	}
	p, opts := readPacket(t, words[1:])
	b := w.from(link, p).Frame()
	if at := slices.Index(words, "about"); at >= 0 {
		quoted, inner := readPacket(t, words[at+1:])
		q := quoted.Frame()[14:]
		if n, ok := inner["inner"]; ok {
			header := 20
			if quoted.Src.Addr().Is6() {
				header = 40
			}
			q = q[:header+number(t, n)]
		}
		p.Payload = q
		b = w.from(link, p).Frame()
	}
	return received(t, link, b, opts)
}

func arpFrame(w *world, link uint8, words []string) []byte {
	if words[0] == "who-has" {
		who := netip.MustParseAddr(words[3])
		return packettest.ARPRequest(packettest.NeighbourMAC(who), who, netip.MustParseAddr(words[1]))
	}
	return packettest.ARPReply(packettest.MAC(words[2]), netip.MustParseAddr(words[0]), w.host.Links[link].MAC, netip.MustParseAddr("10.10.0.1"))
}

func ndFrame(words []string) []byte {
	switch addr := netip.MustParseAddr; words[0] {
	case "who-has":
		return packettest.NeighbourSolicitation(packettest.NeighbourMAC(addr(words[3])), addr(words[3]), addr(words[1]))
	case "is-free":
		return packettest.NeighbourSolicitation([6]byte{2, 0, 0, 0, 0, 0x99}, netip.IPv6Unspecified(), addr(words[1]))
	default:
		all, a := packettest.MAC("33:33:00:00:00:01"), addr(words[0])
		return packettest.NeighbourAdvertisement(packettest.MAC(words[2]), all, a, addr("ff02::1"), a, packettest.NAOverride)
	}
}

// readPacket reads a packet up to its end or the word about.
func readPacket(t *testing.T, words []string) (packettest.Packet, map[string]string) {
	t.Helper()
	if at := slices.Index(words, "about"); at >= 0 {
		words = words[:at]
	}
	p := packettest.Packet{DF: true, Src: endpoint(words[1]), Dst: endpoint(words[3])}
	rest := words[4:]
	switch words[0] {
	case "tcp":
		p.Proto, p.Seq = 6, 1000
		p.Flags, rest = strings.Trim(rest[0], "-"), rest[1:]
	case "udp":
		p.Proto = 17
	case "sctp":
		p.Proto = 132
		p.Chunks, rest = strings.Trim(rest[0], "-"), rest[1:]
	case "icmp":
		p.Proto, p.DF = 1, false
		if p.Src.Addr().Is6() {
			p.Proto = 58
		}
	case "ip":
		p.Raw = true
	}
	opts := map[string]string{}
	for _, word := range rest {
		name, value, _ := strings.Cut(word, "=")
		opts[name] = value
		switch name {
		case "ttl":
			p.TTL = uint8(number(t, value))
		case "tos":
			p.TOS = uint8(number(t, value))
		case "proto":
			p.Proto = uint8(number(t, value))
		case "id":
			p.ID = uint16(number(t, value))
		case "seq":
			p.Seq = uint32(number(t, value))
		case "ack":
			p.Ack = uint32(number(t, value))
		case "tag":
			p.Tag = uint32(number(t, value))
		case "chunks":
			p.Payload, _ = hex.DecodeString(value)
		case "len":
			p.Payload = []byte(strings.Repeat("x", number(t, value)))
		case "say":
			p.Payload = []byte(lines.Replace(value))
		case "sack":
			left, right, _ := strings.Cut(value, "-")
			p.TCPOptions = binary.BigEndian.AppendUint32([]byte{5, 10}, uint32(number(t, left)))
			p.TCPOptions = binary.BigEndian.AppendUint32(p.TCPOptions, uint32(number(t, right)))
		case "nodf":
			p.DF = false
		case "badsum":
			p.BadSum = true
		case "badipsum":
			p.BadIPSum = true
		case "zerosum":
			p.ZeroSum = true
		case "ipopts":
			p.IPOptions, _ = hex.DecodeString(value)
		case "tcpmss":
			p.TCPOptions = binary.BigEndian.AppendUint16([]byte{2, 4}, uint16(number(t, value)))
		case "echo":
			p.Type, p.Rest = 8, 77<<16|1
			if p.Proto == 58 {
				p.Type = 128
			}
		case "type":
			p.Type = uint8(number(t, value))
		case "code":
			p.Code = uint8(number(t, value))
		case "rest":
			p.Rest = uint32(number(t, value))
		case "inner", "frag", "order", "partial", "gso", "gsokind", "vlan", "as", "cut", "pad":
		default:
			t.Fatalf("packet option %q", word)
		}
	}
	return p, opts
}

// received turns a frame into what a port hands over.
func received(t *testing.T, link uint8, b []byte, opts map[string]string) []dataplane.Frame {
	t.Helper()
	if size, ok := opts["frag"]; ok {
		var pieces [][]byte
		if b[12] == 0x86 {
			pieces = packettest.Fragments6(b, number(t, size), 7)
		} else {
			pieces = packettest.Fragments(b, number(t, size))
		}
		var fs []dataplane.Frame
		if opts["order"] == "" {
			for _, piece := range pieces {
				fs = append(fs, frame(link, piece))
			}
			return fs
		}
		for i := range strings.SplitSeq(opts["order"], ",") {
			fs = append(fs, frame(link, slices.Clone(pieces[number(t, i)])))
		}
		return fs
	}
	f := frame(link, b)
	if mss, ok := opts["gso"]; ok {
		f = packettest.Partial(b, number(t, mss))
	} else if _, ok := opts["partial"]; ok {
		f = packettest.Partial(b, 0)
	}
	f.Link = link
	if kind, ok := opts["gsokind"]; ok {
		f.Offload.GSO = uint8(number(t, kind))
	}
	if tag, ok := opts["vlan"]; ok {
		f.Tagged, f.VLAN = true, uint16(number(t, tag))
	}
	if n, ok := opts["cut"]; ok {
		f.Data = f.Data[:len(f.Data)-number(t, n)]
	}
	if n, ok := opts["pad"]; ok {
		f.Data = append(f.Data, make([]byte, number(t, n))...)
		f.WireLen = uint32(len(f.Data))
	}
	f.Type = map[string]dataplane.PacketType{
		"otherhost": dataplane.OtherHost, "broadcast": dataplane.Broadcast, "outgoing": dataplane.Outgoing,
	}[opts["as"]]
	return []dataplane.Frame{f}
}

// endpoint reads an address with or without a port.
func endpoint(text string) netip.AddrPort {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap
	}
	return netip.AddrPortFrom(netip.MustParseAddr(text), 0)
}

// lines is how say= writes what FTP says.
var lines = strings.NewReplacer("_", " ", "/", "\r\n")

// said returns what a TCP segment says, if it is a line, and its SACK block, in
// the words of packet.
func said(frame []byte) string {
	var p rewrite.Packet
	if rewrite.ParseIPv4(frame, &p) != rewrite.FaultNone || p.Proto != 6 {
		return ""
	}
	text := string(rewrite.TCPPayload(frame, &p))
	out := ""
	if text == "" && rewrite.HeadersLen(frame, &p) == 0 {
		return "" // a first fragment, or a malformed header
	}
	if frame[p.L4+12]>>4 >= 8 && frame[p.L4+20] == 5 {
		out = fmt.Sprintf(" sack=%d-%d", binary.BigEndian.Uint32(frame[p.L4+22:]), binary.BigEndian.Uint32(frame[p.L4+26:]))
	}
	if strings.Contains(text, "\r\n") {
		out += " say=" + strings.NewReplacer(" ", "_", "\r\n", "/").Replace(text)
	}
	return out
}
