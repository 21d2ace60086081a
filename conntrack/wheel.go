package conntrack

import "time"

// wheel is a hierarchical timing wheel over the entries of one table. An entry
// sits in the slot of the deadline it had when it was placed. A packet that
// prolongs a connection only moves the deadline; the wheel finds out when the
// old slot comes up and places the entry anew, so the path of a packet touches
// no list.
type wheel struct {
	heads [levels * slots]Ref
	tick  int64 // the tick whose slots are being emptied
	level int   // the next level to empty for this tick
}

const (
	tickBits = 24 // 2^24 ns: 16.8 ms, how late an entry can end
	slotBits = 8
	slots    = 1 << slotBits
	levels   = 4 // 2^32 ticks: over two years, above the longest timeout of 31 days
)

func tickOf(t time.Duration) int64 { return int64(t) >> tickBits }

// dueTick is the first tick at which t has passed.
func dueTick(t time.Duration) int64 { return (int64(t) + 1<<tickBits - 1) >> tickBits }

// jump lets the wheel of an empty table go to now at once: nothing is on the
// ticks in between.
func (w *wheel) jump(now time.Duration) { w.tick, w.level = tickOf(now), 0 }

// place links r into the slot of its deadline.
func (w *wheel) place(t *Table, r Ref, c *Conn) {
	due := max(dueTick(c.Deadline), w.tick+1)
	delta := due - w.tick
	level := 0
	for level < levels-1 && delta >= 1<<(slotBits*(level+1)) {
		level++
	}
	slot := level*slots + int(due>>(slotBits*level))&(slots-1)
	head := w.heads[slot]
	c.timerPrev, c.timerNext, c.timerSlot = 0, head, uint16(slot+1)
	if head != 0 {
		t.At(head).timerPrev = r
	}
	w.heads[slot] = r
}

// remove unlinks c.
func (w *wheel) remove(t *Table, c *Conn) {
	if c.timerSlot == 0 {
		return
	}
	if c.timerPrev != 0 {
		t.At(c.timerPrev).timerNext = c.timerNext
	} else {
		w.heads[c.timerSlot-1] = c.timerNext
	}
	if c.timerNext != 0 {
		t.At(c.timerNext).timerPrev = c.timerPrev
	}
	c.timerPrev, c.timerNext, c.timerSlot = 0, 0, 0
}

// placedAfter reports whether c's slot comes up only after its deadline, which
// happens when a deadline moves forward (ESTABLISHED to CLOSE, say).
func (w *wheel) placedAfter(c *Conn) bool {
	slot := int64(c.timerSlot - 1)
	level := slot >> slotBits
	shift := slotBits * level
	// The first tick from now on at which this slot is emptied.
	at := w.tick&^(slots<<shift-1) | slot&(slots-1)<<shift
	if at <= w.tick {
		at += slots << shift
	}
	return at > dueTick(c.Deadline)
}

// pop returns the next entry whose slot is due at or before now, unlinked, or 0
// when there is none. Entries may turn out to be not due: the caller places
// them anew.
func (w *wheel) pop(t *Table, now int64) Ref {
	for w.tick <= now {
		for ; w.level < levels; w.level++ {
			shift := slotBits * w.level
			if w.tick&(1<<shift-1) != 0 {
				break // higher levels turn more slowly
			}
			slot := w.level*slots + int(w.tick>>shift)&(slots-1)
			if r := w.heads[slot]; r != 0 {
				w.remove(t, t.At(r))
				return r
			}
		}
		if w.tick == now {
			return 0
		}
		w.tick, w.level = w.tick+1, 0
	}
	return 0
}

// next returns how long after the current tick the nearest occupied slot comes
// up, looking no further than the end of the lowest level.
func (w *wheel) next() time.Duration {
	for i := int64(1); i <= slots; i++ {
		at := w.tick + i
		if w.heads[at&(slots-1)] != 0 || at&(slots-1) == 0 {
			return time.Duration(i) << tickBits
		}
	}
	return slots << tickBits
}
