package sched

import (
	"math/rand/v2"
	"time"

	"natlb/ipvs"
)

// twos is the power of two choices: two servers are drawn at random in
// proportion to their weights, possibly the same one twice, and the one with
// less overhead per weight takes the connection, the first drawn if equal.
//
// The draws include 0, as in the kernel: with a total weight of T the first
// server in the list is drawn with probability (weight + 1) / (T + 1).
//
// Source: ip_vs_twos.c.
type twos struct {
	list
	rng *rand.Rand
}

func newTwos(rng *rand.Rand) *twos { return &twos{rng: rng} }

// Schedule draws two servers and compares them.
func (t *twos) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	var total int64
	for _, s := range t.servers {
		total += share(s)
	}
	if total == 0 {
		return nil
	}
	draw1, draw2 := t.rng.Int64N(total+1), t.rng.Int64N(total+1)
	first, second := t.drawn(draw1), t.drawn(draw2)
	if first == nil || second == nil {
		return nil // the last ones were overloaded by another shard just now
	}
	if int64(second.Weight())*overhead(first) > int64(first.Weight())*overhead(second) {
		return second
	}
	return first
}

// drawn returns the server in whose share of the total weight the draw falls.
func (t *twos) drawn(draw int64) *ipvs.RealServer {
	var last *ipvs.RealServer
	for _, s := range t.servers {
		weight := share(s)
		if weight == 0 {
			continue
		}
		if draw -= weight; draw <= 0 {
			return s
		}
		last = s
	}
	return last
}

// share is the weight with which a server takes part in the draw.
func share(s *ipvs.RealServer) int64 {
	if s.Overloaded() {
		return 0
	}
	return int64(max(s.Weight(), 0))
}
