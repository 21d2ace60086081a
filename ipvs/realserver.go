package ipvs

import (
	"net/netip"
	"sync/atomic"
)

// ServerFlags are the live flags of a real server.
type ServerFlags uint32

// Server flags, with the kernel's numbers (IP_VS_DEST_F_*), and natlb's own far
// above them.
const (
	Available ServerFlags = 0x1 // configured; cleared when the server is deleted
	Overload  ServerFlags = 0x2 // at its upper threshold: takes no new connection

	Unreachable ServerFlags = 1 << 16 // the host has no way to it, or its next hop does not answer
	Withheld    ServerFlags = 1 << 17 // and therefore it takes no new connection (sysctl quiesce_unreachable)
)

// RealServer is the live object behind a [Destination]. Schedulers read it,
// connection tables count in it, and it outlives its configuration for as long
// as connections refer to it (the kernel's "trash").
//
// Addr and ID never change. Everything else is atomic: any goroutine may read;
// the configuration numbers are written by the director's one writer, the
// counts by the shards.
type RealServer struct {
	Addr netip.AddrPort
	ID   uint32 // index into the director's table of servers

	weight     atomic.Int32 // 0 while withheld
	configured atomic.Int32
	lastWeight atomic.Int32
	upper      atomic.Uint32
	lower      atomic.Uint32
	flags      atomic.Uint32
	active     atomic.Int32
	inactive   atomic.Int32
	persistent atomic.Int32

	watched atomic.Pointer[spot] // who is told of changes
}

// NewRealServer returns an available server with the numbers of d and no
// connections.
func NewRealServer(id uint32, d *Destination) *RealServer {
	s := &RealServer{Addr: d.Addr, ID: id}
	s.flags.Store(uint32(Available))
	s.weight.Store(d.Weight)
	s.configured.Store(d.Weight)
	s.lastWeight.Store(d.Weight)
	s.upper.Store(d.UpperThreshold)
	s.lower.Store(d.LowerThreshold)
	return s
}

// Clone returns a server of its own with the numbers that s has at this moment.
// No connection is bound to it and nobody watches it: it stands in for s where
// something is tried out.
func (s *RealServer) Clone() *RealServer {
	c := &RealServer{Addr: s.Addr, ID: s.ID}
	c.weight.Store(s.weight.Load())
	c.configured.Store(s.configured.Load())
	c.lastWeight.Store(s.lastWeight.Load())
	c.upper.Store(s.upper.Load())
	c.lower.Store(s.lower.Load())
	c.flags.Store(s.flags.Load())
	c.active.Store(s.active.Load())
	c.inactive.Store(s.inactive.Load())
	c.persistent.Store(s.persistent.Load())
	return c
}

// Configure gives s the weight and thresholds of d, as an edit does.
// OVERLOAD is cleared when the new upper threshold is 0 or above the old one,
// and never set here (semantics 1.2, __ip_vs_update_dest); recovered says that it
// was.
func (s *RealServer) Configure(d *Destination) (recovered bool) {
	s.configured.Store(d.Weight)
	s.weigh()
	if d.Weight != 0 {
		s.lastWeight.Store(d.Weight)
	}
	if d.UpperThreshold == 0 || d.UpperThreshold > s.upper.Load() {
		recovered = s.clear(Overload)
	}
	s.upper.Store(d.UpperThreshold)
	s.lower.Store(d.LowerThreshold)
	s.tell(Fitness)
	return recovered
}

// Restore gives s the numbers of d as Configure does, makes it available again,
// and takes the weight of this add for the last one, whatever it was before.
func (s *RealServer) Restore(d *Destination) {
	s.Configure(d)
	s.lastWeight.Store(d.Weight)
	s.set(Available)
	s.tell(Fitness)
}

// Discard marks the server as deleted.
func (s *RealServer) Discard() {
	s.clear(Available)
	s.tell(Fitness)
}

// SetReach says whether the host knows that the server cannot be reached, and
// whether that keeps new connections from it, as a weight of 0 does. It reports
// whether the first was not known yet, and whether the weight that schedulers go by
// is another one now. Only the director's one writer may call it.
func (s *RealServer) SetReach(unreachable, withhold bool) (news, reweighed bool) {
	news = s.put(Unreachable, unreachable)
	if !s.put(Withheld, withhold) {
		return news, false
	}
	before := s.Weight()
	s.weigh()
	s.tell(Fitness)
	return news, s.Weight() != before
}

// weigh brings the weight that schedulers go by up to date.
func (s *RealServer) weigh() {
	if s.Withheld() {
		s.weight.Store(0)
	} else {
		s.weight.Store(s.configured.Load())
	}
}

// Weight returns the weight that schedulers go by: the configured one, or 0 while
// the server is withheld. 0 is quiesced.
func (s *RealServer) Weight() int32 { return s.weight.Load() }

// ConfiguredWeight returns the weight that the operator has given, which listings
// show.
func (s *RealServer) ConfiguredWeight() int32 { return s.configured.Load() }

// LastWeight returns the latest non-zero weight, or the weight at add time;
// only mh looks at it.
func (s *RealServer) LastWeight() int32 { return s.lastWeight.Load() }

// Thresholds returns the upper and the lower connection threshold.
func (s *RealServer) Thresholds() (upper, lower uint32) { return s.upper.Load(), s.lower.Load() }

// Active returns the number of active connections.
func (s *RealServer) Active() int32 { return s.active.Load() }

// Inactive returns the number of inactive connections.
func (s *RealServer) Inactive() int32 { return s.inactive.Load() }

// PersistConns returns the number of persistence templates.
func (s *RealServer) PersistConns() int32 { return s.persistent.Load() }

// Available reports whether the server is configured (not deleted).
func (s *RealServer) Available() bool { return s.flags.Load()&uint32(Available) != 0 }

// Overloaded reports whether the server is at its upper threshold.
func (s *RealServer) Overloaded() bool { return s.flags.Load()&uint32(Overload) != 0 }

// Unreachable reports whether the host knows that the server cannot be reached.
func (s *RealServer) Unreachable() bool { return s.flags.Load()&uint32(Unreachable) != 0 }

// Withheld reports whether that keeps new connections from the server.
func (s *RealServer) Withheld() bool { return s.flags.Load()&uint32(Withheld) != 0 }

// Eligible reports whether the common rule of most schedulers lets the server
// take a new connection: weight above 0 and not overloaded (semantics 2.1).
func (s *RealServer) Eligible() bool { return s.Weight() > 0 && !s.Overloaded() }

// BindInactive and its siblings move one connection between the counts
// (semantics 3.5). Shards call them when a connection is born, changes between
// active and inactive, or dies. Those that may overload the server, or end its
// overload, report whether they did.
func (s *RealServer) BindInactive() (overloaded bool) {
	s.inactive.Add(1)
	overloaded = s.raiseOverload()
	s.tell(Counts)
	return overloaded
}

// BindTemplate counts a new persistence template.
func (s *RealServer) BindTemplate() (overloaded bool) {
	s.persistent.Add(1)
	return s.raiseOverload()
}

// Activate moves a connection from the inactive to the active count.
func (s *RealServer) Activate() {
	s.inactive.Add(-1)
	s.active.Add(1)
	s.tell(Counts)
}

// Deactivate moves a connection from the active to the inactive count.
func (s *RealServer) Deactivate() {
	s.active.Add(-1)
	s.inactive.Add(1)
	s.tell(Counts)
}

// UnbindActive gives back an active connection.
func (s *RealServer) UnbindActive() (recovered bool) {
	s.active.Add(-1)
	recovered = s.lowerOverload()
	s.tell(Counts)
	return recovered
}

// UnbindInactive gives back an inactive connection.
func (s *RealServer) UnbindInactive() (recovered bool) {
	s.inactive.Add(-1)
	recovered = s.lowerOverload()
	s.tell(Counts)
	return recovered
}

// UnbindTemplate gives back a persistence template.
func (s *RealServer) UnbindTemplate() (recovered bool) {
	s.persistent.Add(-1)
	return s.lowerOverload()
}

// InUse reports whether connections or templates still refer to the server.
func (s *RealServer) InUse() bool {
	return s.active.Load() != 0 || s.inactive.Load() != 0 || s.persistent.Load() != 0
}

func (s *RealServer) conns() int64 { return int64(s.active.Load()) + int64(s.inactive.Load()) }

func (s *RealServer) raiseOverload() (raised bool) {
	if u := s.upper.Load(); u == 0 || s.conns() < int64(u) || !s.set(Overload) {
		return false
	}
	s.tell(Fitness)
	return true
}

func (s *RealServer) lowerOverload() (lowered bool) {
	if !s.Overloaded() {
		return false
	}
	upper, lower := int64(s.upper.Load()), int64(s.lower.Load())
	switch {
	case lower != 0:
		if s.conns() >= lower {
			return false
		}
	case upper != 0:
		if 4*s.conns() >= 3*upper {
			return false
		}
	}
	if !s.clear(Overload) {
		return false
	}
	s.tell(Fitness)
	return true
}

// set and clear report whether they changed something: of several goroutines,
// one does.
func (s *RealServer) set(f ServerFlags) bool   { return s.flags.Or(uint32(f))&uint32(f) == 0 }
func (s *RealServer) clear(f ServerFlags) bool { return s.flags.And(^uint32(f))&uint32(f) != 0 }

func (s *RealServer) put(f ServerFlags, on bool) (changed bool) {
	if on {
		return s.set(f)
	}
	return s.clear(f)
}
