package dataplane

import "natlb/rewrite"

// routeCache keeps the ways that packets of a shard have taken lately. It is
// direct-mapped: two addresses in one place push each other out, which costs a
// look-up and nothing else. A new view of the host empties it.
type routeCache struct {
	entries [routeCacheSize]routeEntry[uint32]
	six     []routeEntry[rewrite.Addr6] // made for the first IPv6 packet
	epoch   uint32
}

type routeEntry[A comparable] struct {
	dst   A
	epoch uint32 // valid when equal to the cache's, which is never 0
	hop   Hop
}

const (
	routeCacheBits = 10
	routeCacheSize = 1 << routeCacheBits
)

// lookup returns the way to dst. The result is valid until the next lookup.
func (c *routeCache) lookup(h Host, dst uint32) *Hop {
	e := &c.entries[spread(dst)>>(32-routeCacheBits)]
	if e.dst != dst || e.epoch != c.epoch {
		*e = routeEntry[uint32]{dst, c.epoch, h.Lookup(dst)}
		e.hop.to = dst
	}
	return &e.hop
}

// lookup6 returns the way to dst. The result is valid until the next lookup6.
func (c *routeCache) lookup6(h Host, dst rewrite.Addr6) *Hop {
	if c.six == nil {
		c.six = make([]routeEntry[rewrite.Addr6], routeCacheSize)
	}
	e := &c.six[spread6(dst)>>(32-routeCacheBits)]
	if e.dst != dst || e.epoch != c.epoch {
		*e = routeEntry[rewrite.Addr6]{dst, c.epoch, h.Lookup6(dst)}
		e.hop.to6 = dst
	}
	return &e.hop
}

func (c *routeCache) reset() {
	if c.epoch++; c.epoch == 0 {
		*c = routeCache{epoch: 1}
	}
}
