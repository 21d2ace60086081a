package replay

import (
	"encoding/binary"
	"fmt"
	"slices"

	"natlb/dataplane"
	"natlb/internal/pcapfile"
	"natlb/rewrite"
)

// framer makes Ethernet frames, which is what a shard takes, of captured
// packets, whatever they begin with.
type framer struct {
	mac     [6]byte // of the link that the frames are for
	vlan    int     // the tag that its packets have; AnyVLAN
	scratch []byte
}

// AnyVLAN takes packets whatever VLAN they are tagged for, if any.
const AnyVLAN = -1

// captured is a captured packet as the director would have got it.
type captured struct {
	dataplane.Frame
	outgoing bool // the capture says that its machine has sent it
	padded   bool // Data goes on behind what was captured, with zeros
	length   int  // of Data as it was captured
}

const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd

	arpIPv4Len   = 28
	sllLen       = 16
	sll2Len      = 20
	maxFrame     = rewrite.EthernetLen + ipv6Len + 65535
	ipv6Len      = 40
	sllOutgoing  = 4
	vlanTagLen   = 4
	maxVLANDepth = 2
)

// supported reports whether frames can be made of packets of type t.
func supported(t pcapfile.LinkType) error {
	switch t {
	case pcapfile.Ethernet, pcapfile.LinuxSLL, pcapfile.LinuxSLL2, pcapfile.Null, pcapfile.Loop,
		pcapfile.Raw, pcapfile.RawBSD, pcapfile.RawOpen, pcapfile.IPv4, pcapfile.IPv6:
		return nil
	}
	return fmt.Errorf("%w: it has packets of %v; natlb knows Ethernet, Linux cooked v1 and v2, raw IP and loopback", pcapfile.ErrFormat, t)
}

// frame makes a frame of p, in p's own memory where that is possible: it is valid
// as long as p and until the next frame.
func (fr *framer) frame(p *pcapfile.Packet, c *captured) {
	*c = captured{outgoing: p.Direction == pcapfile.Outbound}
	c.Data, c.WireLen = p.Data, p.WireLen
	switch p.LinkType {
	case pcapfile.Ethernet:
		fr.ethernet(c)
	case pcapfile.LinuxSLL:
		if len(p.Data) >= sllLen {
			fr.cooked(c, binary.BigEndian.Uint16(p.Data), binary.BigEndian.Uint16(p.Data[14:]), [6]byte(p.Data[6:]), sllLen)
		}
	case pcapfile.LinuxSLL2:
		if len(p.Data) >= sll2Len {
			fr.cooked(c, uint16(p.Data[10]), binary.BigEndian.Uint16(p.Data), [6]byte(p.Data[12:]), sll2Len)
		}
	case pcapfile.Null, pcapfile.Loop:
		fr.headless(c, min(4, len(p.Data)))
	default:
		fr.headless(c, 0)
	}
	fr.untag(c)
	fr.fill(c)
	if !c.padded {
		partial(c)
	}
}

// ethernet classes a frame by its destination. Whose unicast address it has says
// nothing: the capture may be from another machine's point of view.
func (fr *framer) ethernet(c *captured) {
	if len(c.Data) >= 6 && c.Data[0]&1 != 0 {
		c.Type = dataplane.Multicast
		if [6]byte(c.Data) == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} {
			c.Type = dataplane.Broadcast
		}
	}
}

// cooked puts an Ethernet header in the place of the end of a cooked one, which
// has the sender's address.
func (fr *framer) cooked(c *captured, class, etherType uint16, sender [6]byte, header int) {
	c.outgoing = c.outgoing || class == sllOutgoing
	switch t := dataplane.PacketType(class); t {
	case dataplane.Broadcast, dataplane.Multicast, dataplane.OtherHost:
		c.Type = t
	}
	drop := header - rewrite.EthernetLen
	c.Data, c.WireLen = c.Data[drop:], c.WireLen-uint32(drop)
	fr.head(c.Data, etherType, sender)
}

// headless puts an Ethernet header in the place of the first skip bytes of an IP
// packet, from the station that has the source address.
func (fr *framer) headless(c *captured, skip int) {
	body := c.Data[skip:]
	etherType := uint16(etherTypeIPv4)
	if len(body) > 0 && body[0]>>4 == 6 {
		etherType = etherTypeIPv6
	}
	c.WireLen += uint32(rewrite.EthernetLen - skip)
	fr.scratch = append(append(fr.scratch[:0], make([]byte, rewrite.EthernetLen)...), body...)
	c.Data = fr.scratch
	var sender uint32
	switch {
	case etherType == etherTypeIPv4 && len(body) >= 20:
		sender = binary.BigEndian.Uint32(body[12:])
	case etherType == etherTypeIPv6 && len(body) >= ipv6Len:
		sender = rewrite.ReadAddr6(body[8:]).Fold()
	}
	fr.head(c.Data, etherType, neighbourMAC(sender))
}

// head makes up the Ethernet header of a packet for the director.
func (fr *framer) head(frame []byte, etherType uint16, sender [6]byte) {
	copy(frame, fr.mac[:])
	copy(frame[6:], sender[:])
	binary.BigEndian.PutUint16(frame[12:], etherType)
}

// untag takes VLAN tags off, as a VLAN device does. A frame of another VLAN than
// the link's is left to the director, who skips it.
func (fr *framer) untag(c *captured) {
	outer, tags := 0, 0
	for ; tags < maxVLANDepth && len(c.Data) >= rewrite.EthernetLen+vlanTagLen; tags++ {
		switch binary.BigEndian.Uint16(c.Data[12:]) {
		case 0x8100, 0x88a8, 0x9100:
		default:
			fr.otherVLAN(c, outer)
			return
		}
		if outer == 0 {
			outer = int(binary.BigEndian.Uint16(c.Data[14:]) & 0xfff)
		}
		copy(c.Data[vlanTagLen:], c.Data[:12])
		c.Data, c.WireLen = c.Data[vlanTagLen:], c.WireLen-vlanTagLen
	}
	fr.otherVLAN(c, outer)
}

func (fr *framer) otherVLAN(c *captured, id int) {
	if fr.vlan != AnyVLAN && fr.vlan != id {
		c.Tagged, c.VLAN = true, uint16(id)
	}
}

// fill stands in for the end of an IP packet that was captured short but with
// all its headers: zeros up to its length, so that connections live on by what
// is there. The director takes its checksum as verified: nobody can tell. What
// has lost a header stays short, and is dropped as that.
func (fr *framer) fill(c *captured) {
	c.length = len(c.Data)
	if int64(c.WireLen) <= int64(len(c.Data)) {
		return
	}
	end := whole(c.Data)
	switch {
	case end == 0 || int64(c.WireLen) < int64(end):
		return
	case end > len(c.Data):
		if len(fr.scratch) == 0 || &fr.scratch[0] != &c.Data[0] {
			fr.scratch = append(fr.scratch[:0], c.Data...)
		}
		if cap(fr.scratch) < maxFrame {
			fr.scratch = append(make([]byte, 0, maxFrame), fr.scratch...)
		}
		c.Data = fr.scratch[:end]
		clear(c.Data[c.length:])
		c.padded = true
		c.Offload.Flags = dataplane.OffloadDataValid
	}
	c.WireLen = uint32(len(c.Data)) // what is missing is no part of the packet
}

// whole returns how much of a frame the director takes for its packet, of which
// frame has all headers; 0 if one is cut off.
func whole(frame []byte) int {
	if len(frame) < rewrite.EthernetLen {
		return 0
	}
	switch etherType := binary.BigEndian.Uint16(frame[12:]); {
	case etherType == etherTypeARP && len(frame) >= rewrite.EthernetLen+arpIPv4Len:
		return rewrite.EthernetLen + arpIPv4Len
	case etherType == etherTypeIPv6:
		return whole6(frame)
	case etherType != etherTypeIPv4 && etherType != etherTypeARP:
		return rewrite.EthernetLen // the type is all that counts
	case etherType == etherTypeARP || len(frame) < rewrite.EthernetLen+20:
		return 0
	}
	ip := frame[rewrite.EthernetLen:]
	header := int(ip[0]&15) * 4
	need := headerLen(ip[9])
	if binary.BigEndian.Uint16(ip[6:])&0x1fff != 0 {
		need = 0 // a later fragment has no header
	}
	total := int(binary.BigEndian.Uint16(ip[2:]))
	if len(ip) < min(header+need, total) {
		return 0
	}
	return rewrite.EthernetLen + total
}

// whole6 is whole for IPv6.
func whole6(frame []byte) int {
	if len(frame) < rewrite.EthernetLen+ipv6Len {
		return 0
	}
	total := ipv6Len + int(binary.BigEndian.Uint16(frame[rewrite.EthernetLen+4:]))
	if total <= len(frame)-rewrite.EthernetLen {
		return rewrite.EthernetLen + total
	}
	// What is there of it is read as if it were all.
	short, p := slices.Clone(frame), rewrite.Packet{}
	binary.BigEndian.PutUint16(short[rewrite.EthernetLen+4:], uint16(len(frame)-rewrite.EthernetLen-ipv6Len))
	if rewrite.ParseIPv6(short, &p) != rewrite.FaultNone || p.FragOff == 0 && p.End-p.L4 < headerLen(p.Proto) {
		return 0
	}
	return rewrite.EthernetLen + total
}

// partial finds out whether a packet was captured before its sender's network
// card had computed the checksum: then the field holds the sum of the pseudo
// header, with SCTP 0. To complete the rare right one that looks the same changes
// nothing.
func partial(c *captured) {
	var p rewrite.Packet
	if rewrite.Parse(c.Data, &p) != rewrite.FaultNone || p.Fragment() {
		return
	}
	at, size := 6, 2
	switch p.Proto {
	case rewrite.ProtoTCP:
		at = 16
	case rewrite.ProtoSCTP:
		at, size = 8, 4
	case rewrite.ProtoUDP:
	default:
		return
	}
	l4, addrs := c.Data[p.L4:p.End], c.Data[p.L3+12:p.L3+20]
	if p.V6 {
		addrs = c.Data[p.L3+8 : p.L3+ipv6Len]
	}
	if at+size > len(l4) {
		return
	}
	left := rewrite.Sum(addrs, uint32(p.Proto)+uint32(len(l4))) == binary.BigEndian.Uint16(l4[at:])
	if size == 4 {
		left = binary.BigEndian.Uint32(l4[at:]) == 0
	}
	if left {
		c.Offload = dataplane.Offload{
			Flags: dataplane.OffloadNeedsCsum, CsumStart: uint16(p.L4), CsumOffset: uint16(at),
		}
	}
}

// headerLen returns how much of a packet the director looks at behind its IP
// header: an ICMP error quotes another packet's headers.
func headerLen(proto uint8) int {
	switch proto {
	case rewrite.ProtoTCP:
		return 20
	case rewrite.ProtoUDP:
		return 8
	case rewrite.ProtoSCTP:
		return 12 + 4
	case rewrite.ProtoICMP:
		return 8 + 20 + 8
	case rewrite.ProtoICMPv6:
		return 8 + ipv6Len + 8
	}
	return 0
}
