package conntrack

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"natlb/rewrite"
)

// A table of IPv6 has an Ends6 for each entry beside it, under the same Ref, so that
// entries of IPv4 are no longer for it. Its entries carry the flag V6 and folds of
// the addresses. What takes or gives an address has a name that ends in 6; the rest
// of Table serves both.

// Key6 is the identity of an IPv6 connection, as Key4 is of an IPv4 one.
type Key6 struct {
	CIP, VIP     rewrite.Addr6
	CPort, VPort uint16
	Proto        uint8 // IANA number; 0 in templates of firewall-mark services
}

// Ends6 are the addresses of an IPv6 connection.
type Ends6 struct{ CIP, VIP, RIP rewrite.Addr6 }

// MarkVIP6 returns what stands for the VIP in the key of a template of a firewall
// mark's service: the mark in the first word (the kernel lists [0:3::]:0 for mark 3).
func MarkVIP6(mark uint32) rewrite.Addr6 { return rewrite.Addr6{Hi: uint64(mark) << 32} }

// Ends6 returns the addresses of entry r of a table of IPv6. CIP and VIP are the
// table's; who changes RIP gives the entry its fold, too.
func (t *Table) Ends6(r Ref) *Ends6 {
	i := r - 1
	return &t.wide[i>>slabBits][i&(slabSize-1)]
}

// Key6 returns the identity of entry r.
func (t *Table) Key6(r Ref) Key6 {
	c, e := t.At(r), t.Ends6(r)
	return Key6{CIP: e.CIP, VIP: e.VIP, CPort: c.CPort, VPort: c.VPort, Proto: c.Proto}
}

// FindIn6 is FindIn for IPv6.
func (t *Table) FindIn6(k *Key6) Ref {
	found := t.index.find(t.Hash6(k.Proto, k.CIP, k.CPort))
	for r := found.next(t); r != 0; r = found.next(t) {
		c := t.At(r)
		if c.VPort == k.VPort && c.CPort == k.CPort && c.Proto == k.Proto && c.Flags&(Template|NoCPort|Twin) == 0 && t.between(r, k) {
			return r
		}
	}
	if t.portless > 0 {
		return t.findZero6(k, NoCPort)
	}
	return 0
}

// FindOut6 is FindOut for IPv6.
func (t *Table) FindOut6(proto uint8, sip rewrite.Addr6, sport uint16, cip rewrite.Addr6, cport uint16) Ref {
	candidates := t.index.find(t.Hash6(proto, cip, cport))
	for r := candidates.next(t); r != 0; r = candidates.next(t) {
		c := t.At(r)
		if c.CPort != cport || c.Proto != proto || c.Flags&Template != 0 {
			continue
		}
		e := t.Ends6(r)
		addr, port, found := &e.VIP, c.VPort, r
		switch {
		case c.Masq():
			addr, port = &e.RIP, c.RPort
		case !c.Full():
		case c.Flags&Twin == 0:
			continue
		default:
			addr, port, found = &e.RIP, c.RPort, c.Control
		}
		if port == sport && *addr == sip && e.CIP == cip {
			return found
		}
	}
	return 0
}

// FindTemplate6 is FindTemplate for IPv6: k has CPort 0, and the network of the
// client in CIP (rewrite.Addr6.Masked).
func (t *Table) FindTemplate6(k *Key6) Ref { return t.findZero6(k, Template) }

// findZero6 is findZero for IPv6.
func (t *Table) findZero6(k *Key6, flag Flags) Ref {
	found := t.index.find(t.Hash6(k.Proto, k.CIP, 0))
	for r := found.next(t); r != 0; r = found.next(t) {
		c := t.At(r)
		if c.Flags&flag != 0 && c.CPort == 0 && c.VPort == k.VPort && c.Proto == k.Proto && t.between(r, k) {
			return r
		}
	}
	return 0
}

// between reports whether entry r has the addresses of k.
func (t *Table) between(r Ref, k *Key6) bool {
	e := t.Ends6(r)
	return e.CIP == k.CIP && e.VIP == k.VIP
}

// Insert6 is Insert for IPv6. The entry has the flag V6.
func (t *Table) Insert6(k *Key6, now time.Duration) Ref {
	r := t.room(now)
	if r == 0 {
		return 0
	}
	c := t.At(r)
	*c = Conn{
		CIP: k.CIP.Fold(), VIP: k.VIP.Fold(), CPort: k.CPort, VPort: k.VPort, Proto: k.Proto, Flags: V6,
		Timeout: InitialTimeout, Deadline: now + InitialTimeout, live: true,
	}
	*t.Ends6(r) = Ends6{CIP: k.CIP, VIP: k.VIP}
	t.enter(r, c, t.Hash6(k.Proto, k.CIP, k.CPort))
	return r
}

// InsertPortless6 is InsertPortless for IPv6.
func (t *Table) InsertPortless6(k *Key6, now time.Duration) Ref { return t.waits(t.Insert6(k, now)) }

// Hash6 is Hash for IPv6: of the whole address, seeded, since clients choose theirs
// from 2^64 and more. The upper half is hashed by itself, and what comes of it is the
// seed for the rest: XXH64 reads word by word, and who may choose two of them can
// make the second take back what the first has changed, whatever the seed.
func (t *Table) Hash6(proto uint8, cip rewrite.Addr6, cport uint16) uint32 {
	var b [20]byte
	binary.LittleEndian.PutUint64(b[:], t.cfg.Seed)
	binary.LittleEndian.PutUint64(b[8:], cip.Hi)
	binary.LittleEndian.PutUint64(b[:], xxhash.Sum64(b[:16]))
	binary.LittleEndian.PutUint64(b[8:], cip.Lo)
	binary.LittleEndian.PutUint32(b[16:], uint32(cport)<<16|uint32(proto))
	return uint32(xxhash.Sum64(b[:]))
}
