package sched

import (
	"math/big"
	"net/netip"
	"slices"
	"time"

	"natlb/ipvs"
)

// refOverloaded is the rule by which lblc and lblcr leave a server.
func refOverloaded(s *ipvs.RealServer, servers []*ipvs.RealServer) bool {
	halfEmpty := func(o *ipvs.RealServer) bool { return o.Active()*2 < o.Weight() }
	return s.Active() > s.Weight() && slices.ContainsFunc(servers, halfEmpty)
}

func refWLC(servers []*ipvs.RealServer) *ipvs.RealServer {
	wlc := ranked(eligible, refOverhead, weightOf)
	wlc.servers = servers
	return wlc.pick(nil, 0)
}

// refLBLC is lblc with a plain map that forgets nothing.
type refLBLC struct {
	servers []*ipvs.RealServer
	mapped  map[netip.Addr]*ipvs.RealServer
}

func (r *refLBLC) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.servers = servers
}

func (r *refLBLC) pick(f *Flow, _ time.Duration) *ipvs.RealServer {
	s := r.mapped[f.VIP]
	if s != nil && s.Available() && s.Weight() > 0 && !refOverloaded(s, r.servers) {
		return s
	}
	if s = refWLC(r.servers); s != nil {
		r.mapped[f.VIP] = s
	}
	return s
}

// refLBLCR is lblcr with a plain map and sets in the order of the walk.
type refLBLCR struct {
	servers []*ipvs.RealServer
	sets    map[netip.Addr]*refSet
}

type refSet struct {
	members []*ipvs.RealServer // the latest first
	lastmod time.Duration
}

func (r *refLBLCR) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.servers = servers
}

// refShrinkAfter is the expiration that the property test sets.
const refShrinkAfter = 100 * time.Second

func (r *refLBLCR) pick(f *Flow, now time.Duration) *ipvs.RealServer {
	set := r.sets[f.VIP]
	if set == nil {
		s := refWLC(r.servers)
		if s != nil {
			r.sets[f.VIP] = &refSet{members: []*ipvs.RealServer{s}, lastmod: now}
		}
		return s
	}
	available := func(s *ipvs.RealServer) bool { return eligible(s) && s.Available() }
	members := ranked(available, refOverhead, weightOf)
	members.servers = set.members
	s := members.pick(f, now)
	if len(set.members) > 1 && now-set.lastmod > refShrinkAfter {
		set.shrink(now)
	}
	if s != nil && !refOverloaded(s, r.servers) {
		return s
	}
	s = refWLC(r.servers)
	if s != nil && !slices.Contains(set.members, s) {
		set.members = append([]*ipvs.RealServer{s}, set.members...)
		set.lastmod = now
	}
	return s
}

// shrink removes the first of the members with the highest load.
func (set *refSet) shrink(now time.Duration) {
	load := func(s *ipvs.RealServer) *big.Rat { return big.NewRat(refOverhead(s), weightOf(s)) }
	var weighty []*ipvs.RealServer
	for _, s := range set.members {
		if s.Weight() > 0 {
			weighty = append(weighty, s)
		}
	}
	if len(weighty) == 0 {
		return
	}
	highest := slices.MaxFunc(weighty, func(a, b *ipvs.RealServer) int { return load(a).Cmp(load(b)) })
	set.members = slices.DeleteFunc(set.members, func(s *ipvs.RealServer) bool { return s == highest })
	set.lastmod = now
}
