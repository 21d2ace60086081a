package dataplane

import (
	"time"

	"natlb/conntrack"
	"natlb/rewrite"
)

// icmpFragNeeded is the code of "fragmentation needed" (RFC 1191); it is exempt
// from rate limits.
const icmpFragNeeded = 4

// icmpError passes an ICMP error about a packet of a connection on to the other
// side, with outer and quoted addresses and ports translated (semantics 5.7).
// State and timer of the connection stay as they are.
func (s *Shard) icmpError(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	q := &s.quoted
	if !rewrite.ParseQuoted(f.Data, p, q) {
		return s.accept(f, p, now)
	}
	// The quoted packet went the other way, so the look-ups take it reversed.
	if r := s.table.FindOut(q.Proto, q.Dst, q.DstPort, q.Src, q.SrcPort); r != 0 {
		return s.errorOut(f, p, q, r, now)
	}
	key := conntrack.Key4{CIP: q.Dst, VIP: q.Src, CPort: q.DstPort, VPort: q.SrcPort, Proto: q.Proto}
	if r := s.table.FindIn(&key); r != 0 {
		return s.errorIn(f, p, q, r, now)
	}
	return s.accept(f, p, now)
}

// errorOut sends an error of the servers' side to the client, as from the VIP.
func (s *Shard) errorOut(f *Frame, p, q *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.table.At(r)
	srv := &s.view.servers[c.Dest]
	hop := s.routes.lookup(s.view.host, p.Dst)
	if v := s.routable(f, p, hop, now); v != Forward {
		return v
	}
	if !c.Masq() {
		return DropMethod
	}
	if !rewrite.ICMPChecksumOK(f.Data, p) {
		return DropICMPChecksum
	}
	rewrite.DecrementTTL(f.Data, p)
	s.countOut(c, srv, p)
	rewrite.TranslateICMPOut(f.Data, p, q, c.VIP, c.VPort)
	f.Offload = Offload{}
	return s.send(f, p, hop, origin{}, Forward, now)
}

// errorIn sends an error of the client's side to the real server.
func (s *Shard) errorIn(f *Frame, p, q *rewrite.Packet, r conntrack.Ref, now time.Duration) Verdict {
	c := s.table.At(r)
	srv := &s.view.servers[c.Dest]
	if !c.Masq() {
		return DropMethod
	}
	if !rewrite.ICMPChecksumOK(f.Data, p) {
		return DropICMPChecksum
	}
	s.countIn(c, srv, p)
	hop := s.routes.lookup(s.view.host, c.RIP)
	if hop.Kind != HopForward {
		return DropNoRoute
	}
	if p.TTL <= 1 {
		return DropTTL
	}
	rewrite.DecrementTTL(f.Data, p)
	rewrite.TranslateICMPIn(f.Data, p, q, c.RIP, c.RPort)
	f.Offload = Offload{}
	return s.send(f, p, hop, origin{}, Forward, now)
}
