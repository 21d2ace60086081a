package sched

import (
	"time"

	"natlb/ipvs"
)

// ovf is weighted overflow: the heaviest server takes the connections until its
// active ones exceed its weight (so it takes weight + 1 of them), then the next
// heaviest; the first in the list among equals. When all are full the client is
// refused. UDP connections are never active and never overflow.
//
// Source: ip_vs_ovf.c.
type ovf struct{ contest }

func newOVF() *ovf { return &ovf{newContest(heaviestWithRoom)} }

// heaviestWithRoom ranks by weight those that have not overflowed.
func heaviestWithRoom(s *ipvs.RealServer) (load int64, per int32) {
	if s.Active() > s.Weight() {
		return out()
	}
	return heaviest(s)
}

// Schedule returns the heaviest that has not overflowed.
func (o *ovf) Schedule(*Flow, time.Duration) *ipvs.RealServer { return o.winner() }

// Fork implements [Scheduler].
func (o *ovf) Fork(_ *Flow, twin Twins) Scheduler { return &ovf{o.fork(twin)} }

// Explain implements [Explainer].
func (o *ovf) Explain(*Flow, time.Duration) Reasons {
	r := Reasons{
		Rule:       "the greatest weight wins, of servers with no more active connections than weight",
		Compares:   "weight",
		Most:       true,
		Candidates: compared(o.servers, byWeight, one),
	}
	for i := range r.Candidates {
		if c := &r.Candidates[i]; c.Out == "" && c.Server.Active() > c.Server.Weight() {
			c.Out = "overflowed"
		}
	}
	return r
}
