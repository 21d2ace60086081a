package dataplane

import (
	"slices"
	"time"

	"natlb/rewrite"
)

// fragments puts packets together that arrive in pieces: bounded in
// packets, pieces, bytes and time, as the kernel's ip_fragment.c is. When there
// is no room the packet that has waited longest makes it, so that pieces whose
// rest never comes cannot keep others out.
type fragments struct {
	groups map[fragKey]*fragGroup
	oldest *fragGroup // list in order of arrival
	newest *fragGroup
	spare  []*fragGroup
	bytes  int // held of all packets

	// cuts are the pieces of the packet that is in the works, empty for one
	// that came whole: offsets of its payload. frames are the frames that were
	// held for it, its last piece not counted.
	cuts   []span
	frames uint64
}

const (
	fragTime      = 30 * time.Second
	maxFragGroups = 1024
	maxFragPieces = 256
	maxFragBytes  = 4 << 20
	maxFragSpare  = 64
	maxPayload    = 65535
)

type fragKey struct {
	src, dst Address
	id       uint32
	proto    uint8 // 0 of IPv6, where the pieces need not know it
}

// fragKeyOf returns what the pieces of a packet have in common.
func fragKeyOf(p *rewrite.Packet) fragKey {
	if p.V6 {
		return fragKey{src: Address6(p.Src6), dst: Address6(p.Dst6), id: p.ID}
	}
	return fragKey{Address4(p.Src), Address4(p.Dst), p.ID, p.Proto}
}

// span is a piece of a payload.
type span struct{ from, to uint16 }

// piece is a span with the place of its bytes in the group's store.
type piece struct {
	span
	at int
}

type fragGroup struct {
	key        fragKey
	prev, next *fragGroup // older and newer
	until      time.Duration
	pieces     []piece // in order of offset, disjoint
	total      int     // payload length, -1 until the last piece has come
	have       int
	frames     uint64         // held frames: repetitions included, the last piece not
	link       uint8          // that the first one came in by
	first      rewrite.Packet // the first piece
	header     []byte         // what of its headers the whole has
	store      []byte         // bytes of the pieces, in order of arrival
}

func (q *fragments) init() { q.groups = make(map[fragKey]*fragGroup) }

// fragment takes one piece. When it completes a packet, the whole is processed
// as if it had come in one, and its verdict counts for all pieces.
func (s *Shard) fragment(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	if f.Offload.Partial() || f.Offload.Super() {
		return DropOffload // fragments carry finished checksums
	}
	q := &s.frags
	key := fragKeyOf(p)
	g := q.groups[key]
	if g == nil {
		if len(q.groups) == maxFragGroups {
			s.endGroup(q.oldest, DropFragmentMemory)
		}
		g = q.open(key, now)
		g.link = f.Link
	}
	before := len(g.store)
	ok := g.add(f.Data, p)
	q.bytes += len(g.store) - before
	if !ok {
		s.endGroup(g, DropFragmentOverlap)
		return DropFragmentOverlap
	}
	if g.have == g.total && len(g.header) > 0 {
		return s.whole(f, g, now)
	}
	g.frames++
	for q.bytes > maxFragBytes && q.oldest != g {
		s.endGroup(q.oldest, DropFragmentMemory)
	}
	return HeldFragment
}

// open starts a packet.
func (q *fragments) open(key fragKey, now time.Duration) *fragGroup {
	g := new(fragGroup)
	if n := len(q.spare); n > 0 {
		g, q.spare = q.spare[n-1], q.spare[:n-1]
	}
	*g = fragGroup{
		key: key, until: now + fragTime, total: -1, prev: q.newest,
		pieces: g.pieces[:0], header: g.header[:0], store: g.store[:0],
	}
	if q.newest != nil {
		q.newest.next = g
	} else {
		q.oldest = g
	}
	q.newest = g
	q.groups[key] = g
	return g
}

// add stores a piece. It reports false when the pieces contradict each other:
// they overlap (an exact repetition is fine), or disagree about the end.
func (g *fragGroup) add(frame []byte, p *rewrite.Packet) bool {
	bytes := rewrite.Piece(frame, p)
	from, to := int(p.FragOff), int(p.FragOff)+len(bytes)
	if p.MoreFrags && (to-from)%8 != 0 || to == from || to > maxPayload || len(g.pieces) == maxFragPieces {
		return false
	}
	last := 0
	if n := len(g.pieces); n > 0 {
		last = int(g.pieces[n-1].to)
	}
	switch {
	case p.MoreFrags && g.total >= 0 && to > g.total:
		return false
	case !p.MoreFrags && (g.total >= 0 && g.total != to || last > to):
		return false
	case !p.MoreFrags:
		g.total = to
	}
	i, _ := slices.BinarySearchFunc(g.pieces, from, func(s piece, from int) int { return int(s.to) - from - 1 })
	if i < len(g.pieces) && int(g.pieces[i].from) < to {
		return int(g.pieces[i].from) <= from && to <= int(g.pieces[i].to)
	}
	g.pieces = slices.Insert(g.pieces, i, piece{span{uint16(from), uint16(to)}, len(g.store)})
	g.have += to - from
	g.store = append(g.store, bytes...)
	if from == 0 {
		g.first, g.header = *p, rewrite.AppendWholeHeaders(g.header[:0], frame, p)
	}
	return true
}

// whole processes a packet that is complete with the frame last, whose verdict
// the caller counts.
func (s *Shard) whole(last *Frame, g *fragGroup, now time.Duration) Verdict {
	frame := s.out.room(len(g.header) + g.total)
	if frame == nil {
		s.endGroup(g, DropNoBuffer)
		return DropNoBuffer
	}
	copy(frame, g.header)
	s.frags.cuts = s.frags.cuts[:0]
	for _, c := range g.pieces {
		copy(frame[len(g.header)+int(c.from):], g.store[c.at:c.at+int(c.to-c.from)])
		s.frags.cuts = append(s.frags.cuts, c.span)
	}
	s.frags.frames = g.frames
	f := Frame{Data: frame, WireLen: uint32(len(frame)), Type: ToHost, Link: last.Link}
	v := DropTransport
	if rewrite.SetWhole(frame) && rewrite.Parse(frame, &s.pkt) == rewrite.FaultNone {
		s.pkt.CutLike(&g.first)
		v = s.packet(&f, &s.pkt, now)
	}
	s.frags.cuts = s.frags.cuts[:0]
	s.endGroup(g, v)
	return v
}

// endGroup forgets a packet and gives its held frames the verdict v.
func (s *Shard) endGroup(g *fragGroup, v Verdict) {
	s.ledger.verdicts[HeldFragment] -= g.frames
	s.ledger.count(v, g.frames)
	if v.seldom() {
		s.ledger.last[v] = g.seen(s.now)
	}
	q := &s.frags
	q.bytes -= len(g.store)
	delete(q.groups, g.key)
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		q.oldest = g.next
	}
	if g.next != nil {
		g.next.prev = g.prev
	} else {
		q.newest = g.prev
	}
	if len(q.spare) < maxFragSpare {
		q.spare = append(q.spare, g)
	}
}

// expire gives up packets whose rest has not come in time.
func (q *fragments) expire(s *Shard, now time.Duration) {
	for q.oldest != nil && q.oldest.until <= now {
		s.endGroup(q.oldest, DropFragmentTimeout)
	}
}

// nextExpiry returns how long after now a packet may have waited too long.
func (q *fragments) nextExpiry(now time.Duration) time.Duration {
	if q.oldest == nil {
		return time.Hour
	}
	return max(q.oldest.until-now, 0)
}
