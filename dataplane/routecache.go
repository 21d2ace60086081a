package dataplane

// routeCache keeps the ways that packets of a shard have taken lately. It is
// direct-mapped: two addresses in one place push each other out, which costs a
// look-up and nothing else. A new view of the host empties it.
type routeCache struct {
	entries [routeCacheSize]routeEntry
	epoch   uint32
}

type routeEntry struct {
	dst   uint32
	epoch uint32 // valid when equal to the cache's, which is never 0
	hop   Hop
}

const (
	routeCacheBits = 10
	routeCacheSize = 1 << routeCacheBits
)

// lookup returns the way to dst. The result is valid until the next lookup.
func (c *routeCache) lookup(h Host, dst uint32) *Hop {
	e := &c.entries[dst*0x9e3779b1>>(32-routeCacheBits)]
	if e.dst != dst || e.epoch != c.epoch {
		*e = routeEntry{dst, c.epoch, h.Lookup(dst)}
		e.hop.to = dst
	}
	return &e.hop
}

func (c *routeCache) reset() {
	if c.epoch++; c.epoch == 0 {
		*c = routeCache{epoch: 1}
	}
}
