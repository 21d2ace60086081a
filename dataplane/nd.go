package dataplane

import "natlb/rewrite"

// discovery does for IPv6 what arp does for IPv4: it answers the question who has a
// VIP that natlb owns, or a source address, and notices when another machine claims one (RFC 4861, RFC
// 4862 section 5.4). p is a neighbour solicitation or advertisement.
func (s *Shard) discovery(f *Frame, p *rewrite.Packet) Verdict {
	var m rewrite.ND
	if !rewrite.ParseND(f.Data, p, &m) {
		return DropHeader
	}
	if s.ownMAC(m.MAC) {
		return PassHost // two links may hear each other
	}
	// Who only asks whether he may take an address does not say that he has it. He
	// is told that it is taken.
	probe := m.Solicitation && m.Src == rewrite.Addr6{}
	if claim := m.Claim(); !probe && s.answersFor6(claim) != 0 {
		s.conflict(f.Link, Address6(claim), m.MAC)
		return DropAddressOwnedTwice
	}
	if !m.Solicitation || s.answersFor6(m.Target)&s.dir.cfg.Links[f.Link].Side == 0 {
		return PassHost
	}
	return s.answer(f, AnswerND, PassHost, func(dst []byte, mac [6]byte) int {
		return rewrite.NDReply(dst, f.Data, mac, &m)
	})
}

// answersFor6 is answersFor for IPv6.
func (s *Shard) answersFor6(addr rewrite.Addr6) Side { return s.view.roles.of6(addr).answered() }
