package rewrite

import (
	"encoding/binary"
	"strconv"
)

// EthernetLen is the length in bytes of an untagged Ethernet header, and so the
// offset of the IP header in every frame of this package.
const EthernetLen = 14

// IP protocol numbers that the package looks into.
const (
	ProtoICMP   uint8 = 1 // in IPv4
	ProtoTCP    uint8 = 6
	ProtoUDP    uint8 = 17
	ProtoICMPv6 uint8 = 58 // in IPv6
	ProtoSCTP   uint8 = 132
)

// TCP flags, the low eight bits (RFC 9293 3.1).
const (
	TCPFin uint8 = 0x01
	TCPSyn uint8 = 0x02
	TCPRst uint8 = 0x04
	TCPPsh uint8 = 0x08
	TCPAck uint8 = 0x10
	TCPUrg uint8 = 0x20
	TCPEce uint8 = 0x40
	TCPCwr uint8 = 0x80
)

const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd

	ipv4MinLen = 20
	tcpMinLen  = 20
	udpLen     = 8
	sctpMinLen = 12
	icmpLen    = 8

	flagDF     = 0x4000
	flagMF     = 0x2000
	offsetMask = 0x1fff
)

// Packet is what [Parse] found in a frame: offsets, and the fields that a
// director looks at. Addresses, ports and the other numbers are in host byte
// order. It holds no pointer and may be copied freely.
//
// In an IPv6 packet Src6 and Dst6 are the addresses; Src and Dst are their folds
// ([Addr6.Fold]), numbers to hash and to compare before the addresses are, and
// never addresses. L4 is what follows the extension headers and Proto what it is;
// in a later fragment that is what its fragment header names, and may be another
// extension header. Nobody on the way may cut an IPv6 packet: DontFrag is true.
type Packet struct {
	L3, L4, End        int    // offsets in the frame: IP header, what follows it, end of the IP packet (Ethernet padding excluded)
	Src, Dst           uint32 // addresses
	SrcPort, DstPort   uint16 // TCP, UDP and SCTP; 0 otherwise and for a non-first fragment
	ID                 uint32 // identification: 16 bits in IPv4, of the fragment header in IPv6
	FragOff            uint16 // fragment offset in bytes
	Proto, TTL, TOS    uint8  // in IPv6 TTL is the hop limit, TOS the traffic class
	TCPFlags           uint8  // TCP only; low eight bits
	Chunk              int16  // SCTP only: type of the chunk that IPVS goes by, or NoChunk
	MoreFrags          bool
	DontFrag           bool
	ICMPType, ICMPCode uint8 // ICMP of its family only

	// The rest is about IPv6 alone, and zero in IPv4.
	V6         bool
	FragHeader bool   // there is a fragment header, which a whole packet may have, too (RFC 6946)
	FragAt     uint16 // offset of the fragment header, or of where it would be
	FragName   uint16 // offset of the byte that names the header at FragAt
	ProtoName  uint16 // offset of the byte that names Proto
	Src6, Dst6 Addr6
}

// Fragment reports whether the packet is a piece of a fragmented one, the first
// included.
func (p *Packet) Fragment() bool { return p.FragOff != 0 || p.MoreFrags }

// Len returns the IP total length in bytes.
func (p *Packet) Len() int { return p.End - p.L3 }

// IsICMP reports whether the packet is of its family's ICMP.
func (p *Packet) IsICMP() bool { return p.Proto == p.icmp() }

// icmp returns the protocol number of the family's ICMP.
func (p *Packet) icmp() uint8 {
	if p.V6 {
		return ProtoICMPv6
	}
	return ProtoICMP
}

// HasPorts reports whether the packet carries ports that [DNAT] and [SNAT] can
// change: TCP, UDP or SCTP, not a later fragment.
func (p *Packet) HasPorts() bool {
	return p.FragOff == 0 && p.End-p.L4 >= 4 && CarriesPorts(p.Proto)
}

// CarriesPorts reports whether packets of an IP protocol begin with ports: TCP, UDP
// and SCTP.
func CarriesPorts(proto uint8) bool {
	return proto == ProtoTCP || proto == ProtoUDP || proto == ProtoSCTP
}

// Fault is the reason why a frame is not a usable IP packet.
type Fault uint8

// The faults, in the order in which they are looked for.
const (
	FaultNone      Fault = iota
	FaultNotIP           // EtherType other than that of the packet asked for
	FaultTruncated       // shorter than its Ethernet or IP header, or than its total length
	FaultHeader          // IP version, header length or total length impossible; extension headers without end
	FaultChecksum        // IPv4 header checksum wrong
	FaultL4              // shorter than its TCP, UDP, SCTP or ICMP header, and no IPv4 fragment
)

// String returns a short name for counters and logs.
func (f Fault) String() string {
	names := [...]string{"none", "not-ip", "truncated", "bad-header", "bad-checksum", "short-l4"}
	if int(f) < len(names) {
		return names[f]
	}
	return "fault(" + strconv.Itoa(int(f)) + ")"
}

// Parse reads the untagged Ethernet frame with an IPv4 or IPv6 packet into p: see
// [ParseIPv4] and [ParseIPv6].
func Parse(frame []byte, p *Packet) Fault {
	if len(frame) >= EthernetLen && binary.BigEndian.Uint16(frame[12:14]) == etherTypeIPv6 {
		return ParseIPv6(frame, p)
	}
	return ParseIPv4(frame, p)
}

// ParseIPv4 reads the untagged Ethernet frame into p, overwriting all of it.
// After [FaultNone] p is complete; after [FaultL4] it is too, but for the fields
// that were cut off, which are 0; after any other fault p is of no use.
//
// What is refused is what the kernel's IPv4 input refuses (RFC 1122 3.2.1), and
// in an unfragmented packet what IPVS refuses: a TCP header of less than 20
// bytes, a UDP header of less than 8. Like IPVS it looks at neither the TCP data
// offset, nor the UDP length, nor the L4 checksum. A first fragment may be
// shorter than its L4 header, the rest being in the next one: ports, flags and
// type are read if they are there.
func ParseIPv4(frame []byte, p *Packet) Fault {
	if len(frame) < EthernetLen {
		return FaultTruncated
	}
	if binary.BigEndian.Uint16(frame[12:14]) != etherTypeIPv4 {
		return FaultNotIP
	}
	ip := frame[EthernetLen:]
	if len(ip) < ipv4MinLen {
		return FaultTruncated
	}
	header, total := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:4]))
	if ip[0]>>4 != 4 || header < ipv4MinLen || total < header {
		return FaultHeader
	}
	if total > len(ip) {
		return FaultTruncated
	}
	if Sum(ip[:header], 0) != 0xffff {
		return FaultChecksum
	}
	p.readIPv4(ip[:ipv4MinLen:ipv4MinLen])
	p.L3, p.L4, p.End = EthernetLen, EthernetLen+header, EthernetLen+total
	l4 := ip[header:total]
	p.readL4(l4, ProtoICMP)
	if len(l4) < l4MinLen(p.Proto, ProtoICMP) && !p.Fragment() {
		return FaultL4
	}
	return FaultNone
}

// readIPv4 takes the fields of the fixed part of an IPv4 header. It resets the
// rest of p.
func (p *Packet) readIPv4(ip []byte) {
	_ = ip[ipv4MinLen-1]
	*p = Packet{} // a literal with the fields would be built aside and copied
	p.TOS = ip[1]
	p.ID = uint32(binary.BigEndian.Uint16(ip[4:6]))
	frag := binary.BigEndian.Uint16(ip[6:8])
	p.FragOff = frag & offsetMask * 8
	p.DontFrag = frag&flagDF != 0
	p.MoreFrags = frag&flagMF != 0
	p.TTL, p.Proto = ip[8], ip[9]
	p.Src = binary.BigEndian.Uint32(ip[12:16])
	p.Dst = binary.BigEndian.Uint32(ip[16:20])
}

// readL4 takes ports, TCP flags, ICMP type and code as far as l4, what follows
// the IP header, has them. icmp is the protocol number of the family's ICMP.
func (p *Packet) readL4(l4 []byte, icmp uint8) {
	if p.FragOff != 0 || len(l4) < 4 {
		return
	}
	if p.Proto == icmp {
		p.ICMPType, p.ICMPCode = l4[0], l4[1]
		return
	}
	if !CarriesPorts(p.Proto) {
		return
	}
	p.SrcPort = binary.BigEndian.Uint16(l4[0:2])
	p.DstPort = binary.BigEndian.Uint16(l4[2:4])
	if p.Proto == ProtoTCP && len(l4) >= 14 {
		p.TCPFlags = l4[13]
	}
	if p.Proto == ProtoSCTP {
		p.Chunk = chunkOf(l4)
	}
}

// l4MinLen returns the least length of the protocol's header; 0 for a protocol
// that the package does not look into. icmp is as in readL4.
func l4MinLen(proto, icmp uint8) int {
	switch proto {
	case ProtoTCP:
		return tcpMinLen
	case ProtoUDP:
		return udpLen
	case ProtoSCTP:
		return sctpMinLen
	case icmp:
		return icmpLen
	}
	return 0
}
