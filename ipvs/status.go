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
	Stats        Stats // since the last zero
	Rates        Rates
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
	Service  ServiceKey // that its server is of: the one it was scheduled by
	InPkts   uint32     // packets of the client, wraps; of a template 0
	Mark     uint32
	Template bool
	Engine   string // persistence engine of a template, or empty
	Data     string // and its data
}
