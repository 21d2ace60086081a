package dataplane

// Offload is what a network card or its driver leaves undone in a frame, as
// struct virtio_net_hdr says it (linux/virtio_net.h). The zero value is a
// finished frame: complete checksums, no segmentation.
type Offload struct {
	Flags      uint8  // OffloadNeedsCsum, OffloadDataValid
	GSO        uint8  // GSONone, GSOTCPv4, GSOTCPv6 or GSOUDPL4, perhaps with GSOECN
	HdrLen     uint16 // bytes of headers in front of the payload, a hint
	GSOSize    uint16 // payload bytes of one segment
	CsumStart  uint16 // offset in the frame from which the checksum covers
	CsumOffset uint16 // offset of the checksum field behind CsumStart
}

// Offload flags and GSO kinds, with virtio's numbers.
const (
	OffloadNeedsCsum = 1 // the L4 checksum field holds the pseudo-header sum only
	OffloadDataValid = 2 // the receiver has verified the checksum; ignored on sending

	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDP   = 3 // UFO, obsolete
	GSOTCPv6 = 4
	GSOUDPL4 = 5
	GSOECN   = 0x80 // bit: the super-packet carries CWR on its first segment
)

// Partial reports whether the L4 checksum is left to the outlet.
func (o *Offload) Partial() bool { return o.Flags&OffloadNeedsCsum != 0 }

// Super reports whether the frame is a super-packet of several segments.
func (o *Offload) Super() bool { return o.GSO&^GSOECN != GSONone }

// PacketType is the kernel's class of a captured frame (linux/if_packet.h).
type PacketType uint8

// Packet types that a Port reports.
const (
	ToHost    PacketType = 0
	Broadcast PacketType = 1
	Multicast PacketType = 2
	OtherHost PacketType = 3 // unicast to another machine's MAC (flooding, promiscuous mode)
	Outgoing  PacketType = 4
)

// Frame is one Ethernet frame with its metadata.
type Frame struct {
	// Data is the frame from its destination MAC on, without FCS and without
	// a VLAN tag that the kernel has moved to metadata. The bytes belong to
	// whoever filled the frame; see Port for how long they may be used.
	Data []byte

	// Head is memory directly in front of Data to write to, whose capacity takes
	// Data in: so headers of a tunnel are put in front of a packet without moving
	// it. Empty where there is none; a frame whose Data was put elsewhere need not
	// say so.
	Head []byte

	Offload Offload
	WireLen uint32     // length on the wire; above len(Data) the frame is truncated
	VLAN    uint16     // tag control information, valid with Tagged
	Tagged  bool       // the frame carried a VLAN tag
	Type    PacketType // as the kernel classed it
	Link    uint8      // index of the link it came in by, or is to go out by
}

// front returns the first n bytes of Data with over bytes of Head in front of
// them, nil when there is no room for that.
func (f *Frame) front(over, n int) []byte {
	head := len(f.Head)
	if over > head || n > len(f.Data) || n > cap(f.Head)-head {
		return nil
	}
	b := f.Head[head-over : head+n]
	if n == 0 || &b[over] != &f.Data[0] {
		return nil
	}
	return b
}
