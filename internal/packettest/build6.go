package packettest

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Extension is an IPv6 extension header: its number (0 hop-by-hop, 43 routing, 44
// fragment, 60 destination options) and what follows its first two bytes, 6 bytes
// and a multiple of 8 more. A nil body is 6 zeros, which are padding for the headers
// with options.
type Extension struct {
	Type uint8
	Body []byte
}

// frame6 is Frame for IPv6.
func (p Packet) frame6() []byte {
	ip := &layers.IPv6{
		Version: 6, TrafficClass: p.TOS, FlowLabel: p.FlowLabel, HopLimit: p.TTL, NextHeader: layers.IPProtocol(p.Proto),
		SrcIP: p.Src.Addr().AsSlice(), DstIP: p.Dst.Addr().AsSlice(),
	}
	if ip.HopLimit == 0 {
		ip.HopLimit = 64
	}
	eth := &layers.Ethernet{SrcMAC: p.SrcMAC[:], DstMAC: p.DstMAC[:], EthernetType: layers.EthernetTypeIPv6}
	stack := []gopacket.SerializableLayer{eth, ip}
	if !p.Raw {
		stack = append(stack, p.transport(ip)...)
	}
	frame := serialize(append(stack, gopacket.Payload(p.Payload))...)
	frame = frame[:54+int(binary.BigEndian.Uint16(frame[18:]))] // without Ethernet padding
	p.spoil(frame[54:])
	var headers []byte
	frame[20] = p.Proto // gopacket has its own mind about an unknown one
	for i, e := range p.Extensions {
		next := p.Proto
		if i+1 < len(p.Extensions) {
			next = p.Extensions[i+1].Type
		}
		body := e.Body
		if body == nil {
			body = make([]byte, 6)
		}
		length := byte((len(body) - 6) / 8)
		headers = append(append(headers, next, length), body...)
		frame[20] = p.Extensions[0].Type
	}
	frame = append(frame[:54:54], append(headers, frame[54:]...)...)
	binary.BigEndian.PutUint16(frame[18:], uint16(len(frame)-54))
	return frame
}

// Fragments6 cuts the IPv6 packet in frame, which has no extension headers, into
// pieces that carry size bytes of payload each, a multiple of 8, and the number id.
func Fragments6(frame []byte, size int, id uint32) [][]byte {
	payload := frame[54:]
	var out [][]byte
	for from := 0; from < len(payload); from += size {
		to := min(from+size, len(payload))
		field := uint16(from)
		if to < len(payload) {
			field |= 1
		}
		piece := append([]byte{}, frame[:54]...)
		piece = append(piece, frame[20], 0)
		piece = binary.BigEndian.AppendUint16(piece, field)
		piece = binary.BigEndian.AppendUint32(piece, id)
		piece = append(piece, payload[from:to]...)
		piece[20] = 44
		binary.BigEndian.PutUint16(piece[18:], uint16(len(piece)-54))
		out = append(out, piece)
	}
	return out
}

// SolicitedNode returns the group of those whose address may be a, and its MAC
// address (RFC 4291 section 2.7.1, RFC 2464 section 7).
func SolicitedNode(a netip.Addr) (group netip.Addr, mac [6]byte) {
	b := a.As16()
	g := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]}
	return netip.AddrFrom16(g), [6]byte{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

// NeighbourSolicitation returns the question of who, which is at mac, to the group
// of target; the unspecified address asks whether the target is free.
func NeighbourSolicitation(mac [6]byte, who, target netip.Addr) []byte {
	group, groupMAC := SolicitedNode(target)
	return neighbourMessage(135, 0, mac, groupMAC, who, group, target, optionIf(who.IsValid() && !who.IsUnspecified(), 1, mac))
}

// Flags of a neighbour advertisement.
const (
	NARouter    = 0x80000000
	NASolicited = 0x40000000
	NAOverride  = 0x20000000
)

// NeighbourAdvertisement returns the message of who to dst that target is at mac.
func NeighbourAdvertisement(mac, dstMAC [6]byte, who, dst, target netip.Addr, flags uint32) []byte {
	return neighbourMessage(136, flags, mac, dstMAC, who, dst, target, optionIf(true, 2, mac))
}

// optionIf is the option with a link-layer address, or none.
func optionIf(with bool, kind byte, mac [6]byte) []byte {
	if !with {
		return nil
	}
	return append([]byte{kind, 1}, mac[:]...)
}

func neighbourMessage(kind uint8, rest uint32, mac, dstMAC [6]byte, src, dst, target netip.Addr, option []byte) []byte {
	t := target.As16()
	return Packet{
		Proto: 58, TTL: 255, Type: kind, Rest: rest, SrcMAC: mac, DstMAC: dstMAC,
		Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0), Payload: append(t[:], option...),
	}.Frame()
}
