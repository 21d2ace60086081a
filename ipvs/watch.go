package ipvs

import (
	"math/bits"
	"sync/atomic"
)

// Watch tells its one reader which servers of a list have changed since it last
// asked, so that a scheduler need not look at all of them for each connection.
//
//	shards, writer ─► RealServer: a number changes, then its bit is set
//	scheduler      ─► Take: the bits are cleared, then the numbers are read
//
// So a change whose call has returned before Take began is never missed. What is
// told may be told again, and may have been undone meanwhile. A server can be in
// several watches.
type Watch struct {
	servers []*RealServer
	marks   []atomic.Uint64 // a bit for each server
}

// Numbers says which changes of a server matter to a [Watch].
type Numbers uint8

// What can be watched.
const (
	// Fitness is what says whether a server may be picked at all: weight,
	// overload, available or deleted.
	Fitness Numbers = iota
	// Counts is Fitness and the counts of active and inactive connections.
	Counts
)

// spot is a server's place in one watch. It is not written once it can be read.
type spot struct {
	marks *atomic.Uint64
	bit   uint64
	of    Numbers
	next  *spot // in another watch, or nil
	watch *Watch
}

// NewWatch begins to watch servers, which it keeps and does not write. Numbers
// read afterwards are never older than what Take does not tell. The watch is told
// by its servers until it is closed.
func NewWatch(servers []*RealServer, of Numbers) *Watch {
	w := &Watch{servers: servers, marks: make([]atomic.Uint64, (len(servers)+63)/64)}
	spots := make([]spot, len(servers))
	for i, s := range servers {
		own := &spots[i]
		own.marks, own.bit, own.of, own.watch = &w.marks[i/64], 1<<(i%64), of, w
		for {
			own.next = s.watched.Load()
			if s.watched.CompareAndSwap(own.next, own) {
				break
			}
		}
	}
	return w
}

// Close ends the watch. Its servers forget it.
func (w *Watch) Close() {
	for _, s := range w.servers {
		for {
			head := s.watched.Load()
			if s.watched.CompareAndSwap(head, head.without(w)) {
				break
			}
		}
	}
}

// without returns the spots but for that in w.
func (p *spot) without(w *Watch) *spot {
	switch {
	case p == nil:
		return nil
	case p.watch == w:
		return p.next
	}
	kept := *p
	kept.next = p.next.without(w)
	return &kept
}

// Take calls visit with the place in the list of each server that has changed
// since the last call. It does not allocate, and looks at a word for 64 servers.
func (w *Watch) Take(visit func(i int)) {
	for k := range w.marks {
		if w.marks[k].Load() == 0 {
			continue
		}
		for marks := w.marks[k].Swap(0); marks != 0; marks &= marks - 1 {
			visit(k*64 + bits.TrailingZeros64(marks))
		}
	}
}

// tell marks the server in the watches that care. It comes after the change: who
// finds the mark set already knows that its reader has yet to read the numbers.
func (s *RealServer) tell(of Numbers) {
	for p := s.watched.Load(); p != nil; p = p.next {
		if of <= p.of && p.marks.Load()&p.bit == 0 {
			p.marks.Or(p.bit)
		}
	}
}
