package dataplane

import (
	"net/netip"

	"natlb/rewrite"
)

// Announce queues, for the next batch, a question whether anybody else has the
// VIP or the source address, and the announcement that natlb does, on every link of
// the sides on which it answers for it: by ARP, or by neighbour discovery. Only what
// natlb answers for then is announced. Any goroutine may call.
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
		return announceOn(s, s.answersFor6(vip.Addr6), rewrite.NDFrameLen, vip.Addr6, rewrite.NDProbe, rewrite.UnsolicitedAdvert)
	}
	addr := uint32(vip.Lo)
	return announceOn(s, s.answersFor(addr), rewrite.ARPFrameLen, addr, rewrite.ARPProbe, rewrite.GratuitousARP)
}

// announceOn sends the frames, of at most length bytes, that builds write about vip on
// the links of the sides on. It reports false when there is no room.
func announceOn[A any](s *Shard, on Side, length int, vip A, builds ...func([]byte, [6]byte, A) int) bool {
	for i, l := range s.dir.cfg.Links {
		state := s.view.host.Link(uint8(i))
		if l.Side&on == 0 || !state.Up {
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
