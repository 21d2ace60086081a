package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// icmpFragNeeded is the code of "fragmentation needed" (RFC 1191).
const icmpFragNeeded = 4

// icmpError passes an ICMP error about a packet of a connection on to the other
// side, with outer and quoted addresses and ports translated (semantics 5.7).
// State and timer of the connection stay as they are.
func (s *Shard) icmpError(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	q := &s.quoted
	if !rewrite.ParseQuoted(f.Data, p, q) {
		return s.accept(f, p, now)
	}
	if out, ok := s.aboutTunnel(f, q); ok {
		return s.tunnelError(f, p, q, &out, now)
	}
	as := reversed(q) // the quoted packet went the other way
	if r := s.findOut(&as); r != 0 {
		return s.errorOut(f, p, q, r, now)
	}
	if r := s.findIn(&as); r != 0 {
		return s.errorIn(f, p, q, r, now)
	}
	if s.view.settings.scheduleICMP != 0 {
		return s.scheduleError(f, p, q, &as, now)
	}
	return s.accept(f, p, now)
}

// scheduleError makes a connection for an error of the client's side about one
// that is not known, as a director does that has taken over from another
// (sysctl schedule_icmp): the error is news for some real server. Without one it
// is dropped, no error answers an error (semantics 5.5). as is what the client would
// have sent to be quoted so.
func (s *Shard) scheduleError(f *Frame, p, q, as *rewrite.Packet, now time.Duration) Verdict {
	if !rewrite.CarriesPorts(q.Proto) {
		return s.accept(f, p, now)
	}
	mark := s.view.marks.of(p, s.dir.cfg.Links[f.Link].Name)
	svc := s.view.serviceFor(mark, as)
	if svc == nil || as.SrcPort == ftpDataPort || s.martian(as) {
		return s.accept(f, p, now)
	}
	n, v := s.pick(as, svc, now)
	if v != Forward {
		return DropNoDestination
	}
	if !svc.key.IsMark() {
		mark = 0
	}
	r, v := s.connect(as, svc, n, mark, now)
	if v != Forward {
		return v
	}
	return s.errorIn(f, p, q, r, now)
}

// errorOut sends an error of the servers' side to the client, as from the VIP.
// Where addresses are not translated it is sent on as it is.
func (s *Shard) errorOut(f *Frame, p, q *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.of(p.V6).At(r)
	srv := &s.view.servers[c.Dest]
	s.meets(c, r)
	hop := s.wayOf(p)
	if c.Full() {
		hop = s.wayBack(c, r)
	}
	if v := s.routable(f, p, hop, now); v != Forward {
		return v
	}
	if translates(c.Method()) && !trustedICMP(f, p) {
		return DropICMPChecksum
	}
	rewrite.DecrementTTL(f.Data, p)
	s.countOut(c, srv, p)
	switch {
	case c.Full():
		if isTooBig(p) {
			c.Flags |= conntrack.Answered // segments get no longer than the client's: see tellServerOf
		}
		to := s.toClient(c, r)
		rewrite.TranslateError(f.Data, p, q, &to)
		f.Offload = Offload{}
	case c.Masq():
		if p.V6 {
			rewrite.TranslateICMPOut6(f.Data, p, q, s.ends(r).VIP, c.VPort)
		} else {
			rewrite.TranslateICMPOut(f.Data, p, q, c.VIP, c.VPort)
		}
		f.Offload = Offload{}
	}
	return s.send(f, p, hop, &origin{}, Forward, now)
}

// errorIn sends an error of the client's side to the real server, by its method.
func (s *Shard) errorIn(f *Frame, p, q *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.of(p.V6).At(r)
	srv := &s.view.servers[c.Dest]
	s.meets(c, r)
	if !trustedICMP(f, p) {
		return DropICMPChecksum
	}
	s.countIn(c, srv, p)
	hop := s.wayTo(srv)
	switch hop.Kind {
	case HopForward:
	case HopLocal:
		return s.deliver(f, p, c, r)
	default:
		return DropNoRoute
	}
	if p.TTL <= 1 {
		return DropTTL
	}
	rewrite.DecrementTTL(f.Data, p)
	if f.Offload.Partial() {
		rewrite.CompleteChecksum(f.Data, int(f.Offload.CsumStart), int(f.Offload.CsumOffset))
	}
	f.Offload = Offload{}
	switch c.Method() {
	case ipvs.Tunnel:
		var from origin
		s.fromVIP(&from, c, r)
		return s.encapsulate(f, p, &from, srv, hop, s.dir.pathMTU(srv, hop.MTU, now), now)
	case ipvs.FullNAT: // from the source address, too: the server may not know the way to a router of the client's
		to := s.toServer(c, r)
		rewrite.TranslateError(f.Data, p, q, &to)
	case ipvs.Masq:
		if p.V6 {
			rewrite.TranslateICMPIn6(f.Data, p, q, s.ends(r).RIP, c.RPort)
		} else {
			rewrite.TranslateICMPIn(f.Data, p, q, c.RIP, c.RPort)
		}
	}
	return s.send(f, p, hop, &origin{}, Forward, now)
}

// trustedICMP reports whether the message is whole. Whoever received it may have
// found that already, and of one whose checksum is left to the outlet it is sure.
func trustedICMP(f *Frame, p *rewrite.Packet) bool {
	return f.Offload.Flags&(OffloadNeedsCsum|OffloadDataValid) != 0 || rewrite.ICMPChecksumOK(f.Data, p)
}
