package conntrack

import "natlb/rewrite"

// By FULLNAT the real server sees no client: packets reach it from a source address
// of the director's and a port that stands for the connection. So its answers are
// not found by the client's endpoint, and the connection has a second entry, its
// twin, whose client endpoint is that source. The two refer to each other by
// Control, for which connections of FULLNAT have no other use.
//
// A twin is no connection: it has neither state nor timer, is not counted, listed or
// evicted, does not count against the cap, and ends with its connection. Of its
// fields those of Key4, RIP, RPort, Dest and Control mean something.

// Pair gives connection r, which is FULLNAT's and has its real server, the twin by
// which that server's packets to addr:port, in host byte order, are found. owner is
// put into the twin's Dest: what the table's owner knows the address by.
func (t *Table) Pair(r Ref, addr uint32, port uint16, owner uint32) {
	twin := t.take()
	c := t.At(r)
	*t.At(twin) = Conn{
		CIP: addr, CPort: port, RIP: c.RIP, RPort: c.RPort, Proto: c.Proto,
		Flags: Twin | Flags(c.Flags&MethodMask), Dest: owner, Control: r,
	}
	t.pair(r, twin, t.hash(c.Proto, addr, port))
}

// Pair6 is Pair for IPv6.
func (t *Table) Pair6(r Ref, addr rewrite.Addr6, port uint16, owner uint32) {
	twin := t.take()
	c := t.At(r)
	*t.At(twin) = Conn{
		CIP: addr.Fold(), CPort: port, RIP: c.RIP, RPort: c.RPort, Proto: c.Proto,
		Flags: Twin | V6 | Flags(c.Flags&MethodMask), Dest: owner, Control: r,
	}
	*t.Ends6(twin) = Ends6{CIP: addr, RIP: t.Ends6(r).RIP}
	t.pair(r, twin, t.Hash6(c.Proto, addr, port))
}

// pair files the twin of connection r under hash h.
func (t *Table) pair(r, twin Ref, h uint32) {
	t.At(r).Control = twin
	t.twins++
	t.index.add(t, h, twin)
	if t.index.overloaded(t.live + t.twins) {
		t.index.grow(t)
	}
}

// Twin returns the twin of a connection of FULLNAT and where it is.
func (t *Table) Twin(c *Conn) (Ref, *Conn) { return c.Control, t.At(c.Control) }

// FindFull returns the newest connection of FULLNAT of a client's end that with
// approves of, or 0. It is for questions: packets of servers are found by FindOut.
func (t *Table) FindFull(e ClientEnd, with func(Ref, *Conn) bool) Ref {
	for _, r := range t.chain(e) {
		if c := t.At(r); c.paired() && c.Flags&Twin == 0 && with(r, c) {
			return r
		}
	}
	return 0
}

// part ends a twin. What it was goes with it, so that nobody takes the place for one.
func (t *Table) part(twin Ref) {
	c := t.At(twin)
	t.index.remove(t, t.hashOf(twin, c), twin)
	*c = Conn{next: t.free}
	t.free = twin
	t.twins--
}

// paired reports whether c is a connection of FULLNAT with its twin.
func (c *Conn) paired() bool { return c.Full() && c.Control != 0 }

// Controlled reports whether another connection controls c: a twin does not.
func (c *Conn) Controlled() bool { return c.Control != 0 && !c.Full() }

// present reports whether there is an entry in the place of c: a live one or a twin.
func (c *Conn) present() bool { return c.live || c.Flags&Twin != 0 }
