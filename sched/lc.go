package sched

import (
	"time"

	"natlb/ipvs"
)

// activeShare is the cost of an active connection in inactive ones
// (ip_vs_dest_conn_overhead in include/net/ip_vs.h).
const activeShare = 256

// overhead is the load that lc, wlc, lblc, lblcr and twos compare. Times a
// weight it stays within 64 bits up to 2^23 active connections a server.
func overhead(s *ipvs.RealServer) int64 {
	return int64(s.Active())*activeShare + int64(s.Inactive())
}

// lc is least connection: the smallest overhead wins, the first in the list
// among equals. A weight says no more than whether the server takes part.
//
// Source: ip_vs_lc.c.
type lc struct{ contest }

func newLC() *lc { return &lc{newContest(leastLoad)} }

// leastLoad ranks by overhead.
func leastLoad(s *ipvs.RealServer) (load int64, per int32) {
	if !s.Eligible() {
		return out()
	}
	return overhead(s), 1
}

// Schedule returns the least loaded.
func (l *lc) Schedule(*Flow, time.Duration) *ipvs.RealServer { return l.winner() }

// Fork implements [Scheduler].
func (l *lc) Fork(_ *Flow, twin Twins) Scheduler { return &lc{l.fork(twin)} }

// Explain implements [Explainer].
func (l *lc) Explain(*Flow, time.Duration) Reasons {
	return Reasons{
		Rule:       "the least load wins, 256 x active + inactive connections",
		Compares:   "load",
		Candidates: compared(l.servers, overhead, one),
	}
}
