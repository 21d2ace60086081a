package dataplane

import (
	"sync/atomic"
	"time"
)

// pathMTUs remembers what routers on the way to tunnel servers have said about
// the greatest packet. All shards share it without a lock: an entry is one word,
// and two servers in one place push each other out, which costs an error more. Of IPv6
// a server goes by the hash of its address.
type pathMTUs struct {
	entries [1 << pathBits]atomic.Uint64 // address, MTU, minute of the word
}

const (
	pathBits    = 8
	pathMinutes = 10  // how long a word holds, as in the kernel (mtu_expires)
	leastPath   = 552 // below it a word is not believed (min_pmtu)
)

// pathMTU returns the greatest packet on the way to a server, whose first link takes
// most.
func (d *Director) pathMTU(srv *serverView, most int, now time.Duration) int {
	if srv.v6 {
		return d.paths6.mtu(spread6(srv.addr6), most, now)
	}
	return d.paths.mtu(srv.addr, most, now)
}

// learnMTU notes that packets to a server may be mtu bytes long.
func (d *Director) learnMTU(srv *serverView, mtu uint32, now time.Duration) {
	mtu = min(mtu, 65535)
	if srv.v6 {
		if mtu != 0 {
			mtu = max(mtu, minimumMTU6) // less is not believed (RFC 8201 section 4)
		}
		d.paths6.learn(spread6(srv.addr6), uint16(mtu), now)
		return
	}
	d.paths.learn(srv.addr, uint16(mtu), now)
}

func (m *pathMTUs) entry(dst uint32) *atomic.Uint64 { return &m.entries[spread(dst)>>(32-pathBits)] }

// learn notes that packets to dst may be mtu bytes long. 0 is what routers say
// that do not know about this (before RFC 1191), and teaches nothing.
func (m *pathMTUs) learn(dst uint32, mtu uint16, now time.Duration) {
	if mtu != 0 {
		m.entry(dst).Store(uint64(dst)<<32 | uint64(max(mtu, leastPath))<<16 | uint64(uint16(now/time.Minute)))
	}
}

// mtu returns the greatest packet on the way to dst, whose first link takes most.
func (m *pathMTUs) mtu(dst uint32, most int, now time.Duration) int {
	e := m.entry(dst).Load()
	if uint32(e>>32) != dst || uint16(now/time.Minute)-uint16(e) >= pathMinutes {
		return most
	}
	return min(most, int(uint16(e>>16)))
}
