package dataplane

import "natlb/rewrite"

// A server of FULLNAT may be told its clients by an option in their TCP segments
// (rewrite.PutTOA). Every segment has it until the server has sent more than its SYN:
// receivers read it from the one that ends the handshake, which may get lost. Then, or
// when a router has found a segment too long, it is enough.

// tellServerOf puts the option with the client's end, which still is the source of p,
// into a segment. Where there is no room for it, in the header or on the way, or the
// segment came in pieces, it is left out and counted.
func (s *Shard) tellServerOf(f *Frame, p *rewrite.Packet, hop *Hop) {
	n := rewrite.TOALen(p)
	if len(s.frags.cuts) > 0 || segmentLen(f, p)+n > hop.MTU || !rewrite.TOAFits(f.Data, p) {
		s.toaLeftOut++
		return
	}
	room := f.front(n, p.End)
	if room == nil {
		if room = s.out.room(n + p.End); room == nil {
			s.toaLeftOut++
			return
		}
		copy(room[n:], f.Data[:p.End])
	}
	client := rewrite.Ends{Src: p.Src, Src6: p.Src6, SrcPort: p.SrcPort}
	rewrite.PutTOA(room, p, &client, f.Offload.Partial())
	f.Data, f.Head = room, nil
	if f.Offload.HdrLen > 0 {
		f.Offload.HdrLen += uint16(n)
	}
}

// TOALeftOut returns how many segments there was no room in for the option.
func (d *Director) TOALeftOut() uint64 { return d.sum(func(s *Shard) uint64 { return s.toaLeftOut }) }
