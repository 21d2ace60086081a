package sched

import (
	"fmt"
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
	shares
	random *rand.PCG
	rng    *rand.Rand // draws from random
}

func newTwos(random *rand.PCG) *twos { return &twos{random: random, rng: rand.New(random)} }

// Schedule draws two servers and compares them.
func (t *twos) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	total := t.total()
	if total == 0 {
		return nil
	}
	draw1, draw2 := t.rng.Int64N(total+1), t.rng.Int64N(total+1)
	first, second := t.drawn(draw1), t.drawn(draw2)
	if int64(second.Weight())*overhead(first) > int64(first.Weight())*overhead(second) {
		return second
	}
	return first
}

// Fork implements [Scheduler]: the fork has the same draws before it.
func (t *twos) Fork(_ *Flow, twin Twins) Scheduler {
	random := *t.random
	f := newTwos(&random)
	f.shares = t.fork(twin)
	return f
}

// Explain implements [Explainer]. It draws from a copy of the random source.
func (t *twos) Explain(*Flow, time.Duration) Reasons {
	r := Reasons{Compares: perWeight, Rule: "of two servers drawn by weight the one with the least load per weight wins, 256 x active + inactive connections"}
	total := t.total()
	if total == 0 {
		r.Candidates = compared(t.servers, overhead, byWeight)
		return r
	}
	random := *t.random
	rng := rand.New(&random)
	for _, when := range []string{"first", "second"} {
		draw := rng.Int64N(total + 1)
		s := t.drawn(draw)
		r.Facts = append(r.Facts, Fact{when + " draw", fmt.Sprintf("%d of 0 to %d: %s", draw, total, named(s))})
		if len(r.Candidates) == 0 || r.Candidates[0].Server != s {
			r.Candidates = append(r.Candidates, Candidate{Server: s, Load: overhead(s), Per: byWeight(s), Note: "drawn " + when})
		}
	}
	r.Candidates = others(r.Candidates, t.servers, "not drawn")
	for i := range r.Candidates {
		if c := &r.Candidates[i]; c.Out != "" && unfit(c.Server) != "" {
			c.Out = unfit(c.Server)
		}
	}
	return r
}
