package dataplane

import (
	"net/netip"

	"natlb/ipvs"
)

// EventKind names what an Event tells.
type EventKind uint8

// Events.
const (
	EventConfig      EventKind = iota + 1 // a transaction was carried out
	EventMethod                           // a server was given a forwarding method that this version cannot do
	EventVIPConflict                      // another machine on the link claims a VIP
	EventLink                             // a link has a fault, or is gone
)

// Event is something that happened outside the course of one packet and that a
// reader may want to tell the operator.
type Event struct {
	Kind    EventKind
	Service ipvs.ServiceKey    // EventMethod
	Server  netip.AddrPort     // EventMethod
	Method  ipvs.ForwardMethod // EventMethod
	VIP     netip.Addr         // EventVIPConflict
	MAC     [6]byte            // EventVIPConflict: of the other machine
	Link    string             // EventVIPConflict, EventLink
	Err     error              // EventLink
}

func (d *Director) notify(e Event) {
	if d.cfg.Notify != nil {
		d.cfg.Notify(e)
	}
}
