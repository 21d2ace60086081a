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
type ovf struct{ list }

// Schedule compares all servers.
func (o *ovf) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	var best *ipvs.RealServer
	var heaviest int32
	for _, s := range o.servers {
		weight := s.Weight()
		if weight > heaviest && s.Active() <= weight && !s.Overloaded() {
			best, heaviest = s, weight
		}
	}
	return best
}

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
