package packettest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"natlb/dataplane"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// FlagLetters are the letters of the TCP flags, lowest bit first, as in the
// descriptions.
const FlagLetters = "FSRPAU"

// Packet says what an IP packet in an Ethernet frame looks like; its family is
// that of Src. Protocol 6, 17 and 132 use the ports, 1 and 58 the ICMP fields,
// others, and Raw ones, the payload alone.
type Packet struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.AddrPort // the ports of protocols without any are ignored
	Proto          uint8
	TTL            uint8 // or hop limit; 0 means 64
	TOS            uint8 // or traffic class
	ID             uint16
	DF             bool
	IPOptions      []byte      // a multiple of 4
	FlowLabel      uint32      // IPv6
	Extensions     []Extension // IPv6, in order
	Payload        []byte
	Raw            bool // no L4 header, whatever the protocol

	Flags      string // TCP: letters of FlagLetters
	Seq, Ack   uint32
	TCPOptions []byte // kind, length and data of each

	Chunks string // SCTP: names joined by +, the last one carries the payload; "": the payload is them
	Tag    uint32 // SCTP: verification tag

	Type, Code uint8  // ICMP
	Rest       uint32 // ICMP: second word

	ZeroSum  bool // UDP without a checksum
	BadSum   bool // a wrong L4 checksum
	BadIPSum bool // a wrong header checksum, of IPv4
}

// Frame returns the Ethernet frame of p, with everything computed and without
// padding. It panics on a Packet that makes none: tests write constants.
func (p Packet) Frame() []byte {
	if p.Proto == 132 && !p.Raw {
		p.Payload, p.Raw = p.sctp(), true
	}
	if p.Src.Addr().Is6() {
		return p.frame6()
	}
	ip := &layers.IPv4{
		Version: 4, TTL: p.TTL, TOS: p.TOS, Id: p.ID, Protocol: layers.IPProtocol(p.Proto),
		SrcIP: p.Src.Addr().AsSlice(), DstIP: p.Dst.Addr().AsSlice(),
	}
	if ip.TTL == 0 {
		ip.TTL = 64
	}
	if p.DF {
		ip.Flags = layers.IPv4DontFragment
	}
	eth := &layers.Ethernet{SrcMAC: p.SrcMAC[:], DstMAC: p.DstMAC[:], EthernetType: layers.EthernetTypeIPv4}
	stack := []gopacket.SerializableLayer{eth, ip}
	if !p.Raw {
		stack = append(stack, p.transport(ip)...)
	}
	frame := serialize(append(stack, gopacket.Payload(p.Payload))...)
	frame = frame[:14+int(binary.BigEndian.Uint16(frame[16:]))] // without Ethernet padding
	p.spoil(frame[34:])
	if len(p.IPOptions) > 0 {
		frame = append(frame[:34:34], append(p.IPOptions, frame[34:]...)...)
		frame[14] = 0x45 + byte(len(p.IPOptions)/4)
		binary.BigEndian.PutUint16(frame[16:], uint16(len(frame)-14))
		FixIPv4Checksum(frame)
	}
	if p.BadIPSum {
		frame[24] ^= 0x55
	}
	return frame
}

// spoil makes the checksum of a transport header what p wants it to be.
func (p Packet) spoil(transport []byte) {
	if p.ZeroSum {
		transport[6], transport[7] = 0, 0
	}
	if at := sumOffset(p.Proto); p.BadSum && at > 0 {
		transport[at] ^= 0x55
		transport[at+1] ^= 0x55
	}
}

func (p Packet) transport(ip gopacket.NetworkLayer) []gopacket.SerializableLayer {
	switch p.Proto {
	case 6:
		t := &layers.TCP{
			SrcPort: layers.TCPPort(p.Src.Port()), DstPort: layers.TCPPort(p.Dst.Port()),
			Seq: p.Seq, Ack: p.Ack, Window: 29200,
			FIN: strings.Contains(p.Flags, "F"), SYN: strings.Contains(p.Flags, "S"), RST: strings.Contains(p.Flags, "R"),
			PSH: strings.Contains(p.Flags, "P"), ACK: strings.Contains(p.Flags, "A"), URG: strings.Contains(p.Flags, "U"),
		}
		for o := p.TCPOptions; len(o) > 0; o = o[o[1]:] {
			t.Options = append(t.Options, layers.TCPOption{OptionType: layers.TCPOptionKind(o[0]), OptionLength: o[1], OptionData: o[2:o[1]]})
		}
		forChecksum(t, ip)
		return []gopacket.SerializableLayer{t}
	case 17:
		u := &layers.UDP{SrcPort: layers.UDPPort(p.Src.Port()), DstPort: layers.UDPPort(p.Dst.Port())}
		forChecksum(u, ip)
		return []gopacket.SerializableLayer{u}
	case 1:
		return []gopacket.SerializableLayer{&layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(p.Type, p.Code), Id: uint16(p.Rest >> 16), Seq: uint16(p.Rest),
		}}
	case 58:
		i := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.Type, p.Code)}
		forChecksum(i, ip)
		return []gopacket.SerializableLayer{i, gopacket.Payload(binary.BigEndian.AppendUint32(nil, p.Rest))}
	}
	return nil
}

// forChecksum tells a layer whose pseudo header its checksum takes in.
func forChecksum(l interface {
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}, ip gopacket.NetworkLayer) {
	if err := l.SetNetworkLayerForChecksum(ip); err != nil {
		panic(fmt.Sprintf("packettest: %v", err))
	}
}

func sumOffset(proto uint8) int {
	return map[uint8]int{6: 16, 17: 6, 1: 2, 58: 2, 132: 8}[proto]
}

// ARPRequest returns the broadcast question of who who has target.
func ARPRequest(mac [6]byte, who, target netip.Addr) []byte {
	return arp(layers.ARPRequest, mac, [6]byte{255, 255, 255, 255, 255, 255}, who, target)
}

// ARPReply returns the answer to asker that who is at mac.
func ARPReply(mac [6]byte, who netip.Addr, askerMAC [6]byte, asker netip.Addr) []byte {
	return arp(layers.ARPReply, mac, askerMAC, who, asker)
}

func arp(op uint16, src, dst [6]byte, who, target netip.Addr) []byte {
	targetMAC := dst
	if op == layers.ARPRequest {
		targetMAC = [6]byte{}
	}
	return serialize(
		&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: op, SourceHwAddress: src[:], SourceProtAddress: who.AsSlice(),
			DstHwAddress: targetMAC[:], DstProtAddress: target.AsSlice(),
		})
}

func serialize(stack ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		panic(fmt.Sprintf("packettest: %v", err))
	}
	return b.Bytes()
}

// Fragments cuts the IPv4 packet in frame into pieces that carry size bytes of
// payload each, a multiple of 8. Every piece has the whole header.
func Fragments(frame []byte, size int) [][]byte {
	header := 14 + int(frame[14]&15)*4
	payload := frame[header:]
	var out [][]byte
	for from := 0; from < len(payload); from += size {
		to := min(from+size, len(payload))
		piece := append(append([]byte{}, frame[:header]...), payload[from:to]...)
		field := uint16(from / 8)
		if to < len(payload) {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(piece[16:], uint16(len(piece)-14))
		binary.BigEndian.PutUint16(piece[20:], field)
		FixIPv4Checksum(piece)
		out = append(out, piece)
	}
	return out
}

// Partial turns a finished TCP, UDP or SCTP frame without IP options or extension
// headers into one whose checksum is left to the outlet, and with mss above 0 into
// a super-packet of segments with mss bytes of payload, as a veth or virtio device
// hands it over.
func Partial(frame []byte, mss int) dataplane.Frame {
	proto, start, tcp := frame[23], 34, uint8(dataplane.GSOTCPv4)
	if frame[14]>>4 == 6 {
		proto, start, tcp = frame[20], 54, dataplane.GSOTCPv6
	}
	at := sumOffset(proto)
	binary.BigEndian.PutUint16(frame[start+at:], pseudoSum(frame[14:start], proto, len(frame)-start))
	if proto == 132 {
		clear(frame[start+at : start+at+4])
	}
	f := dataplane.Frame{Data: frame, WireLen: uint32(len(frame)), Offload: dataplane.Offload{
		Flags: dataplane.OffloadNeedsCsum, CsumStart: uint16(start), CsumOffset: uint16(at),
	}}
	if mss > 0 {
		f.Offload.GSO, f.Offload.GSOSize, f.Offload.HdrLen = dataplane.GSOUDPL4, uint16(mss), uint16(start)+8
		if proto == 6 {
			f.Offload.GSO, f.Offload.HdrLen = tcp, uint16(start)+uint16(frame[start+12]>>4)*4
		}
	}
	return f
}

// FixIPv4Checksum computes the header checksum of the IPv4 packet in frame.
func FixIPv4Checksum(frame []byte) {
	ip := frame[14 : 14+int(frame[14]&15)*4]
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip))
}

// MAC reads a MAC address and panics if it is none.
func MAC(text string) [6]byte {
	m, err := net.ParseMAC(text)
	if err != nil || len(m) != 6 {
		panic(fmt.Sprintf("packettest: %q is no MAC address", text))
	}
	return [6]byte(m)
}
