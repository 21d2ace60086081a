package dataplane

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
)

// The director tells what happens as one stream of [ipvs.Event]. What packets
// and timers do, a shard writes down in its journal; what the operator and the
// links do is rare and goes into one list. TakeEvents makes one stream of both.
//
//	Process ─► journal of the shard ─┐
//	Apply, link faults ─► told ──────┴─► TakeEvents ─► log, control socket, replay
//
// Connections are told of only while somebody follows.

const (
	// journalSize is how many records of one shard may wait to be taken while
	// somebody follows, and journalQuiet while nobody does. What does not fit is
	// counted and lost: a shard never waits.
	journalSize  = 8192
	journalQuiet = 64

	// mostTold is the same for what operator and links do.
	mostTold = 1 << 16
)

// record is an event as a shard writes it down: it holds no pointer, so that the
// garbage collector has nothing to scan.
type record struct {
	seq           uint64 // its place in the stream of all shards
	at            time.Duration
	ends          endsRecord // of a connection or template; its VIP of a conflict
	source        Address    // of FULLNAT, with its port; else zero
	dest          uint32     // ID of the server
	mark          uint32
	packets       uint32
	mac           [6]byte
	sport         uint16
	kind          ipvs.EventKind
	reason        ipvs.Reason
	proto         uint8
	state, before conntrack.State
	link          uint8
	template      bool
	fromServer    bool
}

// journal is what a shard has written down since it was last taken.
type journal struct {
	follow  bool     // connections too
	records []record // of fixed capacity
	lost    uint64
	scrap   record // what has no room
}

// stream is the director's side of the journals.
type stream struct {
	seq   atomic.Uint64
	taker sync.Mutex // one at a time
	taken [][]record // by shard: the journals' other buffers
	heads []int      // of them, while they are merged

	mu   sync.Mutex
	told []told // what operator and links did
	lost uint64
}

type told struct {
	seq   uint64
	event ipvs.Event
}

// newRecord returns a record to fill. The shard is held.
func (s *Shard) newRecord(kind ipvs.EventKind) *record {
	j := &s.journal
	n := len(j.records)
	if n == cap(j.records) {
		j.lost++
		return &j.scrap
	}
	j.records = j.records[:n+1]
	r := &j.records[n]
	*r = record{seq: s.dir.stream.seq.Add(1), at: s.now, kind: kind}
	return r
}

// tellConn writes down what has become of a connection or template, whose addresses
// e has if it is of IPv6.
func (s *Shard) tellConn(kind ipvs.EventKind, c *conntrack.Conn, e *conntrack.Ends6, before conntrack.State, why ipvs.Reason, fromServer bool) {
	r := s.newRecord(kind)
	r.ends = s.dir.view.Load().endsRecord(c, e)
	r.source, r.sport = sourceEnd(s.of(c.Is(conntrack.V6)), c)
	r.dest, r.mark, r.packets, r.proto = c.Dest, c.Mark, c.InPkts, c.Proto
	r.state, r.before, r.reason, r.fromServer = c.State, before, why, fromServer
	r.template = c.Is(conntrack.Template)
}

// tellServer writes down that the server has become overloaded, or is so no
// more.
func (s *Shard) tellServer(kind ipvs.EventKind, id uint32) { s.newRecord(kind).dest = id }

// tell adds an event of the operator's or the links' to the stream. Any
// goroutine may call, whatever it holds.
func (d *Director) tell(e ipvs.Event) {
	t := &d.stream
	t.mu.Lock()
	if len(t.told) < mostTold {
		t.told = append(t.told, told{t.seq.Add(1), e})
	} else {
		t.lost++
	}
	t.mu.Unlock()
	d.wake()
}

func (d *Director) wake() {
	if d.cfg.Wake != nil {
		d.cfg.Wake()
	}
}

// Follow says whether the stream is to have the events of connections and of
// the configuration; without it has only those that an operator must hear of
// (EventLocalServer, EventVIPConflict, EventLink, and whether servers can be reached).
func (d *Director) Follow(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.following = on
	size := journalQuiet
	if on {
		size = journalSize
	}
	for _, s := range d.shards {
		records := make([]record, 0, size)
		s.mu.Lock()
		old := s.journal.records
		if s.journal.follow != on {
			n := copy(records[:size], old)
			s.journal.follow, s.journal.records = on, records[:n]
			s.journal.lost += uint64(len(old) - n)
		}
		s.mu.Unlock()
	}
}

// TakeEvents appends what has happened since the last call to events, in order,
// and returns it. An EventGap at the end says that more has happened than there
// was room for. Any goroutine may call; one call at a time is served.
func (d *Director) TakeEvents(events []ipvs.Event) []ipvs.Event {
	t := &d.stream
	t.taker.Lock()
	defer t.taker.Unlock()
	lost := d.takeJournals()
	t.mu.Lock()
	list := t.told
	t.told = nil
	lost, t.lost = lost+t.lost, 0
	t.mu.Unlock()

	v := d.view.Load()
	for {
		best, seq := earliest(len(t.taken), func(i int) (uint64, bool) {
			if h := t.heads[i]; h < len(t.taken[i]) {
				return t.taken[i][h].seq, true
			}
			return 0, false
		})
		switch {
		case len(list) > 0 && (best < 0 || list[0].seq < seq):
			events, list = append(events, list[0].event), list[1:]
		case best >= 0:
			events = append(events, d.event(v, &t.taken[best][t.heads[best]]))
			t.heads[best]++
		default:
			if lost > 0 {
				events = append(events, ipvs.Event{Kind: ipvs.EventGap, At: d.clock(d.shards[0]), Lost: lost})
			}
			return events
		}
	}
}

// earliest returns which of n shards' lists has the record that comes first, and that
// record's place in the stream of all; -1 when there are no more. head returns the
// place of a list's next record, if there is one.
func earliest(n int, head func(i int) (seq uint64, more bool)) (best int, first uint64) {
	best = -1
	for i := range n {
		if seq, more := head(i); more && (best < 0 || seq < first) {
			best, first = i, seq
		}
	}
	return best, first
}

// takeJournals exchanges the journals' buffers for those that the last call has
// emptied.
func (d *Director) takeJournals() (lost uint64) {
	t := &d.stream
	if t.taken == nil {
		t.taken, t.heads = make([][]record, len(d.shards)), make([]int, len(d.shards))
	}
	clear(t.heads)
	for i, s := range d.shards {
		s.mu.Lock()
		j := &s.journal
		if size := cap(j.records); cap(t.taken[i]) != size {
			t.taken[i] = make([]record, 0, size)
		}
		j.records, t.taken[i] = t.taken[i][:0], j.records
		lost, j.lost = lost+j.lost, 0
		s.mu.Unlock()
	}
	return lost
}

// event makes an event of a record.
func (d *Director) event(v *view, r *record) ipvs.Event {
	e := ipvs.Event{Kind: r.kind, At: r.at}
	if r.kind == ipvs.EventVIPConflict {
		e.VIP, e.MAC, e.Link = r.ends.vip.Addr(), r.mac, d.cfg.Links[r.link].Name
		return e
	}
	// A server's ID gets another meaning only long after its last connection.
	if t := v.destinationOf(r.dest); t != nil {
		e.Service, e.Server, e.Weight = t.key.service, t.key.addr, t.server.ConfiguredWeight()
	}
	if !r.kind.Connection() {
		return e
	}
	e.Proto, e.Mark, e.Template, e.Packets, e.Weight = ipvs.Protocol(r.proto), r.mark, r.template, r.packets, 0
	e.Client, e.Virtual, e.Server = r.ends.client(), r.ends.virtual(), r.ends.server()
	if r.sport != 0 {
		e.Source = netip.AddrPortFrom(r.source.Addr(), r.sport)
	}
	e.State, e.Reason, e.FromServer = conntrack.StateName(r.proto, r.state, r.template), r.reason, r.fromServer
	if r.kind == ipvs.EventState {
		e.Before = conntrack.StateName(r.proto, r.before, r.template)
	}
	return e
}

// destinationOf returns the destination with that server ID, or nil. Only what
// never changes of it may be looked at.
func (v *view) destinationOf(id uint32) *destination {
	if int(id) < len(v.dests) {
		return v.dests[id]
	}
	return nil
}
