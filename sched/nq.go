package sched

import (
	"time"

	"natlb/ipvs"
)

// nq is never queue: the first server in the list without active connections
// takes the connection, whatever its weight; when all are busy the sed rule
// decides. For UDP, whose connections are never active, that is always the
// first server that may take any.
//
// Source: ip_vs_nq.c.
type nq struct{ contest }

func newNQ() *nq { return &nq{newContest(idleFirst)} }

// idleFirst ranks by delay, which idle servers do not have.
func idleFirst(s *ipvs.RealServer) (load int64, per int32) {
	if s.Active() == 0 && s.Eligible() {
		return 0, 1
	}
	return shortestDelay(s)
}

// Schedule returns an idle server, or else the one with the shortest delay.
func (n *nq) Schedule(*Flow, time.Duration) *ipvs.RealServer { return n.winner() }

// Fork implements [Scheduler].
func (n *nq) Fork(_ *Flow, twin Twins) Scheduler { return &nq{n.fork(twin)} }

// Explain implements [Explainer]: an idle server is one whose delay is nothing.
func (n *nq) Explain(*Flow, time.Duration) Reasons {
	r := Reasons{
		Rule:       "the first server without active connections wins; else the least (active + 1) per weight",
		Compares:   perWeight,
		Candidates: compared(n.servers, delay, byWeight),
	}
	for i := range r.Candidates {
		if c := &r.Candidates[i]; c.Server.Active() == 0 && c.Out == "" {
			c.Load, c.Per, c.Note = 0, 1, "idle"
		}
	}
	return r
}
