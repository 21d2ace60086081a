package dataplane

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"natlb/ipvs"
	"natlb/sched"
)

// Apply carries out a transaction: all changes, in order, or none. A refusal is
// an *ipvs.ChangeError that wraps one of the sentinels of package ipvs. Packets
// meet the state before or the state after, nothing in between.
func (d *Director) Apply(changes []ipvs.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	plan := newPlan(d)
	for i := range changes {
		plan.at = i
		if err := plan.check(&changes[i]); err != nil {
			return &ipvs.ChangeError{Index: i, Kind: changes[i].Kind, Err: err}
		}
	}
	if faults := plan.settleDoubts(); len(faults) > 0 {
		return faults[0]
	}
	thaw := d.freeze()
	now := d.frozenClock()
	d.tellChanges(changes, now)
	for rest := changes; len(rest) > 0; {
		rest = rest[d.commit(rest):]
	}
	for rest := changes; len(rest) > 0; rest = rest[len(run(rest)):] {
		if s := d.byKey[rest[0].Service.Key]; s != nil {
			s.prepare()
		}
	}
	if d.unlisted {
		d.unlisted = false
		d.services = slices.DeleteFunc(d.services, func(s *service) bool { return s.gone })
	}
	if d.remarked {
		d.compileMarks()
	}
	if d.sources.changed {
		d.settleSources()
	}
	d.settings.adjust(d.defence.available)
	d.publish()
	if d.settings.expireNodestConn != 0 && slices.ContainsFunc(changes, deletes) {
		d.startSweep()
	}
	thaw()
	d.breakPersistence(changes)
	return nil
}

// breakPersistence does the part of a transaction that a large table makes long:
// packets go on meanwhile.
func (d *Director) breakPersistence(changes []ipvs.Change) {
	for i := range changes {
		c := &changes[i]
		t := d.live[destKey{c.Service.Key, c.Destination.Addr}]
		if c.Kind == ipvs.BreakPersistence && t != nil {
			d.templates.breakFor(t.server.ID)
		}
	}
}

// frozenClock returns the time while the shards stand still, and lets them have
// it, too.
func (d *Director) frozenClock() (now time.Duration) {
	for _, s := range d.shards {
		now = max(now, s.now)
	}
	if d.cfg.Clock != nil {
		now = max(now, d.cfg.Clock())
	}
	for _, s := range d.shards {
		s.now = now
	}
	return now
}

// tellChanges tells what a transaction is going to do, as far as anybody wants to
// know, and of servers that are given an address at which they cannot be reached.
func (d *Director) tellChanges(changes []ipvs.Change, now time.Duration) {
	if d.following {
		for _, e := range d.newsOf(changes, now) {
			d.tell(e)
		}
	}
	for i := range changes {
		if e, ok := d.localServerEvent(&changes[i], now); ok {
			d.tell(e)
		}
	}
}

// deletes reports whether c deletes servers.
func deletes(c ipvs.Change) bool {
	return c.Kind == ipvs.DeleteDestination || c.Kind == ipvs.DeleteService || c.Kind == ipvs.FlushServices
}

// commit carries out the first of changes, which the plan has found good, and
// with it those that follow if all are about servers of one service and do the
// same. It returns how many that were. The shards stand still.
func (d *Director) commit(changes []ipvs.Change) int {
	c := &changes[0]
	switch c.Kind {
	case ipvs.AddService:
		d.addService(c.Service)
	case ipvs.EditService:
		d.editService(c.Service)
	case ipvs.DeleteService:
		d.deleteService(d.byKey[c.Service.Key])
	case ipvs.AddDestination:
		return d.addServers(d.byKey[c.Service.Key], run(changes))
	case ipvs.EditDestination:
		return d.editServers(d.byKey[c.Service.Key], run(changes))
	case ipvs.DeleteDestination:
		return d.deleteServers(d.byKey[c.Service.Key], run(changes))
	case ipvs.OrderDestinations:
		d.orderServers(d.byKey[c.Service.Key], c.Order)
	case ipvs.FlushServices:
		for _, s := range d.services {
			if !s.gone {
				d.deleteService(s)
			}
		}
	case ipvs.ZeroStats:
		d.zero(c.Service.Key)
	case ipvs.SetTimeouts:
		d.setTimeouts(c.Timeouts)
	case ipvs.SetSysctl:
		d.settings.set(c.Name, c.Value) // checked by the plan
		d.ageSchedulers()
		if c.Name == quiesceUnreachable {
			d.judgeAll()
		}
	case ipvs.ChangeMarks:
		d.changeMarks(c.Words)
	case ipvs.ChangeSources:
		d.changeSources(c.Words)
	}
	return 1
}

func (d *Director) newScheduler(s ipvs.Service) sched.Scheduler {
	own := rand.NewPCG(d.cfg.Rand.Uint64(), d.cfg.Rand.Uint64())
	a, err := sched.New(schedulerName(s), s.Flags, own)
	if err != nil {
		panic(fmt.Sprintf("dataplane: scheduler %q passed the plan: %v", s.Scheduler, err))
	}
	return a
}

func schedulerName(s ipvs.Service) string {
	if s.Scheduler == "" {
		return ipvs.DefaultScheduler
	}
	return s.Scheduler
}

func (d *Director) addService(cfg ipvs.Service) {
	cfg.Scheduler = schedulerName(cfg)
	s := &service{key: cfg.Key, cfg: cfg, sched: d.newScheduler(cfg)}
	if n := len(d.freeServices); n > 0 {
		s.id, d.freeServices = d.freeServices[n-1], d.freeServices[:n-1]
	} else {
		s.id = d.nservice
		d.nservice++
	}
	s.sched.Update(nil, sched.Init, nil)
	d.age(cfg.Scheduler, s.sched)
	d.services = append(d.services, s)
	d.byKey[s.key] = s
	d.book.staleServices = append(d.book.staleServices, s.key)
	if !s.key.IsMark() {
		d.roles.addService(cfg.Key.VIP.Addr())
	}
}

// editService replaces the whole configuration. A scheduler that stays the same
// keeps its state; another one starts from its initial state (semantics 1.1).
func (d *Director) editService(cfg ipvs.Service) {
	s := d.byKey[cfg.Key]
	cfg.Scheduler = schedulerName(cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r, ok := s.sched.(sched.Reflag); {
	case cfg.Scheduler != s.cfg.Scheduler:
		s.sched.Update(nil, sched.Init, nil)
		s.sched = d.newScheduler(cfg)
		s.sched.Update(s.servers, sched.Init, nil)
		d.age(cfg.Scheduler, s.sched)
	case ok && cfg.Flags != s.cfg.Flags:
		r.SetFlags(cfg.Flags)
	}
	s.cfg = cfg
	d.book.staleServices = append(d.book.staleServices, s.key)
}

// deleteService unlinks the service and puts its servers into the trash;
// connections stay (semantics 1.1).
func (d *Director) deleteService(s *service) {
	for _, r := range s.servers {
		t := d.servers[r.ID]
		d.discard(t)
		t.service = 0 // the ID may soon mean another service
		d.book.staleServers = append(d.book.staleServers, r.ID)
	}
	s.mu.Lock()
	s.sched.Update(nil, sched.Init, nil)
	s.mu.Unlock()
	s.gone, d.unlisted = true, true
	delete(d.byKey, s.key)
	d.book.staleServices = append(d.book.staleServices, s.key)
	if !s.key.IsMark() {
		d.roles.dropService(s.key.VIP.Addr())
	}
	d.forgetService(s.id)
	d.freeServices = append(d.freeServices, s.id)
}

// ageSchedulers gives the schedulers that forget their expiry times.
func (d *Director) ageSchedulers() {
	for _, s := range d.services {
		d.age(s.cfg.Scheduler, s.sched)
	}
}

func (d *Director) age(name string, a sched.Scheduler) {
	aging, ok := a.(sched.Aging)
	if !ok {
		return
	}
	seconds := d.settings.lblcExpiration
	if name == "lblcr" {
		seconds = d.settings.lblcrExpiration
	}
	aging.SetExpiration(time.Duration(seconds) * time.Second)
}

func (d *Director) setTimeouts(t ipvs.Timeouts) {
	for _, x := range []struct{ old, new *uint32 }{
		{&d.timeouts.TCP, &t.TCP}, {&d.timeouts.TCPFin, &t.TCPFin}, {&d.timeouts.UDP, &t.UDP},
	} {
		if *x.new != 0 {
			*x.old = *x.new
		}
	}
}
