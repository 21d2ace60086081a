package conntrack

import "time"

// A portless entry is a connection whose client port is not known yet, because
// so far the connection has only been announced (FTP's passive mode). Its key
// has client port 0; the client's first packet finds it by the rest of its key
// and fills the port in (semantics 3.3, 5.6).

// InsertPortless is Insert for such an entry: k.CPort is 0, and the entry has the
// flag NoCPort.
func (t *Table) InsertPortless(k *Key4, now time.Duration) Ref {
	return t.waits(t.Insert(k, now))
}

// waits makes the new entry r, if there is one, wait for its client port.
func (t *Table) waits(r Ref) Ref {
	if r != 0 {
		t.At(r).Flags |= NoCPort
		t.portless++
	}
	return r
}

// SetCPort gives a portless entry its client port, in host byte order. It is
// then found as the newest with its key. An entry that has its port keeps it.
func (t *Table) SetCPort(r Ref, port uint16) {
	c := t.At(r)
	if c.Flags&NoCPort == 0 {
		return
	}
	t.index.remove(t, t.hashOf(r, c), r)
	c.CPort = port
	c.Flags &^= NoCPort
	t.portless--
	t.index.add(t, t.hashOf(r, c), r)
}

// findPortless returns the portless entry that fits k but for the client's port,
// newest first, or 0.
func (t *Table) findPortless(k *Key4) Ref { return t.findZero(k, NoCPort) }

// findZero returns the newest entry filed under client port 0 that carries flag
// and fits k but for the client's port, or 0.
func (t *Table) findZero(k *Key4, flag Flags) Ref {
	found := t.index.find(t.hash(k.Proto, k.CIP, 0))
	for r := found.next(t); r != 0; r = found.next(t) {
		c := t.At(r)
		if c.Flags&flag != 0 && c.CIP == k.CIP && c.CPort == 0 && c.VIP == k.VIP &&
			c.VPort == k.VPort && c.Proto == k.Proto {
			return r
		}
	}
	return 0
}
