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
type lc struct{ list }

// Schedule compares all servers.
func (l *lc) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	var best *ipvs.RealServer
	var least int64
	for _, s := range l.servers {
		if !s.Eligible() {
			continue
		}
		if load := overhead(s); best == nil || load < least {
			best, least = s, load
		}
	}
	return best
}

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
