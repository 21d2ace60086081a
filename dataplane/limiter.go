package dataplane

import (
	"sync"
	"time"

	"natlb/rewrite"
)

// ICMPLimits are the host's limits on the ICMP errors that it sends, as the
// sysctls of the same names put them (Documentation/networking/ip-sysctl). The
// zero value means no limits.
type ICMPLimits struct {
	// RateLimit is the time that one error to one address costs; an address
	// may save up six of them (icmp_ratelimit).
	RateLimit time.Duration
	// RateLimit6 is the same of ICMPv6 (ipv6/icmp/ratelimit). The kernel's is less
	// for what a route to a network leads to; natlb's is not.
	RateLimit6 time.Duration
	// PerSecond and Burst bound all errors together (icmp_msgs_per_sec,
	// icmp_msgs_burst).
	PerSecond, Burst int
}

// DefaultICMPLimits are the kernel's.
var DefaultICMPLimits = ICMPLimits{RateLimit: time.Second, RateLimit6: time.Second, PerSecond: 1000, Burst: 50}

// limiter applies ICMPLimits with token buckets, the ones per address in a
// fixed table: an address that loses its place to another starts with a full
// bucket, and the bound on all errors holds anyway.
// All shards share one: the bound is the host's.
type limiter struct {
	mu       sync.Mutex
	limits   ICMPLimits
	all      bucket
	clients  [limiterClients]clientBucket[uint32]
	clients6 [limiterClients]clientBucket[rewrite.Addr6]
}

// clientBucket is the bucket of one address.
type clientBucket[A comparable] struct {
	addr A
	bucket
}

const (
	limiterBits    = 8
	limiterClients = 1 << limiterBits
	clientBurst    = 6
)

// bucket is a token bucket that counts time: full is the moment at which it has
// refilled completely.
type bucket struct{ full time.Duration }

// take takes one token of price each out of a bucket of size tokens.
func (b *bucket) take(now, each time.Duration, size int) bool {
	full := max(b.full, now) + each
	if full-now > each*time.Duration(size) {
		return false
	}
	b.full = full
	return true
}

// copyTo makes to a limiter of its own in the same state.
func (l *limiter) copyTo(to *limiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to.limits, to.all, to.clients, to.clients6 = l.limits, l.all, l.clients, l.clients6
}

// allow takes a token for an error to addr.
func (l *limiter) allow(addr uint32, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.clients[spread(addr)>>(32-limiterBits)]
	return l.takeOfAll(now) && c.takeFor(addr, l.limits.RateLimit, now)
}

// allow6 takes a token for an error to an IPv6 address.
func (l *limiter) allow6(addr rewrite.Addr6, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.clients6[spread6(addr)>>(32-limiterBits)]
	return l.takeOfAll(now) && c.takeFor(addr, l.limits.RateLimit6, now)
}

// takeOfAll takes a token out of what all errors share.
func (l *limiter) takeOfAll(now time.Duration) bool {
	n := l.limits.PerSecond
	return n <= 0 || l.all.take(now, time.Second/time.Duration(n), max(l.limits.Burst, 1))
}

// takeFor takes a token of price each for addr, whose bucket this is or becomes.
func (c *clientBucket[A]) takeFor(addr A, each, now time.Duration) bool {
	if each <= 0 {
		return true
	}
	if c.addr != addr {
		c.addr, c.full = addr, 0
	}
	return c.take(now, each, clientBurst)
}
