package replay

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"natlb/dataplane"
	"natlb/ipvs"
	"natlb/rewrite"
)

// book keeps the connections: those that live, by both their faces, and those
// that have ended.
type book struct {
	live    map[face]*Conn
	ended   []*Conn
	keep    uint64 // how many are wanted in the end: the first ones
	total   uint64 // of connections, templates not counted
	born    uint64 // templates too
	lost    uint64 // events that the director had no room for
	events  []ipvs.Event
	event   func(*ipvs.Event, *Conn)
	flags   map[ipvs.ServiceKey]ipvs.ServiceFlags
	adopted bool // the packet has made a template
	pkt     rewrite.Packet
	quoted  rewrite.Packet
}

func newBook(keep int) *book {
	return &book{live: map[face]*Conn{}, keep: uint64(keep), flags: map[ipvs.ServiceKey]ipvs.ServiceFlags{}}
}

// setServices says which services there are.
func (b *book) setServices(all []ipvs.ServiceStatus) {
	for i := range all {
		b.flags[all[i].Key] = all[i].Flags
	}
}

// batch takes down what has come of one packet: what happened to connections,
// and what was sent. It returns the connection that the packet was part of, or
// nil. Ends come last: a connection may live for this packet only.
func (b *book) batch(v dataplane.Verdict, out []dataplane.Frame) (flow *Conn) {
	b.adopted = false
	for i := range b.events {
		if e := &b.events[i]; e.Kind == ipvs.EventBorn {
			b.enter(e)
		}
	}
	if v == dataplane.Forward {
		flow = b.count(out)
	}
	for i := range b.events {
		b.follow(&b.events[i])
	}
	b.events = b.events[:0]
	return flow
}

// follow takes down everything but births, and tells whoever listens.
func (b *book) follow(e *ipvs.Event) {
	var c *Conn
	switch e.Kind {
	case ipvs.EventBorn:
		c = b.find(e)
	case ipvs.EventState:
		if c = b.find(e); c != nil {
			c.State = e.State
		}
	case ipvs.EventDied:
		c = b.died(e)
	case ipvs.EventGap:
		b.lost += e.Lost
	}
	if b.event != nil {
		b.event(e, c)
	}
}

func (b *book) enter(e *ipvs.Event) {
	c := &Conn{
		Service: e.Service, Proto: e.Proto, Client: e.Client, Virtual: e.Virtual, Dest: e.Server, Mark: e.Mark,
		Template: e.Template, State: e.State, Ended: StillOpen, Start: e.At - epoch, number: b.born,
	}
	b.born++
	in, out := c.faces()
	c.older = b.live[in]
	b.live[in] = c
	if c.Template {
		b.adopted = true
		return
	}
	b.live[out] = c
	b.total++
	flags := b.flags[e.Service]
	switch {
	case e.Reason == ipvs.Awaited:
		c.Why = ipvs.PickedData
	case flags&ipvs.FlagOnePacket != 0 && e.Proto == ipvs.UDP:
		c.Why = ipvs.PickedOnePacket
	case flags&ipvs.FlagPersistent != 0 && !b.adopted:
		c.Why = ipvs.PickedTemplate
	default:
		c.Why = ipvs.PickedNew
	}
}

// died ends the connection that e is about. One that a packet of its client has
// replaced is older than the one of that name.
func (b *book) died(e *ipvs.Event) *Conn {
	newest := b.find(e)
	if newest == nil {
		return nil
	}
	c := newest
	for o := newest.older; o != nil; o = o.older {
		if e.Reason == ipvs.Reused || e.Reason == ipvs.ServerGone || o.Dest == e.Server && newest.Dest != e.Server {
			c = o
		}
	}
	if c != newest && e.Reason == ipvs.Reused && newest.Why == ipvs.PickedNew {
		newest.Why = ipvs.PickedReuse
	}
	b.remove(c, newest)
	c.State, c.Ended, c.End = e.State, e.Reason.String(), e.At-epoch
	if c.number < b.keep {
		b.ended = append(b.ended, c)
	}
	return c
}

// remove takes c out of the living; newest is the latest of its name.
func (b *book) remove(c, newest *Conn) {
	in, out := c.faces()
	for o := newest; o != nil; o = o.older {
		if o.older == c {
			o.older = c.older
		}
	}
	if b.live[out] == c {
		delete(b.live, out)
	}
	switch {
	case c != newest:
	case c.older == nil:
		delete(b.live, in)
	default:
		b.live[in] = c.older
		if _, out := c.older.faces(); !c.Template {
			b.live[out] = c.older
		}
	}
	c.older = nil
}

// find returns the latest connection of the name in e, or nil.
func (b *book) find(e *ipvs.Event) *Conn { return b.lookup(nameOf(e)) }

// lookup returns the latest connection with a face. One that was announced
// without a client's port gets it from the first packet.
func (b *book) lookup(f face) *Conn {
	c := b.live[f]
	if c != nil || f.cport == 0 {
		return c
	}
	port := f.cport
	f.cport = 0
	if c = b.live[f]; c == nil || c.Template {
		return nil
	}
	in, out := c.faces()
	delete(b.live, in)
	delete(b.live, out)
	c.Client = netip.AddrPortFrom(c.Client.Addr(), port)
	in, out = c.faces()
	b.live[in], b.live[out] = c, c
	return c
}

// count counts the frames of one packet on their connection. A packet that goes
// out in pieces names it in the first one.
func (b *book) count(out []dataplane.Frame) (c *Conn) {
	bytes, toServer, tunnelled := uint64(0), false, false
	for i := range out {
		f := &out[i]
		if rewrite.Parse(f.Data, &b.pkt) != rewrite.FaultNone {
			continue
		}
		n, inside := b.unwrap(f.Data)
		if !inside && i > 0 && b.pkt.FragOff > 0 && tunnelled {
			continue // counted with its first piece
		}
		bytes += uint64(n)
		if i > 0 {
			bytes -= uint64(headersOf(&b.pkt)) // the packet had one header
			continue
		}
		if b.pkt.V6 && b.pkt.Fragment() {
			bytes -= fragHeaderLen // and no fragment's
		}
		toServer, tunnelled = f.Link == DIPLink, inside
		name := b.faceOf(f.Data, toServer)
		if c = b.lookup(name); c == nil && toServer {
			name.server = false // by direct routing or a tunnel it went to the VIP
			c = b.lookup(name)
		}
	}
	switch {
	case c == nil:
	case toServer:
		c.InPackets++
		c.InBytes += bytes
	default:
		c.OutPackets++
		c.OutBytes += bytes
	}
	return c
}

const fragHeaderLen = 8 // of IPv6

// headersOf returns the length of the headers that each piece of a packet has.
func headersOf(p *rewrite.Packet) int {
	if p.Fragment() {
		return rewrite.FragmentHeaders(p)
	}
	return p.L4 - p.L3
}

// unwrap makes b.pkt, a packet that was sent, the one inside it, if it went into a
// tunnel, and returns its length: of an inner one that of the whole, even where
// the outer one was cut.
func (b *book) unwrap(frame []byte) (n int, inside bool) {
	n = b.pkt.Len()
	if b.pkt.FragOff == 0 && (b.pkt.Src6 == dummyAddr6 || !b.pkt.V6 && b.pkt.Src == dummyAddr) {
		_, inside = rewrite.ParseTunnelled(frame, &b.pkt, &b.pkt)
	}
	switch {
	case inside && b.pkt.V6:
		n = ipv6Len + int(binary.BigEndian.Uint16(frame[b.pkt.L3+4:]))
	case inside:
		n = int(binary.BigEndian.Uint16(frame[b.pkt.L3+2:]))
	}
	return n, inside
}

// faceOf returns the face that the packet in b.pkt shows. An ICMP error shows
// that of the packet that it is about, which went the other way.
func (b *book) faceOf(frame []byte, toServer bool) face {
	p := &b.pkt
	if p.IsICMP() && rewrite.ParseQuoted(frame, p, &b.quoted) {
		q := &b.quoted
		if toServer {
			return face{client: dataplane.DestinationOf(q), cport: q.DstPort, other: dataplane.SourceOf(q), oport: q.SrcPort, proto: q.Proto, server: true}
		}
		return face{client: dataplane.SourceOf(q), cport: q.SrcPort, other: dataplane.DestinationOf(q), oport: q.DstPort, proto: q.Proto}
	}
	if toServer {
		return face{client: dataplane.SourceOf(p), cport: p.SrcPort, other: dataplane.DestinationOf(p), oport: p.DstPort, proto: p.Proto, server: true}
	}
	return face{client: dataplane.DestinationOf(p), cport: p.DstPort, other: dataplane.SourceOf(p), oport: p.SrcPort, proto: p.Proto}
}

// all returns the first connections, in order of their beginning, and how many
// more there were.
func (b *book) all() (conns []*Conn, left uint64) {
	conns = slices.Clone(b.ended)
	seen := map[*Conn]bool{}
	for _, c := range b.live {
		for ; c != nil && !seen[c]; c = c.older {
			if seen[c] = true; c.number < b.keep {
				conns = append(conns, c)
			}
		}
	}
	slices.SortFunc(conns, func(a, b *Conn) int { return cmp.Compare(a.number, b.number) })
	return conns, b.born - uint64(len(conns))
}
