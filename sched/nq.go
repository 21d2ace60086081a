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
type nq struct{ list }

// Schedule looks for an idle server first.
func (n *nq) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	for _, s := range n.servers {
		if s.Active() == 0 && s.Eligible() {
			return s
		}
	}
	return shortestDelay(n.servers)
}

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
