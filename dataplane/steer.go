package dataplane

import (
	"slices"
	"time"

	"natlb/internal/classify"
	"natlb/ipvs"
	"natlb/rewrite"
)

// steering says which shard owns a client's connections. The client's endpoint
// is what translation leaves alone, so both directions of a connection meet in
// one shard. The kernel's fanout program ([FanoutProgram]) counts in the same
// way; what it cannot know (fragments, ICMP errors, real servers that are clients)
// comes to some shard and is handed over from there.
type steering struct {
	shards uint32
	// byAddress: ports do not count, as long as there are services with the FTP
	// helper, whose data connections have ports of their own, not all known
	// beforehand.
	byAddress bool
}

// of returns the shard of a client, whose address and port are in host byte
// order. An IPv6 address counts folded.
func (st steering) of(addr uint32, port uint16) int {
	if st.byAddress {
		port = 0
	}
	return int(spread(addr^uint32(port)) >> 16 % st.shards)
}

// other is the steering of the other mode.
func (st steering) other() steering { return steering{st.shards, !st.byAddress} }

// steers settles how clients are steered. The caller holds d.mu, and the shards
// when services change.
func (d *Director) steers(v *view) {
	st := steering{shards: uint32(len(d.shards))}
	if st.shards > 1 && len(d.cfg.FTPPorts) > 0 {
		st.byAddress = v.four.catchAll || v.six.catchAll || v.marked() > 0 || slices.ContainsFunc(d.services, func(s *service) bool {
			return s.key.Proto == ipvs.TCP && slices.Contains(d.cfg.FTPPorts, s.key.VIP.Port())
		})
	}
	if was := d.view.Load(); was != nil {
		v.resteered = was.resteered
		if was.steering != st && d.splits() {
			v.resteered = true
		}
	}
	v.steering = st
}

// splits reports whether there are connections in one of several shards, which another
// way to steer would look for in others. The caller is as of steers.
func (d *Director) splits() bool {
	return len(d.shards) > 1 && slices.ContainsFunc(d.shards, func(s *Shard) bool { return s.entries() > 0 })
}

// asked counts those of a packet's suitors that it has come to.
type asked uint8

const (
	askedNot   asked = 0   // as received
	askedFinal asked = 255 // none of them knows it, and this is its owner
)

// suitors are the shards that may have a packet's connection, the likeliest first.
// What none of them knows the owner gets.
type suitors struct {
	list  [4]int
	n     int
	owner int
}

func (u *suitors) add(shard int) {
	if !slices.Contains(u.list[:u.n], shard) {
		u.list[u.n] = shard
		u.n++
	}
}

// suitors returns those of a packet received on a side: its client's owner, the former
// one after a change of steering, and those of the other end where that may be the
// client. It may be one of a packet that a server sends where marks lead it, which can
// be an answer as well as a request, and where an address has turned into a VIP, or from
// one, under its connections: answers are tried first, but of what goes to a VIP
// (semantics 5.1).
func (v *view) suitors(st steering, p *rewrite.Packet, side Side) (u suitors) {
	to := v.roles.dst(p)
	addr, port, end := v.client(p, to)
	if end == isSource {
		u.owner = sourceSteering(int(st.shards)).of(addr, port)
		u.add(u.owner)
		return u
	}
	u.owner = st.of(addr, port)
	both := (to&roleTurned != 0 || end == isSender && !to.isVIP() && side&DIPSide != 0) &&
		(v.roles.src(p) != 0 || side&DIPSide != 0 && v.answers(p))
	switch {
	case !both:
		u.addClient(st, v, addr, port)
	case to&roleVIP == 0:
		u.addClient(st, v, p.Dst, p.DstPort)
		u.addClient(st, v, p.Src, p.SrcPort)
	default:
		u.addClient(st, v, p.Src, p.SrcPort)
		u.addClient(st, v, p.Dst, p.DstPort)
	}
	return u
}

// addClient adds the owner of a client and the former one.
func (u *suitors) addClient(st steering, v *view, addr uint32, port uint16) {
	u.add(st.of(addr, port))
	if v.resteered {
		u.add(st.other().of(addr, port))
	}
}

// handed is a packet on its way to another shard. Its bytes are still the
// sender's, who stands by until it is dealt with.
type handed struct {
	frame Frame
	to    int
	asked asked
	cuts  []span         // of a packet that came in pieces
	like  rewrite.Packet // how to cut that again
	held  uint64         // frames that these were, the last not counted
}

// handedList is a list that keeps its elements' memory.
type handedList struct {
	items []handed
	n     int
}

func (l *handedList) add() *handed {
	if l.n == len(l.items) {
		l.items = append(l.items, handed{})
	}
	l.n++
	return &l.items[l.n-1]
}

// elsewhere hands a packet over to the shard that has, or is to have, its
// connection. It reports false when that is this one, or when it does not matter.
func (s *Shard) elsewhere(f *Frame, p *rewrite.Packet) bool {
	if rewrite.CarriesPorts(p.Proto) {
		return s.passes(f, p)
	}
	q := &s.quoted
	if !p.IsTranslatedError() || !rewrite.ParseQuoted(f.Data, p, q) {
		return false
	}
	if _, ok := s.aboutTunnel(f, q); ok {
		return s.passes(f, q) // as the client has sent it
	}
	as := reversed(q) // the quoted packet went the other way
	return s.passes(f, &as)
}

// passes does so for a packet with the endpoints and the protocol of p.
func (s *Shard) passes(f *Frame, p *rewrite.Packet) bool {
	if s.asked == askedFinal {
		return false
	}
	u := s.view.suitors(s.view.steering, p, s.dir.cfg.Links[f.Link].Side)
	for k := int(s.asked); u.n > 1 && k <= u.n; k++ {
		switch {
		case k > 0 && s.knows(p):
			return false
		case k < u.n && u.list[k] != s.id:
			s.handOver(f, u.list[k], asked(k+1))
			return true
		}
	}
	if u.owner == s.id {
		return false
	}
	s.handOver(f, u.owner, askedFinal)
	return true
}

// clientEnd says which end of a packet is the client, as far as it tells.
type clientEnd uint8

const (
	isSender clientEnd = iota
	isReceiver
	isSource // the receiver, a source address, which stands for a client: see sourceSteering
)

// client returns the end of a packet that is the client: the sender, but of what
// a real server sends, from its own address or as the VIP, to anything else than
// a VIP. It goes to an address with the roles to. Of IPv6 the address is folded.
func (v *view) client(p *rewrite.Packet, to role) (addr uint32, port uint16, end clientEnd) {
	if to&roleSource != 0 {
		return p.Dst, p.DstPort, isSource
	}
	if !to.isVIP() && (v.roles.src(p) != 0 || v.answers(p)) && !v.targeted(p) {
		return p.Dst, p.DstPort, isReceiver
	}
	return p.Src, p.SrcPort, isSender
}

// targeted reports whether firewall marks lead a packet to a service.
func (v *view) targeted(p *rewrite.Packet) bool {
	if len(v.targets) == 0 {
		return false
	}
	dst := dstAddr(p)
	return slices.ContainsFunc(v.targets, func(t classify.Target) bool { return t.Has(p.Proto, dst, p.DstPort) })
}

// answers reports whether p would be the answer to a packet that marks lead to a
// service: from one of its addresses, which need not have a role.
func (v *view) answers(p *rewrite.Packet) bool {
	if len(v.targets) == 0 {
		return false
	}
	as := reversed(p)
	return v.targeted(&as)
}

// knows reports whether the shard has the connection of a packet.
func (s *Shard) knows(p *rewrite.Packet) bool {
	r, _ := s.known(p, true)
	return r != 0
}

// handOver puts a packet on the list for others.
func (s *Shard) handOver(f *Frame, to int, asked asked) {
	s.handed++
	h := s.foreign.add()
	h.frame, h.to, h.asked = *f, to, asked
	h.cuts, h.held = append(h.cuts[:0], s.frags.cuts...), 0
	if len(h.cuts) > 0 {
		h.like, h.held = s.pkt, s.frags.frames
	}
}

// take decides about a packet that another shard has handed over, and counts its
// verdict for all the frames that it came in.
func (s *Shard) take(h *handed, now time.Duration) {
	s.asked = h.asked
	s.frags.cuts = append(s.frags.cuts[:0], h.cuts...)
	s.frags.frames = h.held
	var v Verdict
	if len(s.taps) == 0 {
		v = s.taken(h, now)
	} else {
		v = s.tapped(&h.frame, now, func() Verdict { return s.taken(h, now) })
	}
	s.frags.cuts = s.frags.cuts[:0]
	s.asked = askedNot
	s.ledger.taken += 1 + h.held
	s.ledger.enter(v, 1+h.held, &h.frame, now)
}

func (s *Shard) taken(h *handed, now time.Duration) Verdict {
	if rewrite.Parse(h.frame.Data, &s.pkt) != rewrite.FaultNone {
		return DropTransport
	}
	if len(h.cuts) > 0 {
		s.pkt.CutLike(&h.like)
	}
	return s.packet(&h.frame, &s.pkt, now)
}

// HandedOver returns how often packets have been handed over to another shard than the
// one that they had come to.
func (d *Director) HandedOver() uint64 { return d.sum(func(s *Shard) uint64 { return s.handed }) }

// sum adds up a counter of all shards, each between two of its batches.
func (d *Director) sum(of func(*Shard) uint64) (n uint64) {
	for _, s := range d.shards {
		s.mu.Lock()
		n += of(s)
		s.mu.Unlock()
	}
	return n
}

// SteersByAddress reports whether the ports of clients do not count at present in
// the choice of their shard.
func (d *Director) SteersByAddress() bool { return d.view.Load().steering.byAddress }
