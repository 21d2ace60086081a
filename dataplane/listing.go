package dataplane

import (
	"sync"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
)

// Services returns all services with their live numbers, in order of creation,
// destinations newest first: one consistent snapshot.
func (d *Director) Services() []ipvs.ServiceStatus { return d.Snapshot().Services }

// Snapshot returns the same with the time that it is of, so that rates can be
// told from two of them.
func (d *Director) Snapshot() ipvs.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	thaw := d.freeze()
	defer thaw()
	snap := ipvs.Snapshot{At: d.frozenClock(), Services: d.servicesFrozen()}
	for _, s := range d.shards {
		snap.Entries += s.entries()
	}
	d.templates.mu.Lock()
	defer d.templates.mu.Unlock()
	snap.Entries += d.templates.entries()
	return snap
}

// servicesFrozen lists the services. The shards stand still, and the caller
// holds d.mu.
func (d *Director) servicesFrozen() []ipvs.ServiceStatus {
	sum := d.raw()
	out := make([]ipvs.ServiceStatus, 0, len(d.services))
	for _, s := range d.services {
		m := &d.meters.services[s.id]
		st := ipvs.ServiceStatus{Service: s.cfg, Stats: sum.services[s.id].Sub(m.zero), Rates: m.rates()}
		for _, r := range s.servers {
			m := &d.meters.servers[r.ID]
			st.Destinations = append(st.Destinations, ipvs.DestinationStatus{
				Destination: d.servers[r.ID].cfg,
				Active:      r.Active(), Inactive: r.Inactive(), PersistConns: r.PersistConns(),
				Overloaded: r.Overloaded(), Reach: d.servers[r.ID].reachOf(d.lostFor(r.ID), d.shards[0].now),
				Stats: sum.servers[r.ID].Sub(m.zero), Rates: m.rates(),
			})
		}
		out = append(out, st)
	}
	return out
}

// Connections calls yield for every connection and template until it returns
// false. Shards are held only for a slice of their table at a time, so entries
// that come and go meanwhile may or may not be among them.
func (d *Director) Connections(yield func(ipvs.ConnStatus) bool) {
	for _, s := range d.shards {
		for _, t := range s.tables() {
			if !d.list(&s.mu, t, s, yield) {
				return
			}
		}
	}
	for _, t := range d.templates.tables() {
		if !d.list(&d.templates.mu, t, d.shards[0], yield) {
			return
		}
	}
}

// Load returns how many shards there are, how many connections their tables
// hold together, templates not counted, and how many they may hold.
func (d *Director) Load() (shards, conns, most int) {
	for _, s := range d.shards {
		s.mu.Lock()
		conns += s.entries()
		s.mu.Unlock()
	}
	most = d.cfg.MaxConns
	if most == 0 {
		most = conntrack.DefaultMax
	}
	return len(d.shards), conns, most * len(d.shards)
}

// list yields the entries of one table, and reports whether it was let go on to
// the end. The clock is that of shard s, unless the director has its own.
func (d *Director) list(mu *sync.Mutex, t *conntrack.Table, s *Shard, yield func(ipvs.ConnStatus) bool) bool {
	const slice = 4096
	var batch []ipvs.ConnStatus
	for next := conntrack.Ref(1); next != 0; {
		batch = batch[:0]
		now, v := d.clock(s), d.view.Load()
		mu.Lock()
		next = t.Range(next, slice, func(r conntrack.Ref, c *conntrack.Conn) bool {
			var e *conntrack.Ends6
			if c.Is(conntrack.V6) {
				e = t.Ends6(r)
			}
			status := connStatus(v, c, e, now)
			status.Source = sourceOf(t, c)
			batch = append(batch, status)
			return true
		})
		mu.Unlock()
		for _, c := range batch {
			if !yield(c) {
				return false
			}
		}
	}
	return true
}

// clock returns the time for a listing.
func (d *Director) clock(s *Shard) time.Duration {
	if d.cfg.Clock != nil {
		return d.cfg.Clock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// connStatus returns an entry as listings have it, but for its source; e has its
// addresses if it is of IPv6.
func connStatus(v *view, c *conntrack.Conn, e *conntrack.Ends6, now time.Duration) ipvs.ConnStatus {
	template := c.Is(conntrack.Template)
	var service ipvs.ServiceKey
	if t := v.destinationOf(c.Dest); t != nil {
		service = t.key.service
	}
	ends := v.endsRecord(c, e)
	return ipvs.ConnStatus{
		Proto:    ipvs.Protocol(c.Proto),
		State:    conntrack.StateName(c.Proto, c.State, template),
		Expires:  max(c.Deadline-now, 0),
		Client:   ends.client(),
		Virtual:  ends.virtual(),
		Dest:     ends.server(),
		Service:  service,
		InPkts:   c.InPkts,
		Mark:     c.Mark,
		Template: template,
	}
}

// Count is one verdict's counter.
type Count struct {
	Verdict Verdict
	Frames  uint64
}

// Counters returns the frames of every verdict, in the order of the verdicts.
// Their sum is the number of frames received; held frames are those that wait
// now.
func (d *Director) Counters() []Count {
	l := d.Ledger()
	out := make([]Count, NumVerdicts)
	for i := range out {
		out[i] = Count{Verdict(i), l.Entries[i].Frames}
	}
	return out
}
