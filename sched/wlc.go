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
type wlc struct{ list }

// Schedule compares all servers.
func (w *wlc) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	return leastLoaded(w.servers)
}

// leastLoaded is the wlc rule over any list; lblc and lblcr use it too. Loads
// are compared by cross-multiplication: no division, so no rounding.
func leastLoaded(servers []*ipvs.RealServer) *ipvs.RealServer {
	var best *ipvs.RealServer
	var bestLoad, bestWeight int64
	for _, s := range servers {
		weight := int64(s.Weight())
		if weight <= 0 || s.Overloaded() {
			continue
		}
		if load := overhead(s); best == nil || bestLoad*weight > load*bestWeight {
			best, bestLoad, bestWeight = s, load, weight
		}
	}
	return best
}

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
