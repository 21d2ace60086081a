package sched

import (
	"fmt"
	"time"

	"natlb/ipvs"
)

// lblc is locality-based least connection, for firewall-mark services in front
// of caches: an address that packets are sent to stays with the server that wlc
// picked for it first. It is picked anew only when that server is deleted,
// quiesced or crowded. The overload flag does not end a mapping; it only keeps
// a server from a fresh pick.
//
// Source: ip_vs_lblc.c.
type lblc struct {
	contest         // by the wlc rule
	roomy   heights // see crowded
	addrCache[*ipvs.RealServer]
}

func newLBLC() *lblc {
	l := &lblc{contest: newContest(leastLoadPerWeight), roomy: newRoomy()}
	l.addrCache.init()
	return l
}

// Schedule asks the cache, then wlc. When there is nobody to pick, an entry
// stays as it is.
func (l *lblc) Schedule(f *Flow, now time.Duration) *ipvs.RealServer {
	entry := l.get(f.VIP, now)
	if entry != nil && l.givenUp(entry.value) == "" {
		return entry.value
	}
	s := l.winner()
	switch {
	case s == nil:
	case entry != nil:
		entry.value = s
	default:
		l.put(f.VIP, now, s)
	}
	return s
}

// givenUp says why the mapping to a server does not hold, or returns "".
func (l *lblc) givenUp(s *ipvs.RealServer) string {
	switch {
	case !s.Available():
		return outDeleted
	case s.Weight() <= 0:
		return weightless(s)
	case crowded(s, &l.roomy):
		return outCrowded
	}
	return ""
}

const outCrowded = "crowded"

// Update takes the new list. Mappings to a deleted server stay, and hold again
// if it is added again while they last (in the kernel they keep the very same
// object alive).
func (l *lblc) Update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer) {
	l.contest.Update(servers, how, changed)
	l.roomy.Update(servers, how, changed)
	if how != Add {
		return
	}
	for entry := range l.all() {
		if entry.value.Addr == changed.Addr {
			entry.value = changed
		}
	}
}

// Prepare implements [Preparer].
func (l *lblc) Prepare() {
	l.contest.Prepare()
	l.roomy.Prepare()
}

// Merges is false for an add: mappings are looked through for each server.
func (l *lblc) Merges(how UpdateKind) bool { return how != Add }

// crowded reports whether a server has more active connections than its weight
// while some server of the service is roomy.
func crowded(s *ipvs.RealServer, roomy *heights) bool { return s.Active() > s.Weight() && roomy.any() }

// newRoomy raises the servers with less active connections than half of their
// weight.
func newRoomy() heights {
	return heights{on: ipvs.Counts, of: oneIf(func(s *ipvs.RealServer) bool { return 2*int64(s.Active()) < int64(s.Weight()) })}
}

// Fork implements [Scheduler]. Of the cache only the entry of f matters to it.
func (l *lblc) Fork(f *Flow, twin Twins) Scheduler {
	c := newLBLC()
	c.contest, c.roomy, c.expiration = l.contest.fork(twin), l.roomy.fork(twin), l.expiration
	if e := l.peek(f.VIP); e != nil {
		c.put(e.addr, e.lastUse, twin(e.value))
	}
	return c
}

// Explain implements [Explainer].
func (l *lblc) Explain(f *Flow, _ time.Duration) Reasons {
	r := Reasons{Rule: wlcRule, Compares: perWeight}
	mapping := Fact{fmt.Sprintf("mapping of %v", f.VIP), "none"}
	if e := l.peek(f.VIP); e != nil {
		s, why := e.value, l.givenUp(e.value)
		if why == "" {
			r.Rule = "the server that the destination address is mapped to wins"
			r.Facts = []Fact{{mapping.Name, named(s)}}
			r.Candidates = others([]Candidate{{Server: s, Load: overhead(s), Per: byWeight(s), Note: "mapped"}}, l.servers, "not mapped")
			return r
		}
		mapping.Value = fmt.Sprintf("%s, given up: %s", named(s), why)
	}
	r.Facts = []Fact{mapping}
	r.Candidates = compared(l.servers, overhead, byWeight)
	return r
}
