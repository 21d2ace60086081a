package pcapfile

import (
	"encoding/binary"
	"strconv"
	"time"
)

// LinkType says what a packet begins with, by its number in the files.
type LinkType uint16

// Link types that natlb knows.
const (
	Null      LinkType = 0   // four bytes of address family, in the byte order of the machine that captured
	Ethernet  LinkType = 1   // without FCS
	RawBSD    LinkType = 12  // Raw under its number of old
	RawOpen   LinkType = 14  // the same on OpenBSD
	Raw       LinkType = 101 // an IPv4 or IPv6 packet
	Loop      LinkType = 108 // Null in network byte order
	LinuxSLL  LinkType = 113 // "cooked": 16 bytes instead of the link's own header
	IPv4      LinkType = 228 // an IPv4 packet
	IPv6      LinkType = 229 // an IPv6 packet
	LinuxSLL2 LinkType = 276 // cooked, version 2: 20 bytes
)

var linkTypeNames = map[LinkType]string{
	Null: "null", Ethernet: "Ethernet", RawBSD: "raw IP", RawOpen: "raw IP", Raw: "raw IP", Loop: "loopback",
	LinuxSLL: "Linux cooked v1", LinuxSLL2: "Linux cooked v2", IPv4: "raw IPv4", IPv6: "raw IPv6",
}

// String returns the type's name, or its number if natlb does not know it.
func (t LinkType) String() string {
	if name, ok := linkTypeNames[t]; ok {
		return name
	}
	return "link type " + strconv.Itoa(int(t))
}

// Direction is what a capture says about the way of a packet, seen from the
// interface that captured it.
type Direction uint8

// Directions. Most captures do not say.
const (
	Unsaid Direction = iota
	Inbound
	Outbound
)

// Packet is one captured packet.
type Packet struct {
	// Data are the bytes that were captured. They are the reader's: valid
	// until its next packet, and free to be changed until then.
	Data []byte

	Time      int64     // nanoseconds since 1970
	WireLen   uint32    // bytes that the packet had; above len(Data) it was captured short
	LinkType  LinkType  // what Data begins with
	Interface uint32    // of a pcapng file's section, in the order of their blocks
	Direction Direction // as pcapng's flags say it

	options []byte // of a pcapng block
	order   binary.ByteOrder
}

// When returns the packet's time.
func (p *Packet) When() time.Time { return time.Unix(0, p.Time).UTC() }

// Short reports whether the packet was longer than what was captured.
func (p *Packet) Short() bool { return p.WireLen > uint32(len(p.Data)) }

// Comments returns the comments that a pcapng file has on the packet.
func (p *Packet) Comments() (all []string) {
	for o := range options(p.options, p.order) {
		if o.code == optComment {
			all = append(all, string(o.value))
		}
	}
	return all
}

// Stats is what a capture says of one interface.
type Stats struct {
	Interface uint32
	Received  uint64 // packets
	Dropped   uint64 // packets that there was no room for
}
