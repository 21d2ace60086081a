package sched

import (
	"time"

	"natlb/ipvs"
)

// wlc is weighted least connection, the default of IPVS: the smallest overhead
// per weight wins, the first in the list among equals. Idle servers are equal
// whatever their weights, so the first connections go one to each.
//
// Source: ip_vs_wlc.c.
type wlc struct{ contest }

func newWLC() *wlc { return &wlc{newContest(leastLoadPerWeight)} }

// leastLoadPerWeight is the wlc rule; lblc and lblcr use it too.
func leastLoadPerWeight(s *ipvs.RealServer) (load int64, per int32) {
	if !s.Eligible() {
		return out()
	}
	return overhead(s), s.Weight()
}

// Schedule returns the least loaded for its weight.
func (w *wlc) Schedule(*Flow, time.Duration) *ipvs.RealServer { return w.winner() }

// Fork implements [Scheduler].
func (w *wlc) Fork(_ *Flow, twin Twins) Scheduler { return &wlc{w.fork(twin)} }

// Explain implements [Explainer].
func (w *wlc) Explain(*Flow, time.Duration) Reasons {
	return Reasons{Rule: wlcRule, Compares: perWeight, Candidates: compared(w.servers, overhead, byWeight)}
}

const (
	wlcRule   = "the least load per weight wins, 256 x active + inactive connections"
	perWeight = "load/weight"
)
