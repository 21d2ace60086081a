package dataplane

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// defence is what IPVS does against floods when memory is short, or always when
// it is told so (semantics section 10).
type defence struct {
	available int // pages of free memory at the last look
	counter   atomic.Int64
	shares    [9]atomic.Uint32 // by packets seen: idle connections passed over since the last one ended
}

// Modes of a defence: 1 and 2 are automatic, inactive and active.
const (
	defenceIdle   = 1
	defenceActive = 2
	defenceAlways = 3
)

// drops reports whether this new connection is the one of rate to be dropped;
// the first is.
func (d *defence) drops(rate int) bool {
	if rate == 0 || d.counter.Add(-1) > 0 {
		return false
	}
	d.counter.Store(int64(rate))
	return true
}

// adjust settles the automatic modes by the free memory, and what follows.
func (s *settings) adjust(available int) {
	short := available < s.amemthresh
	for _, mode := range []*int{&s.dropEntry, &s.dropPacket, &s.secureTCP} {
		switch {
		case *mode == defenceIdle && short:
			*mode = defenceActive
		case *mode == defenceActive && !short:
			*mode = defenceIdle
		}
	}
	s.dropRate = 0
	switch s.dropPacket {
	case defenceAlways:
		s.dropRate = s.amDroprate
	case defenceActive:
		s.dropRate = s.amemthresh / (s.amemthresh - available)
	}
	s.secure = s.secureTCP >= defenceActive
}

// Defend adjusts the defences to the free memory, in pages of 4 KiB, and carries
// out drop_entry. The owner of the clock calls it every second with the time.
func (d *Director) Defend(availablePages int, now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.defence.available = availablePages
	before := d.settings
	d.settings.adjust(availablePages)
	if d.settings != before {
		d.publish()
	}
	if d.settings.dropEntry < defenceActive {
		return
	}
	for _, s := range d.shards {
		s.mu.Lock()
		s.now = max(s.now, now)
		s.dropEntries(d.cfg.Rand, now)
		if s.id == 0 {
			d.templates.dropEntries(s)
		}
		s.mu.Unlock()
	}
}

// dropShare is the part of the table that is looked at each second.
const dropShare = 32

// dropEntries ends some connections of a random part of each table: half-open
// ones, and idle ones that have seen few packets.
func (s *Shard) dropEntries(rng *rand.Rand, now time.Duration) {
	s.ending = ipvs.Defended
	for _, t := range s.tables() {
		slots := t.Slots()
		if slots == 0 {
			continue
		}
		n := (slots + dropShare - 1) / dropShare
		first := conntrack.Ref(1 + rng.IntN(slots))
		t.Sweep(first, n, func(c *conntrack.Conn) bool { return s.dir.defence.ends(c, now) })
	}
	s.ending = ipvs.NoReason
}

// ends decides about one connection.
func (d *defence) ends(c *conntrack.Conn, now time.Duration) bool {
	switch c.Proto {
	case rewrite.ProtoTCP:
		switch c.State {
		case conntrack.TCPSynRecv, conntrack.TCPSynAck:
			return true
		case conntrack.TCPEstablished:
		default:
			return false
		}
	case rewrite.ProtoSCTP:
		switch c.State {
		case conntrack.SCTPInit1, conntrack.SCTPInit:
			return true
		case conntrack.SCTPEstablished:
		default:
			return false
		}
	}
	const idle = 60 * time.Second
	armed := c.Deadline - c.Timeout
	if now-armed < idle || c.InPkts < 1 || c.InPkts > 8 {
		return false
	}
	share := &d.shares[c.InPkts]
	if share.Add(1) < c.InPkts {
		return false
	}
	share.Store(0)
	return true
}

// dropEntries ends templates under which nothing ever got through.
func (t *templates) dropEntries(s *Shard) {
	t.hold(s, ipvs.Defended)
	defer t.mu.Unlock()
	for _, table := range t.tables() {
		table.Sweep(1, table.Slots(), func(c *conntrack.Conn) bool { return c.State != conntrack.TemplateAssured })
	}
}
