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
//	a VIP of the host, guarded     the same: the guard keeps the host from it
//	another address of the host    the host's business
//	elsewhere, from a real server  routed: natlb is the servers' gateway
//	a real server                  routed, unless the host does it itself
func (s *Shard) accept(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	to, from := s.view.roles.of(p.Dst), s.view.roles.of(p.Src)
	switch {
	case to&roleOwned != 0 || s.guarded(p, to):
		return s.answerAsHost(f, p, now)
	case to&roleVIP != 0 || s.view.host.IsLocal(p.Dst):
		return PassHost
	case s.unsolicited(p, from):
		own := s.view.host.Link(f.Link).Addr
		rewrite.DecrementTTL(f.Data, p)
		a := rewrite.ICMPAnswer{Type: 3, Code: 3, Src: own}
		return s.answerError(f, p, a, AnswerUnsolicited, DropLimited, now)
	case s.dir.cfg.NoRoute:
		return PassOther
	case from&roleServer != 0 && s.dir.cfg.Links[f.Link].Side&DIPSide != 0:
		return s.route(f, p, now)
	case to&roleServer != 0 && !s.view.host.Link(f.Link).Forwarding:
		return s.route(f, p, now)
	}
	return PassOther
}

// unsolicited reports whether a real server's packet outside of connections is
// to be answered with an error (semantics 5.8, sysctl nat_icmp_send).
func (s *Shard) unsolicited(p *rewrite.Packet, from role) bool {
	if s.view.settings.natICMPSend == 0 || from&roleServer == 0 || p.Proto == rewrite.ProtoTCP && p.TCPFlags&conntrack.FlagRST != 0 ||
		p.Proto == rewrite.ProtoSCTP && p.Chunk == conntrack.ChunkAbort {
		return false
	}
	return s.view.isServer(p.Proto, p.Src, p.SrcPort)
}

// isServer reports whether addr:port is a server that is reached by address
// translation for protocol proto, or of a service that has no protocol.
func (v *view) isServer(proto uint8, addr uint32, port uint16) bool {
	for i := range v.servers {
		srv := &v.servers[i]
		if srv.RealServer != nil && srv.Available() && srv.addr == addr && srv.port == port && srv.method == ipvs.Masq &&
			(srv.proto == proto || srv.proto == uint8(ipvs.AnyProtocol)) {
			return true
		}
	}
	return false
}

// guarded reports whether the guard keeps the host's stack from seeing p: it does
// for the ports of services on the host's addresses, for the data port below
// that of an FTP service, and for what firewall marks lead to there.
func (s *Shard) guarded(p *rewrite.Packet, to role) bool {
	if to&roleVIP != 0 {
		has := func(port uint16) bool { return s.view.byAddr.of(endpointOf(p.Proto, p.Dst, port)) != nil }
		if has(p.DstPort) || has(0) || has(p.DstPort+1) && p.Proto == rewrite.ProtoTCP && slices.Contains(s.dir.cfg.FTPPorts, p.DstPort+1) {
			return true
		}
	}
	return rewrite.CarriesPorts(p.Proto) && s.view.host.IsLocal(p.Dst) && s.view.targeted(p)
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
		a := rewrite.ICMPAnswer{Type: 3, Code: 3, Src: p.Dst}
		return s.answerError(f, p, a, AnswerPortUnreachable, DropLimited, now)
	case rewrite.ProtoICMP:
		if p.ICMPType != icmpEcho {
			return PassHost
		}
		return s.answer(f, AnswerEcho, PassHost, func(dst []byte, mac [6]byte) int {
			return rewrite.EchoReply(dst, f.Data, p, mac)
		})
	}
	a := rewrite.ICMPAnswer{Type: 3, Code: 2, Src: p.Dst}
	return s.answerError(f, p, a, AnswerProtocol, DropLimited, now)
}

const icmpEcho = 8

// refuse tells a client that no real server may take its connection: port
// unreachable, also for TCP (semantics 5.5).
func (s *Shard) refuse(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	a := rewrite.ICMPAnswer{Type: 3, Code: 3, Src: p.Dst}
	return s.answerError(f, p, a, AnswerNoDestination, DropNoDestination, now)
}

// answerError sends an ICMP error about f back to where it came from. The
// verdict is sent when it went out, none when no answer is owed (the frame was
// an error or a group address itself), DropLimited when the host's rate limits
// forbid it.
func (s *Shard) answerError(f *Frame, p *rewrite.Packet, a rewrite.ICMPAnswer, sent, none Verdict, now time.Duration) Verdict {
	exempt := a.Type == 3 && a.Code == icmpFragNeeded
	limited := false
	v := s.answer(f, sent, none, func(dst []byte, mac [6]byte) int {
		n := rewrite.ICMPError(dst, f.Data, p, mac, a)
		if limited = n > 0 && !exempt && !s.dir.limiter.allow(p.Src, now); limited {
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
