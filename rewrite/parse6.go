package rewrite

import "encoding/binary"

const (
	ipv6Len       = 40
	fragHeaderLen = 8

	// maxExtensions bounds the extension headers of a packet. Senders use one or
	// two; RFC 8200 section 4.1 knows six.
	maxExtensions = 8
)

// IPv6 extension headers that are walked over (RFC 8200 section 4), by their numbers
// as IP protocols. ESP and AH are not among them: what they protect is not for us to
// read or change.
const (
	ExtHopByHop    = 0
	ExtRouting     = 43
	ExtFragment    = 44
	ExtDestination = 60
)

// ParseIPv6 reads the untagged Ethernet frame into p, overwriting all of it; what
// it returns means what it does with [ParseIPv4].
//
// What is refused is what a host refuses (RFC 8200): a packet longer than its
// frame, extension headers that do not end inside it, more than eight of them, a
// second fragment header, and jumbograms (RFC 2675), whose length is not where
// lengths are. A first fragment without its whole L4 header is refused, too
// (RFC 8200 section 4.5), with [FaultL4] when its extension headers are all there.
// The contents of options are for the hosts at the ends.
//
// A hop-by-hop header that is not the first, and a routing header of type 0 that
// is not at its end (RFC 5095), are taken for a protocol that nobody knows.
func ParseIPv6(frame []byte, p *Packet) Fault {
	if len(frame) < EthernetLen {
		return FaultTruncated
	}
	if binary.BigEndian.Uint16(frame[12:14]) != etherTypeIPv6 {
		return FaultNotIP
	}
	ip := frame[EthernetLen:]
	if len(ip) < ipv6Len {
		return FaultTruncated
	}
	if ip[0]>>4 != 6 {
		return FaultHeader
	}
	total := ipv6Len + int(binary.BigEndian.Uint16(ip[4:6]))
	if total > len(ip) {
		return FaultTruncated
	}
	p.readIPv6(ip, EthernetLen)
	p.End = EthernetLen + total
	if !CarriesPorts(p.Proto) && !p.walkExtensions(frame[:p.End]) {
		return FaultHeader
	}
	l4 := frame[p.L4:p.End]
	p.readL4(l4, ProtoICMPv6)
	if len(l4) < l4MinLen(p.Proto, ProtoICMPv6) && p.FragOff == 0 {
		return FaultL4
	}
	return FaultNone
}

// readIPv6 takes the fields of the fixed header ip, which lies at l3 in the frame,
// as if no extension header followed. It resets the rest of p.
func (p *Packet) readIPv6(ip []byte, l3 int) {
	_ = ip[ipv6Len-1]
	*p = Packet{}
	p.V6, p.DontFrag = true, true
	p.TOS = uint8(binary.BigEndian.Uint16(ip[0:2]) >> 4)
	p.Proto, p.TTL = ip[6], ip[7]
	p.Src6, p.Dst6 = ReadAddr6(ip[8:24]), ReadAddr6(ip[24:40])
	p.Src, p.Dst = p.Src6.Fold(), p.Dst6.Fold()
	p.L3, p.L4 = l3, l3+ipv6Len
	p.FragAt, p.FragName, p.ProtoName = uint16(l3+ipv6Len), uint16(l3+6), uint16(l3+6)
}

// walkExtensions moves L4 and Proto over the extension headers in frame, which
// ends with the packet. It reports false when they do not end there.
func (p *Packet) walkExtensions(frame []byte) bool {
	for n := 0; p.isExtension(frame); n++ {
		left := frame[p.L4:]
		if n == maxExtensions || len(left) < fragHeaderLen {
			return false
		}
		length := fragHeaderLen
		if p.Proto == ExtFragment {
			if p.FragHeader {
				return false
			}
			p.readFragHeader(left)
		} else if length = (int(left[1]) + 1) * 8; len(left) < length {
			return false
		}
		kind, name := p.Proto, uint16(p.L4)
		p.Proto, p.ProtoName = left[0], name
		p.L4 += length
		if (kind == ExtHopByHop || kind == ExtRouting) && !p.FragHeader {
			p.FragAt, p.FragName = uint16(p.L4), name
		}
		if p.FragOff != 0 {
			break // what follows is payload
		}
	}
	return true
}

// isExtension reports whether what Proto names, at L4, is an extension header to
// walk over.
func (p *Packet) isExtension(frame []byte) bool {
	switch p.Proto {
	case ExtHopByHop:
		return p.L4 == p.L3+ipv6Len
	case ExtRouting:
		rest := frame[p.L4:]
		return len(rest) < 4 || rest[2] != 0 || rest[3] == 0
	case ExtDestination, ExtFragment:
		return true
	}
	return false
}

// readFragHeader takes the fields of the fragment header in h, which is at L4.
func (p *Packet) readFragHeader(h []byte) {
	field := binary.BigEndian.Uint16(h[2:4])
	p.FragHeader = true
	p.FragAt, p.FragName = uint16(p.L4), p.ProtoName
	p.FragOff, p.MoreFrags = field&^7, field&1 != 0
	p.ID = binary.BigEndian.Uint32(h[4:8])
}
