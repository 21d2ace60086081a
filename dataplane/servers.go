package dataplane

import (
	"net/netip"
	"slices"

	"natlb/ipvs"
	"natlb/sched"
)

// run returns the changes at the beginning of a transaction that all do the same
// to servers of the same service: they are carried out as one.
func run(changes []ipvs.Change) []ipvs.Change {
	n := 1
	for n < len(changes) && changes[n].Kind == changes[0].Kind && changes[n].Service.Key == changes[0].Service.Key {
		n++
	}
	return changes[:n]
}

// merges reports whether the scheduler of s need only see the list at the end of
// a run of changes.
func (s *service) merges(how sched.UpdateKind) bool {
	m, ok := s.sched.(sched.Merger)
	return ok && m.Merges(how)
}

// addServers puts servers at the head of the service's list, one before the
// other.
func (d *Director) addServers(s *service, run []ipvs.Change) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*ipvs.RealServer, len(run)+len(s.servers))
	copy(all[len(run):], s.servers)
	merge := s.merges(sched.Add)
	for i := range run {
		head := len(run) - 1 - i
		all[head] = d.enter(s, run[i].Destination)
		s.servers = all[head:]
		if !merge || head == 0 {
			s.sched.Update(s.servers, sched.Add, all[head])
		}
	}
	return len(run)
}

// enter makes the live object of a server. One that waits in the trash comes
// back as the same object, with its connections (semantics 1.2, 1.4).
func (d *Director) enter(s *service, cfg ipvs.Destination) *ipvs.RealServer {
	k := destKey{s.key, cfg.Addr}
	t := d.trash[k]
	if t != nil {
		delete(d.trash, k)
		if t.service != s.id {
			d.forgetServer(t.server.ID)
		}
		t.server.Restore(&cfg)
		t.idle = 0
	} else {
		t = &destination{key: k}
		t.server = ipvs.NewRealServer(d.takeServerID(t), &cfg)
	}
	t.cfg, t.service = cfg, s.id
	d.live[k] = t
	d.judge(t, d.unreachable(t.server), d.shards[0].now)
	d.reach.stale = true
	d.book.staleServers = append(d.book.staleServers, t.server.ID)
	d.roles.addServer(cfg.Addr.Addr())
	return t.server
}

// editServers replaces the whole configuration of servers.
func (d *Director) editServers(s *service, run []ipvs.Change) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	merge := s.merges(sched.Edit)
	for i := range run {
		cfg := run[i].Destination
		t := d.live[destKey{s.key, cfg.Addr}]
		if t.server.Configure(&cfg) && d.following {
			d.tell(ipvs.Event{Kind: ipvs.EventServerRecovered, At: d.shards[0].now, Service: s.key, Server: cfg.Addr, Weight: cfg.Weight})
		}
		t.cfg = cfg
		d.book.staleServers = append(d.book.staleServers, t.server.ID)
		if !merge || i == len(run)-1 {
			s.sched.Update(s.servers, sched.Edit, t.server)
		}
	}
	return len(run)
}

// deleteServers puts servers into the trash.
func (d *Director) deleteServers(s *service, run []ipvs.Change) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	merge := s.merges(sched.Delete)
	for i := range run {
		t := d.live[destKey{s.key, run[i].Destination.Addr}]
		d.discard(t)
		if !merge || i == len(run)-1 {
			s.servers = slices.DeleteFunc(slices.Clone(s.servers), func(r *ipvs.RealServer) bool { return !r.Available() })
			s.sched.Update(s.servers, sched.Delete, t.server)
		}
	}
	return len(run)
}

// orderServers puts the servers of a service into another order, which changes
// nothing but the order in which the scheduler walks.
func (d *Director) orderServers(s *service, order []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = make([]*ipvs.RealServer, len(order))
	for i, addr := range order {
		s.servers[i] = d.live[destKey{s.key, addr}].server
	}
	s.sched.Update(s.servers, sched.Order, nil)
}

// discard puts a destination into the trash, where it stays while connections
// refer to it.
func (d *Director) discard(t *destination) {
	t.server.Discard()
	t.idle = 0
	delete(d.live, t.key)
	d.trash[t.key] = t
}

func (d *Director) takeServerID(t *destination) uint32 {
	if n := len(d.freeServers); n > 0 {
		var id uint32
		id, d.freeServers = d.freeServers[n-1], d.freeServers[:n-1]
		d.servers[id] = t
		return id
	}
	d.servers = append(d.servers, t)
	return uint32(len(d.servers) - 1)
}
