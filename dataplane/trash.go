package dataplane

import (
	"time"

	"natlb/sched"
)

const (
	// trashEvery is how often the trash is looked through, and trashGrace how
	// long a server without connections stays in it (semantics 1.4).
	trashEvery = 60 * time.Second
	trashGrace = 120 * time.Second
)

// Housekeep frees deleted servers that nothing refers to any more, and lets
// schedulers forget. The owner of the clock calls it about once a second. It reports
// whether the scope has become smaller: by source addresses that connections had.
func (d *Director) Housekeep(now time.Duration) (smaller bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expireMappings(now)
	if smaller = d.sources.lingers(); smaller {
		thaw := d.freeze()
		d.settleSources()
		d.publish()
		thaw()
	}
	if now < d.trashNext || len(d.trash) == 0 {
		return smaller
	}
	d.trashNext = now + trashEvery
	thaw := d.freeze()
	defer thaw()
	freed := false
	for k, t := range d.trash {
		switch {
		case t.server.InUse():
			t.idle = 0
		case t.idle == 0:
			t.idle = now
		case now-t.idle >= trashGrace:
			delete(d.trash, k)
			d.servers[t.server.ID] = nil
			d.book.staleServers = append(d.book.staleServers, t.server.ID)
			d.forgetServer(t.server.ID)
			d.freeServers = append(d.freeServers, t.server.ID)
			freed = true
		}
	}
	if freed {
		d.publish()
	}
	return smaller
}

// expireMappings runs the housekeeping of schedulers that keep a cache.
func (d *Director) expireMappings(now time.Duration) {
	for _, s := range d.services {
		if e, ok := s.sched.(sched.Expirer); ok {
			s.mu.Lock()
			e.Expire(now)
			s.mu.Unlock()
		}
	}
}
