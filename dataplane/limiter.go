package dataplane

import (
	"sync"
	"time"
)

// ICMPLimits are the host's limits on the ICMP errors that it sends, as the
// sysctls of the same names put them (Documentation/networking/ip-sysctl). The
// zero value means no limits.
type ICMPLimits struct {
	// RateLimit is the time that one error to one address costs; an address
	// may save up six of them (icmp_ratelimit).
	RateLimit time.Duration
	// PerSecond and Burst bound all errors together (icmp_msgs_per_sec,
	// icmp_msgs_burst).
	PerSecond, Burst int
}

// DefaultICMPLimits are the kernel's.
var DefaultICMPLimits = ICMPLimits{RateLimit: time.Second, PerSecond: 1000, Burst: 50}

// limiter applies ICMPLimits with token buckets, the ones per address in a
// fixed table: an address that loses its place to another starts with a full
// bucket, and the bound on all errors holds anyway.
// All shards share one: the bound is the host's.
type limiter struct {
	mu      sync.Mutex
	limits  ICMPLimits
	all     bucket
	clients [limiterClients]struct {
		addr uint32
		bucket
	}
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
	to.limits, to.all, to.clients = l.limits, l.all, l.clients
}

// allow takes a token for an error to addr.
func (l *limiter) allow(addr uint32, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.PerSecond > 0 && !l.all.take(now, time.Second/time.Duration(l.limits.PerSecond), max(l.limits.Burst, 1)) {
		return false
	}
	if l.limits.RateLimit > 0 {
		c := &l.clients[addr*0x9e3779b1>>(32-limiterBits)]
		if c.addr != addr {
			c.addr, c.full = addr, 0
		}
		return c.take(now, l.limits.RateLimit, clientBurst)
	}
	return true
}
