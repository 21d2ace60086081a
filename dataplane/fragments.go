package dataplane

import (
	"encoding/binary"
	"slices"
	"time"

	"natlb/rewrite"
)

// fragments puts IPv4 packets together that arrive in pieces: bounded in
// packets, pieces, bytes and time, as the kernel's ip_fragment.c is.
type fragments struct {
	groups map[fragKey]*fragGroup
	order  []fragKey // oldest first, for the timeout
	spare  []*fragGroup
	bytes  int

	// cuts are the pieces of the packet that is in the works, empty for one
	// that came whole: offsets of its payload. frames are the frames that were
	// held for it, its last piece not counted.
	cuts   []span
	frames uint64
}

const (
	fragTime      = 30 * time.Second
	maxFragGroups = 256
	maxFragPieces = 256
	maxFragBytes  = 4 << 20
	maxPayload    = 65535 - 20
)

type fragKey struct {
	src, dst uint32
	id       uint16
	proto    uint8
}

type span struct{ from, to uint16 }

type fragGroup struct {
	until   time.Duration
	pieces  []span // in order of offset, disjoint
	total   int    // payload length, -1 until the last piece has come
	have    int
	frames  uint64 // held frames: repetitions included, the last piece not
	header  []byte // Ethernet and IPv4 header of the first piece
	payload []byte
}

func (g *fragments) init() { g.groups = make(map[fragKey]*fragGroup) }

// fragment takes one piece. When it completes a packet, the whole is processed
// as if it had come in one, and its verdict counts for all pieces.
func (s *Shard) fragment(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	if f.Offload.Partial() || f.Offload.Super() {
		return DropOffload // fragments carry finished checksums
	}
	key := fragKey{p.Src, p.Dst, p.ID, p.Proto}
	g, v := s.frags.group(key, now)
	if g == nil {
		return v
	}
	before := len(g.payload)
	ok := g.add(f.Data, p)
	s.frags.bytes += len(g.payload) - before
	if !ok {
		s.endGroup(key, g, DropFragmentOverlap)
		return DropFragmentOverlap
	}
	if g.have == g.total && g.header != nil {
		return s.whole(f, key, g, now)
	}
	g.frames++
	return HeldFragment
}

// group returns the packet that a piece belongs to, a new one if need be.
func (q *fragments) group(key fragKey, now time.Duration) (*fragGroup, Verdict) {
	if g := q.groups[key]; g != nil {
		return g, HeldFragment
	}
	if len(q.groups) == maxFragGroups || q.bytes >= maxFragBytes {
		return nil, DropFragmentMemory
	}
	var g *fragGroup
	if n := len(q.spare); n > 0 {
		g, q.spare = q.spare[n-1], q.spare[:n-1]
	} else {
		g = new(fragGroup)
	}
	*g = fragGroup{until: now + fragTime, total: -1, pieces: g.pieces[:0], payload: g.payload[:0]}
	q.groups[key] = g
	q.order = append(q.order, key)
	return g, HeldFragment
}

// add stores a piece. It reports false when the pieces contradict each other:
// they overlap (an exact repetition is fine), or disagree about the end.
func (g *fragGroup) add(frame []byte, p *rewrite.Packet) bool {
	from, to := int(p.FragOff), int(p.FragOff)+p.End-p.L4
	if p.MoreFrags && (to-from)%8 != 0 || to == from || to > maxPayload || len(g.pieces) == maxFragPieces {
		return false
	}
	if !p.MoreFrags {
		if g.total >= 0 && g.total != to || len(g.payload) > to {
			return false
		}
		g.total = to
	} else if g.total >= 0 && to > g.total {
		return false
	}
	i, _ := slices.BinarySearchFunc(g.pieces, from, func(s span, from int) int { return int(s.to) - from - 1 })
	if i < len(g.pieces) && int(g.pieces[i].from) < to {
		return int(g.pieces[i].from) <= from && to <= int(g.pieces[i].to)
	}
	g.pieces = slices.Insert(g.pieces, i, span{uint16(from), uint16(to)})
	g.have += to - from
	if to > len(g.payload) {
		g.payload = slices.Grow(g.payload, to-len(g.payload))[:to]
	}
	copy(g.payload[from:to], frame[p.L4:p.End])
	if from == 0 {
		g.header = append(g.header[:0], frame[:p.L4]...)
	}
	return true
}

// whole processes a packet that is complete with the frame last, whose verdict
// the caller counts.
func (s *Shard) whole(last *Frame, key fragKey, g *fragGroup, now time.Duration) Verdict {
	frame := s.out.room(len(g.header) + g.total)
	if frame == nil || len(g.header)-etherHeader+g.total > 65535 {
		s.endGroup(key, g, DropNoBuffer)
		return DropNoBuffer
	}
	copy(frame, g.header)
	copy(frame[len(g.header):], g.payload)
	ip := frame[etherHeader:len(g.header)]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(frame)-etherHeader))
	binary.BigEndian.PutUint16(ip[6:], 0)
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], rewrite.Checksum(ip, 0))

	s.frags.cuts, s.frags.frames = append(s.frags.cuts[:0], g.pieces...), g.frames
	f := Frame{Data: frame, WireLen: uint32(len(frame)), Type: ToHost, Link: last.Link}
	v := DropTransport
	if rewrite.ParseIPv4(frame, &s.pkt) == rewrite.FaultNone {
		v = s.packet(&f, &s.pkt, now)
	}
	s.frags.cuts = s.frags.cuts[:0]
	s.endGroup(key, g, v)
	return v
}

// endGroup forgets a packet and gives its held frames the verdict v.
func (s *Shard) endGroup(key fragKey, g *fragGroup, v Verdict) {
	s.verdicts[HeldFragment] -= g.frames
	s.verdicts[v] += g.frames
	q := &s.frags
	q.bytes -= len(g.payload)
	delete(q.groups, key)
	if i := slices.Index(q.order, key); i >= 0 {
		q.order = slices.Delete(q.order, i, i+1)
	}
	q.spare = append(q.spare, g)
}

// expire gives up packets whose rest has not come in time.
func (q *fragments) expire(s *Shard, now time.Duration) {
	for len(q.order) > 0 {
		g := q.groups[q.order[0]]
		if g.until > now {
			return
		}
		s.endGroup(q.order[0], g, DropFragmentTimeout)
	}
}

// nextExpiry returns how long after now a packet may have waited too long.
func (q *fragments) nextExpiry(now time.Duration) time.Duration {
	if len(q.order) == 0 {
		return time.Hour
	}
	return max(q.groups[q.order[0]].until-now, 0)
}
