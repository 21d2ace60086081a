package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// tunnelOf returns the form of a destination's tunnel. A remote checksum is
// announced to nobody: the kernel's IPVS sends the field of a complete one, and so
// does natlb.
func tunnelOf(o ipvs.TunnelOptions) rewrite.Tunnel {
	t := rewrite.Tunnel{Port: o.Port, Checksum: o.Checksum != ipvs.TunnelNoChecksum}
	switch o.Type {
	case ipvs.TunnelGUE:
		t.Kind = rewrite.GUE
	case ipvs.TunnelGRE:
		t.Kind = rewrite.GRE
	}
	return t
}

// minimumMTU is the least that every IPv4 link carries (RFC 791 section 3.2).
const minimumMTU = 68

// room returns the greatest packet that goes to a connection's real server as it
// is, hop being the way there, and the greatest that the way takes: what a tunnel
// makes of it must not be longer. With sysctl pmtu_disc=0 a tunnel takes all: what
// is too long for the way is cut outside.
func (s *Shard) room(c *conntrack.Conn, srv *serverView, hop *Hop, now time.Duration) (packet, way int) {
	if c.Method() != ipvs.Tunnel {
		return hop.MTU, hop.MTU
	}
	way = s.dir.paths.mtu(c.RIP, hop.MTU, now)
	if s.view.settings.pmtuDisc == 0 {
		return maxIPv4, way
	}
	return max(way-srv.tunnel.Overhead(), minimumMTU), way
}

// maxIPv4 is the longest IPv4 packet.
const maxIPv4 = 65535

// encapsulate sends a packet to its real server inside another one, of mtu bytes
// at most. Neither virtio's header nor a network card is told about packets in
// packets, so checksums are completed and super-packets cut before. From a port
// that leaves room in front of it the packet stays where it is.
func (s *Shard) encapsulate(f *Frame, p *rewrite.Packet, c *conntrack.Conn, srv *serverView, hop *Hop, mtu int, now time.Duration) Verdict {
	t, over := srv.tunnel, srv.tunnel.Overhead()
	outer := rewrite.Outer{Src: hop.Src, Dst: c.RIP, DF: p.DontFrag && s.view.settings.pmtuDisc != 0}
	switch {
	case hop.Src == 0:
		return DropNoSource
	case mtu-over < minimumMTU:
		return DropTooBig
	case t.Kind == rewrite.GUE:
		outer.Flow = s.flowHash(p)
	}
	o := outgoing{
		f: f, hop: hop, mtu: mtu, sent: Forward, now: now, dst: c.RIP, frames: s.framesOf(),
		origin: origin{src: c.VIP, inner: uint8(over)},
	}
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
	n := rewrite.SegmentCount(p, o.f.Data, size)
	if n == 0 {
		return DropTooBig
	}
	v := o.sent
	for i := range n {
		room := s.out.room(over + headers + size)
		if room == nil {
			return DropNoBuffer
		}
		length := over + rewrite.Segment(room[over:], o.f.Data, p, size, i)
		s.out.trim(room, length)
		if s.wrap(room[:length], t, outer) == 0 {
			return DropTooBig
		}
		v = s.handOuter(o, room[:length])
	}
	return v
}

// wrap puts a tunnel's headers in front of the packet in buf, which begins with
// room for them, and returns the length of the new frame; see
// [rewrite.Encapsulate].
func (s *Shard) wrap(buf []byte, t rewrite.Tunnel, outer *rewrite.Outer) int {
	if !outer.DF {
		outer.ID = s.dir.nextID()
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
	rewrite.ParseIPv4(data, &outer)
	return s.cut(o, data, &outer)
}

// nextID returns an identification for an outer packet that may be cut. Those of
// all tunnels come from one count: they must differ between packets of one pair of
// addresses, which the inner ones of different clients do not.
func (d *Director) nextID() uint16 { return uint16(d.ident.Add(1)) }

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

// aboutTunnel makes q, the packet that an ICMP error to the director quotes, the
// one inside it, if it is one that the director may have sent through a tunnel to
// the address rip.
func (s *Shard) aboutTunnel(f *Frame, q *rewrite.Packet) (t rewrite.Tunnel, rip uint32, ok bool) {
	rip = q.Dst
	if q.Proto == rewrite.ProtoTCP || s.view.roles.of(rip)&roleServer == 0 || !s.view.host.IsLocal(q.Src) {
		return t, rip, false
	}
	t, ok = rewrite.ParseTunnelled(f.Data, q, q)
	return t, rip, ok
}

// tunnelError makes of an error about an outer packet, whose inner one is q, one
// about the inner packet, for the client (semantics 5.7). It is no secret to the
// host, which has its own copy.
func (s *Shard) tunnelError(f *Frame, p, q *rewrite.Packet, t rewrite.Tunnel, rip uint32, now time.Duration) Verdict {
	key := conntrack.Key4{CIP: q.Src, VIP: q.Dst, CPort: q.SrcPort, VPort: q.DstPort, Proto: q.Proto}
	r := s.table.FindIn(&key)
	if r == 0 {
		return s.accept(f, p, now)
	}
	c := s.table.At(r)
	srv := &s.view.servers[c.Dest]
	if c.Method() != ipvs.Tunnel || c.RIP != rip || t != srv.tunnel {
		return s.accept(f, p, now)
	}
	s.met.conn = c
	if !trustedICMP(f, p) {
		return DropICMPChecksum
	}
	a := rewrite.ICMPAnswer{Type: p.ICMPType, Code: p.ICMPCode, Src: c.VIP}
	tooBig := p.ICMPType == rewrite.ICMPUnreachable && p.ICMPCode == icmpFragNeeded
	if tooBig {
		to := s.routes.lookup(s.view.host, rip)
		if to.Kind != HopForward {
			return DropNoRoute
		}
		s.dir.paths.learn(rip, rewrite.ICMPNextMTU(f.Data, p), now)
		a.Rest = uint32(s.dir.paths.mtu(rip, to.MTU, now) - t.Overhead())
	}
	hop := s.routes.lookup(s.view.host, c.CIP)
	if hop.Kind != HopForward {
		return DropNoRoute
	}
	if !tooBig && !s.dir.limiter.allow(c.CIP, now) {
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
	rewrite.ParseIPv4(room[:n], p)
	s.countOut(c, srv, p)
	o := outgoing{f: f, hop: hop, mtu: hop.MTU, sent: Forward, now: now, dst: c.CIP, frames: s.framesOf()}
	if p.Len() > hop.MTU {
		return o.verdict(s.cut(&o, room[:n], p))
	}
	return o.verdict(s.hand(&o, room[:n], Offload{}))
}
