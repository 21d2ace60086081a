package dataplane

import (
	"natlb/ipvs"
	"natlb/rewrite"
)

// arp answers the question who has a VIP that natlb owns, and notices when
// another machine claims one (RFC 5227). All else is the host's business.
func (s *Shard) arp(f *Frame) Verdict {
	var a rewrite.ARP
	if !rewrite.ParseARP(f.Data, &a) {
		return DropHeader
	}
	if s.answersFor(a.SenderIP) && !s.ownMAC(a.SenderMAC) {
		s.conflict(f.Link, &a)
		return DropAddressOwnedTwice
	}
	const request = 1
	if a.Op != request || !s.answersFor(a.TargetIP) || s.dir.cfg.Links[f.Link].Side&VIPSide == 0 {
		return PassHost
	}
	return s.answer(f, AnswerARP, PassHost, func(dst []byte, mac [6]byte) int {
		return rewrite.ARPReply(dst, f.Data, mac, &a)
	})
}

// answersFor reports whether addr is a VIP with a service that is on none of
// the host's interfaces.
func (s *Shard) answersFor(addr uint32) bool {
	const owned = roleVIP | roleOwned
	return s.view.roles.of(addr)&owned == owned
}

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

func (s *Shard) conflict(link uint8, a *rewrite.ARP) {
	const most = 8 // per batch
	if s.rivals < most {
		s.rivals++
		r := s.newRecord(ipvs.EventVIPConflict)
		r.vip, r.mac, r.link = a.SenderIP, a.SenderMAC, link
	}
}

// Announce queues, for the next batch, a question whether anybody else has the
// VIP, and the announcement that natlb does, on every link of the VIP side.
// Only VIPs that natlb owns then are announced. Any goroutine may call.
func (s *Shard) Announce(vips []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announce = append(s.announce, vips...)
}

func (s *Shard) announceVIPs() {
	for len(s.announce) > 0 {
		vip := s.announce[0]
		if s.answersFor(vip) && !s.announceOn(vip) {
			return // no room left in this batch
		}
		s.announce = s.announce[1:]
	}
	s.announce = nil
}

// announceOn reports false when the batch has no room for the frames.
func (s *Shard) announceOn(vip uint32) bool {
	for i, l := range s.dir.cfg.Links {
		state := s.view.host.Link(uint8(i))
		if l.Side&VIPSide == 0 || !state.Up {
			continue
		}
		for _, build := range [2]func([]byte, [6]byte, uint32) int{rewrite.ARPProbe, rewrite.GratuitousARP} {
			dst := s.out.room(rewrite.ARPFrameLen)
			if dst == nil {
				return false
			}
			s.out.put(uint8(i), dst[:build(dst, state.MAC, vip)], Offload{})
		}
	}
	return true
}
