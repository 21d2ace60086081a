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

// ConnStatus is one connection entry or persistence template as a listing
// shows it.
type ConnStatus struct {
	Proto    Protocol
	State    string         // the kernel's state name, for instance SYN_RECV
	Expires  time.Duration  // time left, never negative
	Client   netip.AddrPort // port 0 for a template
	Virtual  netip.AddrPort
	Dest     netip.AddrPort
	Mark     uint32
	Template bool
	Engine   string // persistence engine of a template, or empty
	Data     string // and its data
}
