package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
	"natlb/sched"
)

// ftpDataPort is the client port that IPVS never schedules (semantics 5.4).
const ftpDataPort = 20

// transport handles a TCP or UDP packet: as part of a connection in either
// direction, as the start of a new one, or as none of IPVS's business.
func (s *Shard) transport(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	// A packet to a VIP is nearly always a request, any other nearly always a
	// reply; trying the likely direction first saves a look-up.
	toVIP := s.view.roles.of(p.Dst)&roleVIP != 0
	if !toVIP {
		if r := s.table.FindOut(p.Proto, p.Src, p.SrcPort, p.Dst, p.DstPort); r != 0 {
			return s.reply(f, p, r, now)
		}
	}
	key := conntrack.Key4{CIP: p.Src, VIP: p.Dst, CPort: p.SrcPort, VPort: p.DstPort, Proto: p.Proto}
	if r := s.table.FindIn(&key); r != 0 {
		return s.request(f, p, r, now)
	}
	if toVIP {
		if r := s.table.FindOut(p.Proto, p.Src, p.SrcPort, p.Dst, p.DstPort); r != 0 {
			return s.reply(f, p, r, now)
		}
		return s.schedule(f, p, 0, now)
	}
	return s.accept(f, p, now)
}

// request handles a client's packet of a known connection (semantics 5.2, 5.3).
func (s *Shard) request(f *Frame, p *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.table.At(r)
	srv := &s.view.servers[c.Dest]
	if p.Proto == protoTCP && p.TCPFlags&conntrack.FlagSYN != 0 && s.outlived(c, srv) {
		return s.schedule(f, p, r, now)
	}
	if !srv.Available() {
		if s.view.settings.expireNodestConn == 0 {
			return DropServerGone // silently, and the timer runs on
		}
		return s.schedule(f, p, r, now)
	}
	return s.forwardIn(f, p, r, now)
}

// outlived reports whether a SYN on connection c opens a new one instead
// (semantics 5.3 a and b).
func (s *Shard) outlived(c *conntrack.Conn4, srv *serverView) bool {
	set := &s.view.settings
	if set.expireNodestConn != 0 && srv.Weight() == 0 {
		return true
	}
	if set.connReuseMode == 0 || c.Control != 0 {
		return false
	}
	switch c.State {
	case conntrack.TCPTimeWait, conntrack.TCPClose:
		return true
	case conntrack.TCPFinWait:
		return set.connReuseMode&2 != 0 && c.Is(conntrack.NoOutput)
	}
	return false
}

// schedule makes a new connection for a packet, if it may open one and a real
// server is to be had (semantics 5.4). An old connection with the same key that
// has outlived its use ends once the pick is made: the scheduler still sees it
// counted, as in the kernel.
func (s *Shard) schedule(f *Frame, p *rewrite.Packet, old conntrack.Ref, now time.Duration) Verdict {
	r, v := s.pick(p, now)
	// In a full table the new connection may have got the old one's place.
	if old != 0 && old != r && s.table.At(old).NControl == 0 {
		s.table.Remove(old)
	}
	switch {
	case r != 0:
		return s.forwardIn(f, p, r, now)
	case v == PassHost:
		return s.accept(f, p, now)
	case v == AnswerNoDestination:
		return s.refuse(f, p, now)
	}
	return v
}

// pick returns the new connection, or 0 and why not: PassHost when the packet is
// not IPVS's business, AnswerNoDestination when no server may take it.
func (s *Shard) pick(p *rewrite.Packet, now time.Duration) (conntrack.Ref, Verdict) {
	if p.Proto == protoTCP && !s.opens(p.TCPFlags) {
		return 0, PassHost
	}
	svc := s.view.find(p.Proto, p.Dst, p.DstPort)
	if svc == nil || p.SrcPort == ftpDataPort {
		return 0, PassHost
	}
	s.flow = sched.Flow{
		CIP: fromAddr4(p.Src), VIP: fromAddr4(p.Dst), CPort: p.SrcPort, VPort: p.DstPort,
		Proto: ipvs.Protocol(p.Proto),
	}
	server := svc.schedule(&s.flow, now)
	if server == nil {
		return 0, AnswerNoDestination
	}
	return s.newConn(p, svc, server, now)
}

// opens reports whether a TCP packet without a connection may start one.
func (s *Shard) opens(flags uint8) bool {
	if flags&conntrack.FlagRST != 0 {
		return false
	}
	return flags&conntrack.FlagSYN != 0 || s.view.settings.sloppyTCP != 0
}

// newConn enters a connection to server into the table and into the counts.
func (s *Shard) newConn(p *rewrite.Packet, svc *service, server *ipvs.RealServer, now time.Duration) (conntrack.Ref, Verdict) {
	key := conntrack.Key4{CIP: p.Src, VIP: p.Dst, CPort: p.SrcPort, VPort: p.DstPort, Proto: p.Proto}
	r := s.table.Insert(&key, now)
	if r == 0 {
		if !s.table.Evict() {
			return 0, DropTableFull
		}
		if r = s.table.Insert(&key, now); r == 0 {
			return 0, DropTableFull
		}
	}
	srv := &s.view.servers[server.ID]
	c := s.table.At(r)
	c.Dest, c.RIP, c.RPort = server.ID, srv.addr, srv.port
	if c.RPort == 0 {
		c.RPort = p.DstPort
	}
	c.Flags = conntrack.Inactive | conntrack.Flags(srv.method)
	if srv.method != ipvs.Masq {
		c.Flags |= conntrack.NoOutput
	}
	server.BindInactive()
	s.counts.servers[server.ID].Conns++
	s.counts.services[svc.id].Conns++
	return r, Forward
}

// died gives back what an ended connection was counted in. It is the table's
// callback.
func (s *Shard) died(c *conntrack.Conn4) {
	srv := s.dir.view.Load().servers[c.Dest]
	switch {
	case c.Is(conntrack.Template):
		srv.UnbindTemplate()
	case c.Is(conntrack.Inactive):
		srv.UnbindInactive()
	default:
		srv.UnbindActive()
	}
}

// step moves a connection by one packet and re-arms its timer.
func (s *Shard) step(c *conntrack.Conn4, r conntrack.Ref, srv *serverView, dir conntrack.Direction, p *rewrite.Packet, now time.Duration) {
	if p.Proto == protoTCP {
		switch c.StepTCP(dir, p.TCPFlags, s.view.settings.secureTCP == 3, &s.view.timeouts) {
		case conntrack.Activated:
			srv.Activate()
		case conntrack.Deactivated:
			srv.Deactivate()
		}
	} else {
		c.StepUDP(dir, &s.view.timeouts)
	}
	s.table.Arm(r, c, now)
}
