package dataplane

import (
	"errors"
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"natlb/rewrite"
)

const (
	// recvStride is the room of one received frame: the largest super-packet (64
	// KiB of IP and an Ethernet header), its vnet header and recvHead. The odd
	// cache line behind the 66 KiB spreads the headers of a batch over the sets
	// of the CPU's caches; at 66 KiB sharp they would share two sets of L1.
	recvStride = 66<<10 + 64

	// recvHead is room for a tunnel's headers, and makes the IP header (behind 10 +
	// 14 bytes) start on a multiple of 8.
	recvHead = rewrite.MaxTunnelOverhead + 8
)

// auxMessage is the one control message that PACKET_AUXDATA adds to a frame.
type auxMessage struct {
	hdr unix.Cmsghdr
	aux unix.TpacketAuxdata
}

// auxLen is the length of an auxMessage with the padding that cmsg(3) wants.
var auxLen = unix.CmsgSpace(int(unsafe.Sizeof(unix.TpacketAuxdata{})))

// recvBatch is what recvmmsg fills: message i has its frame in buffer i, its
// sender address (for the packet type) in names[i] and its metadata in aux[i].
type recvBatch struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrLinklayer
	aux   []auxMessage
	buf   []byte
	vnet  int // bytes of vnet header in front of each frame, 0 or vnetLen
	used  int // messages that the last call filled

	lost    error // the link error reported last, nil when frames come in again
	drained bool  // the queue has been empty since: what comes now is new
}

// newRecvBatch makes room for n frames. The buffers are one allocation without
// pointers, which the runtime takes from the system: pages cost memory when
// first touched, and recvmmsg fills from the front, so a quiet link touches few.
// They are not mmap'ed by hand because a frame borrowed across Close would then
// be a fault.
func newRecvBatch(n, vnet int) recvBatch {
	b := recvBatch{
		msgs:  make([]mmsghdr, n),
		iovs:  make([]unix.Iovec, n),
		names: make([]unix.RawSockaddrLinklayer, n),
		aux:   make([]auxMessage, n),
		buf:   make([]byte, n*recvStride),
		vnet:  vnet,
		used:  n,
	}
	for i := range b.msgs {
		room := b.room(i)
		b.iovs[i].Base = &room[0]
		b.iovs[i].SetLen(len(room))
		h := &b.msgs[i].hdr
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Control = (*byte)(unsafe.Pointer(&b.aux[i]))
	}
	return b
}

// room returns buffer i: the vnet header's place, then the frame's.
func (b *recvBatch) room(i int) []byte {
	return b.buf[i*recvStride+recvHead : (i+1)*recvStride : (i+1)*recvStride]
}

// rearm restores the lengths that the last call has overwritten.
func (b *recvBatch) rearm() {
	for i := range b.msgs[:b.used] {
		h := &b.msgs[i].hdr
		h.Namelen = unix.SizeofSockaddrLinklayer
		h.SetControllen(auxLen)
	}
	b.used = 0
}

// Recv implements [Port]. One call of the kernel moves at most the configured
// batch. A frame longer than its buffer arrives truncated, with its true length
// in WireLen. Link errors wrap [ErrLinkDown] and [ErrLinkGone]; each is reported
// once. After Close it returns [net.ErrClosed].
func (p *AFPacket) Recv(fs []Frame) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	if p.ring != nil {
		p.ring.release()
	}
	want := min(len(fs), len(p.in.msgs))
	switch {
	case want == 0:
		return 0, nil
	case p.ring != nil:
		return p.recvRing(fs[:want])
	}
	p.in.rearm()
	// With MSG_TRUNC a message's length is the frame's, not what fitted.
	n, errno := recvmmsg(p.rx, p.in.msgs[:want], unix.MSG_TRUNC)
	if errno != 0 {
		return 0, p.recvError(errno)
	}
	p.in.used = n
	if p.in.drained {
		p.in.lost = nil
	}
	return p.in.deliver(fs, n), nil
}

// Oldest returns when the oldest frame was received that the last Recv returned and none
// has given back, or else the next one would return: nanoseconds of the kernel's
// real-time clock. It finds none where there is no ring. Any goroutine may call it; one
// that is not the owner does not wait for a call under way, and is not sure then.
func (p *AFPacket) Oldest(owner bool) (at time.Duration, found, sure bool) {
	if owner {
		p.mu.Lock()
	} else if !p.mu.TryLock() {
		return 0, false, false
	}
	defer p.mu.Unlock()
	if p.closed || p.ring == nil {
		return 0, false, true
	}
	at, found = p.ring.oldest()
	return at, found, true
}

// recvError sorts what recvmmsg said instead of frames.
func (p *AFPacket) recvError(errno unix.Errno) error {
	switch errno {
	case unix.EAGAIN:
		p.in.drained = true
		// A deleted interface goes down first, and only that is signalled:
		// look once more while down.
		if p.in.lost == p.errDown && p.unbound() {
			p.in.lost = p.errGone
			return p.errGone
		}
		return nil
	case unix.EINTR:
		return nil
	case unix.EINVAL:
		// The kernel could not express this frame's segmentation in a vnet
		// header and has discarded it.
		p.stats.Dropped++
		return nil
	case unix.ENETDOWN:
		// Said before what is still queued.
		p.in.lost, p.in.drained = p.errDown, false
		if p.unbound() {
			p.in.lost = p.errGone
		}
		return p.in.lost
	case unix.ENXIO, unix.ENODEV:
		p.in.lost = p.errGone
		return p.errGone
	}
	return fmt.Errorf("%s: recvmmsg: %w", p.name, errno)
}

// unbound reports whether the kernel has detached the capturing socket from its
// interface, which it does when that is deleted or leaves the namespace.
func (p *AFPacket) unbound() bool {
	sa, err := unix.Getsockname(p.rx)
	if err != nil {
		return errors.Is(err, unix.ENODEV)
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	return ok && ll.Ifindex != p.index
}

// deliver describes the n received messages in fs and returns how many frames
// they are: own outgoing ones, seen only on a kernel without
// PACKET_IGNORE_OUTGOING, are left out.
func (b *recvBatch) deliver(fs []Frame, n int) int {
	filled := 0
	for i := range n {
		if PacketType(b.names[i].Pkttype) == Outgoing {
			continue
		}
		b.describe(i, &fs[filled])
		filled++
	}
	return filled
}

// describe sets f to message i, all fields but Link.
func (b *recvBatch) describe(i int, f *Frame) {
	room := b.room(i)
	f.Offload = Offload{}
	if b.vnet != 0 {
		(*vnetHeader)(room).decode(&f.Offload)
	}
	wire := max(int(b.msgs[i].len)-b.vnet, 0)
	b.point(f, i, wire)
	f.WireLen = uint32(wire)
	f.Type = PacketType(b.names[i].Pkttype)
	f.Tagged, f.VLAN = false, 0
	if aux := b.auxdata(i); aux != nil {
		f.WireLen = aux.Len // counts what a filter cut off, too
		if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			f.Tagged, f.VLAN = true, aux.Vlan_tci
		}
	}
}

// point makes buffer i, as far as a frame of that length got into it, f's memory.
func (b *recvBatch) point(f *Frame, i, length int) {
	at := i*recvStride + recvHead + b.vnet
	end := min(at+length, (i+1)*recvStride)
	f.Data, f.Head = b.buf[at:end:end], b.buf[at-rewrite.MaxTunnelOverhead:at:end]
}

// auxdata returns the metadata of message i, nil if the kernel gave none.
func (b *recvBatch) auxdata(i int) *unix.TpacketAuxdata {
	m := &b.aux[i]
	if int(b.msgs[i].hdr.Controllen) < unix.CmsgLen(int(unsafe.Sizeof(m.aux))) ||
		m.hdr.Level != unix.SOL_PACKET || m.hdr.Type != unix.PACKET_AUXDATA {
		return nil
	}
	return &m.aux
}
