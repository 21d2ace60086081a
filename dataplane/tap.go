package dataplane

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// A tap shows frames as they came in and as they were sent, each with its
// verdict and its connection: what natlb capture writes down. Shards copy what the
// tap is after into memory of fixed size, which Take empties; nobody waits, and
// what has no room is counted. Without a tap a frame costs one comparison more.
type Tap struct {
	dir    *Director
	filter TapFilter
	snap   int
	seq    atomic.Uint64 // order of frames over all shards
	lost   atomic.Uint64
	buffer []tapBuffer // by shard, in use by it

	taker sync.Mutex  // one at a time
	taken []tapBuffer // by shard, last taken from it
}

const (
	tapFrames = 1 << 13 // of one shard between two calls of Take
	tapBytes  = 8 << 20 // the same for their bytes
	mostTaps  = 8
)

// ErrTaps refuses another tap.
var ErrTaps = errors.New("too many captures are under way")

// tapBuffer is what a shard has copied. Its capacities are fixed.
type tapBuffer struct {
	records []tapRecord
	data    []byte
}

// tapRecord is a copied frame. It holds no pointer.
type tapRecord struct {
	seq      uint64
	at       time.Duration
	from, to int // its bytes
	wire     uint32
	link     uint8
	sent     bool
	late     bool
	conn     bool // the rest is known
	verdict  Verdict
	why      ipvs.Why
	proto    uint8
	state    conntrack.State

	ends endsRecord
	mark uint32
}

// TapFrame is a frame that a tap has seen.
type TapFrame struct {
	At      time.Duration // on the director's clock: that of the batch
	Data    []byte        // as captured; the tap's, until the next call of Take
	WireLen uint32        // length of the frame
	Link    uint8         // that it came by, or was sent by, perhaps HostLink
	Sent    bool          // natlb sent it
	Late    bool          // sent, but not for a frame of this batch: announced, or held until a neighbour answered
	Verdict Verdict       // of the received frame, also on what was sent for it

	Conn    bool // it is part of a connection, of which the rest tells
	Proto   ipvs.Protocol
	Client  netip.AddrPort
	Virtual netip.AddrPort
	Server  netip.AddrPort
	Mark    uint32
	State   string   // after the frame
	Why     ipvs.Why // of the frame that made it; NotPicked of all others
}

// NewTap puts a tap on all shards. snap is how many bytes of a frame it keeps, 0
// all. Close takes it off again. Any goroutine may call.
func (d *Director) NewTap(filter TapFilter, snap int) (*Tap, error) {
	t := &Tap{dir: d, filter: filter, snap: snap, buffer: newTapBuffers(len(d.shards)), taken: newTapBuffers(len(d.shards))}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.taps) == mostTaps {
		return nil, ErrTaps
	}
	d.setTaps(append(slices.Clone(d.taps), t))
	return t, nil
}

func newTapBuffers(n int) []tapBuffer {
	b := make([]tapBuffer, n)
	for i := range b {
		b[i] = tapBuffer{make([]tapRecord, 0, tapFrames), make([]byte, 0, tapBytes)}
	}
	return b
}

// Close takes the tap off. What it holds can still be taken.
func (t *Tap) Close() {
	d := t.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setTaps(slices.DeleteFunc(slices.Clone(d.taps), func(o *Tap) bool { return o == t }))
}

// setTaps gives all shards that list. The caller holds d.mu.
func (d *Director) setTaps(taps []*Tap) {
	d.taps = taps
	thaw := d.freeze()
	defer thaw()
	for _, s := range d.shards {
		s.taps = taps
	}
}

// Lost returns how many frames the tap had no room for.
func (t *Tap) Lost() uint64 { return t.lost.Load() }

// Take calls yield for the frames since the last call, in order, until it returns
// false; the rest is dropped then. The frame is only lent. Any goroutine may call;
// one call at a time is served.
func (t *Tap) Take(yield func(*TapFrame) bool) {
	t.taker.Lock()
	defer t.taker.Unlock()
	for i := range t.taken {
		t.taken[i].records, t.taken[i].data = t.taken[i].records[:0], t.taken[i].data[:0]
	}
	// All at once: else a frame could come after one of another shard that it was
	// handled before.
	thaw := t.dir.freeze()
	t.buffer, t.taken = t.taken, t.buffer
	thaw()
	heads := make([]int, len(t.taken))
	for {
		best, _ := earliest(len(t.taken), func(i int) (uint64, bool) {
			if h := heads[i]; h < len(t.taken[i].records) {
				return t.taken[i].records[h].seq, true
			}
			return 0, false
		})
		if best < 0 {
			return
		}
		b := &t.taken[best]
		if f := b.frame(&b.records[heads[best]]); !yield(&f) {
			return
		}
		heads[best]++
	}
}

func (b *tapBuffer) frame(r *tapRecord) TapFrame {
	f := TapFrame{
		At: r.at, Data: b.data[r.from:r.to:r.to], WireLen: r.wire, Link: r.link, Sent: r.sent, Late: r.late, Verdict: r.verdict,
		Conn: r.conn,
	}
	if r.conn {
		f.Proto, f.Mark, f.Why = ipvs.Protocol(r.proto), r.mark, r.why
		f.Client, f.Virtual, f.Server = r.ends.client(), r.ends.virtual(), r.ends.server()
		f.State = conntrack.StateName(r.proto, r.state, false)
	}
	return f
}

// copyIn copies a frame before it is processed, and reports whether there is room.
// The caller fills in the rest, or takes it back.
func (t *Tap) copyIn(shard int, frame []byte) bool {
	b := &t.buffer[shard]
	n := len(frame)
	if t.snap > 0 {
		n = min(n, t.snap)
	}
	if len(b.records) == cap(b.records) || n > cap(b.data)-len(b.data) {
		return false
	}
	from := len(b.data)
	b.data = append(b.data, frame[:n]...)
	b.records = append(b.records, tapRecord{from: from, to: from + n, wire: uint32(len(frame))})
	return true
}

// last returns the record that copyIn has made last.
func (b *tapBuffer) last() *tapRecord { return &b.records[len(b.records)-1] }

// takeBack forgets that record.
func (b *tapBuffer) takeBack() {
	b.data = b.data[:b.last().from]
	b.records = b.records[:len(b.records)-1]
}

// met is what the packet in the works has turned out to be part of.
type met struct {
	conn *conntrack.Conn // nil: no connection, or none yet
	ref  conntrack.Ref   // which it is
	why  ipvs.Why        // with a new connection
}

// meets notes that the packet in the works is of connection c, which is r.
func (s *Shard) meets(c *conntrack.Conn, r conntrack.Ref) { s.met.conn, s.met.ref = c, r }

// tapped does what decide does to a frame, and lets the taps see it before, and
// what was sent for it after. A frame that another shard is given is seen there.
func (s *Shard) tapped(f *Frame, now time.Duration, decide func() Verdict) Verdict {
	var copied [mostTaps]bool
	for i, t := range s.taps {
		copied[i] = t.copyIn(s.id, f.Data)
	}
	s.tapPkt = readForTap(f.Data)
	sent := len(s.out.frames)
	s.met = met{}
	v := decide()
	for i, t := range s.taps {
		wanted := v != HandedOver && t.filter.wants(s, f, &s.tapPkt, v)
		if copied[i] {
			if r := t.buffer[s.id].last(); wanted {
				r.link, r.wire = f.Link, max(r.wire, f.WireLen)
				t.fill(r, s, v, now)
			} else {
				t.buffer[s.id].takeBack()
			}
		} else if wanted {
			t.lost.Add(1)
		}
		if wanted {
			t.sent(s, s.out.frames[sent:], v, now, false)
		}
	}
	return v
}

// sent copies what a batch sends.
func (t *Tap) sent(s *Shard, out []Frame, v Verdict, now time.Duration, late bool) {
	for k := range out {
		if !t.copyIn(s.id, out[k].Data) {
			t.lost.Add(1)
			continue
		}
		r := t.buffer[s.id].last()
		r.link, r.sent, r.late = out[k].Link, true, late
		t.fill(r, s, v, now)
	}
}

func (t *Tap) fill(r *tapRecord, s *Shard, v Verdict, now time.Duration) {
	r.seq, r.at, r.verdict = t.seq.Add(1), now, v
	if c := s.met.conn; c != nil {
		r.conn, r.why, r.proto, r.state, r.mark = true, s.met.why, c.Proto, c.State, c.Mark
		r.ends = s.view.endsRecord(c, s.endsOf(c, s.met.ref))
	}
}

// tapLate lets the taps see what a batch sends before its first frame: VIPs that
// are announced, and packets whose neighbour has answered.
func (s *Shard) tapLate(now time.Duration) {
	for _, t := range s.taps {
		for k := range s.out.frames {
			f := &s.out.frames[k]
			s.tapPkt = readForTap(f.Data)
			s.met = met{}
			s.findSent(&s.tapPkt)
			if t.filter.wants(s, f, &s.tapPkt, Forward) {
				t.sent(s, s.out.frames[k:k+1], Forward, now, true)
			}
		}
	}
}

// findSent meets the connection of a packet that has been translated already, if
// there is one.
func (s *Shard) findSent(p *rewrite.Packet) {
	if !p.HasPorts() {
		return
	}
	as := reversed(p)
	r := s.findOut(&as)
	if r == 0 {
		r = s.findIn(&as)
	}
	if r != 0 {
		s.meets(s.of(p.V6).At(r), r)
	}
}

// readForTap reads what a frame holds; the zero value if that is no IP packet.
func readForTap(frame []byte) (p rewrite.Packet) {
	if rewrite.Parse(frame, &p) != rewrite.FaultNone {
		return rewrite.Packet{}
	}
	return p
}
