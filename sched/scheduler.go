package sched

import (
	"net/netip"
	"time"

	"natlb/ipvs"
)

// Flow is what a scheduler may know of a new connection: the endpoints of its
// first packet, before any rewriting. Addresses are never IPv4-mapped. Ports
// are in host byte order, and 0 for protocols other than TCP, UDP and SCTP.
// For a firewall-mark service VIP is the address that the packet was sent to.
type Flow struct {
	CIP, VIP     netip.Addr
	CPort, VPort uint16
	Proto        ipvs.Protocol
}

// Scheduler picks the real server of each new connection of one virtual
// service. The caller serializes all calls, so implementations neither lock nor
// block. Live numbers (weight, connections, overload) are read from the
// RealServer values at each call.
type Scheduler interface {
	// Schedule returns the chosen server, or nil when none may take a new
	// connection (all quiesced or overloaded, or the list is empty). It must
	// not allocate in the steady state. The flow is borrowed for the call; now
	// is the time since the director started and never goes back.
	Schedule(f *Flow, now time.Duration) *ipvs.RealServer

	// Update tells what has changed: the server list is now servers, newest
	// first, because of an add, an edit or a delete of server changed. The
	// slice is the caller's and is not modified after the call; it may be
	// kept, not written. For the first list of a new scheduler (service
	// created, or scheduler replaced by an edit) how is Init and changed nil.
	// The numbers of changed are already the new ones; after a Delete it is no
	// longer in servers. One call tells of one change, but see [Merger]. A
	// scheduler that will not be asked again is told of an empty list, so that
	// servers that live on need not tell it of their changes: how is Init then,
	// too.
	Update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer)

	// Fork returns a scheduler of its own in the same state: asked for f, it
	// picks the twin of the server that this one would pick, and goes on like
	// that while the same is done to both. It is never asked for another flow
	// nor told of a change, and the two share nothing that either may write.
	Fork(f *Flow, twin Twins) Scheduler
}

// Twins returns the server that stands in for s in a fork, always the same one;
// it takes nil for nil.
type Twins func(s *ipvs.RealServer) *ipvs.RealServer

// All returns the twins of servers, in a slice of its own.
func (t Twins) All(servers []*ipvs.RealServer) []*ipvs.RealServer {
	all := make([]*ipvs.RealServer, len(servers))
	for i, s := range servers {
		all[i] = t(s)
	}
	return all
}

// UpdateKind says why a scheduler's server list is handed over again.
type UpdateKind uint8

// Reasons for an update.
const (
	Init   UpdateKind = iota // the first list
	Add                      // a server is new, or back, at the head of the list
	Edit                     // a server has new numbers; the list is the same
	Delete                   // a server has left the list
	Order                    // the same servers in another order; changed is nil
)

// Merger is implemented by schedulers that need not be told of every change of a
// transaction, in which nothing is picked.
type Merger interface {
	// Merges reports whether several updates in a row, all of this kind, leave the
	// same as the last of them alone does.
	Merges(how UpdateKind) bool
}

// Preparer is implemented by schedulers that look at all servers after a change
// of the list.
type Preparer interface {
	// Prepare does what the next pick would begin with, which may allocate: a
	// packet need not wait for it then. Picks are the same with it and without.
	// Serialized with the other calls.
	Prepare()
}

// Reflag is implemented by schedulers whose picks depend on the flags of the
// service (sh, mh).
type Reflag interface {
	// SetFlags gives the scheduler the service's flags after an edit that kept
	// the scheduler. They hold from the next pick on; the tables stay as they
	// are. Serialized with the other calls.
	SetFlags(flags ipvs.ServiceFlags)
}

// Expirer is implemented by schedulers that keep a cache by destination address
// (lblc, lblcr). The director calls Expire about once a second, serialized with
// the other calls.
type Expirer interface {
	// Expire drops cache entries that are due at now and reports how many.
	Expire(now time.Duration) (removed int)
}

// Aging is implemented by schedulers whose cache entries grow old (lblc,
// lblcr).
type Aging interface {
	// SetExpiration sets the age at which an unused entry goes, and for lblcr
	// also the time after which a server set shrinks: the sysctls
	// lblc_expiration and lblcr_expiration, 24 hours at the start. It holds for
	// existing entries too. Serialized with the other calls.
	SetExpiration(age time.Duration)
}

// list is what every scheduler keeps: its servers, newest first. Embedded, it
// is the whole Update of the schedulers that remember nothing between picks.
type list struct {
	servers []*ipvs.RealServer
}

// Update takes the new list.
func (l *list) Update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	l.servers = servers
}

// Merges is true: what was there before the last list does not matter.
func (l *list) Merges(UpdateKind) bool { return true }

// fork returns the list with the servers' twins.
func (l *list) fork(twin Twins) list { return list{twin.All(l.servers)} }
