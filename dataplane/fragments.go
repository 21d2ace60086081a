package dataplane

import (
	"encoding/binary"
	"slices"
	"time"

	"natlb/rewrite"
)

// fragments puts IPv4 packets together that arrive in pieces: bounded in
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
	maxPayload    = 65535 - 20
)

type fragKey struct {
	src, dst uint32
	id       uint32
	proto    uint8
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
	frames     uint64 // held frames: repetitions included, the last piece not
	link       uint8  // that the first one came in by
	header     []byte // Ethernet and IPv4 header of the first piece
	store      []byte // bytes of the pieces, in order of arrival
}

func (q *fragments) init() { q.groups = make(map[fragKey]*fragGroup) }

// fragment takes one piece. When it completes a packet, the whole is processed
// as if it had come in one, and its verdict counts for all pieces.
func (s *Shard) fragment(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	if f.Offload.Partial() || f.Offload.Super() {
		return DropOffload // fragments carry finished checksums
	}
	q := &s.frags
	g := q.groups[fragKey{p.Src, p.Dst, p.ID, p.Proto}]
	if g == nil {
		if len(q.groups) == maxFragGroups {
			s.endGroup(q.oldest, DropFragmentMemory)
		}
		g = q.open(fragKey{p.Src, p.Dst, p.ID, p.Proto}, now)
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
	from, to := int(p.FragOff), int(p.FragOff)+p.End-p.L4
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
	g.store = append(g.store, frame[p.L4:p.End]...)
	if from == 0 {
		g.header = append(g.header[:0], frame[:p.L4]...)
	}
	return true
}

// whole processes a packet that is complete with the frame last, whose verdict
// the caller counts.
func (s *Shard) whole(last *Frame, g *fragGroup, now time.Duration) Verdict {
	frame := s.out.room(len(g.header) + g.total)
	if frame == nil || len(g.header)-rewrite.EthernetLen+g.total > 65535 {
		s.endGroup(g, DropNoBuffer)
		return DropNoBuffer
	}
	copy(frame, g.header)
	s.frags.cuts = s.frags.cuts[:0]
	for _, c := range g.pieces {
		copy(frame[len(g.header)+int(c.from):], g.store[c.at:c.at+int(c.to-c.from)])
		s.frags.cuts = append(s.frags.cuts, c.span)
	}
	ip := frame[rewrite.EthernetLen:len(g.header)]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(frame)-rewrite.EthernetLen))
	binary.BigEndian.PutUint16(ip[6:], 0)
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], rewrite.Checksum(ip, 0))

	s.frags.frames = g.frames
	f := Frame{Data: frame, WireLen: uint32(len(frame)), Type: ToHost, Link: last.Link}
	v := DropTransport
	if rewrite.ParseIPv4(frame, &s.pkt) == rewrite.FaultNone {
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
