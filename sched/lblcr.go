package sched

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"natlb/ipvs"
)

// lblcr is locality-based least connection with replication: as lblc, but an
// address has a set of servers. The least loaded of the set takes the
// connection; when it is crowded, the wlc pick of the whole service joins the
// set. A set that has not changed for the expiration time loses its most loaded
// member at the next pick.
//
// Source: ip_vs_lblcr.c.
type lblcr struct {
	contest         // by the wlc rule
	roomy   heights // see crowded
	addrCache[serverSet]
}

func newLBLCR() *lblcr {
	l := &lblcr{contest: newContest(leastLoadPerWeight), roomy: newRoomy()}
	l.addrCache.init()
	return l
}

// Schedule asks the set of the address, then wlc.
func (l *lblcr) Schedule(f *Flow, now time.Duration) *ipvs.RealServer {
	entry := l.get(f.VIP, now)
	if entry == nil {
		s := l.winner()
		if s != nil {
			l.put(f.VIP, now, serverSet{members: []*ipvs.RealServer{s}, changed: now})
		}
		return s
	}
	set := &entry.value
	s := set.least()
	if l.shrinks(set, now) {
		set.shrink(now)
	}
	if s != nil && !crowded(s, &l.roomy) {
		return s // even if it has just left the set
	}
	if s = l.winner(); s != nil {
		set.insert(s, now)
	}
	return s
}

// shrinks reports whether a set loses a member.
func (l *lblcr) shrinks(set *serverSet, now time.Duration) bool {
	return len(set.members) > 1 && now > set.changed+l.expiration
}

// Update takes the new list. As in lblc, a set's deleted member is a member
// again if it is added again.
func (l *lblcr) Update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer) {
	l.contest.Update(servers, how, changed)
	l.roomy.Update(servers, how, changed)
	if how != Add {
		return
	}
	for entry := range l.all() {
		for i, s := range entry.value.members {
			if s.Addr == changed.Addr {
				entry.value.members[i] = changed
			}
		}
	}
}

// Prepare implements [Preparer].
func (l *lblcr) Prepare() {
	l.contest.Prepare()
	l.roomy.Prepare()
}

// Merges is false for an add: sets are looked through for each server.
func (l *lblcr) Merges(how UpdateKind) bool { return how != Add }

// serverSet is the servers of one address.
type serverSet struct {
	members []*ipvs.RealServer // the latest last; comparisons start from there
	changed time.Duration      // when a member was last inserted or removed
}

// least returns the member with the least overhead per weight among those that
// may take connections, the latest member among equals.
func (s *serverSet) least() *ipvs.RealServer {
	var best *ipvs.RealServer
	var bestLoad, bestWeight int64
	for _, m := range slices.Backward(s.members) {
		weight := int64(m.Weight())
		if weight <= 0 || m.Overloaded() || !m.Available() {
			continue
		}
		if load := overhead(m); best == nil || bestLoad*weight > load*bestWeight {
			best, bestLoad, bestWeight = m, load, weight
		}
	}
	return best
}

// shrink removes the member with the most overhead per weight, the latest among
// equals. Quiesced members are left alone.
func (s *serverSet) shrink(now time.Duration) {
	worst := -1
	var worstLoad, worstWeight int64
	for i, m := range slices.Backward(s.members) {
		weight := int64(m.Weight())
		if weight <= 0 {
			continue
		}
		if load := overhead(m); worst < 0 || load*worstWeight > worstLoad*weight {
			worst, worstLoad, worstWeight = i, load, weight
		}
	}
	if worst >= 0 {
		s.members = slices.Delete(s.members, worst, worst+1)
		s.changed = now
	}
}

// insert makes a server the latest member unless it is one already.
func (s *serverSet) insert(server *ipvs.RealServer, now time.Duration) {
	if !slices.Contains(s.members, server) {
		s.members = append(s.members, server)
		s.changed = now
	}
}

// Fork implements [Scheduler]. Of the cache only the set of f matters to it.
func (l *lblcr) Fork(f *Flow, twin Twins) Scheduler {
	c := newLBLCR()
	c.contest, c.roomy, c.expiration = l.contest.fork(twin), l.roomy.fork(twin), l.expiration
	if e := l.peek(f.VIP); e != nil {
		c.put(e.addr, e.lastUse, serverSet{members: twin.All(e.value.members), changed: e.value.changed})
	}
	return c
}

// Explain implements [Explainer].
func (l *lblcr) Explain(f *Flow, now time.Duration) Reasons {
	r := Reasons{Rule: wlcRule, Compares: perWeight}
	name := fmt.Sprintf("set of %v", f.VIP)
	e := l.peek(f.VIP)
	if e == nil {
		r.Facts = []Fact{{name, "none"}}
		r.Candidates = compared(l.servers, overhead, byWeight)
		return r
	}
	set := &e.value
	fact := Fact{name, set.names()}
	if l.shrinks(set, now) {
		fact.Value += "; unchanged for so long that it loses its most loaded member"
	}
	switch s := set.least(); {
	case s == nil:
		fact.Value += "; nobody of it is to be had"
	case crowded(s, &l.roomy):
		fact.Value += fmt.Sprintf("; %s is %s", named(s), outCrowded)
	default:
		r.Rule = "the least load per weight within the set wins, 256 x active + inactive connections"
		r.Facts = []Fact{fact}
		r.Candidates = others(set.compared(), l.servers, "not in the set")
		return r
	}
	r.Facts = []Fact{fact}
	r.Candidates = compared(l.servers, overhead, byWeight)
	return r
}

// names lists the members.
func (s *serverSet) names() string {
	names := make([]string, len(s.members))
	for i, m := range s.members {
		names[i] = named(m)
	}
	return strings.Join(names, " ")
}

// compared returns the members in the order in which least compares them.
func (s *serverSet) compared() (candidates []Candidate) {
	for _, m := range slices.Backward(s.members) {
		c := Candidate{Server: m, Load: overhead(m), Per: byWeight(m), Out: unfit(m), Note: "in the set"}
		if !m.Available() {
			c.Out = outDeleted
		}
		candidates = append(candidates, c)
	}
	return candidates
}
