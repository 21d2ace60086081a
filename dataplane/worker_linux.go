package dataplane

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"natlb/ipvs"
)

// Worker is the live loop of one shard: receive a batch from each port, let the
// shard decide, send, wait when there is nothing to do.
type Worker struct {
	shard   *Shard
	driver  *Driver
	clock   func() time.Duration
	resolve func([]Resolve)
	order   *order

	ports []Port
	polls []unix.PollFd // one per port, and the wake-up descriptor last
	ready int           // descriptors that the last wait found ready
	waits waits
	wake  int
	in    [MaxBatch]Frame
	out   [][]Frame    // what the batch sends, by link, and last what is for the host
	host  [2]*hostPort // of either family, opened when there is something for the host

	mu       sync.Mutex
	closed   bool
	replaced map[int]Port
	stats    []sendStats // by link, and of the host last
}

type sendStats struct{ sent, failed atomic.Uint64 }

// NewWorkers returns the loops for all shards of d; ports returns, for a shard, one port
// for each of the director's links, which are the caller's until the worker runs. The
// clock tells the time since the director started; resolve is handed neighbours to ask
// for, and must not block.
func NewWorkers(d *Director, ports func(shard int) []Port, polling Polling, clock func() time.Duration, resolve func([]Resolve)) ([]*Worker, error) {
	workers := make([]*Worker, len(d.shards))
	for i := range workers {
		w, err := newWorker(d, i, ports(i), polling, clock, resolve)
		if err != nil {
			for _, w := range workers[:i] {
				unix.Close(w.wake)
			}
			return nil, err
		}
		workers[i] = w
	}
	keepOrder(workers)
	return workers, nil
}

func newWorker(d *Director, i int, ports []Port, polling Polling, clock func() time.Duration, resolve func([]Resolve)) (*Worker, error) {
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	w := &Worker{
		shard: d.Shard(i), clock: clock, resolve: resolve, order: newOrder(ports), ports: ports, wake: wake,
		polls: make([]unix.PollFd, len(ports)+1), out: make([][]Frame, len(ports)+1),
		replaced: map[int]Port{}, stats: make([]sendStats, len(ports)+1),
	}
	w.waits.polling = polling
	w.driver = d.NewDriver(i, w.emit)
	for i, p := range ports {
		w.polls[i] = pollFor(p)
	}
	w.polls[len(ports)] = unix.PollFd{Fd: int32(wake), Events: unix.POLLIN}
	return w, nil
}

func pollFor(p Port) unix.PollFd {
	return unix.PollFd{Fd: int32(p.FD()), Events: unix.POLLIN}
}

// Wake makes the loop run one batch now, for instance to announce a VIP or to
// take up a new view. Any goroutine may call.
func (w *Worker) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return // the descriptor's number may be another's by now
	}
	w.wakeLocked()
}

func (w *Worker) wakeLocked() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(w.wake, one[:]) // a full counter is awake already
}

// Replace puts a new port in the place of that of link i, which is closed, when
// the interface has come back as another one. Any goroutine may call.
func (w *Worker) Replace(i int, p Port) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		p.Close()
		return
	}
	if old := w.replaced[i]; old != nil {
		old.Close()
	}
	w.replaced[i] = p
	w.wakeLocked()
}

// SendStats returns how many frames link i has sent and how many it was refused.
func (w *Worker) SendStats(i int) (sent, failed uint64) {
	return w.stats[i].sent.Load(), w.stats[i].failed.Load()
}

// HostStats returns how many packets the host's own stack was given and how many
// it did not take.
func (w *Worker) HostStats() (delivered, refused uint64) { return w.SendStats(len(w.ports)) }

// Run runs the loop on a thread of its own until ctx ends, and closes the ports.
func (w *Worker) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.close()
	stop := context.AfterFunc(ctx, w.Wake)
	defer stop()
	for ctx.Err() == nil {
		w.takeReplaced()
		if w.round() {
			w.ready = 0 // the other ports must not wait for this one to run dry
			continue
		}
		if err := w.wait(); err != nil {
			return err
		}
	}
	return nil
}

// round serves every port that the last wait has found ready, all of them after
// one that found nothing, and reports whether more frames are surely waiting.
// Asking a drained port again costs a system call for nothing: the wait does
// not sleep while a frame is there.
func (w *Worker) round() (more bool) {
	served := false
	for _, i := range w.inTurn() {
		if w.ready == 0 || w.polls[i].Revents != 0 {
			n := w.serve(i)
			served = served || n > 0
			more = more || n == MaxBatch
		}
	}
	if !served {
		w.driver.Batch(nil, w.clock())
	}
	return more
}

// serve handles one batch of port i and returns how many frames it had.
func (w *Worker) serve(i int) int {
	if w.polls[i].Fd < 0 {
		return 0
	}
	n, err := w.ports[i].Recv(w.in[:])
	if err != nil {
		w.linkFault(i, err)
	}
	if n == 0 {
		return 0
	}
	for k := range w.in[:n] {
		w.in[k].Link = uint8(i)
	}
	w.letOlderGoFirst(i, w.in[:n])
	w.driver.Batch(w.in[:n], w.clock())
	w.ports[i].Recv(nil) // gives the frames back: the wait is for new ones
	return n
}

// emit sends what has come of a batch, and asks for the neighbours that it lacked.
func (w *Worker) emit(out []Frame, ask []Resolve) {
	for _, f := range out {
		i := min(int(f.Link), len(w.ports)) // HostLink is above all others
		w.out[i] = append(w.out[i], f)
	}
	for i, fs := range w.out {
		if len(fs) > 0 {
			w.send(i, fs)
			w.out[i] = fs[:0]
		}
	}
	if len(ask) > 0 {
		w.resolve(ask)
	}
}

func (w *Worker) send(i int, fs []Frame) {
	sent := 0
	if i == len(w.ports) {
		sent = w.deliver(fs)
	} else if w.polls[i].Fd >= 0 {
		n, err := w.ports[i].Send(fs)
		if err != nil {
			w.linkFault(i, err)
		}
		sent = n
	}
	w.stats[i].sent.Add(uint64(sent))
	w.stats[i].failed.Add(uint64(len(fs) - sent))
}

// deliver gives frames to the host's own stack and returns how many it took.
func (w *Worker) deliver(fs []Frame) (n int) {
	for len(fs) > 0 {
		v6, k := isIPv6(fs[0].Data), 1
		for k < len(fs) && isIPv6(fs[k].Data) == v6 {
			k++
		}
		n += w.deliverFamily(fs[:k], v6)
		fs = fs[k:]
	}
	return n
}

func isIPv6(frame []byte) bool { return binary.BigEndian.Uint16(frame[12:]) == etherTypeIPv6 }

// deliverFamily does so for frames of one family.
func (w *Worker) deliverFamily(fs []Frame, v6 bool) int {
	i := 0
	if v6 {
		i = 1
	}
	if w.host[i] == nil {
		p, err := openHostPort(v6)
		if err != nil {
			return 0 // counted, and tried again
		}
		w.host[i] = p
	}
	return w.host[i].send(fs)
}

// linkFault tells of a fault of port i. A vanished interface is no longer
// waited on, until Replace brings another port.
func (w *Worker) linkFault(i int, err error) {
	if errors.Is(err, ErrLinkGone) {
		if w.polls[i].Fd < 0 {
			return
		}
		w.polls[i].Fd = -1 // poll ignores it
	}
	d := w.shard.dir
	d.tell(ipvs.Event{Kind: ipvs.EventLink, At: w.clock(), Link: d.cfg.Links[i].Name, Err: err})
}

func (w *Worker) takeReplaced() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range w.replaced {
		w.ports[i].Close()
		w.ports[i], w.polls[i] = p, pollFor(p)
		w.order.show(w.ports)
		delete(w.replaced, i)
	}
}

func (w *Worker) close() {
	w.takeReplaced()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, p := range w.ports {
		p.Close()
	}
	for _, p := range w.host {
		if p != nil {
			p.close()
		}
	}
	unix.Close(w.wake)
}
