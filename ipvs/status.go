package ipvs

import (
	"net/netip"
	"time"
)

// DestinationStatus is a destination with its live numbers.
type DestinationStatus struct {
	Destination
	Active       int32
	Inactive     int32
	PersistConns int32
	Overloaded   bool
	Reach        Reach
	Stats        Stats // since the last zero
	Rates        Rates
}

// Reach is what a director knows of the way to a real server.
type Reach struct {
	Unreachable bool          // the host has no way to it, or its next hop does not answer
	For         time.Duration // for how long; 0 when it can be reached
	Withheld    bool          // that keeps new connections from it (sysctl quiesce_unreachable)

	// Lost counts packets of clients that had no way to it, or whose next hop did
	// not answer, since the server was added.
	Lost uint64
}

// LostServer is a real server that cannot be reached.
type LostServer struct {
	Service ServiceKey
	Server  netip.AddrPort // as configured
	Reach
}

// ServiceStatus is a service with its live numbers and its destinations in
// list order (newest first), which is the order the schedulers walk.
type ServiceStatus struct {
	Service
	Stats        Stats
	Rates        Rates
	Destinations []DestinationStatus
}

// Snapshot is one consistent look at a director.
type Snapshot struct {
	At       time.Duration // on the director's clock
	Services []ServiceStatus
	Entries  int // connections and persistence templates in the table
}

// ConnStatus is one connection entry or persistence template as a listing
// shows it.
type ConnStatus struct {
	Proto    Protocol
	State    string         // the kernel's state name, for instance SYN_RECV
	Expires  time.Duration  // time left, never negative
	Client   netip.AddrPort // port 0 for a template
	Virtual  netip.AddrPort
	Dest     netip.AddrPort
	Source   netip.AddrPort // by FullNAT what the server sees in the client's place; else not valid
	Service  ServiceKey     // that its server is of: the one it was scheduled by
	InPkts   uint32         // packets of the client, wraps; of a template 0
	Mark     uint32
	Template bool
	Engine   string // persistence engine of a template, or empty
	Data     string // and its data
}
