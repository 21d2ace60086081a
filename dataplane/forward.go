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
	s.meets(c, r)
	s.countIn(c, srv, p)
	s.step(c, r, srv, conntrack.In, p, now)
	c.InPkts++

	hop := s.wayTo(srv)
	if hop.Kind == HopLocal {
		return s.deliver(f, p, c, r)
	}
	if v := s.reachable(f, p, hop, now); v != Forward {
		s.losesFor(c.Dest, s.framesOf())
		return v
	}
	if p.TTL <= 1 {
		return s.answerClient(f, p, c, rewrite.TTLExceeded.About(p, 0), AnswerTimeExceeded, DropTTL, now)
	}
	rewrite.DecrementTTL(f.Data, p)
	most, mtu := s.room(c, p, srv, hop, now)
	if p.DontFrag && segmentLen(f, p) > most && !s.cutsFit(p, most) {
		return s.answerClient(f, p, c, rewrite.TooBig.About(p, most), AnswerTooBig, DropTooBig, now)
	}
	if c.Flags&(conntrack.Helped|conntrack.NoCPort) != 0 {
		if v := s.helpIn(f, p, c, r, now); v != Forward {
			return v
		}
	}
	var from origin
	s.fromVIP(&from, c, r)
	if !c.Masq() {
		switch c.Method() {
		case ipvs.Route:
			return s.send(f, p, hop, &from, Forward, now)
		case ipvs.Tunnel:
			return s.encapsulate(f, p, &from, srv, hop, mtu, now)
		case ipvs.FullNAT:
			return s.fullIn(f, p, c, r, hop, &from, now)
		}
	}
	from.vport = c.VPort
	if p.V6 {
		rewrite.DNAT6(f.Data, p, s.ends(r).RIP, c.RPort, f.Offload.Partial())
	} else {
		rewrite.DNAT(f.Data, p, c.RIP, c.RPort, f.Offload.Partial())
	}
	return s.send(f, p, hop, &from, Forward, now)
}

// answerClient answers a client's packet of a connection with an error. By any
// method but address translation the error counts as sent by the real server: the kernel
// meets it on its way out as one about the connection.
func (s *Shard) answerClient(f *Frame, p *rewrite.Packet, c *conntrack.Conn, a rewrite.ICMPAnswer, sent, none Verdict, now time.Duration) Verdict {
	v := s.answerError(f, p, a, sent, none, now)
	if v == sent && !translates(c.Method()) {
		s.countOutBytes(c, &s.view.servers[c.Dest], rewrite.ICMPErrorLen(p))
	}
	return v
}

// reply sends a real server's packet to the client, as from the VIP: which it is
// already where the method is not masquerading, and the server sends its answers
// through the director all the same. As in the kernel the packet has passed routing before IPVS sees it: TTL and size are
// judged first, and count for nothing (semantics 5.1, 5.6).
func (s *Shard) reply(f *Frame, p *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.of(p.V6).At(r)
	srv := &s.view.servers[c.Dest]
	s.meets(c, r)
	if c.Full() {
		return s.fullOut(f, p, c, r, now)
	}
	hop := s.wayOf(p)
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
	switch {
	case !c.Masq():
	case p.V6:
		rewrite.SNAT6(f.Data, p, s.ends(r).VIP, c.VPort, f.Offload.Partial())
	default:
		rewrite.SNAT(f.Data, p, c.VIP, c.VPort, f.Offload.Partial())
	}
	return s.send(f, p, hop, &origin{}, Forward, now)
}

// route sends a packet on as the real servers' gateway would, untranslated.
func (s *Shard) route(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	hop := s.wayOf(p)
	if v := s.routable(f, p, hop, now); v != Forward {
		return v
	}
	rewrite.DecrementTTL(f.Data, p)
	own := s.view.host.Link(f.Link)
	return s.send(f, p, hop, &origin{src: own.Addr, src6: own.Addr6}, Route, now)
}

// routable applies what a router checks before it passes a packet on: a way, a
// TTL, the size, of a super-packet that of its segments. Errors go to the sender, from the director's own address.
func (s *Shard) routable(f *Frame, p *rewrite.Packet, hop *Hop, now time.Duration) Verdict {
	switch hop.Kind {
	case HopForward:
	case HopNone:
		return s.answerError(f, p, s.fromLink(rewrite.NoRoute.About(p, 0), f.Link), AnswerUnreachable, DropNoRoute, now)
	default:
		return PassHost
	}
	if p.TTL <= 1 {
		return s.answerError(f, p, s.fromLink(rewrite.TTLExceeded.About(p, 0), f.Link), AnswerTimeExceeded, DropTTL, now)
	}
	if p.DontFrag && segmentLen(f, p) > hop.MTU && !s.cutsFit(p, hop.MTU) {
		return s.answerError(f, p, s.fromLink(rewrite.TooBig.About(p, hop.MTU), f.Link), AnswerTooBig, DropTooBig, now)
	}
	return Forward
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
	return s.answerError(f, p, rewrite.HostUnreachable.About(p, 0), AnswerUnreachable, DropNoRoute, now)
}

// cutsFit reports whether a packet that nobody on the way may cut came in pieces
// that fit most bytes each: so they are sent on. That is IPv6's way; a packet of IPv4
// that came in pieces may be cut.
func (s *Shard) cutsFit(p *rewrite.Packet, most int) bool {
	if !p.V6 || len(s.frags.cuts) == 0 {
		return false
	}
	headers := rewrite.FragmentHeaders(p)
	for _, c := range s.frags.cuts {
		if headers+int(c.to-c.from) > most {
			return false
		}
	}
	return true
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
