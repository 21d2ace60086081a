package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// forwardIn counts a client's packet on its connection and sends it to the real
// server; r is 0 for a connection that is in no table. Counters and state come
// first: they count packets that the way on then refuses (semantics 5.2).
func (s *Shard) forwardIn(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref, now time.Duration) Verdict {
	srv := &s.view.servers[c.Dest]
	s.met.conn = c
	s.countIn(c, srv, p)
	s.step(c, r, srv, conntrack.In, p, now)
	c.InPkts++

	hop := s.routes.lookup(s.view.host, c.RIP)
	if hop.Kind == HopLocal {
		return s.deliver(f, p, c)
	}
	if v := s.reachable(f, p, hop, now); v != Forward {
		return v
	}
	if p.TTL <= 1 {
		return s.answerClient(f, p, c, rewrite.ICMPAnswer{Type: 11, Src: p.Dst}, AnswerTimeExceeded, DropTTL, now)
	}
	rewrite.DecrementTTL(f.Data, p)
	most, mtu := s.room(c, srv, hop, now)
	if p.DontFrag && segmentLen(f, p) > most {
		a := rewrite.ICMPAnswer{Type: 3, Code: icmpFragNeeded, Rest: uint32(most), Src: p.Dst}
		return s.answerClient(f, p, c, a, AnswerTooBig, DropTooBig, now)
	}
	if c.Flags&(conntrack.Helped|conntrack.NoCPort) != 0 {
		if v := s.helpIn(f, p, c, r, now); v != Forward {
			return v
		}
	}
	switch c.Method() {
	case ipvs.Route:
		return s.send(f, p, hop, origin{src: c.VIP}, Forward, now)
	case ipvs.Tunnel:
		return s.encapsulate(f, p, c, srv, hop, mtu, now)
	}
	rewrite.DNAT(f.Data, p, c.RIP, c.RPort, f.Offload.Partial())
	return s.send(f, p, hop, origin{src: c.VIP, vport: c.VPort}, Forward, now)
}

// answerClient answers a client's packet of a connection with an error. By any
// method but masquerading the error counts as sent by the real server: the kernel
// meets it on its way out as one about the connection.
func (s *Shard) answerClient(f *Frame, p *rewrite.Packet, c *conntrack.Conn, a rewrite.ICMPAnswer, sent, none Verdict, now time.Duration) Verdict {
	v := s.answerError(f, p, a, sent, none, now)
	if v == sent && !c.Masq() {
		s.countOutBytes(c, &s.view.servers[c.Dest], rewrite.ICMPErrorLen(p))
	}
	return v
}

// reply sends a real server's packet to the client, as from the VIP: which it is
// already where the method is not masquerading, and the server sends its answers
// through the director all the same. As in the kernel the packet has passed routing before IPVS sees it: TTL and size are
// judged first, and count for nothing (semantics 5.1, 5.6).
func (s *Shard) reply(f *Frame, p *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.table.At(r)
	srv := &s.view.servers[c.Dest]
	s.met.conn = c
	hop := s.routes.lookup(s.view.host, p.Dst)
	if hop.Kind == HopElsewhere {
		return DropElsewhere // nobody else would translate it
	}
	if v := s.routable(f, p, hop, now); v != Forward {
		return v
	}
	rewrite.DecrementTTL(f.Data, p)
	if c.Is(conntrack.Helped) {
		if v := s.helpOut(f, p, c, r, now); v != Forward {
			return v
		}
	}
	s.countOut(c, srv, p)
	s.step(c, r, srv, conntrack.Out, p, now)
	if c.Masq() {
		rewrite.SNAT(f.Data, p, c.VIP, c.VPort, f.Offload.Partial())
	}
	return s.send(f, p, hop, origin{}, Forward, now)
}

// route sends a packet on as the real servers' gateway would, untranslated.
func (s *Shard) route(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	hop := s.routes.lookup(s.view.host, p.Dst)
	if v := s.routable(f, p, hop, now); v != Forward {
		return v
	}
	rewrite.DecrementTTL(f.Data, p)
	return s.send(f, p, hop, origin{src: s.view.host.Link(f.Link).Addr}, Route, now)
}

// routable applies what a router checks before it passes a packet on: a way, a
// TTL, the size. Errors go to the sender, from the director's own address.
func (s *Shard) routable(f *Frame, p *rewrite.Packet, hop *Hop, now time.Duration) Verdict {
	own := s.view.host.Link(f.Link).Addr
	switch hop.Kind {
	case HopForward:
	case HopNone:
		return s.answerError(f, p, rewrite.ICMPAnswer{Type: 3, Code: 0, Src: own}, AnswerUnreachable, DropNoRoute, now)
	default:
		return PassHost
	}
	if p.TTL <= 1 {
		return s.answerError(f, p, rewrite.ICMPAnswer{Type: 11, Src: own}, AnswerTimeExceeded, DropTTL, now)
	}
	return s.fits(f, p, hop, own, now)
}

// reachable says whether the way to a real server on another machine exists;
// Forward means yes.
func (s *Shard) reachable(f *Frame, p *rewrite.Packet, hop *Hop, now time.Duration) Verdict {
	switch hop.Kind {
	case HopForward:
		return Forward
	case HopElsewhere:
		return DropElsewhere
	}
	return s.answerError(f, p, rewrite.ICMPAnswer{Type: 3, Code: 1, Src: p.Dst}, AnswerUnreachable, DropNoRoute, now)
}

// fits says whether the outlet's MTU lets the packet through, perhaps in pieces;
// Forward means yes. A super-packet is judged by its segments.
func (s *Shard) fits(f *Frame, p *rewrite.Packet, hop *Hop, src uint32, now time.Duration) Verdict {
	if !p.DontFrag || segmentLen(f, p) <= hop.MTU {
		return Forward
	}
	a := rewrite.ICMPAnswer{Type: 3, Code: icmpFragNeeded, Rest: uint32(hop.MTU), Src: src}
	return s.answerError(f, p, a, AnswerTooBig, DropTooBig, now)
}

// segmentLen returns the length of the longest IP packet that f becomes on the
// wire.
func segmentLen(f *Frame, p *rewrite.Packet) int {
	if !f.Offload.Super() {
		return p.Len()
	}
	return min(p.Len(), rewrite.HeadersLen(f.Data, p)-rewrite.EthernetLen+int(f.Offload.GSOSize))
}

func (s *Shard) countIn(c *conntrack.Conn, srv *serverView, p *rewrite.Packet) {
	if !srv.Available() {
		return
	}
	for _, n := range [2]*ipvs.Stats{&s.counts.servers[c.Dest], &s.counts.services[srv.service]} {
		n.InPkts++
		n.InBytes += uint64(p.Len())
	}
}

func (s *Shard) countOut(c *conntrack.Conn, srv *serverView, p *rewrite.Packet) {
	s.countOutBytes(c, srv, p.Len())
}

// countOutBytes counts a packet of n bytes of IP.
func (s *Shard) countOutBytes(c *conntrack.Conn, srv *serverView, n int) {
	if !srv.Available() {
		return
	}
	for _, st := range [2]*ipvs.Stats{&s.counts.servers[c.Dest], &s.counts.services[srv.service]} {
		st.OutPkts++
		st.OutBytes += uint64(n)
	}
}
