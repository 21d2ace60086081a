package dataplane

import (
	"time"

	"natlb/rewrite"
)

// neighbours holds copies of the frames whose next hop has no MAC address yet,
// in order of arrival: a bounded number and size, for a bounded time, and little
// of it for any one destination, so that a dead server takes no other's place.
type neighbours struct {
	frames []waitingFrame
	bytes  int
	spare  [][]byte // small buffers of frames that have left
	view   *view    // the view at the last retry: only another one can know more
}

const (
	maxWaiting      = 512             // frames of one shard
	maxWaitingEach  = 32              // frames for one destination
	maxWaitingBytes = arenaSize / 4   // they leave through the arena, beside what a batch needs
	waitingTime     = 5 * time.Second // above the kernel's three tries of one second each
	spareBuffer     = 4 << 10
)

type waitingFrame struct {
	data    []byte
	off     Offload
	in      uint8 // link it came in by
	dst     Address
	origin  origin
	sent    Verdict // its verdict once it leaves
	frames  uint64  // received frames that get this verdict; 0 in all but the first piece of a packet
	until   time.Duration
	pending bool // the host was seen resolving since the frame came
}

// hold keeps a copy of data.
func (w *neighbours) hold(o *outgoing, data []byte, off Offload) Verdict {
	if len(w.frames) == maxWaiting || w.bytes+len(data) > maxWaitingBytes || w.waitingFor(o.hop.destination()) == maxWaitingEach {
		return DropNeighbourFull
	}
	w.bytes += len(data)
	var buf []byte
	if n := len(w.spare); n > 0 {
		buf, w.spare = w.spare[n-1], w.spare[:n-1]
	}
	w.frames = append(w.frames, waitingFrame{
		data: append(buf[:0], data...), off: off, in: o.f.Link, dst: o.hop.destination(), origin: *o.origin,
		sent: o.sent, frames: o.frames, until: o.now + waitingTime, pending: !o.hop.Failed,
	})
	o.frames = 0
	return HeldNeighbour
}

// destination returns what the way leads to.
func (h *Hop) destination() Address {
	if h.to6 != (rewrite.Addr6{}) {
		return Address6(h.to6)
	}
	return Address4(h.to)
}

// wayToAddress returns the way to an address of either family.
func (s *Shard) wayToAddress(a Address) *Hop {
	if a.V6 {
		return s.routes.lookup6(s.view.host, a.Addr6)
	}
	return s.routes.lookup(s.view.host, uint32(a.Lo))
}

func (w *neighbours) waitingFor(dst Address) (n int) {
	for i := range w.frames {
		if w.frames[i].dst == dst {
			n++
		}
	}
	return n
}

// nextExpiry returns how long after now a frame may have waited too long.
func (w *neighbours) nextExpiry(now time.Duration) time.Duration {
	if len(w.frames) == 0 {
		return time.Hour
	}
	return max(w.frames[0].until-now, 0)
}

// retryWaiting sends the waiting frames whose neighbour has answered and gives
// up those whose neighbour has not.
func (s *Shard) retryWaiting(now time.Duration) {
	w := &s.waiting
	if len(w.frames) == 0 || w.view == s.view && now < w.frames[0].until {
		return
	}
	w.view = s.view
	kept := w.frames[:0]
	for i := range w.frames {
		h := &w.frames[i]
		hop := s.wayToAddress(h.dst)
		if !hop.Failed {
			h.pending = true
		}
		lost := h.lost(hop, now)
		if !hop.Resolved && !lost {
			kept = append(kept, *h)
			continue
		}
		v, last := h.sent, seen(h.data, h.in, now) // before it is taken out of a tunnel
		if lost {
			s.losesFor(h.origin.dest, h.frames)
			v = s.unreachable(h, now)
		} else if room := s.out.room(len(h.data)); room != nil {
			copy(room, h.data)
			rewrite.SetMACs(room, hop.MAC, hop.LinkMAC)
			s.out.put(hop.Link, room, h.off)
		} else {
			v = DropNoBuffer
		}
		s.ledger.verdicts[HeldNeighbour] -= h.frames
		s.ledger.count(v, h.frames)
		if v.seldom() {
			s.ledger.last[v] = last
		}
		w.bytes -= len(h.data)
		if cap(h.data) <= spareBuffer {
			w.spare = append(w.spare, h.data)
		}
	}
	clear(w.frames[len(kept):])
	w.frames = kept
}

// losesFor counts a packet in so many frames that cannot reach a real server, by the
// server's ID; 0 is none.
func (s *Shard) losesFor(server uint32, frames uint64) {
	if server != 0 && frames > 0 {
		s.counts.lost[server]++
	}
}

// lost reports whether the neighbour has not answered, or never will.
func (h *waitingFrame) lost(hop *Hop, now time.Duration) bool {
	return hop.Kind != HopForward || hop.Failed && h.pending || now >= h.until
}

// lookup returns the way to an address of either family.
func lookup(h Host, a Address) Hop {
	if a.V6 {
		return h.Lookup6(a.Addr6)
	}
	return h.Lookup(uint32(a.Lo))
}

// outline returns what can be told of the waiting frames without their bytes,
// those left out that view lets go.
func (w *neighbours) outline(v *view, now time.Duration) neighbours {
	o := neighbours{view: v}
	for i := range w.frames {
		h := w.frames[i]
		if hop := lookup(v.host, h.dst); hop.Resolved || h.lost(&hop, now) {
			continue
		}
		o.bytes += len(h.data)
		h.data = nil
		o.frames = append(o.frames, h)
	}
	return o
}

// unreachable tells the sender that the next hop does not answer, as the
// kernel's neighbour code does: the error quotes the packet as it was sent on,
// translated back if it was to a real server (semantics 5.6).
func (s *Shard) unreachable(h *waitingFrame, now time.Duration) Verdict {
	var p, answer, quoted rewrite.Packet
	data := h.data
	if n := int(h.origin.inner); n > 0 { // as it was before it went into the tunnel
		if rewrite.Parse(data, &p) != rewrite.FaultNone || p.Fragment() {
			return DropNeighbourFailed // what is behind the headers of a piece is anybody's
		}
		data = data[n:]
		copy(data[:rewrite.EthernetLen], h.data)
		rewrite.SetEtherType(data)
	}
	if h.origin.src == 0 && h.origin.src6 == (rewrite.Addr6{}) || rewrite.Parse(data, &p) != rewrite.FaultNone {
		return DropNeighbourFailed
	}
	full := s.view.roles.src(&p)&roleSource != 0
	if !s.dir.limiter.allowError(&p, now) {
		return DropLimited
	}
	dst := s.out.room(rewrite.MaxICMPError)
	if dst == nil {
		return DropNoBuffer
	}
	a := rewrite.HostUnreachable.About(&p, 0)
	a.Src, a.Src6 = h.origin.src, h.origin.src6
	n := rewrite.ICMPError(dst, data, &p, s.view.host.Link(h.in).MAC, a)
	if n == 0 {
		return DropNeighbourFailed
	}
	if h.origin.vport != 0 && rewrite.Parse(dst[:n], &answer) == rewrite.FaultNone && rewrite.ParseQuoted(dst[:n], &answer, &quoted) {
		switch {
		case full:
			if !s.heldBack(dst[:n], &answer, &quoted) {
				s.out.trim(dst, 0)
				return DropNeighbourFailed
			}
		case p.V6:
			rewrite.TranslateICMPOut6(dst[:n], &answer, &quoted, h.origin.src6, h.origin.vport)
		default:
			rewrite.TranslateICMPOut(dst[:n], &answer, &quoted, h.origin.src, h.origin.vport)
		}
	}
	s.out.put(h.in, dst[:n], Offload{})
	return AnswerUnreachable
}
