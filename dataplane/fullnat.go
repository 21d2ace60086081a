package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// FULLNAT translates both ends of a packet. A new connection takes one of the
// director's source addresses and a port that no other connection with the same real
// server and port has; the server's answers come there, whatever its gateway is, and
// are found by the connection's twin (conntrack.Table.Pair).
//
// The port is chosen so that the steering sends it to the shard that has the
// connection. It counts for that also while those of clients do not
// (steering.byAddress): such answers are handed over.

const (
	// sourceTries bounds the ports that are looked at for a new connection. While a
	// tenth of those of a server is free, one in 700,000 connections finds none.
	sourceTries = 128

	firstSourcePort = 1024
	sourcePorts     = 1<<16 - firstSourcePort
)

// localEnd is the director's end of a connection with a real server.
type localEnd struct {
	source *sourceView
	port   uint16
}

// candidates walks the local ends that a connection may take, the same ones in the
// same order for the same client's packet and addresses.
type candidates struct {
	list  []sourceView
	state uint64
	left  int
}

func (s *Shard) candidates(v *view, p *rewrite.Packet) candidates {
	return candidates{v.sourcesOf(p), uint64(s.flowHash(p)), sourceTries}
}

// next returns the next local end that shard lane of lanes owns, false at the end.
func (c *candidates) next(lane, lanes int) (end localEnd, ok bool) {
	for ; c.left > 0 && len(c.list) > 0; c.left-- {
		c.state = c.state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		word := c.state >> 16
		end.source = &c.list[word>>16&0xffffffff*uint64(len(c.list))>>32]
		at := uint32(word & 0xffff)
		for range 32 * lanes { // neighbours are spread over the shards
			end.port = uint16(firstSourcePort + at%sourcePorts)
			if lanes == 1 || sourceSteering(lanes).of(end.source.fold, end.port) == lane {
				c.left--
				return end, true
			}
			at++
		}
	}
	return end, false
}

// sourceSteering is how packets to source addresses are steered: always by the port.
func sourceSteering(shards int) steering { return steering{shards: uint32(shards)} }

// takeSource picks the local end of a packet's connection with port rport of a real
// server.
func (s *Shard) takeSource(p *rewrite.Packet, srv *serverView, rport uint16) (localEnd, Verdict) {
	c := s.candidates(s.view, p)
	if len(c.list) == 0 {
		return localEnd{}, DropNoSourceAddress
	}
	for {
		end, ok := c.next(s.lane, s.lanes)
		if !ok {
			return end, DropNoSourcePort
		}
		if s.findBack(p.Proto, srv, rport, end) == 0 {
			return end, Forward
		}
	}
}

// findBack returns the connection that has a local end with a real server, or 0.
func (s *Shard) findBack(proto uint8, srv *serverView, rport uint16, end localEnd) conntrack.Ref {
	if srv.v6 {
		return s.table6.FindOut6(proto, srv.addr6, rport, end.source.addr.Addr6, end.port)
	}
	return s.table.FindOut(proto, srv.addr, rport, uint32(end.source.addr.Lo), end.port)
}

// pair gives the new connection r its local end.
func (s *Shard) pair(r conntrack.Ref, end localEnd) {
	if a := end.source.addr; a.V6 {
		s.table6.Pair6(r, a.Addr6, end.port, end.source.id)
	} else {
		s.table.Pair(r, uint32(a.Lo), end.port, end.source.id)
	}
	s.view.sourceLive[end.source.id].uses.Add(1)
}

// unpair gives back the local end of a connection that ends.
func (s *Shard) unpair(c *conntrack.Conn) {
	_, twin := s.of(c.Is(conntrack.V6)).Twin(c)
	s.dir.view.Load().sourceLive[twin.Dest].uses.Add(-1)
}

// toServer and toClient return the ends that packets of connection c, which is r, get
// on their way.
func (s *Shard) toServer(c *conntrack.Conn, r conntrack.Ref) (to rewrite.Ends) {
	t := s.of(c.Is(conntrack.V6))
	ref, twin := t.Twin(c)
	to = rewrite.Ends{Src: twin.CIP, SrcPort: twin.CPort, Dst: c.RIP, DstPort: c.RPort}
	if c.Is(conntrack.V6) {
		to.Src6, to.Dst6 = t.Ends6(ref).CIP, t.Ends6(r).RIP
	}
	return to
}

func (s *Shard) toClient(c *conntrack.Conn, r conntrack.Ref) (to rewrite.Ends) {
	to = rewrite.Ends{Src: c.VIP, SrcPort: c.VPort, Dst: c.CIP, DstPort: c.CPort}
	if c.Is(conntrack.V6) {
		e := s.ends(r)
		to.Src6, to.Dst6 = e.VIP, e.CIP
	}
	return to
}

// fullIn sends a client's packet of a FULLNAT connection to its real server; errors
// about it are from there.
// Packets of many clients come from one address there, so those that may be cut get
// identifications of the director's own: those of the clients may be the same.
func (s *Shard) fullIn(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref, hop *Hop, from *origin, now time.Duration) Verdict {
	if len(s.frags.cuts) > 0 || !p.V6 && !p.DontFrag {
		rewrite.SetID(f.Data, p, s.dir.nextID())
	}
	from.vport = c.VPort
	if p.Proto == rewrite.ProtoTCP && s.view.servers[c.Dest].toa {
		rewrite.BlankTOA(f.Data, p, f.Offload.Partial()) // nobody else may say who the client is
		if !c.Is(conntrack.Answered) {
			s.tellServerOf(f, p, hop)
		}
	}
	to := s.toServer(c, r)
	rewrite.FullNAT(f.Data, p, &to, f.Offload.Partial())
	return s.send(f, p, hop, from, Forward, now)
}

// fullOut sends a real server's packet of a FULLNAT connection to its client; see
// reply.
func (s *Shard) fullOut(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref, now time.Duration) Verdict {
	srv := &s.view.servers[c.Dest]
	hop := s.wayBack(c, r)
	if hop.Kind == HopElsewhere {
		return DropElsewhere
	}
	if v := s.routable(f, p, hop, now); v != Forward {
		return v
	}
	rewrite.DecrementTTL(f.Data, p)
	s.countOut(c, srv, p)
	s.step(c, r, srv, conntrack.Out, p, now)
	if p.Proto == rewrite.ProtoTCP && p.TCPFlags&conntrack.FlagSYN == 0 {
		c.Flags |= conntrack.Answered
	}
	to := s.toClient(c, r)
	rewrite.FullNAT(f.Data, p, &to, f.Offload.Partial())
	return s.send(f, p, hop, &origin{}, Forward, now)
}

// heldBack translates an error about a packet that was sent to a real server of
// FULLNAT, of which answer is the error and quoted what it quotes, for the client. It
// reports false when the packet's connection is gone.
func (s *Shard) heldBack(frame []byte, answer, quoted *rewrite.Packet) bool {
	back := reversed(quoted)
	r := s.findOut(&back)
	if r == 0 {
		return false
	}
	c := s.of(quoted.V6).At(r)
	if !c.Full() {
		return false
	}
	to := s.toClient(c, r)
	rewrite.TranslateError(frame, answer, quoted, &to)
	return true
}

// translates reports whether packets to a server of that method get its address.
func translates(m ipvs.ForwardMethod) bool { return m == ipvs.Masq || m == ipvs.FullNAT }
