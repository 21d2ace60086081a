package dataplane

import (
	"net/netip"

	"natlb/rewrite"
)

// Announce queues, for the next batch, a question whether anybody else has the
// VIP, and the announcement that natlb does, on every link of the VIP side: by ARP,
// or by neighbour discovery. Only VIPs that natlb owns then are announced. Any
// goroutine may call.
func (s *Shard) Announce(vips []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announce = append(s.announce, vips...)
}

func (s *Shard) announceVIPs() {
	for len(s.announce) > 0 {
		if !s.announceVIP(AddressOf(s.announce[0])) {
			return // no room left in this batch
		}
		s.announce = s.announce[1:]
	}
	s.announce = nil
}

// announceVIP reports false when the batch has no room for the frames.
func (s *Shard) announceVIP(vip Address) bool {
	if vip.V6 {
		return !s.answersFor6(vip.Addr6) || announceOn(s, rewrite.NDFrameLen, vip.Addr6, rewrite.NDProbe, rewrite.UnsolicitedAdvert)
	}
	addr := uint32(vip.Lo)
	return !s.answersFor(addr) || announceOn(s, rewrite.ARPFrameLen, addr, rewrite.ARPProbe, rewrite.GratuitousARP)
}

// announceOn sends the frames, of at most length bytes, that builds write about vip on
// the links of the VIP side. It reports false when there is no room.
func announceOn[A any](s *Shard, length int, vip A, builds ...func([]byte, [6]byte, A) int) bool {
	for i, l := range s.dir.cfg.Links {
		state := s.view.host.Link(uint8(i))
		if l.Side&VIPSide == 0 || !state.Up {
			continue
		}
		for _, build := range builds {
			dst := s.out.room(length)
			if dst == nil {
				return false
			}
			n := build(dst, state.MAC, vip)
			s.out.trim(dst, n)
			s.out.put(uint8(i), dst[:n], Offload{})
		}
	}
	return true
}
