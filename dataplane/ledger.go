package dataplane

import (
	"encoding/binary"
	"net/netip"
	"time"

	"natlb/rewrite"
)

// ledger is a shard's account of the frames that it has received. It holds no
// pointer.
type ledger struct {
	received uint64              // frames that Process was given
	verdicts [NumVerdicts]uint64 // what became of them, and of those that others handed over
	given    uint64              // frames handed over to other shards
	taken    uint64              // frames that others have handed over to this one
	last     [NumVerdicts]sighting
}

// sighting is a packet that met its verdict. Addresses and ports are in host
// byte order; of ICMP type and code stand for the ports.
type sighting struct {
	at           time.Duration
	src, dst     Address
	sport, dport uint16
	length       uint32 // of the frame
	etherType    uint16
	proto        uint8
	link         uint8
	ports        bool // sport and dport are known
	met          bool // there was one
}

// count counts the verdict about n frames. What is handed over is counted where
// it is decided about.
func (l *ledger) count(v Verdict, n uint64) {
	if v == HandedOver {
		l.given += n
		return
	}
	l.verdicts[v] += n
}

// enter counts the verdict about a packet that came in n frames, f being the last
// or the whole, and keeps what is kept of it.
func (l *ledger) enter(v Verdict, n uint64, f *Frame, now time.Duration) {
	l.count(v, n)
	if v.seldom() {
		l.last[v] = seen(f.Data, f.Link, now)
	}
}

// seldom reports whether the last packet with this verdict is worth keeping: all
// but those that are sent on, which are the many.
func (v Verdict) seldom() bool { return v > Route && v < HandedOver }

// seen takes down the ends of a frame.
func seen(frame []byte, link uint8, now time.Duration) sighting {
	w := sighting{at: now, link: link, length: uint32(len(frame)), met: true}
	if len(frame) < rewrite.EthernetLen {
		return w
	}
	w.etherType = binary.BigEndian.Uint16(frame[12:])
	b := frame[rewrite.EthernetLen:]
	switch {
	case w.etherType == etherTypeIPv4 && len(b) >= 20:
		w.src, w.dst, w.proto = Address4(binary.BigEndian.Uint32(b[12:])), Address4(binary.BigEndian.Uint32(b[16:])), b[9]
		at := int(b[0]&15) * 4
		if at < 20 || len(b) < at+4 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return w
		}
		w.readEnds(b[at:], rewrite.ProtoICMP)
	case w.etherType == etherTypeIPv6:
		w.readIPv6(frame)
	case w.etherType == etherTypeARP && len(b) >= 28:
		w.src, w.dst = Address4(binary.BigEndian.Uint32(b[14:])), Address4(binary.BigEndian.Uint32(b[24:]))
	}
	return w
}

// readIPv6 takes down the ends of an IPv6 packet.
func (w *sighting) readIPv6(frame []byte) {
	var p rewrite.Packet
	switch rewrite.ParseIPv6(frame, &p) {
	case rewrite.FaultNone, rewrite.FaultL4:
	default:
		if b := frame[rewrite.EthernetLen:]; len(b) >= ip6Len {
			w.src, w.dst = Address6(rewrite.ReadAddr6(b[ip6Source:])), Address6(rewrite.ReadAddr6(b[ip6Destination:]))
		}
		return
	}
	w.src, w.dst, w.proto = Address6(p.Src6), Address6(p.Dst6), p.Proto
	if l4 := frame[p.L4:p.End]; p.FragOff == 0 && len(l4) >= 4 {
		w.readEnds(l4, rewrite.ProtoICMPv6)
	}
}

// readEnds takes down ports, or type and code of ICMP, which has the number icmp.
func (w *sighting) readEnds(l4 []byte, icmp uint8) {
	switch {
	case rewrite.CarriesPorts(w.proto):
		w.sport, w.dport, w.ports = binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[2:]), true
	case w.proto == icmp:
		w.sport, w.dport, w.ports = uint16(l4[0]), uint16(l4[1]), true
	}
}

// seen takes down the ends of a packet that came in pieces, its ports if they
// are there.
func (g *fragGroup) seen(now time.Duration) sighting {
	w := sighting{at: now, etherType: etherTypeIPv4, src: g.key.src, dst: g.key.dst, proto: g.key.proto, link: g.link, met: true}
	w.length = uint32(len(g.header) + len(g.store))
	if w.src.V6 {
		w.etherType, w.proto = etherTypeIPv6, g.first.Proto
	}
	if len(g.header) > 0 && g.first.HasPorts() {
		w.sport, w.dport, w.ports = g.first.SrcPort, g.first.DstPort, true
	}
	return w
}

// Ledger is one consistent look at what became of all frames received: Received
// is the sum of the entries' frames and HandingOver.
type Ledger struct {
	At          time.Duration // on the director's clock
	Received    uint64
	HandingOver uint64        // frames on their way from one shard to another, with no verdict yet
	Entries     []LedgerEntry // one for each verdict, in their order
}

// LedgerEntry is one verdict's line.
type LedgerEntry struct {
	Verdict Verdict
	Frames  uint64
	Last    *Sighting // nil: none yet, or Forward or Route, of which none is kept
}

// Sighting is the last packet that met a verdict, as it was then: what had been
// translated already is shown translated.
type Sighting struct {
	At        time.Duration // on the director's clock
	Link      string        // that it came in by
	Length    int           // bytes of the frame
	EtherType uint16
	Proto     uint8          // IANA number, of IP
	Src, Dst  netip.AddrPort // of IP and ARP; port 0 where there is none
	Type      int            // of ICMP, and its code; -1: none
	Code      int
}

// Ledger returns the ledger. The shards stand still for as long as copying some
// counters takes. Any goroutine may call.
func (d *Director) Ledger() Ledger {
	sum := make([]ledger, len(d.shards))
	now := time.Duration(0)
	thaw := d.freeze()
	for i, s := range d.shards {
		sum[i] = s.ledger
		now = max(now, s.now)
	}
	if d.cfg.Clock != nil {
		now = max(now, d.cfg.Clock())
	}
	thaw()
	out := Ledger{At: now, Entries: make([]LedgerEntry, NumVerdicts)}
	var last [NumVerdicts]sighting
	for i := range sum {
		l := &sum[i]
		out.Received += l.received
		out.HandingOver += l.given - l.taken // modulo 2^64: a shard may take more than it gives
		for v := range l.verdicts {
			out.Entries[v].Frames += l.verdicts[v]
			if w := l.last[v]; w.met && w.at >= last[v].at {
				last[v] = w
			}
		}
	}
	for v := range out.Entries {
		e := &out.Entries[v]
		e.Verdict = Verdict(v)
		if last[v].met {
			e.Last = d.sighting(&last[v])
		}
	}
	return out
}

// sighting makes a Sighting of a shard's record.
func (d *Director) sighting(w *sighting) *Sighting {
	s := &Sighting{
		At: w.at, Link: d.cfg.Links[w.link].Name, Length: int(w.length), EtherType: w.etherType, Proto: w.proto, Type: -1, Code: -1,
	}
	var sport, dport uint16
	switch {
	case w.ports && !rewrite.CarriesPorts(w.proto):
		s.Type, s.Code = int(w.sport), int(w.dport)
	case w.ports:
		sport, dport = w.sport, w.dport
	}
	if w.etherType == etherTypeIPv4 || w.etherType == etherTypeARP || w.src.V6 {
		s.Src, s.Dst = netip.AddrPortFrom(w.src.Addr(), sport), netip.AddrPortFrom(w.dst.Addr(), dport)
	}
	return s
}
