package dataplane

import (
	"net/netip"
	"time"

	"natlb/conntrack"
	"natlb/rewrite"
)

// IPv4 and IPv6 take one way through a shard. What differs is the width of an
// address, and so which table of connections, of roles, of services or of ways is
// asked; that is decided here, and where a packet is rewritten.

// newTables returns the tables of connections, or of templates, of both families.
// They share the cap on entries.
func newTables(d *Director, died func(conntrack.Ref, *conntrack.Conn)) (four, six *conntrack.Table) {
	cfg := conntrack.Config{Seed: d.cfg.Seed, Max: d.cfg.MaxConns, Died: died}
	four = conntrack.NewTable(cfg)
	cfg.V6 = true
	six = conntrack.NewTable(cfg)
	four.Share(six)
	return four, six
}

// of returns the table of a family.
func (s *Shard) of(v6 bool) *conntrack.Table {
	if v6 {
		return s.table6
	}
	return s.table
}

// tables returns the tables of both families.
func (s *Shard) tables() [2]*conntrack.Table { return [2]*conntrack.Table{s.table, s.table6} }

// entries returns how many connections the shard has.
func (s *Shard) entries() int { return s.table.Len() + s.table6.Len() }

// ends returns the addresses of an IPv6 connection; r is 0 for the one that is in
// no table.
func (s *Shard) ends(r conntrack.Ref) *conntrack.Ends6 {
	if r == 0 {
		return &s.passed
	}
	return s.table6.Ends6(r)
}

// endsOf is ends for a connection that may be of IPv4: nil then.
func (s *Shard) endsOf(c *conntrack.Conn, r conntrack.Ref) *conntrack.Ends6 {
	if !c.Is(conntrack.V6) {
		return nil
	}
	return s.ends(r)
}

// src and dst return the roles of a packet's addresses.
func (t *roleTable) src(p *rewrite.Packet) role {
	if p.V6 {
		return t.of6(p.Src6)
	}
	return t.of(p.Src)
}

func (t *roleTable) dst(p *rewrite.Packet) role {
	if p.V6 {
		return t.of6(p.Dst6)
	}
	return t.of(p.Dst)
}

// srcAddr and dstAddr return a packet's addresses as the world outside the data path
// has them.
func srcAddr(p *rewrite.Packet) netip.Addr { return SourceOf(p).Addr() }

func dstAddr(p *rewrite.Packet) netip.Addr { return DestinationOf(p).Addr() }

// setEnds gives p the addresses src and dst, which are of one family.
func setEnds(p *rewrite.Packet, src, dst netip.Addr) {
	if p.V6 = src.Is6(); p.V6 {
		p.Src6, p.Dst6 = rewrite.Addr6Of(src), rewrite.Addr6Of(dst)
		p.Src, p.Dst = p.Src6.Fold(), p.Dst6.Fold()
		return
	}
	p.Src, p.Dst = Number4(src), Number4(dst)
}

// reversed returns the ends of p the other way round: what its receiver would send
// in answer.
func reversed(p *rewrite.Packet) rewrite.Packet {
	return rewrite.Packet{
		Src: p.Dst, Dst: p.Src, Src6: p.Dst6, Dst6: p.Src6, V6: p.V6,
		SrcPort: p.DstPort, DstPort: p.SrcPort, Proto: p.Proto,
	}
}

// key4 and key6 return the identity of the connection of a client's packet.
func key4(p *rewrite.Packet) conntrack.Key4 {
	return conntrack.Key4{CIP: p.Src, VIP: p.Dst, CPort: p.SrcPort, VPort: p.DstPort, Proto: p.Proto}
}

func key6(p *rewrite.Packet) conntrack.Key6 {
	return conntrack.Key6{CIP: p.Src6, VIP: p.Dst6, CPort: p.SrcPort, VPort: p.DstPort, Proto: p.Proto}
}

// findOut and findIn return the connection of a packet from a real server or from
// a client, or 0.
func (s *Shard) findOut(p *rewrite.Packet) conntrack.Ref {
	if p.V6 {
		return s.table6.FindOut6(p.Proto, p.Src6, p.SrcPort, p.Dst6, p.DstPort)
	}
	return s.table.FindOut(p.Proto, p.Src, p.SrcPort, p.Dst, p.DstPort)
}

func (s *Shard) findIn(p *rewrite.Packet) conntrack.Ref {
	if p.V6 {
		key := key6(p)
		return s.table6.FindIn6(&key)
	}
	key := key4(p)
	return s.table.FindIn(&key)
}

// insert enters the connection of a client's packet, or returns 0 when there is no
// room.
func (s *Shard) insert(p *rewrite.Packet, now time.Duration) conntrack.Ref {
	if p.V6 {
		key := key6(p)
		return s.table6.Insert6(&key, now)
	}
	key := key4(p)
	return s.table.Insert(&key, now)
}

// serviceFor returns the service of a packet with that mark, or nil; see
// services.find.
func (v *view) serviceFor(mark uint32, p *rewrite.Packet) *serviceView {
	if p.V6 {
		return v.six.find(mark, endpoint6Of(p.Proto, p.Dst6, p.DstPort))
	}
	return v.four.find(mark, endpointOf(p.Proto, p.Dst, p.DstPort))
}

// hasService reports whether there is a service of p's protocol at p's destination
// address and that port.
func (v *view) hasService(p *rewrite.Packet, port uint16) bool {
	if p.V6 {
		return v.six.of(endpoint6Of(p.Proto, p.Dst6, port)) != nil
	}
	return v.four.of(endpointOf(p.Proto, p.Dst, port)) != nil
}

// toHost reports whether a packet's destination is an address of the host.
func (v *view) toHost(p *rewrite.Packet) bool {
	if p.V6 {
		return v.host.IsLocal6(p.Dst6)
	}
	return v.host.IsLocal(p.Dst)
}

// fromHost reports whether a packet's source is an address of the host.
func (v *view) fromHost(p *rewrite.Packet) bool {
	if p.V6 {
		return v.host.IsLocal6(p.Src6)
	}
	return v.host.IsLocal(p.Src)
}

// wayOf returns the way to a packet's destination. It is valid until the next way is
// asked for.
func (s *Shard) wayOf(p *rewrite.Packet) *Hop {
	if p.V6 {
		return s.routes.lookup6(s.view.host, p.Dst6)
	}
	return s.routes.lookup(s.view.host, p.Dst)
}

// wayTo returns the way to a real server.
func (s *Shard) wayTo(srv *serverView) *Hop {
	if srv.v6 {
		return s.routes.lookup6(s.view.host, srv.addr6)
	}
	return s.routes.lookup(s.view.host, srv.addr)
}

// wayBack returns the way to the client of connection c, which is r.
func (s *Shard) wayBack(c *conntrack.Conn, r conntrack.Ref) *Hop {
	if c.Is(conntrack.V6) {
		return s.routes.lookup6(s.view.host, s.ends(r).CIP)
	}
	return s.routes.lookup(s.view.host, c.CIP)
}

// fromLink makes a be from the director's own address on a link.
func (s *Shard) fromLink(a rewrite.ICMPAnswer, link uint8) rewrite.ICMPAnswer {
	own := s.view.host.Link(link)
	a.Src, a.Src6 = own.Addr, own.Addr6
	return a
}

// fromVIP makes o, which is zero, the origin of a packet of connection c, which is r:
// errors about it are from the VIP.
func (s *Shard) fromVIP(o *origin, c *conntrack.Conn, r conntrack.Ref) {
	o.dest = c.Dest
	if c.Is(conntrack.V6) {
		o.src6 = s.ends(r).VIP
	} else {
		o.src = c.VIP
	}
}

// allowError takes a token for an error to the sender of p.
func (l *limiter) allowError(p *rewrite.Packet, now time.Duration) bool {
	if p.V6 {
		return l.allow6(p.Src6, now)
	}
	return l.allow(p.Src, now)
}
