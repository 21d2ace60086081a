package dataplane

import (
	"net/netip"

	"natlb/internal/classify"
	"natlb/ipvs"
	"natlb/rewrite"
)

// Scope is what of the network a director deals with.
type Scope struct {
	Services []ipvs.ServiceKey // in order of creation
	Marked   []netip.Addr      // VIPs that firewall marks lead to
	Targets  []classify.Target // traffic that marks lead to, with services for marks only

	// Owned are the VIPs of services, and Servers the real servers, now or
	// since the director started: natlb goes on answering for them and routing
	// for them, so that taking something out of the table cuts nobody off.
	Owned   []netip.Addr
	Servers []netip.Addr

	Sources []netip.Addr // that FULLNAT speaks from, or that connections still have
}

// Scope returns the director's scope. Its slices must not be changed, but may be
// appended to; no shard is held up.
func (d *Director) Scope() Scope {
	d.mu.Lock()
	defer d.mu.Unlock()
	sc := Scope{
		Services: make([]ipvs.ServiceKey, 0, len(d.services)),
		Marked:   d.markVIPs,
		Targets:  d.view.Load().targets,
		Owned:    d.roles.owned[:len(d.roles.owned):len(d.roles.owned)],
		Servers:  d.roles.servers[:len(d.roles.servers):len(d.roles.servers)],
		Sources:  d.sources.addrs(),
	}
	for _, s := range d.services {
		sc.Services = append(sc.Services, s.key)
	}
	return sc
}

// IsVIP reports whether a service has the address, or firewall marks lead to it.
func (d *Director) IsVIP(a netip.Addr) bool { return d.role(a)&roleVIP != 0 }

// IsServer reports whether the address is a real server's, now or since the
// director started.
func (d *Director) IsServer(a netip.Addr) bool { return d.role(a)&roleServer != 0 }

func (d *Director) role(a netip.Addr) role {
	switch v := d.view.Load(); {
	case a.Is4():
		return v.roles.of(Number4(a))
	case a.Is6():
		return v.roles.of6(rewrite.Addr6Of(a))
	}
	return 0
}
