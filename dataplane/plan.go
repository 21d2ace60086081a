package dataplane

import (
	"fmt"

	"natlb/internal/classify"
	"natlb/ipvs"
	"natlb/sched"
)

// plan checks a transaction before anything is changed: it keeps, on top of the
// director's state, which services and destinations would exist after the
// changes checked so far.
type plan struct {
	d        *Director
	flushed  bool
	services map[ipvs.ServiceKey]bool
	servers  map[destKey]bool
	settings settings
	marks    classify.Ruleset
}

func newPlan(d *Director) *plan {
	return &plan{d, false, map[ipvs.ServiceKey]bool{}, map[destKey]bool{}, d.settings, d.marks}
}

func (p *plan) hasService(k ipvs.ServiceKey) bool {
	if has, known := p.services[k]; known {
		return has
	}
	return !p.flushed && p.d.byKey[k] != nil
}

func (p *plan) hasServer(k destKey) bool {
	if has, known := p.servers[k]; known {
		return has
	}
	s := p.d.byKey[k.service]
	return !p.flushed && s != nil && p.d.destination(s, k.addr) != nil
}

// check says whether c can follow the changes checked before, and remembers
// what it would do. The faults are those of semantics 1.3.
func (p *plan) check(c *ipvs.Change) error {
	key := c.Service.Key
	server := destKey{key, c.Destination.Addr}
	switch c.Kind {
	case ipvs.AddService:
		return p.addService(c.Service)
	case ipvs.EditService:
		if !p.hasService(key) {
			return ipvs.ErrNoSuchService
		}
		return knownScheduler(c.Service)
	case ipvs.DeleteService:
		if !p.hasService(key) {
			return ipvs.ErrNoSuchService
		}
		p.forget(key)
	case ipvs.AddDestination:
		if !p.hasService(key) {
			return ipvs.ErrNoSuchService
		}
		if !server.addr.Addr().Is4() {
			return ipvs.ErrDifferentFamily
		}
		if p.hasServer(server) {
			return ipvs.ErrDestinationExists
		}
		p.servers[server] = true
	case ipvs.EditDestination, ipvs.DeleteDestination:
		if !p.hasService(key) {
			return ipvs.ErrNoSuchService
		}
		if !p.hasServer(server) {
			return ipvs.ErrNoSuchDestination
		}
		p.servers[server] = c.Kind == ipvs.EditDestination
	case ipvs.FlushServices:
		p.flushed = true
		clear(p.services)
		clear(p.servers)
	case ipvs.BreakPersistence:
		if !p.hasService(key) {
			return ipvs.ErrNoSuchService
		}
		if !p.hasServer(server) {
			return ipvs.ErrNoSuchDestination
		}
	case ipvs.ZeroStats:
		if key != (ipvs.ServiceKey{}) && !p.hasService(key) {
			return ipvs.ErrNoSuchService
		}
	case ipvs.SetSysctl:
		return p.settings.set(c.Name, c.Value)
	case ipvs.ChangeMarks:
		rules, err := markRules(p.marks, c.Words)
		p.marks = rules
		return err
	case ipvs.SetTimeouts:
	default:
		return ipvs.ErrInvalid
	}
	return nil
}

func (p *plan) addService(s ipvs.Service) error {
	switch {
	case s.Key.Is6() || !s.Key.IsMark() && !s.Key.VIP.Addr().Is4():
		return ipvs.ErrUnsupported
	case p.hasService(s.Key):
		return ipvs.ErrServiceExists
	}
	if err := knownScheduler(s); err != nil {
		return err
	}
	p.services[s.Key] = true
	return nil
}

// forget plans the end of a service and of its destinations.
func (p *plan) forget(key ipvs.ServiceKey) {
	p.services[key] = false
	if s := p.d.byKey[key]; s != nil && !p.flushed {
		for _, r := range s.servers {
			p.servers[destKey{key, r.Addr}] = false
		}
	}
	for k := range p.servers {
		if k.service == key {
			p.servers[k] = false
		}
	}
}

func knownScheduler(s ipvs.Service) error {
	_, err := sched.New(schedulerName(s), s.Flags, nil)
	if err == nil && s.Engine != "" {
		return fmt.Errorf("%w: engine %q", ipvs.ErrUnknownScheduler, s.Engine)
	}
	return err
}
