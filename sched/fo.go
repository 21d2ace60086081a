package sched

import (
	"time"

	"natlb/ipvs"
)

// fo is weighted fail-over: the heaviest server that may take connections takes
// all of them, the first in the list among equals.
//
// Source: ip_vs_fo.c.
type fo struct{ list }

// Schedule compares all servers.
func (o *fo) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	var best *ipvs.RealServer
	var heaviest int32
	for _, s := range o.servers {
		if weight := s.Weight(); weight > heaviest && !s.Overloaded() {
			best, heaviest = s, weight
		}
	}
	return best
}

// Fork implements [Scheduler].
func (o *fo) Fork(_ *Flow, twin Twins) Scheduler { return &fo{o.fork(twin)} }

// Explain implements [Explainer].
func (o *fo) Explain(*Flow, time.Duration) Reasons {
	return Reasons{Rule: "the greatest weight wins", Compares: "weight", Most: true, Candidates: compared(o.servers, byWeight, one)}
}
