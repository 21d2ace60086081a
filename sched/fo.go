package sched

import (
	"time"

	"natlb/ipvs"
)

// fo is weighted fail-over: the heaviest server that may take connections takes
// all of them, the first in the list among equals.
//
// Source: ip_vs_fo.c.
type fo struct{ contest }

func newFO() *fo { return &fo{newContest(heaviest)} }

// heaviest ranks by weight.
func heaviest(s *ipvs.RealServer) (load int64, per int32) {
	if !s.Eligible() {
		return out()
	}
	return 1, s.Weight()
}

// Schedule returns the heaviest.
func (o *fo) Schedule(*Flow, time.Duration) *ipvs.RealServer { return o.winner() }

// Fork implements [Scheduler].
func (o *fo) Fork(_ *Flow, twin Twins) Scheduler { return &fo{o.fork(twin)} }

// Explain implements [Explainer].
func (o *fo) Explain(*Flow, time.Duration) Reasons {
	return Reasons{Rule: "the greatest weight wins", Compares: "weight", Most: true, Candidates: compared(o.servers, byWeight, one)}
}
