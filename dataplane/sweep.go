package dataplane

import (
	"natlb/conntrack"
	"natlb/ipvs"
)

// sweepBudget bounds the entries that one batch looks at in a sweep.
const sweepBudget = 4096

// startSweep makes the shards end the connections of deleted servers, which
// happens when one is deleted while expire_nodest_conn is on (semantics 5.3).
// The shards stand still; what a large table has left goes with later batches.
func (d *Director) startSweep() {
	for _, s := range d.shards {
		s.sweep = [2]conntrack.Ref{1, 1}
		s.sweepGone()
	}
}

// sweepGone goes on with a sweep. An entry that controls others is left to live.
func (s *Shard) sweepGone() {
	if s.sweep == [2]conntrack.Ref{} {
		return
	}
	s.ending = ipvs.ServerGone
	for i, t := range s.tables() {
		if s.sweep[i] != 0 {
			s.sweep[i] = t.Sweep(s.sweep[i], sweepBudget, func(c *conntrack.Conn) bool {
				return !s.view.servers[c.Dest].Available()
			})
		}
	}
	s.ending = ipvs.NoReason
}
