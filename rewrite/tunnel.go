package rewrite

import "encoding/binary"

// IP protocol numbers of tunnels.
const (
	ProtoIPIP uint8 = 4  // IPv4 behind the outer header
	ProtoIPv6 uint8 = 41 // IPv6 there
	ProtoGRE  uint8 = 47
)

// TunnelKind is a way to carry an IP packet inside another one.
type TunnelKind uint8

// The kinds. GUE is version 0 with an IP protocol behind its header (draft
// ietf-intarea-gue), GRE the plain header of RFC 2784.
const (
	IPIP TunnelKind = iota
	GUE
	GRE
)

// Tunnel is the form of the headers that go in front of a packet, of either family.
type Tunnel struct {
	Kind     TunnelKind
	Port     uint16 // GUE: the UDP port of the far end
	Checksum bool   // GRE and GUE: over all that is carried; otherwise none is sent
	V6       bool   // the outer header is of IPv6
}

// MaxTunnelOverhead is the most that [Tunnel.Overhead] returns.
const MaxTunnelOverhead = ipv6Len + udpLen + gueLen

const (
	gueLen     = 4
	greLen     = 4
	greSumLen  = 4
	greHasSum  = 0x80  // first byte of the header
	gueSrcPort = 32768 // Linux's ephemeral ports, which its own tunnels use
	gueSrcLast = 60999
)

// Overhead returns by how many bytes the tunnel makes a packet longer.
func (t Tunnel) Overhead() int {
	if t.V6 {
		return ipv6Len + t.behindIP()
	}
	return ipv4MinLen + t.behindIP()
}

// behindIP returns the length of the headers between the outer IP header and the
// inner one.
func (t Tunnel) behindIP() int {
	switch {
	case t.Kind == GUE:
		return udpLen + gueLen
	case t.Kind == GRE && t.Checksum:
		return greLen + greSumLen
	case t.Kind == GRE:
		return greLen
	}
	return 0
}

// proto returns the protocol that the outer header names, inner being that of the
// inner one.
func (t Tunnel) proto(inner uint8) uint8 {
	return [...]uint8{IPIP: inner, GUE: ProtoUDP, GRE: ProtoGRE}[t.Kind]
}

// Outer is what the outer header says that does not follow from the packet
// inside. Addresses are in host byte order; which of them count, the tunnel says.
type Outer struct {
	Src, Dst   uint32
	Src6, Dst6 Addr6
	ID         uint16 // IPv4
	DF         bool   // IPv4
	Flow       uint32 // a hash of the inner flow: GUE's source port follows from it
}

// Encapsulate puts the tunnel's headers in front of a packet, in place: buf
// begins with [Tunnel.Overhead] bytes to spare, behind which is a frame with an
// IP packet and its checksums complete. The Ethernet header moves to the front.
// TTL and TOS, with the ECN bits, are the inner ones, as the kernel's IPVS has
// it. It returns the length of the new frame, without Ethernet padding; 0, and
// changes nothing, when IP cannot state the length.
func Encapsulate(buf []byte, t Tunnel, o *Outer) int {
	over := t.Overhead()
	inner := buf[over+EthernetLen:]
	total, tos, ttl, proto := int(binary.BigEndian.Uint16(inner[2:4])), inner[1], inner[8], ProtoIPIP
	if inner[0]>>4 == 6 {
		total = ipv6Len + int(binary.BigEndian.Uint16(inner[4:6]))
		tos, ttl, proto = uint8(binary.BigEndian.Uint16(inner[0:2])>>4), inner[7], ProtoIPv6
	}
	if !t.V6 && over+total > maxTotalLen || over-ipv6Len+total > maxTotalLen {
		return 0
	}
	*(*[EthernetLen]byte)(buf) = [EthernetLen]byte(buf[over:]) // Overhead is longer than what is moved
	packet := buf[EthernetLen : EthernetLen+over+total]
	header := ipv4MinLen
	if t.V6 {
		header = ipv6Len
		binary.BigEndian.PutUint16(buf[12:14], etherTypeIPv6)
		putIPv6(packet, tos, t.proto(proto), ttl, o.Src6, o.Dst6)
	} else {
		binary.BigEndian.PutUint16(buf[12:14], etherTypeIPv4)
		putOuter(packet[:ipv4MinLen:ipv4MinLen], tos, ttl, len(packet), t.proto(proto), o)
	}
	switch l4 := packet[header:]; t.Kind {
	case GUE:
		putGUE(l4, t, o, proto)
	case GRE:
		putGRE(l4, t, proto)
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

// putGUE writes the headers of GUE in front of a packet of protocol inner.
func putGUE(udp []byte, t Tunnel, o *Outer, inner uint8) {
	ports := uint64(gueSrcLast - gueSrcPort + 1)
	binary.BigEndian.PutUint16(udp[0:2], gueSrcPort+uint16(uint64(o.Flow)*ports>>32))
	binary.BigEndian.PutUint16(udp[2:4], t.Port)
	binary.BigEndian.PutUint16(udp[4:6], uint16(len(udp)))
	udp[6], udp[7] = 0, 0
	binary.BigEndian.PutUint32(udp[8:12], gueTo(inner))
	if t.Checksum {
		pseudo := pseudoSum(o.Src, o.Dst, ProtoUDP, len(udp))
		if t.V6 {
			pseudo = pseudoSum6(o.Src6, o.Dst6, ProtoUDP, len(udp))
		}
		binary.BigEndian.PutUint16(udp[6:8], nonZero(Checksum(udp, pseudo)))
	}
}

// gueTo is the GUE header in front of an IP packet.
func gueTo(inner uint8) uint32 { return uint32(inner) << 16 }

// isGUE reports whether the UDP datagram has the GUE header of an IP packet.
func isGUE(udp []byte) bool {
	if len(udp) < udpLen+gueLen {
		return false
	}
	header := binary.BigEndian.Uint32(udp[udpLen:])
	return header == gueTo(ProtoIPIP) || header == gueTo(ProtoIPv6)
}

func putGRE(gre []byte, t Tunnel, inner uint8) {
	gre[0], gre[1] = 0, 0
	binary.BigEndian.PutUint16(gre[2:4], greType(inner))
	if t.Checksum {
		gre[0] = greHasSum
		clear(gre[4:8])
		binary.BigEndian.PutUint16(gre[4:6], Checksum(gre, 0))
	}
}

func greType(inner uint8) uint16 {
	if inner == ProtoIPv6 {
		return etherTypeIPv6
	}
	return etherTypeIPv4
}

// ParseTunnelled reads the IP packet inside the tunnel packet q, which an ICMP
// error in frame quotes, into inner, and returns the tunnel's form as its headers
// show it. It reports false when q is not a packet that [Encapsulate] writes, or
// less of the inner one is quoted than its header and 8 bytes (what every error
// about the inner packet itself would quote), or that is a later fragment. q must
// come from [ParseQuoted]; inner may be q.
func ParseTunnelled(frame []byte, q, inner *Packet) (Tunnel, bool) {
	t, proto := Tunnel{V6: q.V6}, q.Proto
	l4 := frame[q.L4:q.End]
	switch q.Proto {
	case ProtoIPIP, ProtoIPv6:
	case ProtoGRE:
		t.Kind = GRE
		if len(l4) < greLen || l4[0]&^greHasSum != 0 || l4[1] != 0 {
			return t, false
		}
		t.Checksum = l4[0] == greHasSum
		if proto = ProtoIPIP; binary.BigEndian.Uint16(l4[2:4]) == etherTypeIPv6 {
			proto = ProtoIPv6
		}
		if binary.BigEndian.Uint16(l4[2:4]) != greType(proto) {
			return t, false
		}
	case ProtoUDP:
		if len(l4) < udpLen+gueLen {
			return t, false
		}
		if proto = l4[udpLen+1]; binary.BigEndian.Uint32(l4[udpLen:]) != gueTo(proto) {
			return t, false
		}
		t.Kind, t.Port, t.Checksum = GUE, q.DstPort, l4[6] != 0 || l4[7] != 0
	default:
		return t, false
	}
	at, end := q.L4+t.behindIP(), q.End
	switch proto {
	case ProtoIPIP:
		return t, inner.readTunnelled4(frame[:end], at)
	case ProtoIPv6:
		return t, end-at >= ipv6Len+8 && parseQuoted6(frame[:end], at, inner)
	}
	return t, false
}

// readTunnelled4 reads the IPv4 packet at the offset at of frame, which ends with
// what is quoted of it.
func (p *Packet) readTunnelled4(frame []byte, at int) bool {
	if len(frame)-at < ipv4MinLen {
		return false
	}
	ip := frame[at:]
	header, total := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:4]))
	if ip[0]>>4 != 4 || header < ipv4MinLen || len(ip) < header+8 || total < header+8 {
		return false
	}
	return p.readQuoted4(ip[:min(total, len(ip))], at, header)
}

// SetEtherType makes the type in the Ethernet header of frame, which has at least a
// byte behind it, that of the IP packet there.
func SetEtherType(frame []byte) {
	etherType := uint16(etherTypeIPv4)
	if frame[EthernetLen]>>4 == 6 {
		etherType = etherTypeIPv6
	}
	binary.BigEndian.PutUint16(frame[12:14], etherType)
}
