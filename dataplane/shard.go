package dataplane

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
	"natlb/sched"
)

// Shard owns a connection table and everything else that the packets of its
// clients touch. One goroutine drives it:
//
//	now = s.Begin(now)
//	for each frame of a batch { s.Process(frame, now) }
//	s.End()
//	send s.Output(), before the received frames' memory is reused
//
// The lock that Begin takes and End gives back lets listings and changes in
// between batches, and the drivers of other shards with packets that have come
// to them; see [Driver], which is all of the above for any number of shards.
type Shard struct {
	dir *Director
	id  int

	// Which of how many shards this is where ports of source addresses are concerned:
	// a trial's is the one that it stands for.
	lane, lanes int

	mu       sync.Mutex
	now      time.Duration
	view     *view
	table    *conntrack.Table // of IPv4
	table6   *conntrack.Table // of IPv6
	counts   counts
	ledger   ledger
	routes   routeCache
	frags    fragments
	waiting  neighbours
	sweep    [2]conntrack.Ref // of either table: next entry to look at for servers that are gone, 0: no sweep
	ending   ipvs.Reason      // why an entry that ends now does; 0: its time is up
	announce []netip.Addr     // VIPs to announce in the next batch
	journal  journal
	taps     []*Tap // mostly none; see tapped
	rivals   int    // claims to a VIP that this batch has written down

	out     outbox
	pkt     rewrite.Packet
	quoted  rewrite.Packet
	passing conntrack.Conn  // of a one-packet service
	passed  conntrack.Ends6 // its addresses, of IPv6
	flow    sched.Flow      // here because schedulers, behind an interface, make it escape
	resolve []Resolve
	ahead   [MaxBatch]uint32 // hashes of a batch's clients

	met     met            // what the packet in the works is part of, for the taps
	tapPkt  rewrite.Packet // the packet as it came, for them
	asked   asked          // how the packet in the works has come here
	foreign handedList     // packets of this batch that are other shards'
	handed  uint64         // packets handed over since the start

	toaLeftOut uint64 // segments without room for the option
}

// expireBudget bounds the entries that one batch looks at to end connections.
const expireBudget = 512

func newShard(d *Director, id, arena int) *Shard {
	s := &Shard{dir: d, id: id, lane: id, lanes: d.cfg.Shards, out: newOutbox(arena)}
	s.table, s.table6 = newTables(d, s.died)
	s.frags.init()
	s.journal.records = make([]record, 0, journalQuiet)
	return s
}

// Begin starts a batch at time now and returns the batch's time, which never
// goes back: that of the last batch when now is before it. It takes over a new
// view, ends connections that are due and sends what waited for a neighbour.
func (s *Shard) Begin(now time.Duration) time.Duration {
	s.mu.Lock()
	return s.open(now)
}

// open is Begin for who has the lock already.
func (s *Shard) open(now time.Duration) time.Duration {
	now = max(now, s.now)
	s.now, s.rivals = now, 0
	s.out.reset()
	s.resolve = s.resolve[:0]
	if v := s.dir.view.Load(); v != s.view {
		s.view = v
		s.counts.fit(v)
		s.routes.reset()
	}
	s.table.Expire(now, expireBudget)
	s.table6.Expire(now, expireBudget)
	s.sweepGone()
	if s.id == 0 {
		s.dir.templates.expire(s, now)
	}
	s.frags.expire(s, now)
	s.retryWaiting(now)
	s.announceVIPs()
	if len(s.taps) > 0 {
		s.tapLate(now)
	}
	return now
}

// End closes the batch that Begin has started.
func (s *Shard) End() {
	news := len(s.journal.records) > 0
	s.mu.Unlock()
	if news {
		s.dir.wake()
	}
}

// Output returns the frames to send, in order, each with the link to send it
// by. They point into the received frames and into the shard's own memory:
// valid until the next Begin. Owner goroutine only.
func (s *Shard) Output() []Frame { return s.out.frames }

// Resolve is a wish of the shard that the host resolve, or confirm, the
// neighbour on the way to Dst (host byte order), or to Dst6 if Dst is 0.
type Resolve struct {
	Link uint8
	Dst  uint32
	Dst6 rewrite.Addr6
}

// Unresolved returns the neighbours that this batch wanted and the host does
// not know or is not sure of. Valid until the next Begin. Owner goroutine only.
func (s *Shard) Unresolved() []Resolve { return s.resolve }

// NextTimer returns how long after now the shard has something to do without a
// frame arriving.
func (s *Shard) NextTimer(now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sweep != [2]conntrack.Ref{} {
		return 0
	}
	next := min(s.table.NextExpiry(now), s.table6.NextExpiry(now), s.frags.nextExpiry(now), s.waiting.nextExpiry(now))
	if s.id == 0 {
		next = min(next, s.dir.templates.nextExpiry(now))
	}
	return next
}

// Process decides about one received frame and carries the decision out: the
// frame is rewritten in place, and what is to be sent is appended to the
// output. It is called between Begin and End with Begin's now.
func (s *Shard) Process(f *Frame, now time.Duration) Verdict {
	s.ledger.received++
	var v Verdict
	if len(s.taps) == 0 {
		v = s.process(f, now)
	} else {
		v = s.tapped(f, now, func() Verdict { return s.process(f, now) })
	}
	s.ledger.enter(v, 1, f, now)
	return v
}

func (s *Shard) process(f *Frame, now time.Duration) Verdict {
	switch {
	case f.Type == OtherHost || f.Type == Outgoing:
		return PassOtherHost
	case f.Tagged:
		return PassVLAN
	case len(f.Data) < rewrite.EthernetLen || f.WireLen > uint32(len(f.Data)):
		return DropTruncated
	}
	switch binary.BigEndian.Uint16(f.Data[12:]) {
	case etherTypeIPv4:
		return s.ipv4(f, now)
	case etherTypeIPv6:
		return s.ipv6(f, now)
	case etherTypeARP:
		return s.arp(f)
	}
	return PassEtherType
}

// ipv4 validates the packet as the host's own IP input would, and puts
// fragments together before anything is looked up (semantics 5.1, 5.9).
func (s *Shard) ipv4(f *Frame, now time.Duration) Verdict {
	if f.Type != ToHost {
		return PassHost // IPVS looks only at frames addressed to the host
	}
	return s.ip(f, rewrite.ParseIPv4(f.Data, &s.pkt), now)
}

// ipv6 does so for IPv6. Neighbours ask for VIPs by multicast; nothing else of it is
// for a director.
func (s *Shard) ipv6(f *Frame, now time.Duration) Verdict {
	if f.Type != ToHost && f.Type != Multicast {
		return PassHost
	}
	fault := rewrite.ParseIPv6(f.Data, &s.pkt)
	if p := &s.pkt; fault == rewrite.FaultNone && p.Proto == rewrite.ProtoICMPv6 &&
		(p.ICMPType == rewrite.ICMPv6Solicitation || p.ICMPType == rewrite.ICMPv6Advert) {
		return s.discovery(f, p)
	}
	if f.Type != ToHost {
		return PassHost
	}
	return s.ip(f, fault, now)
}

// ip handles the packet in s.pkt, which was read from f with that fault.
func (s *Shard) ip(f *Frame, fault rewrite.Fault, now time.Duration) Verdict {
	p := &s.pkt
	switch fault {
	case rewrite.FaultNone:
	case rewrite.FaultTruncated:
		return DropTruncated
	case rewrite.FaultChecksum:
		return DropHeaderChecksum
	case rewrite.FaultL4:
		if !s.concerns(p) {
			return PassOther
		}
		return DropTransport
	default:
		return DropHeader
	}
	if !knownOffload(&f.Offload, p.V6) || f.Offload.Super() && p.Proto == rewrite.ProtoSCTP || f.Offload.Partial() && int(f.Offload.CsumStart) != p.L4 {
		return s.foreignOffload(p)
	}
	if p.Fragment() {
		if !s.concerns(p) {
			return PassOther
		}
		return s.fragment(f, p, now)
	}
	return s.packet(f, p, now)
}

// knownOffload reports whether natlb can forward a frame with this metadata.
func knownOffload(o *Offload, v6 bool) bool {
	switch o.GSO &^ GSOECN {
	case GSONone:
		return true
	case GSOTCPv4:
		return !v6 && o.GSOSize > 0
	case GSOTCPv6:
		return v6 && o.GSOSize > 0
	case GSOUDPL4:
		return o.GSOSize > 0
	}
	return false
}

// foreignOffload is for a packet that natlb could not translate: a kind of
// segmentation that it does not know, or a partial checksum that is not the
// packet's own but that of one inside it.
func (s *Shard) foreignOffload(p *rewrite.Packet) Verdict {
	if !s.concerns(p) {
		return PassOther
	}
	return DropOffload
}

// concerns reports whether a packet has to do with a VIP or a real server.
func (s *Shard) concerns(p *rewrite.Packet) bool {
	return s.view.marks != nil || (s.view.roles.dst(p)|s.view.roles.src(p))&^roleTurned != 0
}

// packet decides about one whole packet.
func (s *Shard) packet(f *Frame, p *rewrite.Packet, now time.Duration) Verdict {
	if s.view.idle {
		return s.accept(f, p, now) // without a service IPVS is off the path (semantics 5.1)
	}
	if s.view.steering.shards > 1 && s.elsewhere(f, p) {
		return HandedOver
	}
	switch {
	case rewrite.CarriesPorts(p.Proto):
		return s.transport(f, p, now)
	case p.IsTranslatedError():
		return s.icmpError(f, p, now)
	}
	return s.accept(f, p, now)
}
