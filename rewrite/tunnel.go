package rewrite

import "encoding/binary"

// IP protocol numbers of tunnels.
const (
	ProtoIPIP uint8 = 4
	ProtoGRE  uint8 = 47
)

// TunnelKind is a way to carry an IPv4 packet inside another one.
type TunnelKind uint8

// The kinds. GUE is version 0 with an IP protocol behind its header (draft
// ietf-intarea-gue), GRE the plain header of RFC 2784.
const (
	IPIP TunnelKind = iota
	GUE
	GRE
)

// Tunnel is the form of the headers that go in front of a packet.
type Tunnel struct {
	Kind     TunnelKind
	Port     uint16 // GUE: the UDP port of the far end
	Checksum bool   // GRE and GUE: over all that is carried; otherwise none is sent
}

// MaxTunnelOverhead is the most that [Tunnel.Overhead] returns.
const MaxTunnelOverhead = ipv4MinLen + udpLen + gueLen

const (
	gueLen     = 4
	greLen     = 4
	greSumLen  = 4
	greHasSum  = 0x80 // first byte of the header
	gueToIPv4  = uint32(ProtoIPIP) << 16
	gueSrcPort = 32768 // Linux's ephemeral ports, which its own tunnels use
	gueSrcLast = 60999
)

// Overhead returns by how many bytes the tunnel makes a packet longer.
func (t Tunnel) Overhead() int {
	switch {
	case t.Kind == GUE:
		return ipv4MinLen + udpLen + gueLen
	case t.Kind == GRE && t.Checksum:
		return ipv4MinLen + greLen + greSumLen
	case t.Kind == GRE:
		return ipv4MinLen + greLen
	}
	return ipv4MinLen
}

func (t Tunnel) proto() uint8 {
	return [...]uint8{IPIP: ProtoIPIP, GUE: ProtoUDP, GRE: ProtoGRE}[t.Kind]
}

// Outer is what the outer header says that does not follow from the packet
// inside. Addresses are in host byte order.
type Outer struct {
	Src, Dst uint32
	ID       uint16
	DF       bool
	Flow     uint32 // a hash of the inner flow: GUE's source port follows from it
}

// Encapsulate puts the tunnel's headers in front of a packet, in place: buf
// begins with [Tunnel.Overhead] bytes to spare, behind which is a frame with an
// IPv4 packet and its checksums complete. The Ethernet header moves to the front.
// TTL and TOS, with the ECN bits, are the inner ones, as the kernel's IPVS has
// it. It returns the length of the new frame, without Ethernet padding; 0, and
// changes nothing, when IPv4 cannot state the length.
func Encapsulate(buf []byte, t Tunnel, o *Outer) int {
	over := t.Overhead()
	inner := buf[over+EthernetLen:]
	total := int(binary.BigEndian.Uint16(inner[2:4]))
	if over+total > maxTotalLen {
		return 0
	}
	*(*[EthernetLen]byte)(buf) = [EthernetLen]byte(buf[over:]) // Overhead is longer than what is moved
	packet := buf[EthernetLen : EthernetLen+over+total]
	putOuter(packet[:ipv4MinLen:ipv4MinLen], inner[1], inner[8], len(packet), t.proto(), o)
	switch l4 := packet[ipv4MinLen:]; t.Kind {
	case GUE:
		putGUE(l4, t, o)
	case GRE:
		putGRE(l4, t)
	}
	return EthernetLen + len(packet)
}

// putOuter writes the outer IP header. Its checksum is summed up from the fields
// and not from the bytes: it is done for every packet.
func putOuter(ip []byte, tos, ttl uint8, total int, proto uint8, o *Outer) {
	first := 0x4500 | uint32(tos)
	flags := uint32(0)
	if o.DF {
		flags = flagDF
	}
	hops := uint32(ttl)<<8 | uint32(proto)
	sum := first + uint32(total) + uint32(o.ID) + flags + hops + o.Src>>16 + o.Src&0xffff + o.Dst>>16 + o.Dst&0xffff
	binary.BigEndian.PutUint64(ip[0:8], uint64(first)<<48|uint64(total)<<32|uint64(o.ID)<<16|uint64(flags))
	binary.BigEndian.PutUint32(ip[8:12], hops<<16|uint32(^fold(sum)))
	binary.BigEndian.PutUint64(ip[12:20], uint64(o.Src)<<32|uint64(o.Dst))
}

func putGUE(udp []byte, t Tunnel, o *Outer) {
	ports := uint64(gueSrcLast - gueSrcPort + 1)
	binary.BigEndian.PutUint16(udp[0:2], gueSrcPort+uint16(uint64(o.Flow)*ports>>32))
	binary.BigEndian.PutUint16(udp[2:4], t.Port)
	binary.BigEndian.PutUint16(udp[4:6], uint16(len(udp)))
	udp[6], udp[7] = 0, 0
	binary.BigEndian.PutUint32(udp[8:12], gueToIPv4)
	if t.Checksum {
		sum := Checksum(udp, pseudoSum(o.Src, o.Dst, ProtoUDP, len(udp)))
		binary.BigEndian.PutUint16(udp[6:8], nonZero(sum))
	}
}

func putGRE(gre []byte, t Tunnel) {
	gre[0], gre[1] = 0, 0
	binary.BigEndian.PutUint16(gre[2:4], etherTypeIPv4)
	if t.Checksum {
		gre[0] = greHasSum
		clear(gre[4:8])
		binary.BigEndian.PutUint16(gre[4:6], Checksum(gre, 0))
	}
}

// ParseTunnelled reads the IPv4 packet inside the tunnel packet q, which an ICMP
// error in frame quotes, into inner, and returns the tunnel's form as its headers
// show it. It reports false when q is not a packet that [Encapsulate] writes, or
// less of the inner one is quoted than its header and 8 bytes (what every error
// about the inner packet itself would quote), or that is a later fragment. q must
// come from [ParseQuoted]; inner may be q.
func ParseTunnelled(frame []byte, q, inner *Packet) (Tunnel, bool) {
	var t Tunnel
	l4 := frame[q.L4:q.End]
	switch q.Proto {
	case ProtoIPIP:
	case ProtoGRE:
		t.Kind = GRE
		if len(l4) < greLen || l4[0]&^greHasSum != 0 || l4[1] != 0 || binary.BigEndian.Uint16(l4[2:4]) != etherTypeIPv4 {
			return t, false
		}
		t.Checksum = l4[0] == greHasSum
	case ProtoUDP:
		if len(l4) < udpLen+gueLen || binary.BigEndian.Uint32(l4[udpLen:]) != gueToIPv4 {
			return t, false
		}
		t = Tunnel{Kind: GUE, Port: q.DstPort, Checksum: l4[6] != 0 || l4[7] != 0}
	default:
		return t, false
	}
	at := q.L4 + t.Overhead() - ipv4MinLen
	if q.End-at < ipv4MinLen {
		return t, false
	}
	ip := frame[at:q.End]
	header, total := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:4]))
	if ip[0]>>4 != 4 || header < ipv4MinLen || len(ip) < header+8 || total < header+8 {
		return t, false
	}
	end := at + min(total, len(ip))
	inner.readIPv4(ip)
	inner.L3, inner.L4, inner.End = at, at+header, end
	inner.readL4(frame[inner.L4:end], ProtoICMP)
	return t, inner.FragOff == 0
}
