package dataplane

import (
	"slices"
	"time"

	"natlb/ipvs"
	"natlb/sched"
)

// Whether a real server can be reached is what the host knows: its kernel asks for
// MAC addresses, and has got no answer. Reach compares that with what the director
// knew, so that it becomes news, a line of a listing, and with sysctl
// quiesce_unreachable a weight of 0 for the scheduler:
//
//	kernel's neighbours ─► picture of the host ─► Reach ─► RealServer.SetReach ─► scheduler, listings, events
//	        ▲                                       │
//	        └──────── asked again ◄─────────────────┘
//
// A server that nobody sends to would never be found again: so those that cannot be
// reached are asked for here, not by packets.

// mostReasked bounds the neighbours that one call of Reach asks for. When there are
// more they take turns.
const mostReasked = 128

// reachBook is what Reach remembers from call to call.
type reachBook struct {
	stale bool // host, servers or the setting have changed since the last call
	lost  int  // servers that could not be reached at the last call
	next  int  // whose turn it is to be asked for
}

// Reach takes over what the host knows of the ways to the real servers, and returns
// for whose neighbours the host is to be asked again. The owner of the clock calls it
// about once a second with the time; in between nobody's state changes.
func (d *Director) Reach(now time.Duration) (ask []Resolve) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.reach.stale && d.reach.lost == 0 {
		return nil
	}
	d.reach.stale, d.reach.lost = false, 0
	asked := map[Resolve]bool{}
	for _, s := range d.services {
		d.judgeServers(s, now)
		for _, r := range s.servers {
			if !r.Unreachable() {
				continue
			}
			d.reach.lost++
			hop := lookup(d.host, AddressOf(r.Addr.Addr()))
			// One router is asked for once, however many servers are beyond it.
			to := Resolve{hop.Link, hop.Via, hop.Via6}
			if hop.Kind == HopForward && !asked[to] {
				asked[to] = true
				ask = append(ask, resolveOf(r, hop.Link))
			}
		}
	}
	return d.someOf(ask)
}

// resolveOf returns the wish for the next hop of a server, by a link.
func resolveOf(r *ipvs.RealServer, link uint8) Resolve {
	a := AddressOf(r.Addr.Addr())
	if a.V6 {
		return Resolve{Link: link, Dst6: a.Addr6}
	}
	return Resolve{Link: link, Dst: uint32(a.Lo)}
}

// someOf returns as many of the wishes as may be asked for at once, each in its turn.
func (d *Director) someOf(ask []Resolve) []Resolve {
	if len(ask) <= mostReasked {
		return ask
	}
	from := d.reach.next % len(ask)
	d.reach.next = from + mostReasked
	return slices.Concat(ask[from:], ask[:from])[:mostReasked]
}

// judgeServers tells the servers of a service, and its scheduler, whether they can be
// reached. To the scheduler a change is an edit of the weight.
func (d *Director) judgeServers(s *service, now time.Duration) {
	var turned []*ipvs.RealServer
	for _, r := range s.servers {
		lost := d.unreachable(r)
		if lost != r.Unreachable() || d.withholds(lost) != r.Withheld() {
			turned = append(turned, r)
		}
	}
	each := 1
	if s.merges(sched.Edit) {
		each = max(len(turned), 1)
	}
	for some := range slices.Chunk(turned, each) {
		s.mu.Lock()
		var reweighed *ipvs.RealServer
		for _, r := range some {
			if d.judge(d.servers[r.ID], d.unreachable(r), now) {
				reweighed = r
			}
		}
		if reweighed != nil {
			s.sched.Update(s.servers, sched.Edit, reweighed)
		}
		s.mu.Unlock()
	}
	if len(turned) > 0 {
		s.prepare()
	}
}

// judgeAll does so for all services, at the director's own time.
func (d *Director) judgeAll() {
	for _, s := range d.services {
		if !s.gone {
			d.judgeServers(s, d.shards[0].now)
		}
	}
}

// judge tells one server whether it can be reached, and the world if that is news. It
// reports whether the weight that schedulers go by has changed.
func (d *Director) judge(t *destination, lost bool, now time.Duration) (reweighed bool) {
	news, reweighed := t.server.SetReach(lost, d.withholds(lost))
	if !news {
		return reweighed
	}
	kind := ipvs.EventServerReachable
	if lost {
		kind, t.lostAt = ipvs.EventServerUnreachable, now
	}
	d.tell(ipvs.Event{
		Kind: kind, At: now, Service: t.key.service, Server: t.key.addr, Weight: t.server.ConfiguredWeight(), Withheld: t.server.Withheld(),
	})
	return reweighed
}

// withholds reports whether new connections are kept from a server that is lost.
func (d *Director) withholds(lost bool) bool { return lost && d.settings.quiesceUnreachable != 0 }

// unreachable reports whether a server cannot be reached. While its next hop is being
// asked for, or nobody has asked, what was known stands.
func (d *Director) unreachable(r *ipvs.RealServer) bool {
	if _, nothing := d.host.(noHost); nothing {
		return false
	}
	hop := lookup(d.host, AddressOf(r.Addr.Addr()))
	switch {
	case hop.Kind == HopLocal, hop.Kind == HopForward && hop.Resolved:
		return false
	case hop.Kind == HopForward && !hop.Failed:
		return r.Unreachable()
	}
	return true
}

// Unreachable returns the real servers that cannot be reached, in the order of the
// listings. Any goroutine may call.
func (d *Director) Unreachable() (lost []ipvs.LostServer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	thaw := d.freeze()
	defer thaw()
	now := d.frozenClock()
	for _, s := range d.services {
		for _, r := range s.servers {
			if r.Unreachable() {
				lost = append(lost, ipvs.LostServer{Service: s.key, Server: r.Addr, Reach: d.servers[r.ID].reachOf(d.lostFor(r.ID), now)})
			}
		}
	}
	return lost
}

// lostFor returns how many packets could not reach a server. The shards stand still.
func (d *Director) lostFor(id uint32) (n uint64) {
	for _, s := range d.shards {
		if int(id) < len(s.counts.lost) {
			n += s.counts.lost[id]
		}
	}
	return n
}

// reachOf returns what is known of the way to a server, as listings have it.
func (t *destination) reachOf(lost uint64, now time.Duration) ipvs.Reach {
	r := ipvs.Reach{Unreachable: t.server.Unreachable(), Withheld: t.server.Withheld(), Lost: lost}
	if r.Unreachable {
		r.For = max(now-t.lostAt, 0)
	}
	return r
}
