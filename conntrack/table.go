package conntrack

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Config sets up a table.
type Config struct {
	// Seed keys the hash, because keys come from strangers. A replay passes a
	// fixed one.
	Seed uint64
	// Max is the cap on entries; 0 means DefaultMax.
	Max int
	// Died is called for each entry that ends, before it is reused, so that
	// its owner can give back what the entry is counted in. It must not call
	// the table, but for Ends6 and Twin. May be nil.
	Died func(Ref, *Conn)
	// V6 makes a table of IPv6.
	V6 bool
}

// DefaultMax is the default cap on the entries of one table.
const DefaultMax = 16 << 20

// MostEntryBytes is the most memory that an entry takes with its share of the index:
// that of one of IPv6. One of IPv4 takes 48 bytes less.
const MostEntryBytes = 160

// Table holds the IPv4 or the IPv6 connections of one shard. It is not safe for
// concurrent use.
type Table struct {
	cfg   Config
	index index
	wheel wheel
	slabs [][]Conn
	wide  [][]Ends6 // beside slabs in a table of IPv6
	free  Ref       // list of removed entries, linked by next
	used  Ref       // entries ever handed out
	live  int       // twins not counted
	twins int

	beside *Table // whose entries count against the cap, too, or nil

	portless int             // entries with NoCPort
	helpers  map[Ref]*Helper // of entries with Helped, made on demand

	hand Ref  // where the last search for an entry to evict ended
	due  bool // the last Expire ran out of budget: more may be due

	fetched uint32 // what Fetch has read, or else the compiler would leave the reading out
}

const (
	slabBits = 13 // 640 KiB a slab
	slabSize = 1 << slabBits
)

// NewTable returns an empty table.
func NewTable(cfg Config) *Table {
	if cfg.Max <= 0 {
		cfg.Max = DefaultMax
	}
	return &Table{cfg: cfg, index: newIndex()}
}

// Share makes the entries of t and o count together against the cap of either.
func (t *Table) Share(o *Table) { t.beside, o.beside = o, t }

// counted returns how many entries count against the cap.
func (t *Table) counted() int {
	if t.beside == nil {
		return t.live
	}
	return t.live + t.beside.live
}

// Slots returns the number of places that entries and twins have ever taken, an
// upper bound for Range and Sweep.
func (t *Table) Slots() int { return int(t.used) }

// Len returns the number of live entries, templates included and twins not.
func (t *Table) Len() int { return t.live }

// At returns the entry that r names. r must be live.
func (t *Table) At(r Ref) *Conn {
	i := r - 1
	return &t.slabs[i>>slabBits][i&(slabSize-1)]
}

// FindIn returns the connection of a packet from a client, newest first, or 0:
// its key is k, or all of k but the client's port, which it still waits for
// (ip_vs_conn_in_get).
func (t *Table) FindIn(k *Key4) Ref {
	found := t.index.find(t.hash(k.Proto, k.CIP, k.CPort))
	for r := found.next(t); r != 0; r = found.next(t) {
		c := t.At(r)
		if c.VIP == k.VIP && c.VPort == k.VPort && c.CIP == k.CIP &&
			c.CPort == k.CPort && c.Proto == k.Proto && c.Flags&(Template|NoCPort|Twin) == 0 {
			return r
		}
	}
	if t.portless > 0 {
		return t.findPortless(k)
	}
	return 0
}

// FindOut returns the connection of a packet from sip:sport to the client
// cip:cport, newest first, or 0: the real server's endpoint for translated
// connections, the virtual one for others (ip_vs_conn_out_get). By FULLNAT the
// client is the source address that stands for it, and the connection is the twin's.
func (t *Table) FindOut(proto uint8, sip uint32, sport uint16, cip uint32, cport uint16) Ref {
	found := t.index.find(t.hash(proto, cip, cport))
	for r := found.next(t); r != 0; r = found.next(t) {
		c := t.At(r)
		if c.CIP == cip && c.CPort == cport && c.Proto == proto && c.Flags&Template == 0 {
			if c.Masq() {
				if c.RIP == sip && c.RPort == sport {
					return r
				}
			} else if c.Full() {
				if c.Flags&Twin != 0 && c.RIP == sip && c.RPort == sport {
					return c.Control
				}
			} else if c.VIP == sip && c.VPort == sport {
				return r
			}
		}
	}
	return 0
}

// FindTemplate returns the persistence template with key k (CPort 0), or 0.
func (t *Table) FindTemplate(k *Key4) Ref { return t.findZero(k, Template) }

// Insert makes an entry with key k, the initial timeout and no other contents,
// in front of older entries with the same key. It returns 0 when the table is
// at its cap; see Evict.
func (t *Table) Insert(k *Key4, now time.Duration) Ref {
	r := t.room(now)
	if r == 0 {
		return 0
	}
	c := t.At(r)
	*c = Conn{
		CIP: k.CIP, VIP: k.VIP, CPort: k.CPort, VPort: k.VPort, Proto: k.Proto,
		Timeout: InitialTimeout, Deadline: now + InitialTimeout, live: true,
	}
	t.enter(r, c, t.hash(c.Proto, c.CIP, c.CPort))
	return r
}

// room returns a slot for a new entry, 0 when the table is at its cap.
func (t *Table) room(now time.Duration) Ref {
	if t.counted() >= t.cfg.Max {
		return 0
	}
	if t.live == 0 {
		t.wheel.jump(now)
	}
	return t.take()
}

// enter makes the new entry r, which has hash h, one of the table's.
func (t *Table) enter(r Ref, c *Conn, h uint32) {
	t.index.add(t, h, r)
	t.live++
	if t.index.overloaded(t.live + t.twins) {
		t.index.grow(t)
	}
	t.wheel.place(t, r, c)
}

// Arm restarts the timer of c: it ends Timeout after now.
func (t *Table) Arm(r Ref, c *Conn, now time.Duration) {
	deadline := now + c.Timeout
	earlier := deadline < c.Deadline
	c.Deadline = deadline
	if earlier && t.wheel.placedAfter(c) {
		t.wheel.remove(t, c)
		t.wheel.place(t, r, c)
	}
}

// Remove ends an entry at once, whatever its timer says. The entry must not
// control others (NControl is 0): they would refer to whatever takes its place.
// Removing one that has ended already does nothing.
func (t *Table) Remove(r Ref) {
	c := t.At(r)
	if !c.live {
		return
	}
	t.index.remove(t, t.hashOf(r, c), r)
	t.wheel.remove(t, c)
	twin := Ref(0)
	switch {
	case c.Control == 0:
	case c.paired():
		twin = c.Control
	default:
		t.At(c.Control).NControl--
	}
	if c.Flags&NoCPort != 0 {
		t.portless--
	}
	if c.Flags&Helped != 0 {
		delete(t.helpers, r)
	}
	if t.cfg.Died != nil {
		t.cfg.Died(r, c)
	}
	if twin != 0 {
		t.part(twin)
	}
	c.live = false
	c.next, t.free = t.free, r
	t.live--
}

// Expire ends the entries whose time is up at now, looking at no more than
// budget entries, and reports how many it ended. An entry that controls others
// lives on for ControlTimeout instead (semantics 3.4).
func (t *Table) Expire(now time.Duration, budget int) (ended int) {
	t.due = false
	if t.live == 0 {
		return 0
	}
	for ; ; budget-- {
		if t.due = budget <= 0; t.due {
			break
		}
		r := t.wheel.pop(t, tickOf(now))
		if r == 0 {
			break
		}
		switch c := t.At(r); {
		case c.Deadline > now:
			t.wheel.place(t, r, c)
		case c.NControl > 0:
			c.Timeout = ControlTimeout
			c.Deadline = now + c.Timeout
			t.wheel.place(t, r, c)
		default:
			t.Remove(r)
			ended++
		}
	}
	return ended
}

// NextExpiry returns how long after now Expire may have something to do; a long
// time when the table is empty.
func (t *Table) NextExpiry(now time.Duration) time.Duration {
	switch {
	case t.live == 0:
		return time.Hour
	case t.due:
		return 0
	}
	if behind := now - time.Duration(t.wheel.tick<<tickBits); behind > 0 {
		return max(t.wheel.next()-behind, 0)
	}
	return t.wheel.next()
}

// evictLook is how many places Evict looks at.
const evictLook = 64

// Evict removes one entry to make room: one of which nothing shows that both its
// ends are there (half-open, announced, UDP without an answer) first, then a
// finished one, never an established one. It looks at a bounded number of entries
// and reports whether it found one.
func (t *Table) Evict() bool {
	var finished Ref
	for range min(evictLook, int(t.used)) {
		t.hand = t.hand%t.used + 1
		c := t.At(t.hand)
		if !c.live || c.NControl > 0 || c.Flags&Template != 0 {
			continue
		}
		if c.unproven() {
			t.Remove(t.hand)
			return true
		}
		if c.finished() {
			finished = t.hand
		}
	}
	if finished != 0 {
		t.Remove(finished)
		return true
	}
	return false
}

// unproven reports whether nothing shows yet that both ends of a connection are
// there: what a flood with false addresses leaves behind.
func (c *Conn) unproven() bool {
	switch c.Proto {
	case protoTCP:
		return c.State.HalfOpen() || c.State == TCPListen
	case protoUDP:
		return c.Flags&Answered == 0
	case protoSCTP:
		return c.State < SCTPEstablished
	}
	return false
}

// finished reports whether both ends of a connection are done with it.
func (c *Conn) finished() bool {
	switch c.Proto {
	case protoTCP:
		return c.State == TCPTimeWait || c.State == TCPClose
	case protoSCTP:
		return c.State == SCTPClosed || c.State == SCTPRejected
	}
	return false
}

const (
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132
)

// All calls yield for each live entry in table order until it returns false.
// The entry may be changed but not removed from inside.
func (t *Table) All(yield func(Ref, *Conn) bool) {
	t.Range(1, int(t.used), yield)
}

// Range does the same for at most n slots from first on, and returns the Ref to
// go on with, 0 at the end: so a listing of millions need not hold the shard.
func (t *Table) Range(first Ref, n int, yield func(Ref, *Conn) bool) (next Ref) {
	for r := first; r <= t.used; r++ {
		if n--; n < 0 {
			return r
		}
		if c := t.At(r); c.live && !yield(r, c) {
			return 0
		}
	}
	return 0
}

// Sweep removes the entries that gone picks, among at most n slots from first
// on, and returns the Ref to go on with, 0 at the end. Entries that control
// others stay.
func (t *Table) Sweep(first Ref, n int, gone func(*Conn) bool) (next Ref) {
	for r := first; r <= t.used; r++ {
		if n--; n < 0 {
			return r
		}
		if c := t.At(r); c.live && c.NControl == 0 && gone(c) {
			t.Remove(r)
		}
	}
	return 0
}

func (t *Table) hash(proto uint8, cip uint32, cport uint16) uint32 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], t.cfg.Seed)
	// One store: the hash loads these eight bytes at once, and would wait for two.
	binary.LittleEndian.PutUint64(b[8:], uint64(cport)<<48|uint64(proto)<<32|uint64(cip))
	return uint32(xxhash.Sum64(b[:]))
}

// hashOf returns what entry r is filed under.
func (t *Table) hashOf(r Ref, c *Conn) uint32 {
	if t.cfg.V6 {
		return t.Hash6(c.Proto, t.Ends6(r).CIP, c.CPort)
	}
	return t.hash(c.Proto, c.CIP, c.CPort)
}

// take returns a slot from the free list, or the next one of the last slab.
func (t *Table) take() Ref {
	if r := t.free; r != 0 {
		t.free = t.At(r).next
		return r
	}
	if int(t.used)>>slabBits == len(t.slabs) {
		t.slabs = append(t.slabs, make([]Conn, slabSize))
		if t.cfg.V6 {
			t.wide = append(t.wide, make([]Ends6, slabSize))
		}
	}
	t.used++
	return t.used
}
