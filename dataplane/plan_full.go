package dataplane

import (
	"fmt"
	"net/netip"
	"slices"

	"natlb/internal/sources"
	"natlb/ipvs"
)

// checkFull says what FULLNAT cannot do for a server: the FTP helper does not know
// that the server sees another client than there is.
func (p *plan) checkFull(key ipvs.ServiceKey, d *ipvs.Destination) error {
	if d.Method == ipvs.FullNAT && key.Proto == ipvs.TCP && slices.Contains(p.d.cfg.FTPPorts, key.VIP.Port()) {
		return fmt.Errorf("--fullnat does not go with the FTP helper, which port %d has: %w", key.VIP.Port(), ipvs.ErrInvalid)
	}
	return nil
}

// setFull notes the forwarding method of a server that is added or edited.
func (p *plan) setFull(c *ipvs.Change) {
	p.of(c.Service.Key).full[c.Destination.Addr] = c.Destination.Method == ipvs.FullNAT
	if c.Destination.Method == ipvs.FullNAT {
		p.doubt(c)
	}
}

// doubt is a change after which a service may be of one-packet scheduling and have a
// server of FULLNAT. What counts is the end of the transaction.
type doubt struct {
	at   int
	kind ipvs.ChangeKind
	key  ipvs.ServiceKey
}

func (p *plan) doubt(c *ipvs.Change) { p.doubts = append(p.doubts, doubt{p.at, c.Kind, c.Service.Key}) }

// settleDoubts returns the faults that all changes together leave.
func (p *plan) settleDoubts() (faults []*ipvs.ChangeError) {
	blamed := map[ipvs.ServiceKey]bool{}
	for _, d := range slices.Backward(p.doubts) {
		if !blamed[d.key] && p.of(d.key).exists && p.flagsOf(d.key)&ipvs.FlagOnePacket != 0 && p.hasFull(d.key) {
			blamed[d.key] = true
			faults = append(faults, &ipvs.ChangeError{Index: d.at, Kind: d.kind, Err: errOnePacketFull})
		}
	}
	return faults
}

var errOnePacketFull = fmt.Errorf("--fullnat does not go with one-packet scheduling: without a connection nobody knows whom a server answers: %w", ipvs.ErrInvalid)

// flagsOf returns the flags of a service that exists.
func (p *plan) flagsOf(key ipvs.ServiceKey) ipvs.ServiceFlags {
	switch s := p.of(key); {
	case s.flags != nil:
		return *s.flags
	case !s.anew && p.d.byKey[key] != nil:
		return p.d.byKey[key].cfg.Flags
	}
	return 0
}

// hasFull reports whether a service that exists has a server of FULLNAT.
func (p *plan) hasFull(key ipvs.ServiceKey) bool {
	s := p.of(key)
	for addr, full := range s.full {
		if full && s.servers[addr] {
			return true
		}
	}
	if s.anew {
		return false
	}
	return slices.ContainsFunc(p.d.byKey[key].servers, func(r *ipvs.RealServer) bool {
		return !contains(s.servers, r.Addr) && p.d.servers[r.ID].cfg.Method == ipvs.FullNAT
	})
}

// changeSources wants source addresses to be nobody's else.
func (p *plan) changeSources(words []string) (sources.Set, error) {
	set, err := sourceRules(p.sources, words)
	if err != nil {
		return p.sources, err
	}
	fresh := set.Without(p.sources)
	taken := p.takenAddrs(len(fresh) > 0)
	for _, a := range fresh {
		switch {
		case taken[a] != "":
			return p.sources, fmt.Errorf("%v is %s: %w", a, taken[a], ipvs.ErrInvalid)
		case isLocal(p.d.host, a):
			return p.sources, fmt.Errorf("%v is an address of this host; a source address is one that nobody has: %w", a, ipvs.ErrInvalid)
		}
	}
	return set, nil
}

// noSource wants the address of a service or a server to be no source address, nor one
// that was deleted and that connections still have: natlb answers for it.
func (p *plan) noSource(a netip.Addr) error {
	switch {
	case p.sources.Has(a):
		return fmt.Errorf("%v is a source address of FULLNAT: %w", a, ipvs.ErrInvalid)
	case p.d.role(a)&roleSource != 0 && p.d.sources.keeps(a):
		return fmt.Errorf("%v was a source address of FULLNAT, and is not free yet: %w", a, ipvs.ErrInvalid)
	}
	return nil
}

// takenAddrs returns the addresses of services and servers with what they are.
func (p *plan) takenAddrs(asked bool) map[netip.Addr]string {
	taken := map[netip.Addr]string{}
	if !asked {
		return taken
	}
	server := func(addr netip.AddrPort) { taken[addr.Addr()] = "a real server" }
	for key, s := range p.services {
		if s.exists && !key.IsMark() {
			taken[key.VIP.Addr()] = "a VIP"
		}
		for addr, has := range s.servers {
			if has {
				server(addr)
			}
		}
	}
	if p.flushed {
		return taken
	}
	for key, s := range p.d.byKey {
		is := p.services[key]
		if is != nil && is.anew {
			continue
		}
		if !key.IsMark() {
			taken[key.VIP.Addr()] = "a VIP"
		}
		for _, r := range s.servers {
			if is == nil || is.servers[r.Addr] || !contains(is.servers, r.Addr) {
				server(r.Addr)
			}
		}
	}
	return taken
}

func contains[K comparable, V any](m map[K]V, k K) bool {
	_, has := m[k]
	return has
}
