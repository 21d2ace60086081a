package dataplane

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"natlb/internal/classify"
	"natlb/internal/sources"
	"natlb/ipvs"
	"natlb/sched"
)

// plan checks a transaction before anything is changed: it keeps, on top of the
// director's state, which services and destinations would exist after the
// changes checked so far.
type plan struct {
	d        *Director
	flushed  bool // the director's own services are gone
	services map[ipvs.ServiceKey]*planned
	settings settings
	marks    classify.Ruleset
	sources  sources.Set

	at     int     // the place of the change that is checked, in the transaction
	doubts []doubt // what has to be looked at once all changes are known
}

// planned is a service that the changes are about.
type planned struct {
	exists  bool
	anew    bool // what servers the director has for it does not count
	servers map[netip.AddrPort]bool
	full    map[netip.AddrPort]bool // servers that are added or edited: whether by FULLNAT
	flags   *ipvs.ServiceFlags      // if it is added or edited
}

func newPlan(d *Director) *plan {
	return &plan{d: d, services: map[ipvs.ServiceKey]*planned{}, settings: d.settings, marks: d.marks, sources: d.sources.set}
}

// Check says what [Director.Apply] would refuse of a transaction, and changes
// nothing: all faults, in the order of the changes. What follows from another
// fault, as a server of a service that was refused, is not one.
func (d *Director) Check(changes []ipvs.Change) (faults []*ipvs.ChangeError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	plan := newPlan(d)
	for i := range changes {
		c := &changes[i]
		plan.at = i
		if err := plan.check(c); err != nil {
			faults = append(faults, &ipvs.ChangeError{Index: i, Kind: c.Kind, Err: err})
			if c.Kind == ipvs.AddService {
				plan.of(c.Service.Key).exists = true
			}
		}
	}
	faults = append(faults, plan.settleDoubts()...)
	slices.SortStableFunc(faults, func(a, b *ipvs.ChangeError) int { return cmp.Compare(a.Index, b.Index) })
	return faults
}

// of returns what is planned for a service.
func (p *plan) of(k ipvs.ServiceKey) *planned {
	s := p.services[k]
	if s == nil {
		has := !p.flushed && p.d.byKey[k] != nil
		s = newPlanned(has, !has)
		p.services[k] = s
	}
	return s
}

func newPlanned(exists, anew bool) *planned {
	return &planned{exists: exists, anew: anew, servers: map[netip.AddrPort]bool{}, full: map[netip.AddrPort]bool{}}
}

func (p *plan) hasServer(k destKey) bool {
	s := p.of(k.service)
	if has, known := s.servers[k.addr]; known {
		return has
	}
	return !s.anew && p.d.live[k] != nil
}

// check says whether c can follow the changes checked before, and remembers
// what it would do. The faults are those of semantics 1.3.
func (p *plan) check(c *ipvs.Change) error {
	key := c.Service.Key
	server := destKey{key, c.Destination.Addr}
	switch c.Kind {
	case ipvs.AddService:
		return p.addService(c.Service)
	case ipvs.EditService, ipvs.DeleteService, ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination,
		ipvs.BreakPersistence, ipvs.OrderDestinations:
		if !p.of(key).exists {
			return ipvs.ErrNoSuchService
		}
	}
	switch c.Kind {
	case ipvs.EditService:
		p.of(key).flags = &c.Service.Flags
		p.doubt(c)
		return knownScheduler(c.Service)
	case ipvs.DeleteService:
		p.services[key] = newPlanned(false, true)
	case ipvs.AddDestination:
		if !server.addr.IsValid() || server.addr.Addr().Is6() != key.Is6() && c.Destination.Method != ipvs.Tunnel {
			return ipvs.ErrDifferentFamily
		}
		if p.hasServer(server) {
			return ipvs.ErrDestinationExists
		}
		if err := p.noSource(server.addr.Addr()); err != nil {
			return err
		}
		if err := p.checkFull(key, &c.Destination); err != nil {
			return err
		}
		p.of(key).servers[server.addr] = true
		p.setFull(c)
	case ipvs.EditDestination, ipvs.DeleteDestination:
		if !p.hasServer(server) {
			return ipvs.ErrNoSuchDestination
		}
		if c.Kind == ipvs.EditDestination {
			if err := p.checkFull(key, &c.Destination); err != nil {
				return err
			}
			p.setFull(c)
		}
		p.of(key).servers[server.addr] = c.Kind == ipvs.EditDestination
	case ipvs.OrderDestinations:
		return p.order(key, c.Order)
	case ipvs.FlushServices:
		p.flushed = true
		clear(p.services)
	case ipvs.BreakPersistence:
		if !p.hasServer(server) {
			return ipvs.ErrNoSuchDestination
		}
	case ipvs.ZeroStats:
		if key != (ipvs.ServiceKey{}) && !p.of(key).exists {
			return ipvs.ErrNoSuchService
		}
	case ipvs.SetSysctl:
		return p.settings.set(c.Name, c.Value)
	case ipvs.ChangeMarks:
		rules, err := markRules(p.marks, c.Words)
		p.marks = rules
		return err
	case ipvs.ChangeSources:
		set, err := p.changeSources(c.Words)
		p.sources = set
		return err
	case ipvs.SetTimeouts:
	default:
		return ipvs.ErrInvalid
	}
	return nil
}

func (p *plan) addService(s ipvs.Service) error {
	switch {
	case !s.Key.IsMark() && !s.Key.VIP.IsValid():
		return ipvs.ErrInvalid
	case p.of(s.Key).exists:
		return ipvs.ErrServiceExists
	}
	if err := knownScheduler(s); err != nil {
		return err
	}
	if vip := s.Key.VIP; vip.IsValid() {
		if err := p.noSource(vip.Addr()); err != nil {
			return err
		}
	}
	p.of(s.Key).exists = true
	p.of(s.Key).flags = &s.Flags
	return nil
}

// order wants every server of the service once.
func (p *plan) order(key ipvs.ServiceKey, order []netip.AddrPort) error {
	there := map[netip.AddrPort]bool{}
	if s := p.of(key); !s.anew {
		for _, r := range p.d.byKey[key].servers {
			there[r.Addr] = true
		}
	}
	maps.Copy(there, p.of(key).servers)
	maps.DeleteFunc(there, func(_ netip.AddrPort, has bool) bool { return !has })
	for _, addr := range order {
		if !there[addr] {
			return fmt.Errorf("%w: the order names %v, which is no server of the service or is named twice", ipvs.ErrInvalid, addr)
		}
		delete(there, addr)
	}
	if len(there) > 0 {
		return fmt.Errorf("%w: the order leaves out %d servers of the service", ipvs.ErrInvalid, len(there))
	}
	return nil
}

func knownScheduler(s ipvs.Service) error {
	_, err := sched.New(schedulerName(s), s.Flags, nil)
	if err == nil && s.Engine != "" {
		return fmt.Errorf("%w: engine %q", ipvs.ErrUnknownScheduler, s.Engine)
	}
	return err
}
