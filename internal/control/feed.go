package control

import (
	"sync"
	"time"

	"natlb/ipvs"
)

const (
	// mostReaders is how many may follow the events at a time.
	mostReaders = 32

	// readerQueue is how many events wait for a reader who is slow. What does
	// not fit is lost to him, and counted.
	readerQueue = 4096
)

// Event is an event of a director with the time of day.
type Event struct {
	ipvs.Event
	Time time.Time
}

// feed hands the director's events to those who follow them. Nobody waits for a
// reader.
type feed struct {
	follow func(on bool) // tells the director whether there is anybody

	mu      sync.Mutex
	readers map[*reader]bool
	ended   chan struct{} // closed at the end of the server
}

// reader is one who follows.
type reader struct {
	filter Filter
	more   chan struct{} // something is there
	hurry  func()        // no more patience with the client

	mu    sync.Mutex
	queue []Event
	lost  uint64
}

func newFeed(follow func(bool)) *feed {
	return &feed{follow: follow, readers: map[*reader]bool{}, ended: make(chan struct{})}
}

// join lets r read from now on, and reports false when there are too many.
func (f *feed) join(r *reader) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readers) >= mostReaders {
		return false
	}
	f.readers[r] = true
	if len(f.readers) == 1 {
		f.follow(true)
	}
	return true
}

func (f *feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
	if len(f.readers) == 0 {
		f.follow(false)
	}
}

// close lets all readers go, at once.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.ended:
		return
	default:
		close(f.ended)
	}
	for r := range f.readers {
		r.hurry()
	}
}

// publish hands events to the readers. zero is the time of day at which the
// director's clock was 0.
func (f *feed) publish(events []ipvs.Event, zero time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := range f.readers {
		r.put(events, zero)
	}
}

// put queues what the reader has asked for.
func (r *reader) put(events []ipvs.Event, zero time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		e := &events[i]
		switch {
		case !r.filter.event(e):
		case len(r.queue) < readerQueue:
			r.queue = append(r.queue, Event{*e, zero.Add(e.At)})
		case e.Kind == ipvs.EventGap:
			r.lost += e.Lost
		default:
			r.lost++
		}
	}
	if len(r.queue) > 0 || r.lost > 0 {
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
}

// take returns what is queued, in the room of spare, with a gap at its end if
// events were lost after it.
func (r *reader) take(spare []Event) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.queue
	r.queue = spare[:0]
	if r.lost > 0 {
		events = append(events, Event{ipvs.Event{Kind: ipvs.EventGap, Lost: r.lost}, time.Now()})
		r.lost = 0
	}
	return events
}
