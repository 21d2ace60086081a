package conntrack

import (
	"time"

	"natlb/ipvs"
)

// Ref names an entry of a table. The zero value names none. A Ref is good until
// the entry is removed; tables reuse the numbers of removed entries.
type Ref uint32

// Flags of a connection, with the kernel's numbers (include/net/ip_vs.h).
type Flags uint16

// Connection flags. The lowest three bits are the forwarding method.
const (
	MethodMask Flags = 0x0007
	V6         Flags = 0x0008 // an entry of a table of IPv6 (natlb's own bit)
	Answered   Flags = 0x0010 // UDP: the server has sent something; FULLNAT's TCP: more than its SYN (natlb's own bit)
	Reset      Flags = 0x0040 // in state CLOSE because of a RST, or ended by an ABORT (natlb's own bit)
	NoOutput   Flags = 0x0080 // no packet of the server seen or expected: INPUT_ONLY table
	Inactive   Flags = 0x0100 // counted in the server's inactive connections
	OutSeq     Flags = 0x0200 // sequence numbers of the server are moved: see Helper
	Twin       Flags = 0x0400 // the way back of a FULLNAT connection, and no connection: see Pair (natlb's own bit)
	NoCPort    Flags = 0x0800 // client port not known yet; InsertPortless sets it, SetCPort clears it
	Template   Flags = 0x1000 // a persistence template, not a connection
	OnePacket  Flags = 0x2000 // scheduled for this packet only
	Assured    Flags = 0x4000 // its template has been told that it got through (natlb's own bit)
	Helped     Flags = 0x8000 // a protocol helper reads along (natlb's own bit)
)

// Key4 is the identity of an IPv4 connection: the client and the virtual
// endpoint. Addresses and ports are in host byte order.
type Key4 struct {
	CIP, VIP     uint32
	CPort, VPort uint16
	Proto        uint8 // IANA number; 0 in templates of firewall-mark services
}

// Conn is one connection or persistence template. It holds no pointer.
// Addresses and ports are in host byte order. The owner of the table may change
// everything but the key, which the table has hashed, the flag V6, and the
// unexported links. With V6 the addresses are folds of those that Table.Ends6 has.
// What a packet of a known connection touches comes first: 64 bytes.
type Conn struct {
	CIP, VIP, RIP       uint32
	CPort, VPort, RPort uint16
	Proto               uint8
	State               State
	Flags               Flags
	timerSlot           uint16 // 1 + index of the wheel slot, 0: on no list

	Dest     uint32 // ID of the real server it is bound to
	Mark     uint32 // firewall mark of the packet that made it
	InPkts   uint32 // packets of the client, wraps
	Template Ref    // the template that controls this one, in the table of templates
	Control  Ref    // the connection of the same table that controls this one; of FULLNAT's the other half: see Pair
	NControl uint32 // how many connections this one controls

	// Timeout is the lifetime after each packet; Deadline is when it ends,
	// on the shard's clock.
	Timeout  time.Duration
	Deadline time.Duration

	next                 Ref // in the bucket's chain or the list of removed entries
	timerPrev, timerNext Ref
	live                 bool
}

// Key returns the identity of c, which is of IPv4.
func (c *Conn) Key() Key4 {
	return Key4{CIP: c.CIP, VIP: c.VIP, CPort: c.CPort, VPort: c.VPort, Proto: c.Proto}
}

// Masq reports whether c is forwarded by address translation.
func (c *Conn) Masq() bool { return c.Flags&MethodMask == 0 }

// Full reports whether c is forwarded by FULLNAT.
func (c *Conn) Full() bool { return c.Flags&MethodMask == Flags(ipvs.FullNAT) }

// Method returns how packets of c reach its real server.
func (c *Conn) Method() ipvs.ForwardMethod { return ipvs.ForwardMethod(c.Flags & MethodMask) }

// Is reports whether all flags of f are set.
func (c *Conn) Is(f Flags) bool { return c.Flags&f == f }
