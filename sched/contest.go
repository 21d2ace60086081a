package sched

import (
	"slices"

	"natlb/ipvs"
)

// rank says what a scheduler compares: the server with the least load/per wins,
// the first in the list among equals. Neither is below 0.
type rank func(s *ipvs.RealServer) (load int64, per int32)

// out is the rank of those that may not be picked: infinite.
func out() (load int64, per int32) { return 1, 0 }

// contest keeps the winner of a comparison of all servers, as a tournament does:
// a tree over the list in which every node has the better one of the two below
// it. A server whose rank has changed plays again against those that it meets on
// its way to the root, as far as that changes a winner: log2(servers) comparisons
// at most. The pick is what stands at the root.
type contest struct {
	watched
	rank rank
	tree []player // the children of node k are 2k and 2k+1, the root is 1; the servers are the last half
}

// player is a server with the rank that it had when last looked at.
type player struct {
	load int64
	per  int32
	i    int32 // place in the list
}

func newContest(r rank) contest { return contest{rank: r} }

// build makes the tree of a new list.
func (c *contest) build() {
	size := leaves(len(c.servers))
	c.tree = slices.Repeat([]player{{load: 1}}, 2*size)
	for i := range c.servers {
		c.tree[size+i] = c.player(i)
	}
	for k := size - 1; k > 0; k-- {
		c.tree[k] = better(c.tree[2*k], c.tree[2*k+1], 0)
	}
}

// Prepare lets those play whose ranks have changed.
func (c *contest) Prepare() { c.refresh(ipvs.Counts, c.build, c.update) }

// winner returns the server that wins now, or nil when nobody takes part.
func (c *contest) winner() *ipvs.RealServer {
	c.Prepare()
	if c.tree[1].per == 0 {
		return nil
	}
	return c.servers[c.tree[1].i]
}

// update looks at server i again.
func (c *contest) update(i int) {
	p, k := c.player(i), len(c.tree)/2+i
	for c.tree[k] != p {
		c.tree[k] = p
		if k == 1 {
			return
		}
		p = better(p, c.tree[k^1], k&1)
		k /= 2
	}
}

// player returns server i with its rank.
func (c *contest) player(i int) player {
	load, per := c.rank(c.servers[i])
	return player{load, per, int32(i)}
}

// better returns the winner of two. Of equals it is p, or with second 1 the
// other: the one that is first in the list. Ranks are compared by
// cross-multiplication: no division, so no rounding. Who wins is anybody's guess,
// the processor's too: so there is no branch, but a mask of ones if the other
// does.
func better(p, other player, second int) player {
	m := (other.load*int64(p.per) - int64(second) - p.load*int64(other.per)) >> 63
	p.load ^= (p.load ^ other.load) & m
	p.per ^= (p.per ^ other.per) & int32(m)
	p.i ^= (p.i ^ other.i) & int32(m)
	return p
}

// fork returns the contest of the servers' twins.
func (c *contest) fork(twin Twins) contest {
	return contest{watched: c.watched.fork(twin), rank: c.rank}
}
