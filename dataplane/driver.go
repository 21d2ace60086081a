package dataplane

import "time"

// Driver runs batches on one shard, and on the others what of a batch turns out
// to be theirs. Each shard has one, driven by one goroutine.
//
// A packet that has come to the wrong shard is not sent to another goroutine:
// the driver that has it borrows the right shard between two of that one's own
// batches. So it needs no queue, copy or wake-up, and nothing can overflow.
type Driver struct {
	shard *Shard
	emit  func(out []Frame, ask []Resolve)

	queue handedList // of the last batch
	next  handedList // what those that were borrowed hand on
	out   outbox     // brought along to borrowed shards: their own may be in use
	ask   []Resolve
}

// NewDriver returns the driver of shard i. It calls emit with what is to be sent
// (Output) and resolved (Unresolved): once for each batch, and once for each
// other shard that a batch had packets for. Both are valid during the call.
func (d *Director) NewDriver(i int, emit func(out []Frame, ask []Resolve)) *Driver {
	dr := &Driver{shard: d.shards[i], emit: emit}
	if len(d.shards) > 1 {
		dr.out = newOutbox(arenaSize)
	}
	return dr
}

// Batch processes the frames fs at time now, which is a time for all shards, and
// emits what comes of them. The frames are rewritten in place; their memory may
// be reused when Batch returns.
func (d *Driver) Batch(fs []Frame, now time.Duration) {
	s := d.shard
	now = s.Begin(now)
	s.lookAhead(fs)
	for i := range fs {
		s.Process(&fs[i], now)
	}
	d.collect(s)
	out, ask := s.Output(), s.Unresolved() // once unlocked, a borrower's may be in their place
	s.End()
	d.emit(out, ask)
	for d.next.n > 0 {
		d.queue, d.next = d.next, d.queue
		d.next.n = 0
		for i := range d.queue.items[:d.queue.n] {
			if to := d.queue.items[i].to; to >= 0 {
				d.borrow(to, i, now)
			}
		}
	}
}

// collect takes over what a shard has found to be others'. The shard is locked.
func (d *Driver) collect(s *Shard) {
	for i := range s.foreign.items[:s.foreign.n] {
		from, to := &s.foreign.items[i], d.next.add()
		*from, *to = *to, *from // each keeps memory for cuts
	}
	s.foreign.n = 0
}

// borrow drives shard to with its packets in the queue, from first on.
func (d *Driver) borrow(to, first int, now time.Duration) {
	s := d.shard.dir.shards[to]
	s.mu.Lock()
	d.swap(s)
	now = s.open(now)
	for i := first; i < d.queue.n; i++ {
		if h := &d.queue.items[i]; h.to == to {
			h.to = -1 // done
			s.take(h, now)
		}
	}
	d.collect(s)
	d.swap(s)
	s.End()
	d.emit(d.out.frames, d.ask)
}

// swap exchanges what a batch's results are written to. The shard is locked.
func (d *Driver) swap(s *Shard) {
	s.out, d.out = d.out, s.out
	s.resolve, d.ask = d.ask, s.resolve
}
