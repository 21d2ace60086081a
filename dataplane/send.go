package dataplane

import (
	"time"

	"natlb/rewrite"
)

// origin says whom an error about a packet that was sent on is from, and how its
// quotation is translated back. The zero value: no error is owed.
type origin struct {
	src   uint32 // the VIP, or the director's own address
	vport uint16 // of a packet that was rewritten for a real server, else 0
	inner uint8  // length of the headers that were put in front of it for a tunnel
	dest  uint32 // the real server that it is for, by its ID; 0: none

	src6 rewrite.Addr6 // src of an IPv6 packet
}

// send hands a rewritten packet to its outlet in the form that the outlet
// takes: whole, or cut where its offloads or MTU ask for it. It returns sent,
// or that the packet is held or could not be cut. The origin comes by its address,
// because a copy would wait for what has just been written to leave the core.
func (s *Shard) send(f *Frame, p *rewrite.Packet, hop *Hop, o *origin, sent Verdict, now time.Duration) Verdict {
	out := outgoing{f: f, hop: hop, mtu: hop.MTU, origin: o, sent: sent, now: now, frames: s.framesOf()}
	caps := s.dir.cfg.Links[hop.Link].Caps
	segment := segmentLen(f, p)
	switch {
	case len(s.frags.cuts) > 0:
		return s.sendFragments(&out, p)
	case f.Offload.Super() && (!caps.Offload || segment > hop.MTU):
		return s.sendSegments(&out, p)
	case segment > hop.MTU:
		return s.sendCut(&out, p)
	}
	off := f.Offload
	if off.Partial() && (!caps.Offload || p.Proto == rewrite.ProtoSCTP) {
		rewrite.CompleteChecksum(f.Data, int(off.CsumStart), int(off.CsumOffset))
		off = Offload{}
	}
	return s.hand(&out, f.Data[:p.End], off)
}

// outgoing is a packet on its way to the outlet.
type outgoing struct {
	f      *Frame
	hop    *Hop
	mtu    int     // greatest packet: the outlet's, or less on the way of a tunnel
	origin *origin // never nil
	sent   Verdict
	now    time.Duration
	frames uint64 // received frames that the packet came in; 0 once a held piece stands for them
}

// framesOf returns how many received frames the packet in the works came in.
func (s *Shard) framesOf() uint64 {
	if len(s.frags.cuts) > 0 {
		return 1 + s.frags.frames
	}
	return 1
}

// verdict returns v, or that the packet is held when a piece of it is: what is
// held gets its verdict when it leaves.
func (o *outgoing) verdict(v Verdict) Verdict {
	if o.frames == 0 {
		return HeldNeighbour
	}
	return v
}

// hand queues one Ethernet frame, or keeps a copy while its next hop is not
// resolved.
func (s *Shard) hand(o *outgoing, data []byte, off Offload) Verdict {
	if !o.hop.Resolved {
		s.want(o)
		v := s.waiting.hold(o, data, off)
		if v == DropNeighbourFull {
			s.losesFor(o.origin.dest, o.frames)
		}
		return v
	}
	if o.hop.Stale {
		s.want(o)
	}
	rewrite.SetMACs(data, o.hop.MAC, o.hop.LinkMAC)
	s.out.put(o.hop.Link, data, off)
	return o.sent
}

// sendSegments cuts a super-packet in software. TCP does not mind shorter
// segments than were meant; datagrams keep their size and are fragmented.
func (s *Shard) sendSegments(o *outgoing, p *rewrite.Packet) Verdict {
	headers := rewrite.HeadersLen(o.f.Data, p)
	size := int(o.f.Offload.GSOSize)
	if p.Proto == rewrite.ProtoTCP {
		size = min(size, o.mtu-(headers-rewrite.EthernetLen))
	}
	return o.verdict(s.segments(o.f, p, size, 0, func(segment []byte) Verdict {
		if len(segment)-rewrite.EthernetLen <= o.mtu {
			return s.hand(o, segment, Offload{})
		}
		var q rewrite.Packet
		rewrite.Parse(segment, &q)
		return s.cut(o, segment, &q)
	}))
}

// segments cuts a super-packet into segments with size bytes of payload, and lets
// each, a frame behind front bytes to spare, be sent on. It returns the last verdict.
func (s *Shard) segments(f *Frame, p *rewrite.Packet, size, front int, each func(segment []byte) Verdict) (v Verdict) {
	n := rewrite.SegmentCount(p, f.Data, size)
	if n == 0 {
		return DropTooBig
	}
	headers := rewrite.HeadersLen(f.Data, p)
	for i := range n {
		room := s.out.room(front + headers + size)
		if room == nil {
			return DropNoBuffer
		}
		length := front + rewrite.Segment(room[front:], f.Data, p, size, i)
		s.out.trim(room, length)
		v = each(room[:length])
	}
	return v
}

// sendCut fragments a packet that may be cut and is longer than the MTU.
func (s *Shard) sendCut(o *outgoing, p *rewrite.Packet) Verdict {
	off := &o.f.Offload
	if off.Partial() {
		rewrite.CompleteChecksum(o.f.Data, int(off.CsumStart), int(off.CsumOffset))
	}
	return o.verdict(s.cut(o, o.f.Data, p))
}

// cut hands on the packet in data in fragments.
func (s *Shard) cut(o *outgoing, data []byte, p *rewrite.Packet) Verdict {
	n := rewrite.FragmentCount(p, o.mtu)
	if n == 0 {
		return DropTooBig
	}
	v := o.sent
	for i := range n {
		room := s.out.room(rewrite.EthernetLen + o.mtu)
		if room == nil {
			return DropNoBuffer
		}
		length := rewrite.Fragment(room, data, p, o.mtu, i)
		s.out.trim(room, length)
		v = s.hand(o, room[:length], Offload{})
	}
	return v
}

// sendFragments sends a packet that came in fragments on in the sizes in which
// it came, unless the MTU asks for smaller ones (semantics 5.9).
func (s *Shard) sendFragments(o *outgoing, p *rewrite.Packet) Verdict {
	v := o.sent
	most := (o.mtu - rewrite.FragmentHeaders(p)) &^ 7
	if most < 8 {
		return DropTooBig
	}
	for _, cut := range s.frags.cuts {
		for from := int(cut.from); from < int(cut.to); from += most {
			to := min(from+most, int(cut.to))
			room := s.out.room(rewrite.EthernetLen + rewrite.FragmentHeaders(p) + to - from)
			if room == nil {
				return o.verdict(DropNoBuffer)
			}
			n := rewrite.FragmentAt(room, o.f.Data, p, from, to)
			s.out.trim(room, n)
			v = s.hand(o, room[:n], Offload{})
		}
	}
	return o.verdict(v)
}

// emitAnswer queues an answer, which already is addressed to the sender of what
// it answers, in fragments if the link's MTU asks for it.
func (s *Shard) emitAnswer(link uint8, data []byte, sent Verdict) Verdict {
	mtu := s.view.host.Link(link).MTU
	var p rewrite.Packet
	if len(data)-rewrite.EthernetLen <= mtu || mtu == 0 || rewrite.Parse(data, &p) != rewrite.FaultNone {
		s.out.put(link, data, Offload{})
		return sent
	}
	if p.V6 {
		p.ID = s.dir.nextID()
	}
	n := rewrite.FragmentCount(&p, mtu)
	for i := range n {
		room := s.out.room(rewrite.EthernetLen + mtu)
		if room == nil {
			return DropNoBuffer
		}
		length := rewrite.Fragment(room, data, &p, mtu, i)
		s.out.trim(room, length)
		s.out.put(link, room[:length], Offload{})
	}
	return sent
}

// want remembers that a neighbour should be resolved or confirmed.
func (s *Shard) want(o *outgoing) {
	const most = 64 // per batch
	ask := Resolve{Link: o.hop.Link, Dst: o.hop.to, Dst6: o.hop.to6}
	for _, r := range s.resolve {
		if r == ask {
			return
		}
	}
	if len(s.resolve) < most {
		s.resolve = append(s.resolve, ask)
	}
}
