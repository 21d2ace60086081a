package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
	"natlb/sched"
)

// transport handles a TCP, UDP or SCTP packet: as part of a connection in either
// direction, as the start of a new one, or as none of IPVS's business.
func (s *Shard) transport(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	toVIP := s.view.roles.dst(p)&roleVIP != 0
	r, dir := s.known(p, toVIP)
	switch {
	case r == 0 && !toVIP && s.view.marks == nil: // a mark's service may have any address
		return s.accept(f, p, now)
	case r == 0:
		return s.schedule(f, p, 0, now)
	case dir == conntrack.Out:
		return s.reply(f, p, r, now)
	}
	return s.request(f, p, r, now)
}

// known returns the connection of a packet and which of its ends sent it, or 0.
// A packet to a VIP is nearly always a request, any other nearly always a reply;
// trying the likely direction first saves a look-up.
func (s *Shard) known(p *rewrite.Packet, toVIP bool) (conntrack.Ref, conntrack.Direction) {
	if !toVIP {
		if r := s.findOut(p); r != 0 {
			return r, conntrack.Out
		}
	}
	if r := s.findIn(p); r != 0 || !toVIP {
		return r, conntrack.In
	}
	return s.findOut(p), conntrack.Out
}

// request handles a client's packet of a known connection (semantics 5.2, 5.3).
func (s *Shard) request(f *Frame, p *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.of(p.V6).At(r)
	srv := &s.view.servers[c.Dest]
	if starts(p) && s.outlived(c, srv) {
		return s.schedule(f, p, r, now)
	}
	if !srv.Available() {
		if s.view.settings.expireNodestConn == 0 {
			s.meets(c, r)
			return DropServerGone // silently, and the timer runs on
		}
		return s.schedule(f, p, r, now)
	}
	return s.forwardIn(f, p, c, r, now)
}

// starts reports whether a packet is the first that a TCP or SCTP client sends.
func starts(p *rewrite.Packet) bool {
	return p.Proto == rewrite.ProtoTCP && p.TCPFlags&conntrack.FlagSYN != 0 || p.Proto == rewrite.ProtoSCTP && p.Chunk == rewrite.ChunkInit
}

// outlived reports whether a SYN or INIT on connection c opens a new one instead
// (semantics 5.3 a and b).
func (s *Shard) outlived(c *conntrack.Conn, srv *serverView) bool {
	set := &s.view.settings
	if set.expireNodestConn != 0 && srv.Weight() == 0 {
		return true
	}
	if set.connReuseMode == 0 || c.Controlled() || c.Template != 0 {
		return false
	}
	if c.Proto == rewrite.ProtoSCTP {
		return c.State == conntrack.SCTPClosed
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
	svc, mark, v := s.service(f, p)
	var n newConn
	if v == Forward {
		n, v = s.pick(p, svc, now)
	}
	if v == Forward && svc.flags&ipvs.FlagOnePacket != 0 && p.Proto == rewrite.ProtoUDP {
		return s.onePacket(f, p, svc, n, mark, now)
	}
	var r conntrack.Ref
	if v == Forward {
		r, v = s.connect(p, svc, n, mark, now)
	}
	if old != 0 && s.met.why == ipvs.PickedNew {
		s.met.why = ipvs.PickedReuse
	}
	// In a full table the new connection may have got the old one's place.
	t := s.of(p.V6)
	if old != 0 && old != r && t.At(old).NControl == 0 {
		s.end(t, old, outgrown(s.view, t.At(old), v))
	}
	switch v {
	case Forward:
		return s.forwardIn(f, p, t.At(r), r, now)
	case PassHost:
		return s.accept(f, p, now)
	case AnswerNoDestination:
		return s.refuse(f, p, now)
	}
	return v
}

// service returns the service whose scheduler is to be asked about a packet and
// the packet's mark, or why there is none: PassHost when the packet is not
// IPVS's business.
func (s *Shard) service(f *Frame, p *rewrite.Packet) (*serviceView, uint32, Verdict) {
	switch {
	case p.Proto == rewrite.ProtoSCTP && p.Chunk == rewrite.NoChunk:
		return nil, 0, DropTransport
	case !s.opens(p):
		return nil, 0, PassHost
	}
	mark := s.view.marks.of(p, s.dir.cfg.Links[f.Link].Name)
	svc := s.view.serviceFor(mark, p)
	switch {
	case svc == nil:
		return nil, 0, PassHost
	case s.martian(p):
		return nil, 0, DropMartian
	case s.dir.defence.drops(s.view.settings.dropRate):
		return nil, 0, DropDefence
	case p.SrcPort == ftpDataPort:
		return nil, 0, PassHost
	}
	if !svc.key.IsMark() {
		mark = 0
	}
	return svc, mark, Forward
}

// martian reports whether p claims to be from an address that no other machine
// can have: the host's routing would not have let it in (ip_route_input).
func (s *Shard) martian(p *rewrite.Packet) bool {
	single := rewrite.SingleHost(p.Src)
	if p.V6 {
		single = p.Src6.IsSingleHost() && !p.Src6.IsLinkLocal()
	}
	return !single || s.view.roles.src(p)&(roleVIP|roleOwned|roleSource) != 0 || s.view.fromHost(p)
}

// opens reports whether a packet without a connection may start one.
func (s *Shard) opens(p *rewrite.Packet) bool {
	switch p.Proto {
	case rewrite.ProtoTCP:
		return p.TCPFlags&conntrack.FlagRST == 0 && (p.TCPFlags&conntrack.FlagSYN != 0 || s.view.settings.sloppyTCP != 0)
	case rewrite.ProtoSCTP:
		return p.Chunk == rewrite.ChunkInit || p.Chunk != rewrite.ChunkAbort && s.view.settings.sloppySCTP != 0
	}
	return true
}

// newConn is what is decided about a connection before it is made.
type newConn struct {
	server   *ipvs.RealServer
	port     uint16        // RPort
	template conntrack.Ref // that it will be under, 0 for none
	local    localEnd      // of FULLNAT
}

// pick decides which server a new connection gets: that of its client's
// template, or the scheduler's choice. The verdict is Forward, or says why there
// is none (semantics 5.4, 5.5, 6.1).
func (s *Shard) pick(p *rewrite.Packet, svc *serviceView, now time.Duration) (n newConn, v Verdict) {
	ownPort := svc.key.IsMark() || svc.port == p.DstPort
	mapPort := ownPort
	switch {
	case svc.flags&ipvs.FlagPersistent != 0:
		s.met.why = ipvs.PickedTemplate
		n.template, n.server = s.dir.templates.adopt(s, p, svc, now)
		if n.server != nil && n.template == 0 {
			return n, DropTableFull
		}
		// The port of a mark's service is 0, which no packet has.
		mapPort = svc.port == p.DstPort
	case ownPort:
		n.server = s.schedulePick(p, svc, now)
	}
	if n.server == nil {
		if svc.port == ftpPort && p.DstPort != ftpPort {
			return n, PassHost
		}
		return n, AnswerNoDestination
	}
	if n.port = s.view.servers[n.server.ID].port; n.port == 0 || !mapPort {
		n.port = p.DstPort
	}
	return n, Forward
}

// schedulePick asks the scheduler of a service.
func (s *Shard) schedulePick(p *rewrite.Packet, svc *serviceView, now time.Duration) *ipvs.RealServer {
	s.flow = flowOf(p)
	s.met.why = ipvs.PickedNew
	return svc.schedule(&s.flow, now)
}

// flowOf returns what schedulers may know of a packet.
func flowOf(p *rewrite.Packet) sched.Flow {
	return sched.Flow{
		CIP: srcAddr(p), VIP: dstAddr(p), CPort: p.SrcPort, VPort: p.DstPort,
		Proto: ipvs.Protocol(p.Proto),
	}
}

// connect enters a new connection into the table and into the counts.
func (s *Shard) connect(p *rewrite.Packet, svc *serviceView, n newConn, mark uint32, now time.Duration) (conntrack.Ref, Verdict) {
	v, r := Forward, conntrack.Ref(0)
	srv := &s.view.servers[n.server.ID]
	if srv.method == ipvs.FullNAT {
		n.local, v = s.takeSource(p, srv, n.port)
	}
	if v == Forward {
		if r = s.insert(p, now); r == 0 && s.evict(p.V6) {
			r = s.insert(p, now)
		}
		if r == 0 {
			v = DropTableFull
		}
	}
	if v != Forward {
		if n.template != 0 {
			s.dir.templates.release(s, p.V6, n.template, false)
		}
		return 0, v
	}
	s.bind(s.of(p.V6).At(r), r, svc, n, mark)
	return r, Forward
}

// bind binds connection c, which is r, to its server and counts it.
func (s *Shard) bind(c *conntrack.Conn, r conntrack.Ref, svc *serviceView, n newConn, mark uint32) {
	srv := &s.view.servers[n.server.ID]
	c.Dest, c.RIP, c.RPort = n.server.ID, srv.addr, n.port
	if c.Is(conntrack.V6) {
		s.ends(r).RIP = srv.addr6
	}
	c.Template, c.Mark = n.template, mark
	c.Flags |= conntrack.Inactive | conntrack.Flags(srv.method)
	switch {
	case srv.method == ipvs.FullNAT:
		s.pair(r, n.local)
	case srv.method != ipvs.Masq:
		c.Flags |= conntrack.NoOutput
	}
	if s.dir.helps(c) {
		c.Flags |= conntrack.Helped
	}
	overloaded := n.server.BindInactive()
	s.counts.servers[n.server.ID].Conns++
	s.counts.services[svc.id].Conns++
	if s.journal.follow {
		s.tellConn(ipvs.EventBorn, c, s.endsOf(c, r), c.State, ipvs.NoReason, false)
		if overloaded {
			s.tellServer(ipvs.EventServerOverloaded, n.server.ID)
		}
	}
}

// onePacket forwards a datagram of a one-packet service by a connection that
// lives for this datagram only and that no reply finds (semantics 6.4).
func (s *Shard) onePacket(f *Frame, p *rewrite.Packet, svc *serviceView, n newConn, mark uint32, now time.Duration) Verdict {
	s.met.why = ipvs.PickedOnePacket
	c := &s.passing
	*c = conntrack.Conn{
		CIP: p.Src, VIP: p.Dst, CPort: p.SrcPort, VPort: p.DstPort, Proto: p.Proto,
		Flags: conntrack.OnePacket,
	}
	if p.V6 {
		c.Flags |= conntrack.V6
		s.passed = conntrack.Ends6{CIP: p.Src6, VIP: p.Dst6}
	}
	s.bind(c, 0, svc, n, mark)
	v := s.forwardIn(f, p, c, 0, now)
	s.ending = ipvs.OnePacketEnd
	s.died(0, c)
	s.ending = ipvs.NoReason
	return v
}

// evict makes room for a connection of a family when the tables are full, if it
// can: first among its own.
func (s *Shard) evict(v6 bool) bool {
	s.ending = ipvs.Evicted
	defer func() { s.ending = ipvs.NoReason }()
	return s.of(v6).Evict() || s.of(!v6).Evict()
}

// end ends a connection before its time.
func (s *Shard) end(t *conntrack.Table, r conntrack.Ref, why ipvs.Reason) {
	s.ending = why
	t.Remove(r)
	s.ending = ipvs.NoReason
}

// outgrown says why a connection ends whose client's next packet was scheduled
// anew, with what came of it.
func outgrown(v *view, c *conntrack.Conn, came Verdict) ipvs.Reason {
	switch {
	case !v.servers[c.Dest].Available():
		return ipvs.ServerGone
	case came != Forward:
		return ipvs.NoDestination
	}
	return ipvs.Reused
}

// died gives back what an ended connection was counted in. It is the table's
// callback.
func (s *Shard) died(r conntrack.Ref, c *conntrack.Conn) {
	srv := s.dir.view.Load().servers[c.Dest]
	recovered := false
	if c.Is(conntrack.Inactive) {
		recovered = srv.UnbindInactive()
	} else {
		recovered = srv.UnbindActive()
	}
	if s.journal.follow {
		s.tellConn(ipvs.EventDied, c, s.endsOf(c, r), c.State, s.deathOf(c), false)
		if recovered {
			s.tellServer(ipvs.EventServerRecovered, c.Dest)
		}
	}
	if c.Template != 0 {
		s.dir.templates.release(s, c.Is(conntrack.V6), c.Template, s.ending == ipvs.ServerGone)
	}
	if c.Full() {
		s.unpair(c)
	}
}

// deathOf says why a connection that ends now does.
func (s *Shard) deathOf(c *conntrack.Conn) ipvs.Reason {
	switch {
	case s.ending != ipvs.NoReason:
		return s.ending
	case c.Is(conntrack.Reset):
		return ipvs.ResetExpired
	}
	return ipvs.Expired
}

// step moves a connection by one packet and re-arms its timer. r is 0 for one
// that is in no table.
func (s *Shard) step(c *conntrack.Conn, r conntrack.Ref, srv *serverView, dir conntrack.Direction, p *rewrite.Packet, now time.Duration) {
	through, before, move := dir == conntrack.Out, c.State, conntrack.Stay
	switch p.Proto {
	case rewrite.ProtoTCP:
		move = c.StepTCP(dir, p.TCPFlags, s.view.settings.secure, &s.view.timeouts)
		through = c.State == conntrack.TCPEstablished
	case rewrite.ProtoSCTP:
		move = c.StepSCTP(dir, p.Chunk, &s.view.timeouts)
		through = c.State == conntrack.SCTPEstablished
	default:
		c.StepUDP(dir, &s.view.timeouts)
	}
	switch move {
	case conntrack.Activated:
		srv.Activate()
	case conntrack.Deactivated:
		srv.Deactivate()
	}
	if c.State != before && s.journal.follow {
		s.tellConn(ipvs.EventState, c, s.endsOf(c, r), before, moved(p), dir == conntrack.Out)
	}
	if c.Template != 0 && through && !c.Is(conntrack.Assured) {
		c.Flags |= conntrack.Assured
		s.dir.templates.assure(s, p.V6, c.Template)
	}
	if r != 0 {
		s.of(p.V6).Arm(r, c, now)
	}
}

// chunkReasons are the chunks that change states.
var chunkReasons = [15]ipvs.Reason{
	ipvs.GotData, ipvs.GotInit, ipvs.GotInitAck, ipvs.GotData, ipvs.GotData, ipvs.GotData, ipvs.GotAbort, ipvs.GotShutdown,
	ipvs.GotShutdownAck, ipvs.GotError, ipvs.GotCookieEcho, ipvs.GotCookieAck, ipvs.GotData, ipvs.GotData, ipvs.GotShutdownComplete,
}

// moved classes a packet that has changed a state as the state tables do.
func moved(p *rewrite.Packet) ipvs.Reason {
	if p.Proto == rewrite.ProtoSCTP {
		if int(p.Chunk) < len(chunkReasons) { // one without a chunk changes no state
			return chunkReasons[p.Chunk]
		}
		return ipvs.GotData
	}
	switch flags := p.TCPFlags; {
	case flags&conntrack.FlagRST != 0:
		return ipvs.GotRST
	case flags&conntrack.FlagSYN != 0:
		return ipvs.GotSYN
	case flags&conntrack.FlagFIN != 0:
		return ipvs.GotFIN
	case flags&conntrack.FlagACK != 0:
		return ipvs.GotACK
	}
	return ipvs.GotNone
}
