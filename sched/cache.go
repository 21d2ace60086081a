package sched

import (
	"iter"
	"math"
	"net/netip"
	"time"
)

// The numbers of the lblc and lblcr tables (ip_vs_lblc.c, ip_vs_lblcr.c).
const (
	cacheBits     = 10
	cacheBuckets  = 1 << cacheBits
	cacheCapacity = 16 * cacheBuckets // entries above which unused ones go early

	housekeeping      = 60 * time.Second // between two runs
	fullCheckRuns     = 30               // every so many runs all old entries go
	crowdedIdle       = 6 * time.Minute  // unused for so long, above the capacity
	defaultExpiration = 24 * time.Hour
)

// addrCache maps destination addresses to what lblc and lblcr remember of them.
// Housekeeping runs every minute: each thirtieth run deletes the entries that
// were unused for the expiration time; in between, while there are more entries
// than the capacity, a run deletes some that were unused for six minutes, going
// round the buckets. The capacity is no hard limit, as in the kernel.
//
// Source: the collection of ip_vs_lblc.c and ip_vs_lblcr.c. Unlike theirs the
// number of entries is exact (there, replacing one in lblc counts it twice).
type addrCache[V any] struct {
	buckets [cacheBuckets]*cacheEntry[V]
	entries int
	rover   int // the bucket that housekeeping visited last

	expiration time.Duration
	run        int           // the coming run, 1..fullCheckRuns
	due        time.Duration // when; 0 until the clock is known
}

// cacheEntry is one address in its bucket's chain.
type cacheEntry[V any] struct {
	addr    netip.Addr
	lastUse time.Duration
	value   V
	next    *cacheEntry[V]
}

// init makes the cache ready; the zero value is not.
func (c *addrCache[V]) init() {
	c.expiration = defaultExpiration
	c.run = 1
}

// get returns the entry of an address and marks it as used now, or nil.
func (c *addrCache[V]) get(a netip.Addr, now time.Duration) *cacheEntry[V] {
	e := c.peek(a)
	if e != nil {
		e.lastUse = now
	}
	return e
}

// peek returns the entry of an address and leaves it as it is, or nil.
func (c *addrCache[V]) peek(a netip.Addr) *cacheEntry[V] {
	for e := c.buckets[bucket(a)]; e != nil; e = e.next {
		if e.addr == a {
			return e
		}
	}
	return nil
}

// put adds an entry for an address that has none.
func (c *addrCache[V]) put(a netip.Addr, now time.Duration, value V) {
	head := &c.buckets[bucket(a)]
	*head = &cacheEntry[V]{addr: a, lastUse: now, value: value, next: *head}
	c.entries++
}

// all walks over the entries.
func (c *addrCache[V]) all() iter.Seq[*cacheEntry[V]] {
	return func(yield func(*cacheEntry[V]) bool) {
		for _, e := range c.buckets {
			for ; e != nil; e = e.next {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// SetExpiration implements [Aging].
func (c *addrCache[V]) SetExpiration(age time.Duration) { c.expiration = age }

// Expire implements [Expirer]: it runs the housekeeping if a run is due. The
// first run is due a minute after the first call.
func (c *addrCache[V]) Expire(now time.Duration) (removed int) {
	if c.due == 0 {
		c.due = now + housekeeping
	}
	if now < c.due {
		return 0
	}
	c.due = now + housekeeping
	switch excess := c.entries - cacheCapacity; {
	case c.run == fullCheckRuns:
		c.run = 1
		return c.sweep(now, c.expiration, math.MaxInt)
	case excess <= 0:
		c.run++
		return 0
	default:
		return c.sweep(now, crowdedIdle, min(excess*4/3, cacheCapacity/2))
	}
}

// sweep deletes entries unused for the given time, whole buckets from the one
// behind the rover on, until the goal is reached or every bucket was visited.
func (c *addrCache[V]) sweep(now, idle time.Duration, goal int) (removed int) {
	for range cacheBuckets {
		c.rover = (c.rover + 1) % cacheBuckets
		for p := &c.buckets[c.rover]; *p != nil; {
			if now-(*p).lastUse < idle {
				p = &(*p).next
				continue
			}
			*p = (*p).next
			removed++
		}
		if removed >= goal {
			break
		}
	}
	c.entries -= removed
	return removed
}

// bucket returns the bucket number of an address.
func bucket(a netip.Addr) uint32 { return hash32(fold(a), cacheBits) }
