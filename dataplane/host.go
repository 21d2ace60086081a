package dataplane

import "natlb/rewrite"

// Host is what a shard asks about the machine it runs on: an immutable picture,
// replaced as a whole when something changes (see Director.SetHost). IPv4
// addresses are in host byte order. Implementations must not block or allocate.
type Host interface {
	// Lookup returns the way to dst.
	Lookup(dst uint32) Hop
	// Lookup6 does so for an IPv6 address. There is none to a link-local address
	// that is not the host's own, which names nobody without its link.
	Lookup6(dst rewrite.Addr6) Hop
	// Link returns the state of link i of the director.
	Link(i uint8) LinkState
	// IsLocal reports whether addr is an address of this host.
	IsLocal(addr uint32) bool
	// IsLocal6 does so for an IPv6 address.
	IsLocal6(addr rewrite.Addr6) bool
}

// HopKind classes the way to an address.
type HopKind uint8

// Kinds of ways.
const (
	HopNone      HopKind = iota // no route, or a prohibiting one
	HopForward                  // by one of the director's links
	HopElsewhere                // by an interface that the director does not have
	HopLocal                    // to this host itself
	HopGroup                    // broadcast or multicast
)

// Hop is the way to an address. Addresses are in host byte order.
type Hop struct {
	Kind     HopKind
	Link     uint8 // outgoing link, with HopForward
	Resolved bool  // MAC is known
	Failed   bool  // the neighbour does not answer
	Stale    bool  // MAC is known but should be confirmed while it is used
	MTU      int   // greatest IP packet, in bytes
	MAC      [6]byte
	LinkMAC  [6]byte // source MAC to send with
	Via      uint32  // whose MAC it is: a gateway, or the address itself; 0 for a gateway without an IPv4 address
	Src      uint32  // the host's own address for packets that way, 0 if it has none

	Via6 rewrite.Addr6 // whose MAC it is, if that is an IPv6 address, perhaps a link-local one; else zero
	Src6 rewrite.Addr6 // the host's own address for IPv6 packets that way, zero if it has none

	to  uint32        // what was looked up
	to6 rewrite.Addr6 // the same of IPv6
}

// LinkState is the state of a link.
type LinkState struct {
	MAC        [6]byte
	MTU        int
	Up         bool
	Forwarding bool   // the host's kernel routes what comes in here
	Addr       uint32 // primary address, 0 if there is none

	Forwarding6 bool          // the host's kernel routes IPv6 that comes in here
	Addr6       rewrite.Addr6 // primary global IPv6 address, zero if there is none
	LinkLocal   rewrite.Addr6 // link-local address, zero if there is none
}

// noHost stands in until the first picture arrives: nothing is known.
type noHost struct{}

func (noHost) Lookup(uint32) Hop           { return Hop{} }
func (noHost) Lookup6(rewrite.Addr6) Hop   { return Hop{} }
func (noHost) Link(uint8) LinkState        { return LinkState{} }
func (noHost) IsLocal(uint32) bool         { return false }
func (noHost) IsLocal6(rewrite.Addr6) bool { return false }
