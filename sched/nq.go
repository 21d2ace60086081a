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
