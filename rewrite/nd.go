package rewrite

import "encoding/binary"

const (
	// NDFrameLen is the length in bytes of the longest frame that this file writes.
	NDFrameLen = EthernetLen + ipv6Len + ndLen + ndOptionLen

	ndLen         = 24 // without options
	ndOptionLen   = 8  // an option with an Ethernet address
	ndOptSource   = 1
	ndOptTarget   = 2
	ndHopLimit    = 255 // proves that the message is from this link
	ndRouterFlag  = 0x80
	ndSolicitFlag = 0x40
	ndOverrides   = 0x20
)

// AllNodes is the group of all hosts of a link, ff02::1.
var AllNodes = Addr6{0xff02 << 48, 1}

// SolicitedNode returns the group in which whoever has addr listens for questions
// about it (RFC 4291 section 2.7.1). Frames to it reach only interfaces that have
// asked for its [MulticastMAC], and, where switches snoop on MLD, only ports behind
// which somebody has joined: who answers for an address has to see to both.
func SolicitedNode(addr Addr6) Addr6 {
	return Addr6{0xff02 << 48, 1<<32 | 0xff<<24 | addr.Lo&0xffffff}
}

// MulticastMAC returns the Ethernet address of an IPv6 group (RFC 2464 section 7).
func MulticastMAC(group Addr6) [6]byte {
	mac := [6]byte{0x33, 0x33}
	binary.BigEndian.PutUint32(mac[2:], uint32(group.Lo))
	return mac
}

// ND is a message of neighbour discovery: a solicitation, which asks who has
// Target, or an advertisement, which says so (RFC 4861 sections 4.3, 4.4).
type ND struct {
	Solicitation bool
	Target       Addr6
	Src, Dst     Addr6   // of the packet; Src is :: in a probe for duplicate addresses
	MAC          [6]byte // of the sender: what the message says, or else its frame

	// Of an advertisement.
	Router, Solicited, Override bool
}

// ParseND reads the neighbour solicitation or advertisement that p, in frame, is into
// m. It reports false, and m is of no use, when p is neither or the message must be
// ignored: it may be from another link (hop limit), its checksum is wrong, an option
// has no length or is not whole, it came as a fragment (RFC 6980), or it contradicts
// itself (RFC 4861 sections 7.1.1, 7.1.2).
func ParseND(frame []byte, p *Packet, m *ND) bool {
	if !p.V6 || p.ICMPType != ICMPv6Solicitation && p.ICMPType != ICMPv6Advert ||
		p.ICMPCode != 0 || p.TTL != ndHopLimit || p.FragHeader || p.End-p.L4 < ndLen || !ICMPChecksumOK(frame, p) {
		return false
	}
	b := frame[p.L4:p.End]
	*m = ND{
		Solicitation: p.ICMPType == ICMPv6Solicitation, Target: ReadAddr6(b[8:24]),
		Src: p.Src6, Dst: p.Dst6, MAC: [6]byte(frame[6:12]),
	}
	want := uint8(ndOptSource)
	if !m.Solicitation {
		want = ndOptTarget
		m.Router, m.Solicited, m.Override = b[4]&ndRouterFlag != 0, b[4]&ndSolicitFlag != 0, b[4]&ndOverrides != 0
	}
	named, ok := m.readOptions(b[ndLen:], want)
	switch {
	case !ok || m.Target.IsMulticast():
		return false
	case !m.Solicitation:
		return !m.Solicited || !m.Dst.IsMulticast()
	case m.Src == Addr6{}:
		return !named && m.Dst == SolicitedNode(m.Target)
	}
	return true
}

// readOptions takes the sender's Ethernet address from the option of type want. It
// reports whether there is one, and whether all options are whole.
func (m *ND) readOptions(options []byte, want uint8) (named, ok bool) {
	for len(options) > 0 {
		if len(options) < 2 {
			return named, false
		}
		length := int(options[1]) * 8
		if length == 0 || length > len(options) {
			return named, false
		}
		if options[0] == want && length == ndOptionLen {
			m.MAC, named = [6]byte(options[2:8]), true
		}
		options = options[length:]
	}
	return named, true
}

// Claim returns the address that the sender says it has, or is about to take: of an
// advertisement and of a probe for duplicates the target, of another solicitation the
// source. Two machines that claim one address are in conflict (RFC 4862 section 5.4).
func (m *ND) Claim() Addr6 {
	if m.Solicitation && m.Src != (Addr6{}) {
		return m.Src
	}
	return m.Target
}

// NDReply writes into dst the advertisement that says that what the solicitation m
// asks for is at mac, to the station that frame, the solicitation's, came from; a
// probe for duplicates is answered to all nodes (RFC 4861 section 7.2.4). It returns
// the length; 0 when dst is shorter, or m is no solicitation, or from a group.
func NDReply(dst, frame []byte, mac [6]byte, m *ND) int {
	if !m.Solicitation || m.Src.IsMulticast() || len(frame) < EthernetLen || frame[6]&1 != 0 {
		return 0
	}
	if m.Src == (Addr6{}) {
		return UnsolicitedAdvert(dst, mac, m.Target)
	}
	return putND(dst, [6]byte(frame[6:12]), mac, &ND{Src: m.Target, Dst: m.Src, Target: m.Target, Solicited: true, Override: true})
}

// UnsolicitedAdvert writes into dst the announcement to all nodes that addr is at mac
// (RFC 4861 section 7.2.6). It returns the length; 0 when dst is shorter.
func UnsolicitedAdvert(dst []byte, mac [6]byte, addr Addr6) int {
	return putND(dst, MulticastMAC(AllNodes), mac, &ND{Src: addr, Dst: AllNodes, Target: addr, Override: true})
}

// NDProbe writes into dst the question whether somebody on the link has addr, which
// changes no neighbour's table (RFC 4862 section 5.4.2). It returns the length; 0
// when dst is shorter.
func NDProbe(dst []byte, mac [6]byte, addr Addr6) int {
	return NDSolicit(dst, mac, Addr6{}, addr)
}

// NDSolicit writes into dst the question of src, which is at mac, who has target, to
// the group of those who might. It returns the length; 0 when dst is shorter.
func NDSolicit(dst []byte, mac [6]byte, src, target Addr6) int {
	group := SolicitedNode(target)
	return putND(dst, MulticastMAC(group), mac, &ND{Solicitation: true, Src: src, Dst: group, Target: target})
}

// putND writes the frame of m from mac to ethDst. A message from an address tells its
// sender's Ethernet address.
func putND(dst []byte, ethDst, mac [6]byte, m *ND) int {
	n := NDFrameLen
	if m.Src == (Addr6{}) {
		n -= ndOptionLen
	}
	if len(dst) < n {
		return 0
	}
	dst = dst[:n]
	copy(dst[0:6], ethDst[:])
	copy(dst[6:12], mac[:])
	binary.BigEndian.PutUint16(dst[12:14], etherTypeIPv6)
	putIPv6(dst[EthernetLen:], 0, ProtoICMPv6, ndHopLimit, m.Src, m.Dst)
	b := dst[EthernetLen+ipv6Len:]
	clear(b)
	option := uint8(ndOptSource)
	if b[0] = ICMPv6Solicitation; !m.Solicitation {
		b[0], option = ICMPv6Advert, ndOptTarget
	}
	if m.Solicited {
		b[4] |= ndSolicitFlag
	}
	if m.Override {
		b[4] |= ndOverrides
	}
	m.Target.Put(b[8:24])
	if len(b) > ndLen {
		b[ndLen], b[ndLen+1] = option, 1
		copy(b[ndLen+2:], mac[:])
	}
	setICMPChecksum(b, pseudoSum6(m.Src, m.Dst, ProtoICMPv6, len(b)))
	return n
}
