package dataplane

import "natlb/rewrite"

// merger puts frames that were sent one behind the other in the same direction of
// a connection together into super-packets, as the kernel's GRO does for those
// that come in: one pass through the kernel instead of many. The outlet cuts them
// again where its link needs it, into the packets that they were.
//
// Frames of one flow keep their order. A packet with a wrong checksum stays alone.
type merger struct {
	frames []merged // one for each frame

	// streams: only TCP is merged.
	streams bool

	open  [openRuns]int16 // heads of the chains that may still grow
	nopen int
	count int // super-packets made since the start
}

// merged is a frame with its place in a chain of frames that go as one.
type merged struct {
	rewrite.Mergeable
	next   int16 // the frame behind it in the chain, -1 at the end
	head   bool  // first of a chain, of itself alone perhaps
	single bool  // not to be merged with others
	sound  bool  // the checksum is known to be right
	parts  int16 // of a head: frames in the chain
	tail   int16 // of a head: the last of them
	total  int   // of a head: payload in bytes
}

const (
	// openRuns is how many flows are followed at a time, as many as GRO follows.
	openRuns = 8
	// maxParts is what the kernel takes as segments of a datagram
	// (UDP_MAX_SEGMENTS is 64 on older ones).
	maxParts = 64
	// maxSuper is the longest IP packet there is.
	maxSuper = 65535
)

func newMerger(n int, streams bool) merger {
	return merger{frames: make([]merged, n), streams: streams}
}

// plan decides which of fs, at most as many as the merger has room for, go
// together, and returns how many messages they become. It rewrites the headers
// and the metadata of the first frame of each chain.
func (m *merger) plan(fs []Frame) (messages int) {
	m.nopen = 0
	if len(fs) == 1 {
		m.frames[0] = merged{next: -1, head: true, parts: 1}
		return 1
	}
	for i := range fs {
		e := &m.frames[i]
		*e = merged{next: -1, head: true, parts: 1, tail: int16(i)}
		if !m.join(fs, i, e) {
			messages++
		}
	}
	for i := range fs {
		if e := &m.frames[i]; e.head && e.parts > 1 {
			m.finish(&fs[i], e)
		}
	}
	return messages
}

// join puts frame i into an open chain, or opens one with it, and reports whether
// it is part of an older one.
func (m *merger) join(fs []Frame, i int, e *merged) bool {
	f := &fs[i]
	if !e.FlowOf(f.Data) {
		return false
	}
	e.single = f.Offload.Super() || m.streams && e.Proto == rewrite.ProtoUDP || !rewrite.ParseMergeable(f.Data, &e.Mergeable)
	_, e.total = e.Len()
	at := m.find(e)
	if at < 0 {
		if !e.single {
			m.open[m.nopen%openRuns] = int16(i)
			m.nopen++
		}
		return false
	}
	if !e.single && m.extends(fs, int(m.open[at]), i) {
		head := &m.frames[m.open[at]]
		_, payload := e.Len()
		m.frames[head.tail].next, e.head = int16(i), false
		head.tail, head.parts, head.total = int16(i), head.parts+1, head.total+payload
		return true
	}
	m.open[at] = int16(i) // what follows of this flow must not overtake frame i
	return false
}

// find returns which of the open chains e's flow has, -1 for none.
func (m *merger) find(e *merged) int {
	for k := range min(m.nopen, openRuns) {
		if o := &m.frames[m.open[k]]; o.Flow == e.Flow && o.Proto == e.Proto {
			return k
		}
	}
	return -1
}

// extends reports whether frame i can follow the chain of frame first.
func (m *merger) extends(fs []Frame, first, i int) bool {
	head, e := &m.frames[first], &m.frames[i]
	headers, _ := head.Len()
	if head.single || head.parts == maxParts || headers-rewrite.EthernetLen+head.total+e.total > maxSuper {
		return false
	}
	tail := &m.frames[head.tail]
	return tail.Follows(fs[first].Data, fs[i].Data, &head.Mergeable, &e.Mergeable, int(head.parts)) &&
		m.verify(&fs[first], head) && m.verify(&fs[i], e)
}

// verify reports whether a frame's checksum is right, as far as it is there.
func (m *merger) verify(f *Frame, e *merged) bool {
	if !e.sound {
		e.sound = f.Offload.Flags&(OffloadNeedsCsum|OffloadDataValid) != 0 || e.ChecksumOK(f.Data)
		e.single = !e.sound
	}
	return e.sound
}

// finish makes the first frame of a chain its super-packet's head.
func (m *merger) finish(f *Frame, e *merged) {
	m.count++
	headers, size := e.Len()
	last := m.frames[e.tail]
	e.SetSuper(f.Data, e.total, last.Last())
	start, offset := e.ChecksumField()
	gso := uint8(GSOTCPv4)
	switch {
	case e.Proto == rewrite.ProtoUDP:
		gso = GSOUDPL4
	case e.V6:
		gso = GSOTCPv6
	}
	f.Offload = Offload{
		Flags: OffloadNeedsCsum, GSO: gso, HdrLen: uint16(headers), GSOSize: uint16(size),
		CsumStart: uint16(start), CsumOffset: uint16(offset),
	}
}
