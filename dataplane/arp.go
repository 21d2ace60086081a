package dataplane

import (
	"natlb/ipvs"
	"natlb/rewrite"
)

// arp answers the question who has a VIP that natlb owns, or a source address, and
// notices when another machine claims one (RFC 5227). All else is the host's
// business.
func (s *Shard) arp(f *Frame) Verdict {
	var a rewrite.ARP
	if !rewrite.ParseARP(f.Data, &a) {
		return DropHeader
	}
	if s.answersFor(a.SenderIP) != 0 && !s.ownMAC(a.SenderMAC) {
		s.conflict(f.Link, Address4(a.SenderIP), a.SenderMAC)
		return DropAddressOwnedTwice
	}
	const request = 1
	if a.Op != request || s.answersFor(a.TargetIP)&s.dir.cfg.Links[f.Link].Side == 0 {
		return PassHost
	}
	return s.answer(f, AnswerARP, PassHost, func(dst []byte, mac [6]byte) int {
		return rewrite.ARPReply(dst, f.Data, mac, &a)
	})
}

// answersFor returns on which sides natlb answers for addr; see role.answered.
func (s *Shard) answersFor(addr uint32) Side { return s.view.roles.of(addr).answered() }

// ownMAC reports whether mac is that of one of the director's links: two of them
// may be in one broadcast domain and hear each other.
func (s *Shard) ownMAC(mac [6]byte) bool {
	for i := range s.dir.cfg.Links {
		if s.view.host.Link(uint8(i)).MAC == mac {
			return true
		}
	}
	return false
}

// conflict writes down that the machine with that MAC address claims a VIP.
func (s *Shard) conflict(link uint8, vip Address, mac [6]byte) {
	const most = 8 // per batch
	if s.rivals < most {
		s.rivals++
		r := s.newRecord(ipvs.EventVIPConflict)
		r.ends.vip, r.mac, r.link = vip, mac, link
	}
}
