package conntrack

import (
	"slices"

	"natlb/rewrite"
)

// ClientEnd is the client's end of a connection: address and port in host byte
// order. Templates and portless entries are filed under port 0. In a table of IPv6
// the address is CIP6.
type ClientEnd struct {
	CIP   uint32
	CPort uint16
	Proto uint8
	CIP6  rewrite.Addr6
}

// forkRoom is how many entries a fork takes beyond those that it begins with.
const forkRoom = 16

// Fork returns a table of its own in which packets of some client ends meet what
// they would meet in t: copies of all entries filed under these ends and of those
// that also names, each with what controls it, and of what a full t would look
// at to make room. refs gives the place in the fork of each entry that was
// copied. The cost does not depend on the number of entries in t, and the fork
// has room for a few more.
//
// An entry's Template is left as it is: it names an entry of another table.
func (t *Table) Fork(died func(Ref, *Conn), ends []ClientEnd, also ...Ref) (f *Table, refs map[Ref]Ref) {
	wanted := t.evictable() // in front, where the fork's own search begins
	wanted = append(wanted, also...)
	clients := len(wanted)
	for _, e := range ends {
		wanted = append(wanted, t.chain(e)...)
	}
	others := len(wanted)
	refs = make(map[Ref]Ref, len(wanted))
	for i := 0; i < len(wanted); i++ {
		_, seen := refs[wanted[i]]
		refs[wanted[i]] = 0
		if c := t.At(wanted[i]); !seen && c.present() && c.Control != 0 { // a connection of FULLNAT and its twin name each other
			wanted = append(wanted, c.Control)
		}
	}
	f = &Table{cfg: t.cfg, index: smallIndex(len(wanted) + forkRoom), slabs: [][]Conn{make([]Conn, len(wanted)+forkRoom)}}
	if f.cfg.V6 {
		f.wide = [][]Ends6{make([]Ends6, len(f.slabs[0]))}
	}
	f.wheel.tick, f.wheel.level = t.wheel.tick, t.wheel.level
	for _, r := range wanted {
		if refs[r] == 0 {
			refs[r] = f.take()
		}
	}
	// Chains are named newest first, and the newest has to be entered last; nothing
	// else that is wanted may come before them, since it may be of a chain, too.
	slices.Reverse(wanted[clients:others])
	for _, r := range slices.Concat(wanted[clients:], wanted[:clients]) {
		if c := f.At(refs[r]); !c.present() {
			t.copyTo(f, r, refs)
		}
	}
	f.cfg.Died, f.cfg.Max = died, f.live+min(max(t.cfg.Max-t.counted(), 0), forkRoom)
	return f, refs
}

// copyTo makes the entry of f that stands for r. One that has ended stays a gap.
func (t *Table) copyTo(f *Table, r Ref, refs map[Ref]Ref) {
	from, to := t.At(r), refs[r]
	if !from.present() {
		return
	}
	c := f.At(to)
	*c = *from
	c.Control = refs[from.Control]
	c.timerPrev, c.timerNext, c.timerSlot = 0, 0, 0
	if f.cfg.V6 {
		*f.Ends6(to) = *t.Ends6(r)
	}
	f.index.add(f, f.hashOf(to, c), to)
	if c.Flags&Twin != 0 {
		f.twins++
		return
	}
	f.wheel.place(f, to, c)
	f.live++
	if c.Flags&NoCPort != 0 {
		f.portless++
	}
	if h := t.helpers[r]; h != nil {
		*f.Helper(to) = *h
	}
}

// chain returns the entries filed under a client's end, newest first.
func (t *Table) chain(e ClientEnd) (refs []Ref) {
	hash := t.hash(e.Proto, e.CIP, e.CPort)
	if t.cfg.V6 {
		hash = t.Hash6(e.Proto, e.CIP6, e.CPort)
	}
	found := t.index.find(hash)
	for r := found.next(t); r != 0; r = found.next(t) {
		c := t.At(r)
		if c.CPort != e.CPort || c.Proto != e.Proto {
			continue
		}
		if !t.cfg.V6 && c.CIP == e.CIP || t.cfg.V6 && t.Ends6(r).CIP == e.CIP6 {
			refs = append(refs, r)
		}
	}
	return refs
}

// evictable returns the places that Evict would look at if it were called now,
// none while there is room.
func (t *Table) evictable() (refs []Ref) {
	if t.counted() < t.cfg.Max {
		return nil
	}
	hand := t.hand
	for range min(evictLook, int(t.used)) {
		hand = hand%t.used + 1
		refs = append(refs, hand)
	}
	return refs
}
