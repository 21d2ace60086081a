package dataplane

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Link errors of an [AFPacket], to be tested with errors.Is.
var (
	// ErrLinkDown: the interface is administratively down. The Port works
	// again, without being opened again, when it comes back up.
	ErrLinkDown = errors.New("link is down")

	// ErrLinkGone: the interface was deleted or moved to another network
	// namespace. The Port stays silent from then on; an interface that comes
	// back by the same name has a new index and needs a new Port.
	ErrLinkGone = errors.New("interface is gone")
)

// AFPacket is the [Port] of a real interface: a packet(7) socket that captures
// and one that sends, both moving frames in batches.
//
//	wire ─► ETH_P_ALL tap ─► filter ─► rx socket ─► ring, recvmmsg ─► Frame (borrowed)
//	wire ◄─ qdisc ◄─────────────────── tx socket ◄─ sendmmsg ◄─ Frame (read in place)
//
// Captured frames go on to the host's own stack too; keeping that quiet is the
// guard's work. The tx socket is bound to protocol 0, so it receives nothing.
//
// Both descriptors are duplicates of what mdlayher/packet opened and bound,
// whose Conn is closed once they are set up. A Conn sits in the Go runtime's
// epoll set, where a packet can wake the thread that waits there for the
// process's other descriptors (the control socket, say), to find nothing to
// do. Closing it takes the registration away. The gain is small: process CPU per
// packet over veth, with a goroutine in accept, medians of 2 x 10 interleaved runs
// (Linux 6.18, Go 1.26.8, 2 busy cores; the ranges overlap):
//
//	              without registration   with it
//	about 7 kpps  26.7 and 24.6 us       29.4 and 29.0 us
//	flood          5.6 and  4.8 us        5.4 and  5.9 us
type AFPacket struct {
	name    string
	index   int
	caps    Caps
	errDown error
	errGone error

	// mu keeps a descriptor from being closed, and its number reused, in the
	// middle of a system call of the owner: one lock a batch. Other goroutines take
	// it to ask, and workers of other shards, which may ask often, only try to.
	mu     sync.Mutex
	closed bool
	rx, tx int
	fanout *Fanout // nil: alone
	ring   *ring   // nil: frames come by the queue alone
	in     recvBatch
	out    sendBatch
	stats  PortStats

	program []bpf.RawInstruction // as given to SetFilter
	mtu     int                  // of the link when it was attached
}

var _ Port = (*AFPacket)(nil)

// Name returns the interface's name when the Port was opened. Any goroutine may
// call it.
func (p *AFPacket) Name() string { return p.name }

// Index returns the interface's index, host byte order. Any goroutine may call
// it.
func (p *AFPacket) Index() int { return p.index }

// Gone reports whether the kernel has detached the Port from its interface: that
// was deleted, or has left the network namespace and perhaps come back, with the
// same index even. Any goroutine may call it.
func (p *AFPacket) Gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed || p.unbound()
}

// Caps implements [Port]. Offload is false where the kernel has no
// PACKET_VNET_HDR. Any goroutine may call it.
func (p *AFPacket) Caps() Caps { return p.caps }

// FD returns the capturing descriptor, to be polled for POLLIN. Pending link
// errors raise POLLERR; the next Recv takes them off, so a loop that calls Recv
// on any event does not spin. Close does not wake a poll and makes the number
// invalid: stop polling first.
func (p *AFPacket) FD() int { return p.rx }

// SetFilter replaces the capture filter, a classic BPF program whose offsets
// count from the Ethernet header and whose result is how many bytes of the frame
// to keep. The kernel swaps programs atomically: each frame meets the old one or
// the new one whole. Frames captured before stay queued. The program must not be
// changed any more. The error wraps the kernel's: EINVAL for a program that is empty,
// too long (4096 instructions, less than a hundred of them the port's own) or refused by its checker,
// ENOMEM for one that does not fit net.core.optmem_max. Any goroutine may call it.
func (p *AFPacket) SetFilter(program []bpf.RawInstruction) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	return p.attach(program)
}

func (p *AFPacket) attach(program []bpf.RawInstruction) error {
	p.program = program
	if p.ring != nil && len(program) > 0 {
		p.mtu = linkMTU(p.rx, p.name)
		program = withoutSuperSCTP(program, p.mtu)
	}
	if err := attachFilter(p.rx, program); err != nil {
		return fmt.Errorf("%s: packet filter of %d instructions: %w", p.name, len(program), err)
	}
	return nil
}

// Stats returns the counters since the Port was opened. A frame whose
// segmentation virtio's header cannot express (tunnelled super-packets) never
// reaches natlb and counts as Dropped. The kernel's own counters have 32 bits
// and start at 0 after each call: call it more often than every 2^32 frames.
// Any goroutine may call it.
func (p *AFPacket) Stats() PortStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.collect()
	return p.stats
}

// collect adds up PACKET_STATISTICS, which reading resets. tp_packets includes
// tp_drops (packet(7)).
func (p *AFPacket) collect() {
	if p.closed {
		return
	}
	st, err := unix.GetsockoptTpacketStats(p.rx, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return // a sandbox's kernel without statistics: the counters stay as they are
	}
	p.stats.Received += uint64(st.Packets)
	p.stats.Dropped += uint64(st.Drops)
}

// Close closes both sockets; Recv and Send then return [net.ErrClosed] and Stats
// the last counters. Frames still borrowed from a ring are gone with it: to touch
// them is a fault. Closing twice is harmless. Any goroutine may call it that knows
// that the owner has no frames.
func (p *AFPacket) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.collect()
	p.closed = true
	err := errors.Join(unix.Close(p.rx), unix.Close(p.tx))
	if p.ring != nil {
		err = errors.Join(err, p.ring.close())
	}
	return err
}
