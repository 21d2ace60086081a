package dataplane

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Polling says how a worker waits for frames: what latency is worth in time of a
// processor.
type Polling string

// Ways to wait. Waking a sleeping thread takes some microseconds, on an idle
// processor many; looking again takes one, and the processor for as long as one
// looks.
const (
	PollIdle     Polling = "idle"     // it sleeps when there is nothing to do
	PollAdaptive Polling = "adaptive" // it looks again for a moment, if that has paid off lately
	PollBusy     Polling = "busy"     // it never sleeps: a processor is its own
)

// Pollings are all of them.
var Pollings = []Polling{PollIdle, PollAdaptive, PollBusy}

// Bounds of the wait: timers need no better than the shortest, and the
// longest is how soon a wake-up that got lost would be made good.
const (
	shortestWait = 20 * time.Millisecond
	longestWait  = time.Second
)

// Bounds of looking again, as of KVM's halt polling: above the time that a
// neighbour in the same machine room takes to answer, below what would show on an
// idle machine.
const (
	shortestLook = 10 * time.Microsecond
	longestLook  = 80 * time.Microsecond
)

// waits is what a worker remembers of its waits.
type waits struct {
	polling Polling
	look    time.Duration // adaptive: how long to look again before sleeping
}

// wait returns at the next frame, wake-up or timer.
func (w *Worker) wait() error {
	began := w.clock()
	timeout := min(w.shard.NextTimer(began), longestWait)
	if timeout > 0 { // 0 is work left over from the last batch
		timeout = max(timeout, shortestWait)
	}
	if look := w.waits.limit(timeout); look > 0 {
		found, err := w.lookAgain(began + look)
		if found || err != nil || look == timeout {
			return err
		}
	}
	if err := w.poll(timeout); err != nil {
		return err
	}
	w.waits.learn(w.clock()-began, w.ready > 0)
	return nil
}

// limit returns how long to look before a sleep of that length.
func (w *waits) limit(timeout time.Duration) time.Duration {
	switch w.polling {
	case PollBusy:
		return timeout
	case PollAdaptive:
		return min(w.look, timeout)
	}
	return 0
}

// learn takes up how long a wait with a sleep was: a short one would have been
// better without, a long one shows that looking is in vain.
func (w *waits) learn(waited time.Duration, found bool) {
	switch {
	case waited > longestLook || !found:
		if w.look /= 2; w.look < shortestLook {
			w.look = 0
		}
	default:
		w.look = min(max(2*w.look, shortestLook), longestLook)
	}
}

// lookAgain looks for a frame or wake-up until the clock says end, and lets others
// run meanwhile who have something to do.
func (w *Worker) lookAgain(end time.Duration) (found bool, err error) {
	for w.clock() < end {
		if err := w.poll(0); err != nil || w.ready > 0 {
			return w.ready > 0, err
		}
		unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return false, nil
}

// poll sleeps for at most the timeout and says in w.ready what it has found.
func (w *Worker) poll(timeout time.Duration) error {
	n, err := unix.Poll(w.polls, int(timeout.Milliseconds()))
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("poll: %w", err)
	}
	w.ready = max(n, 0)
	if w.polls[len(w.ports)].Revents != 0 {
		var b [8]byte
		unix.Read(w.wake, b[:])
	}
	return nil
}
