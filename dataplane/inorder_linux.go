package dataplane

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"natlb/conntrack"
	"natlb/rewrite"
)

// Several workers are several processors: the one that is awake would overtake the
// one that has yet to wake up, and schedule a connection on counts that lack the end
// of the one before it. While there is little to do, a segment that begins or ends a
// TCP connection therefore waits until what the kernel has received before is done.
// Under load order among processors means nothing, in the kernel as here, and costs:
// all waits must fit into a small part of the time.

const (
	// calmBatch is the most frames of a batch that waits for others.
	calmBatch = 8

	// patience is how long a batch waits, and how much older a frame is waited
	// for: longer than a processor takes to wake up, and short of a mistake.
	patience = time.Millisecond

	// calmShare is the part of its time that a worker waits: one in so many.
	calmShare = 32
)

// order is what a worker has to do with the order among workers. None of it is used
// by a worker that is alone.
type order struct {
	others []*Worker
	turns  []int           // the ports, as they are served
	came   []time.Duration // when the oldest frame of each port was received

	credit time.Duration // how long this worker may wait, by now
	earned time.Duration // when that was

	seen atomic.Pointer[[]Port] // the worker's ports, for the others
}

// newOrder returns the order of one worker with these ports.
func newOrder(ports []Port) *order {
	o := &order{came: make([]time.Duration, len(ports))}
	for i := range ports {
		o.turns = append(o.turns, i)
	}
	o.show(ports)
	return o
}

// show lets other workers see ports, which may be changed afterwards.
func (o *order) show(ports []Port) {
	ports = slices.Clone(ports)
	o.seen.Store(&ports)
}

// keepOrder makes all workers of a director wait for one another.
func keepOrder(workers []*Worker) {
	for _, w := range workers {
		for _, o := range workers {
			if o != w {
				w.order.others = append(w.order.others, o)
			}
		}
	}
}

// inTurn returns the ports in the order in which to serve them: for one of several
// workers what came first is first, or two would wait for each other's second ports.
func (w *Worker) inTurn() []int {
	o := w.order
	if len(o.others) > 0 && w.ready != 1 {
		for i, p := range w.ports {
			o.came[i] = math.MaxInt64
			if at, found, _ := oldest(p, true); found {
				o.came[i] = at
			}
		}
		slices.SortStableFunc(o.turns, func(a, b int) int { return cmp.Compare(o.came[a], o.came[b]) })
	}
	return o.turns
}

// letOlderGoFirst waits until no other worker has frames from before the first of those
// that port i has just given, if one of these begins or ends a connection.
func (w *Worker) letOlderGoFirst(i int, fs []Frame) {
	o := w.order
	if len(o.others) == 0 || len(fs) > calmBatch || !slices.ContainsFunc(fs, endsTCP) {
		return
	}
	mine, found, _ := oldest(w.ports[i], true)
	if !found || !o.overtakes(mine) {
		return
	}
	now := w.clock()
	for end := now + o.allowed(now); now < end && o.overtakes(mine); now = w.clock() {
		unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	o.spend(now)
}

// allowed returns how long the worker may wait now.
func (o *order) allowed(now time.Duration) time.Duration {
	o.credit = min(o.credit+(now-o.earned)/calmShare, patience)
	o.earned = now
	return o.credit
}

// spend takes off what it has waited since it was allowed.
func (o *order) spend(now time.Duration) {
	o.credit -= now - o.earned
	o.earned = now
}

// overtakes reports whether a frame received at the given time would overtake one of
// another worker's.
func (o *order) overtakes(mine time.Duration) bool {
	for _, w := range o.others {
		for _, p := range *w.order.seen.Load() {
			at, found, sure := oldest(p, false)
			if !sure || found && at < mine && mine-at < patience {
				return true
			}
		}
	}
	return false
}

// oldest is [AFPacket.Oldest], and finds nothing where frames have no stamps.
func oldest(p Port, owner bool) (at time.Duration, found, sure bool) {
	if p, ok := p.(interface {
		Oldest(bool) (time.Duration, bool, bool)
	}); ok {
		return p.Oldest(owner)
	}
	return 0, false, true
}

// endsTCP reports whether a frame has a TCP segment with SYN, FIN or RST, in plain
// shape: no fragment, and no extension header of IPv6.
func endsTCP(f Frame) bool {
	const (
		l3    = rewrite.EthernetLen
		flags = 13 // behind the TCP header's start
		ends  = conntrack.FlagFIN | conntrack.FlagSYN | conntrack.FlagRST
	)
	b := f.Data
	if len(b) < l3+20 {
		return false
	}
	tcp := l3
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherTypeIPv4:
		if b[l3+ipProtocol] != rewrite.ProtoTCP || binary.BigEndian.Uint16(b[l3+ipFragment:])&0x3fff != 0 {
			return false
		}
		tcp += int(b[l3]&15) * 4
	case etherTypeIPv6:
		if b[l3+ip6NextHeader] != rewrite.ProtoTCP {
			return false
		}
		tcp += ip6Len
	default:
		return false
	}
	return tcp+flags < len(b) && b[tcp+flags]&ends != 0
}
