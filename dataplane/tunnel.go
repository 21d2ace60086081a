package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// tunnelOf returns the form of a destination's tunnel; v6 is the family of its
// address. A remote checksum is
// announced to nobody: the kernel's IPVS sends the field of a complete one, and so
// does natlb.
func tunnelOf(o ipvs.TunnelOptions, v6 bool) rewrite.Tunnel {
	t := rewrite.Tunnel{Port: o.Port, Checksum: o.Checksum != ipvs.TunnelNoChecksum, V6: v6}
	switch o.Type {
	case ipvs.TunnelGUE:
		t.Kind = rewrite.GUE
	case ipvs.TunnelGRE:
		t.Kind = rewrite.GRE
	}
	return t
}

// What every link carries: of IPv4 (RFC 791 section 3.2) and of IPv6 (RFC 8200
// section 5).
const (
	minimumMTU  = 68
	minimumMTU6 = 1280
)

// room returns the greatest packet that goes to a connection's real server as it
// is, hop being the way there, and the greatest that the way takes: what a tunnel
// makes of it must not be longer. With sysctl pmtu_disc=0 a tunnel takes all: what
// is too long for the way is cut outside; and so is what of IPv6 every way has to take.
func (s *Shard) room(c *conntrack.Conn, p *rewrite.Packet, srv *serverView, hop *Hop, now time.Duration) (packet, way int) {
	if c.Method() != ipvs.Tunnel {
		return hop.MTU, hop.MTU
	}
	way = s.dir.pathMTU(srv, hop.MTU, now)
	switch {
	case p.V6:
		return max(way-srv.tunnel.Overhead(), minimumMTU6), way
	case s.view.settings.pmtuDisc == 0:
		return maxIPv4, way
	}
	return max(way-srv.tunnel.Overhead(), minimumMTU), way
}

// maxIPv4 is the longest IPv4 packet.
const maxIPv4 = 65535

// encapsulate sends a packet to its real server inside another one, of mtu bytes
// at most; errors about it are from there. Neither virtio's header nor a network card is told about packets in
// packets, so checksums are completed and super-packets cut before. From a port
// that leaves room in front of it the packet stays where it is.
func (s *Shard) encapsulate(f *Frame, p *rewrite.Packet, from *origin, srv *serverView, hop *Hop, mtu int, now time.Duration) Verdict {
	t, over := srv.tunnel, srv.tunnel.Overhead()
	outer := rewrite.Outer{DF: p.DontFrag && !p.V6 && s.view.settings.pmtuDisc != 0}
	if srv.v6 {
		outer.Src6, outer.Dst6 = hop.Src6, srv.addr6
	} else {
		outer.Src, outer.Dst = hop.Src, srv.addr
	}
	switch {
	case !srv.v6 && hop.Src == 0 || srv.v6 && hop.Src6 == rewrite.Addr6{}:
		return DropNoSource
	case mtu-over < minimumMTU:
		return DropTooBig
	case t.Kind == rewrite.GUE:
		outer.Flow = s.flowHash(p)
	}
	from.inner = uint8(over)
	o := outgoing{f: f, hop: hop, mtu: mtu, sent: Forward, now: now, frames: s.framesOf(), origin: from}
	if f.Offload.Super() {
		return o.verdict(s.encapsulateSegments(&o, p, t, &outer))
	}
	if f.Offload.Partial() {
		rewrite.CompleteChecksum(f.Data, int(f.Offload.CsumStart), int(f.Offload.CsumOffset))
	}
	room := f.front(over, p.End)
	if room == nil {
		if room = s.out.room(over + p.End); room == nil {
			return DropNoBuffer
		}
		copy(room[over:], f.Data[:p.End])
	}
	n := s.wrap(room, t, &outer)
	if n == 0 {
		return DropTooBig
	}
	f.Data, f.Head = room[:n], nil
	return o.verdict(s.handOuter(&o, room[:n]))
}

// encapsulateSegments does so for each segment of a super-packet. TCP gets
// segments that fit; datagrams keep their size, and are cut outside.
func (s *Shard) encapsulateSegments(o *outgoing, p *rewrite.Packet, t rewrite.Tunnel, outer *rewrite.Outer) Verdict {
	headers, over := rewrite.HeadersLen(o.f.Data, p), t.Overhead()
	size := int(o.f.Offload.GSOSize)
	if p.Proto == rewrite.ProtoTCP {
		size = min(size, o.mtu-over-(headers-rewrite.EthernetLen))
	}
	return s.segments(o.f, p, size, over, func(segment []byte) Verdict {
		if s.wrap(segment, t, outer) == 0 {
			return DropTooBig // a datagram that no IP packet can carry: it is the only one
		}
		return s.handOuter(o, segment)
	})
}

// wrap puts a tunnel's headers in front of the packet in buf, which begins with
// room for them, and returns the length of the new frame; see
// [rewrite.Encapsulate].
func (s *Shard) wrap(buf []byte, t rewrite.Tunnel, outer *rewrite.Outer) int {
	if !outer.DF {
		outer.ID = uint16(s.dir.nextID())
	}
	return rewrite.Encapsulate(buf, t, outer)
}

// handOuter hands on an outer packet. What does not fit the way is cut outside
// (semantics 5.6).
func (s *Shard) handOuter(o *outgoing, data []byte) Verdict {
	if len(data)-rewrite.EthernetLen <= o.mtu {
		return s.hand(o, data, Offload{})
	}
	var outer rewrite.Packet
	rewrite.Parse(data, &outer)
	if outer.V6 {
		outer.ID = s.dir.nextID()
	}
	return s.cut(o, data, &outer)
}

// nextID returns an identification for a packet of the director's own that may be
// cut. Those of
// all tunnels come from one count: they must differ between packets of one pair of
// addresses, which the inner ones of different clients do not.
func (d *Director) nextID() uint32 { return d.ident.Add(1) }

// flowHash returns a number that the packets of one flow have in common, and that
// a stranger cannot foresee.
func (s *Shard) flowHash(p *rewrite.Packet) uint32 {
	h := s.dir.cfg.Seed
	for _, word := range [...]uint64{
		uint64(p.Src)<<32 | uint64(p.Dst), uint64(p.SrcPort)<<32 | uint64(p.DstPort)<<8 | uint64(p.Proto),
	} {
		h = (h ^ word) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return uint32(h)
}

// outer is what is known of a tunnel's packet that an ICMP error quotes.
type outer struct {
	tunnel rewrite.Tunnel
	to     rewrite.Packet // its addresses
}

// aboutTunnel makes q, the packet that an ICMP error to the director quotes, the
// one inside it, if it is one that the director may have sent through a tunnel to
// a real server.
func (s *Shard) aboutTunnel(f *Frame, q *rewrite.Packet) (out outer, ok bool) {
	if q.Proto == rewrite.ProtoTCP || s.view.roles.dst(q)&roleServer == 0 || !s.view.fromHost(q) {
		return out, false
	}
	out.to = *q
	out.tunnel, ok = rewrite.ParseTunnelled(f.Data, q, q)
	return out, ok
}

// leadsTo reports whether the tunnel is that of a server.
func (o *outer) leadsTo(srv *serverView) bool {
	return o.tunnel == srv.tunnel && srv.v6 == o.to.V6 && srv.addr == o.to.Dst && (!srv.v6 || srv.addr6 == o.to.Dst6)
}

// tunnelError makes of an error about an outer packet, whose inner one is q, one
// about the inner packet, for the client (semantics 5.7). It is no secret to the
// host, which has its own copy.
func (s *Shard) tunnelError(f *Frame, p, q *rewrite.Packet, out *outer, now time.Duration) Verdict {
	r := s.findIn(q)
	if r == 0 {
		return s.accept(f, p, now)
	}
	c := s.of(q.V6).At(r)
	srv := &s.view.servers[c.Dest]
	if c.Method() != ipvs.Tunnel || !out.leadsTo(srv) {
		return s.accept(f, p, now)
	}
	s.meets(c, r)
	if !trustedICMP(f, p) {
		return DropICMPChecksum
	}
	a := tunnelAnswer(p, q)
	tooBig := isTooBig(p)
	if tooBig {
		to := s.wayTo(srv)
		if to.Kind != HopForward {
			return DropNoRoute
		}
		s.dir.learnMTU(srv, rewrite.ICMPNextMTU(f.Data, p), now)
		most := s.dir.pathMTU(srv, to.MTU, now) - out.tunnel.Overhead()
		if q.V6 {
			most = max(most, minimumMTU6)
		}
		a = rewrite.TooBig.About(q, most)
	}
	hop := s.wayBack(c, r)
	if hop.Kind != HopForward {
		return DropNoRoute
	}
	if !tooBig && !s.dir.limiter.allowError(q, now) {
		return DropLimited
	}
	room := s.out.room(rewrite.MaxICMPError)
	if room == nil {
		return DropNoBuffer
	}
	n := rewrite.ICMPError(room, f.Data, q, s.view.host.Link(f.Link).MAC, a)
	s.out.trim(room, n)
	if n == 0 {
		return s.accept(f, p, now)
	}
	rewrite.Parse(room[:n], p)
	s.countOut(c, srv, p)
	o := outgoing{f: f, hop: hop, mtu: hop.MTU, sent: Forward, now: now, frames: s.framesOf(), origin: &origin{}}
	if p.Len() > hop.MTU {
		return o.verdict(s.cut(&o, room[:n], p))
	}
	return o.verdict(s.hand(&o, room[:n], Offload{}))
}

// tunnelAnswer returns the error about q that says of it, in the words of its family,
// what p says of the packet around it. It is from the VIP. What ICMPv6 finds wrong in
// a header is wrong in the outer one, at a place that the inner one does not have: the
// client learns that the server is not to be reached.
func tunnelAnswer(p, q *rewrite.Packet) rewrite.ICMPAnswer {
	a := rewrite.HostUnreachable.About(q, 0)
	switch {
	case p.V6 == q.V6 && (!p.V6 || p.ICMPType != rewrite.ICMPv6Parameter):
		a.Type, a.Code = p.ICMPType, p.ICMPCode
	case p.ICMPType == rewrite.ICMPTimeExceeded && !p.V6, p.ICMPType == rewrite.ICMPv6TimeExceeded && p.V6:
		a = rewrite.TTLExceeded.About(q, 0)
	}
	return a
}

// isTooBig reports whether an ICMP error says that a packet is too long.
func isTooBig(p *rewrite.Packet) bool {
	if p.V6 {
		return p.ICMPType == rewrite.ICMPv6TooBig
	}
	return p.ICMPType == rewrite.ICMPUnreachable && p.ICMPCode == icmpFragNeeded
}
