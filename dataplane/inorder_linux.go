package dataplane

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// Several workers are several processors: the one that is awake would overtake the
// one that has yet to wake up, and schedule a connection on counts that lack the end
// of the one before it. While there is little to do, what changes such counts
// therefore goes in the order in which the kernel received it. A loaded worker
// waits for nobody: then order among processors means nothing, in the kernel as
// here.

const (
	// calmBatch is the most frames of a batch that waits for others.
	calmBatch = 8

	// patience is how long a batch waits, and how much older a frame is waited
	// for: longer than a processor takes to wake up, and short of a mistake.
	patience = time.Millisecond
)

// KeepOrder makes the workers wait for one another. Call it before they run, with
// all workers of a director.
func KeepOrder(workers []*Worker) {
	for _, w := range workers {
		for _, o := range workers {
			if o != w {
				w.others = append(w.others, o)
			}
		}
	}
}

// letOlderGoFirst waits until no other worker has frames from before those that port
// i has just given, if they may change what schedulers count.
func (w *Worker) letOlderGoFirst(i int, fs []Frame) {
	if len(w.others) == 0 || len(fs) > calmBatch || !anyCounts(fs) {
		return
	}
	mine, found, _ := oldest(w.ports[i])
	if !found || !w.overtakes(mine) {
		return
	}
	for end := w.clock() + patience; w.clock() < end && w.overtakes(mine); {
		unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// overtakes reports whether a frame received at the given time would overtake one of
// another worker's.
func (w *Worker) overtakes(mine time.Duration) bool {
	for _, o := range w.others {
		if o.holdsOlder(mine) {
			return true
		}
	}
	return false
}

// holdsOlder reports whether the worker has frames from the patience before that time.
// Any worker may call.
func (w *Worker) holdsOlder(than time.Duration) bool {
	if !w.mu.TryLock() {
		return true // just now it is being changed
	}
	defer w.mu.Unlock()
	for _, p := range w.ports {
		at, found, sure := oldest(p)
		if !sure || found && at < than && than-at < patience {
			return true
		}
	}
	return false
}

// oldest returns when the oldest frame was received that the port's owner has or would
// get next, by the kernel's clock. It finds none where frames have no stamps, and is
// not sure while the port is in use.
func oldest(p Port) (at time.Duration, found, sure bool) {
	if p, ok := p.(interface {
		Oldest() (time.Duration, bool, bool)
	}); ok {
		return p.Oldest()
	}
	return 0, false, true
}

// anyCounts reports whether one of the frames may begin or end a connection: all but the
// segments of TCP in between.
func anyCounts(fs []Frame) bool {
	for i := range fs {
		if !betweenEnds(fs[i].Data) {
			return true
		}
	}
	return false
}

// betweenEnds reports whether an Ethernet frame has a TCP segment without SYN, FIN and
// RST. It is content with the plain shapes: what it does not know it says is none.
func betweenEnds(frame []byte) bool {
	const (
		ethernet = 14
		flags    = 13 // behind the TCP header's start
		ends     = 1 | 2 | 4
	)
	if len(frame) < ethernet+20 {
		return false
	}
	tcp := ethernet
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		if frame[ethernet+9] != unix.IPPROTO_TCP || binary.BigEndian.Uint16(frame[ethernet+6:])&0x3fff != 0 {
			return false
		}
		tcp += int(frame[ethernet]&15) * 4
	case etherTypeIPv6:
		if frame[ethernet+6] != unix.IPPROTO_TCP {
			return false
		}
		tcp += 40
	default:
		return false
	}
	return tcp+flags < len(frame) && frame[tcp+flags]&ends == 0
}
