package conntrack

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fork asks a fork for one client what the table is asked, lets time pass in it,
// makes room in it and fills it: the table must not notice.
func (m *model) fork(t *rapid.T) {
	key := drawKey(t)
	var died []uint32
	f, refs := m.table.Fork(func(_ Ref, c *Conn) { died = append(died, c.Dest) },
		[]ClientEnd{{key.CIP, key.CPort, key.Proto, six(key.CIP)}, {key.CIP, 0, key.Proto, six(key.CIP)}})
	for from, to := range refs {
		was, is := m.table.At(from), f.At(to)
		if is.live != was.live || is.live && (is.Dest != was.Dest || is.Key() != was.Key() || is.Deadline != was.Deadline || (is.Control == 0) != (was.Control == 0)) {
			t.Fatalf("entry %+v is in the fork %+v", *was, *is)
		}
		if m.v6 && is.live && *f.Ends6(to) != *m.table.Ends6(from) {
			t.Fatalf("addresses %+v are in the fork %+v", *m.table.Ends6(from), *f.Ends6(to))
		}
		if h := m.table.helpers[from]; h != nil && is.live && *f.Helper(to) != *h {
			t.Fatalf("helper %+v is in the fork %+v", *h, *f.Helper(to))
		}
	}
	same := func(what string, want, got Ref) {
		if refs[want] != got {
			t.Fatalf("%s for %+v = %d in the fork, want %d, the table's %d", what, key, got, refs[want], want)
		}
	}
	for _, key.VIP = range modelVIPs {
		for _, key.VPort = range modelVPorts {
			same("FindIn", m.findIn(m.table, key), m.findIn(f, key))
			zero := key
			zero.CPort = 0
			same("FindTemplate", m.findTemplate(m.table, zero), m.findTemplate(f, zero))
		}
		for _, rip := range modelRIPs {
			same("FindOut", m.findOut(m.table, key.Proto, rip, 8080, key.CIP, key.CPort), m.findOut(f, key.Proto, rip, 8080, key.CIP, key.CPort))
		}
	}
	full := m.insertInto(f, key, false) == 0
	if full != (len(m.conns) >= m.max) {
		t.Fatalf("the fork of a table with %d of %d entries is full: %v", len(m.conns), m.max, full)
	}
	if full {
		evicts := f.Evict()
		m.evict(t)
		if evicts != (len(died) == 1) || evicts != (len(m.conns) < m.max) || evicts && m.alive(died[0]) {
			t.Fatalf("the fork made room by ending %v, the table did not", died)
		}
	}
	if rapid.Bool().Draw(t, "time passes in the fork") {
		f.Expire(m.now+rapid.SampledFrom([]time.Duration{tick, 61 * time.Second, 16 * time.Minute}).Draw(t, "time"), 1<<30)
	}
	for range forkRoom {
		m.insertInto(f, key, false)
	}
}

func (m *model) alive(serial uint32) bool {
	for _, c := range m.conns {
		if c.serial == serial {
			return true
		}
	}
	return false
}

// TestForkOfDuplicates: of entries with the same key a fork finds the newest, as
// the table does, and the next one when that has gone. A full table's fork makes
// room where the table would.
func TestForkOfDuplicates(t *testing.T) {
	table := NewTable(Config{Max: 100})
	key := Key4{CIP: 1, VIP: 2, CPort: 3, VPort: 4, Proto: protoUDP}
	for i := range uint32(100) {
		k := key
		if i%3 != 0 {
			k.CIP = 100 + i
		}
		c := table.At(table.Insert(&k, 0))
		c.Dest = i
		if i < 70 {
			c.Flags |= Answered // may not be evicted
		}
	}
	table.hand = 20
	died := []uint32{}
	f, refs := table.Fork(func(_ Ref, c *Conn) { died = append(died, c.Dest) }, []ClientEnd{{CIP: 1, CPort: 3, Proto: protoUDP}})
	if len(refs) != 64+13 { // 34 entries have the key, 21 of them are among the 64 places
		t.Errorf("the fork has %d places, want 77", len(refs))
	}
	if f.Insert(&key, 0) != 0 || !f.Evict() || len(died) != 1 || died[0] != 70 {
		t.Errorf("the full fork ended %v to make room, want 70", died)
	}
	for want := 99; want >= 0; want -= 3 {
		r := f.FindIn(&key)
		if r == 0 || f.At(r).Dest != uint32(want) {
			t.Fatalf("FindIn = %d (%d in the table), want %d", r, f.At(max(r, 1)).Dest, want)
		}
		f.Remove(r)
	}
}
