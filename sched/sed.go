package sched

import (
	"time"

	"natlb/ipvs"
)

// sed is shortest expected delay: the smallest (active + 1) per weight wins,
// the first in the list among equals. Inactive connections do not count, and
// UDP connections are always inactive: a UDP service sends everything to its
// heaviest server.
//
// Source: ip_vs_sed.c.
type sed struct{ contest }

func newSED() *sed { return &sed{newContest(shortestDelay)} }

// Schedule returns the server with the shortest delay.
func (s *sed) Schedule(*Flow, time.Duration) *ipvs.RealServer { return s.winner() }

// delay is the load that sed and nq compare.
func delay(s *ipvs.RealServer) int64 { return int64(s.Active()) + 1 }

// shortestDelay is the sed rule, which nq falls back to.
func shortestDelay(s *ipvs.RealServer) (load int64, per int32) {
	if !s.Eligible() {
		return out()
	}
	return delay(s), s.Weight()
}

// Fork implements [Scheduler].
func (s *sed) Fork(_ *Flow, twin Twins) Scheduler { return &sed{s.fork(twin)} }

// Explain implements [Explainer].
func (s *sed) Explain(*Flow, time.Duration) Reasons {
	return Reasons{Rule: "the least (active connections + 1) per weight wins", Compares: perWeight, Candidates: compared(s.servers, delay, byWeight)}
}
