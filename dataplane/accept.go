package dataplane

import (
	"slices"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// accept is what happens to a packet that is not IPVS's business: the kernel
// would hand it to the host's own stack or route it on. What natlb does depends
// on whose the destination is (semantics 5.9, design section 6):
//
//	a VIP that natlb owns          natlb answers as the host would have
//	a source address of FULLNAT    the same
//	a VIP of the host, guarded     the same: the guard keeps the host from it
//	another address of the host    the host's business
//	elsewhere, from a real server  routed: natlb is the servers' gateway
//	a real server                  routed, unless the host does it itself
func (s *Shard) accept(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	to, from := s.view.roles.dst(p), s.view.roles.src(p)
	switch {
	case to&(roleOwned|roleSource) != 0 || s.guarded(p, to):
		return s.answerAsHost(f, p, now)
	case to&roleVIP != 0 || s.view.toHost(p):
		return PassHost
	case p.V6 && (p.Dst6.IsLinkLocal() || p.Src6.IsLinkLocal() || p.Dst6.IsMulticast()):
		return PassHost // between neighbours: nobody sends these on
	case s.unsolicited(p, from):
		a := s.fromLink(rewrite.PortUnreachable.About(p, 0), f.Link)
		rewrite.DecrementTTL(f.Data, p)
		return s.answerError(f, p, a, AnswerUnsolicited, DropLimited, now)
	case s.dir.cfg.NoRoute:
		return PassOther
	case from&roleServer != 0 && s.dir.cfg.Links[f.Link].Side&DIPSide != 0:
		return s.route(f, p, now)
	case to&roleServer != 0 && !s.hostRoutes(p, f.Link):
		return s.route(f, p, now)
	}
	return PassOther
}

// hostRoutes reports whether the host's kernel routes what comes in by a link, of p's
// family.
func (s *Shard) hostRoutes(p *rewrite.Packet, link uint8) bool {
	state := s.view.host.Link(link)
	if p.V6 {
		return state.Forwarding6
	}
	return state.Forwarding
}

// unsolicited reports whether a real server's packet outside of connections is
// to be answered with an error (semantics 5.8, sysctl nat_icmp_send).
func (s *Shard) unsolicited(p *rewrite.Packet, from role) bool {
	if s.view.settings.natICMPSend == 0 || from&roleServer == 0 || p.Proto == rewrite.ProtoTCP && p.TCPFlags&conntrack.FlagRST != 0 ||
		p.Proto == rewrite.ProtoSCTP && p.Chunk == rewrite.ChunkAbort {
		return false
	}
	return s.view.isServer(p)
}

// isServer reports whether p comes from a server that is reached by address
// translation for p's protocol, or of a service that has no protocol.
func (v *view) isServer(p *rewrite.Packet) bool {
	for i := range v.servers {
		srv := &v.servers[i]
		if srv.RealServer != nil && srv.Available() && srv.isAt(p) && srv.port == p.SrcPort && srv.method == ipvs.Masq &&
			(srv.proto == p.Proto || srv.proto == uint8(ipvs.AnyProtocol)) {
			return true
		}
	}
	return false
}

// isAt reports whether the server has the address that p comes from.
func (v *serverView) isAt(p *rewrite.Packet) bool {
	return v.v6 == p.V6 && v.addr == p.Src && (!p.V6 || v.addr6 == p.Src6)
}

// guarded reports whether the guard keeps the host's stack from seeing p: it does
// for the ports of services on the host's addresses, for the data port below
// that of an FTP service, and for what firewall marks lead to there.
func (s *Shard) guarded(p *rewrite.Packet, to role) bool {
	if to&roleVIP != 0 {
		has := func(port uint16) bool { return s.view.hasService(p, port) }
		if has(p.DstPort) || has(0) || has(p.DstPort+1) && p.Proto == rewrite.ProtoTCP && slices.Contains(s.dir.cfg.FTPPorts, p.DstPort+1) {
			return true
		}
	}
	return rewrite.CarriesPorts(p.Proto) && s.view.toHost(p) && s.view.targeted(p)
}

// answerAsHost does what a host does with a packet to its own address that no
// socket wants.
func (s *Shard) answerAsHost(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	switch p.Proto {
	case rewrite.ProtoTCP:
		return s.answer(f, AnswerReset, PassHost, func(dst []byte, mac [6]byte) int {
			return rewrite.TCPReset(dst, f.Data, p, mac)
		})
	case rewrite.ProtoSCTP:
		return s.answer(f, AnswerReset, PassHost, func(dst []byte, mac [6]byte) int {
			return rewrite.SCTPRefusal(dst, f.Data, p, mac, f.Offload.Flags&(OffloadNeedsCsum|OffloadDataValid) != 0)
		})
	case rewrite.ProtoUDP:
		return s.answerError(f, p, rewrite.PortUnreachable.About(p, 0), AnswerPortUnreachable, DropLimited, now)
	}
	switch {
	case p.IsICMP():
		return s.answer(f, AnswerEcho, PassHost, func(dst []byte, mac [6]byte) int {
			return rewrite.EchoReply(dst, f.Data, p, mac)
		})
	case p.V6 && p.Proto == noNextHeader:
		return PassHost // it says nothing, and wants no answer (RFC 8200 section 4.7)
	}
	return s.answerError(f, p, rewrite.ProtocolUnreachable.About(p, 0), AnswerProtocol, DropLimited, now)
}

const noNextHeader = 59

// refuse tells a client that no real server may take its connection: port
// unreachable, also for TCP (semantics 5.5).
func (s *Shard) refuse(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	return s.answerError(f, p, rewrite.PortUnreachable.About(p, 0), AnswerNoDestination, DropNoDestination, now)
}

// answerError sends an ICMP error about f back to where it came from. The
// verdict is sent when it went out, none when no answer is owed (the frame was
// an error or a group address itself), DropLimited when the host's rate limits
// forbid it.
func (s *Shard) answerError(f *Frame, p *rewrite.Packet, a rewrite.ICMPAnswer, sent, none Verdict, now time.Duration) Verdict {
	exempt := sent == AnswerTooBig
	limited := false
	v := s.answer(f, sent, none, func(dst []byte, mac [6]byte) int {
		n := rewrite.ICMPError(dst, f.Data, p, mac, a)
		if limited = n > 0 && !exempt && !s.dir.limiter.allowError(p, now); limited {
			return 0
		}
		return n
	})
	if limited {
		return DropLimited
	}
	return v
}

// answer lets build write a frame back to the sender of f and queues it on the
// link that f came by.
func (s *Shard) answer(f *Frame, sent, none Verdict, build func(dst []byte, mac [6]byte) int) Verdict {
	dst := s.out.room(len(f.Data) + answerExtra)
	if dst == nil {
		return DropNoBuffer
	}
	n := build(dst, s.view.host.Link(f.Link).MAC)
	s.out.trim(dst, n)
	if n == 0 {
		return none
	}
	return s.emitAnswer(f.Link, dst[:n], sent)
}

// answerExtra is by how much an answer can be longer than what it answers.
const answerExtra = 128
