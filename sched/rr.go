package sched

import (
	"slices"
	"time"

	"natlb/ipvs"
)

// rr is round robin: the servers take turns in list order, whatever their
// weights; quiesced and overloaded ones are passed over.
//
// It remembers the server it picked last, not a number of picks: a server that
// is added comes to the head and has its turn after the walk has wrapped, and
// when the last picked one is deleted its predecessor takes the place, so that
// the next pick is the one that was next before.
//
// Source: ip_vs_rr.c.
type rr struct {
	heights
	last int // index of the last pick; -1 is the place before the first server
}

func newRR() *rr {
	return &rr{heights: heights{of: oneIf((*ipvs.RealServer).Eligible), on: ipvs.Fitness}, last: -1}
}

// Schedule walks from behind the last pick round to the last pick itself.
func (r *rr) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	r.Prepare()
	i := r.next(r.last+1, 1)
	if i < 0 {
		i = r.next(0, 1)
	}
	if i < 0 {
		return nil
	}
	r.last = i
	return r.servers[i]
}

// Update finds the place of the last pick in the new list; if that server is
// gone, the nearest one before it that is still there holds the place.
func (r *rr) Update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer) {
	at := -1
	for i := r.last; i >= 0 && at < 0; i-- {
		at = slices.Index(servers, r.servers[i])
	}
	r.last = at
	r.heights.Update(servers, how, changed)
}

// Fork implements [Scheduler].
func (r *rr) Fork(_ *Flow, twin Twins) Scheduler { return &rr{r.heights.fork(twin), r.last} }

// Explain implements [Explainer]: the turns are counted from behind the last
// pick, which has the last one.
func (r *rr) Explain(*Flow, time.Duration) Reasons {
	var place *ipvs.RealServer
	if r.last >= 0 {
		place = r.servers[r.last]
	}
	out := Reasons{Rule: "the next turn wins, in list order", Compares: "turn", Facts: []Fact{{"the turns go on behind", named(place)}}}
	for turn := range r.servers {
		s := r.servers[(r.last+1+turn)%len(r.servers)]
		out.Candidates = append(out.Candidates, Candidate{
			Server: s, Load: int64(turn + 1), Per: 1, Out: unfit(s),
		})
	}
	return out
}
