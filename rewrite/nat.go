package rewrite

import "encoding/binary"

// Offsets of what NAT changes, from the start of the IPv4 and the L4 header.
const (
	srcAddrAt, dstAddrAt = 12, 16
	srcPortAt, dstPortAt = 0, 2
)

// DNAT makes dst:port the destination of the packet, and updates p. Address and
// port are in host byte order. The port is used only if the packet has ports
// ([Packet.HasPorts]).
//
// Checksums follow by RFC 1624. partial says that the L4 checksum field holds
// the plain sum of the pseudo header: then the address changes the field itself
// and the port, which is not in the pseudo header, does not. A UDP checksum of
// 0, "none", is replaced by a computed one, as the kernel's IPVS does (in an
// unfragmented datagram; a fragment cannot be summed). SCTP's CRC covers no
// address; it is computed anew when the port changes, unless partial.
func DNAT(frame []byte, p *Packet, dst uint32, port uint16, partial bool) {
	delta := setAddr(frame[p.L3:p.L3+ipv4MinLen], dstAddrAt, dst)
	p.Dst = dst
	if p.HasPorts() {
		p.DstPort = port
		translateL4(frame, p, dstPortAt, port, delta, partial)
	}
}

// SNAT makes src:port the source of the packet, and updates p. All else is as
// in [DNAT].
func SNAT(frame []byte, p *Packet, src uint32, port uint16, partial bool) {
	delta := setAddr(frame[p.L3:p.L3+ipv4MinLen], srcAddrAt, src)
	p.Src = src
	if p.HasPorts() {
		p.SrcPort = port
		translateL4(frame, p, srcPortAt, port, delta, partial)
	}
}

// setAddr writes the address at an offset of the IPv4 header, and the header's
// checksum, and returns what the address has changed a sum by.
func setAddr(ip []byte, at int, addr uint32) uint32 {
	field := ip[at : at+4]
	delta := delta32(binary.BigEndian.Uint32(field), addr)
	binary.BigEndian.PutUint32(field, addr)
	updateChecksum(ip[10:12], delta)
	return delta
}

// translateL4 writes the port at portAt of the L4 header, which has ports, and the
// L4 checksum. addrDelta is what the address, written already, has changed a sum by.
func translateL4(frame []byte, p *Packet, portAt int, port uint16, addrDelta uint32, partial bool) {
	l4 := frame[p.L4:p.End]
	field := l4[portAt : portAt+2]
	old := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, port)
	switch {
	case p.Proto == ProtoSCTP:
		if old != port && !partial && !p.Fragment() {
			setSCTPChecksum(l4)
		}
	case partial:
		updatePartial(l4, p.Proto, addrDelta)
	case p.Proto == ProtoTCP:
		if len(l4) >= tcpMinLen {
			updateChecksum(l4[16:18], addrDelta+delta16(old, port))
		}
	case len(l4) >= udpLen:
		updateUDP(p, l4, addrDelta+delta16(old, port))
	}
}

// updatePartial adjusts the pseudo-header sum in the checksum field of TCP or
// UDP: a plain sum, so it is not complemented.
func updatePartial(l4 []byte, proto uint8, delta uint32) {
	at := 16
	if proto == ProtoUDP {
		at = 6
	}
	if len(l4) < at+2 {
		return
	}
	addToSum(l4[at:at+2], delta)
}

// updateUDP changes the complete checksum of a UDP datagram by delta, or
// computes the one that was missing. p has the new addresses.
func updateUDP(p *Packet, l4 []byte, delta uint32) {
	field := l4[6:8]
	if binary.BigEndian.Uint16(field) != 0 {
		updateChecksum(field, delta)
		binary.BigEndian.PutUint16(field, nonZero(binary.BigEndian.Uint16(field)))
		return
	}
	if p.Fragment() {
		return
	}
	// The receiver sums as many bytes as the UDP header states.
	if n := int(binary.BigEndian.Uint16(l4[4:6])); n >= udpLen && n < len(l4) {
		l4 = l4[:n]
	}
	binary.BigEndian.PutUint16(field, nonZero(Checksum(l4, p.pseudo(len(l4)))))
}

// DecrementTTL lowers the time to live, or the hop limit, by one, as each router
// does (RFC 1812 5.3.1), with the header checksum of IPv4, and updates p. The
// caller has seen that the TTL is above 1.
func DecrementTTL(frame []byte, p *Packet) {
	ip := frame[p.L3 : p.L3+ipv4MinLen]
	if p.V6 {
		ip[7]--
		p.TTL = ip[7]
		return
	}
	old := binary.BigEndian.Uint16(ip[8:10]) // TTL and protocol share a word
	ip[8]--
	updateChecksum(ip[10:12], delta16(old, binary.BigEndian.Uint16(ip[8:10])))
	p.TTL = ip[8]
}

// SetMACs writes the Ethernet addresses: dst is the next hop, src the interface
// that the frame leaves by. frame must have at least 12 bytes.
func SetMACs(frame []byte, dst, src [6]byte) {
	_ = frame[11]
	copy(frame[0:6], dst[:])
	copy(frame[6:12], src[:])
}
