package dataplane

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"natlb/rewrite"
)

// ring is a receive ring that the kernel shares with natlb (packet_mmap,
// TPACKET_V2): frames come without a system call. A slot is small, so that many
// short packets fit; a super-packet is too long for it and comes whole by the
// socket's queue, in the order of the slots (PACKET_COPY_THRESH).
type ring struct {
	mem      []byte
	slots    int
	next     int // the slot that the kernel fills next, or has filled
	borrowed int // slots before it that are lent to the owner

	copies []int // frames of this batch that come by the queue
}

// SlotSize is what a slot of a receive ring takes, in bytes: a frame of up to that less
// the kernel's header.
const SlotSize = 2048

const (
	// blockSize is the piece in which the kernel allocates: larger ones may not
	// be had on a machine that has run for long.
	blockSize = 64 << 10

	// ringReserve is room for a tunnel's headers, and makes the IP header start on a
	// multiple of 8: the kernel puts it behind 80 bytes of its own, this, and the
	// vnet header.
	ringReserve = rewrite.MaxTunnelOverhead + 6

	// addressAt is where a slot's sockaddr_ll lies, behind its tpacket2_hdr.
	addressAt = (unix.SizeofTpacket2Hdr + unix.TPACKET_ALIGNMENT - 1) &^ (unix.TPACKET_ALIGNMENT - 1)
)

// errRingBlocks is why there are no rings before Linux 6.2: a super-packet that
// virtio's header cannot express, and there those of datagrams are such, leaves
// its slot taken for good, and nothing comes any more (tpacket_rcv's
// rx_owner_map). The queue loses the one packet.
var errRingBlocks = errors.New("before Linux 6.2 one super-packet of datagrams would block a ring")

// openRing gives the socket a ring of about the given number of slots.
// It reports an error when the kernel has none that works, or not the memory.
func openRing(fd, slots int) (*ring, error) {
	if !segmentsDatagrams() {
		return nil, errRingBlocks
	}
	const perBlock = blockSize / SlotSize
	blocks := max(slots/perBlock, 1)
	for _, o := range []struct{ opt, value int }{
		{unix.PACKET_VERSION, unix.TPACKET_V2},
		{unix.PACKET_RESERVE, ringReserve},
		{unix.PACKET_COPY_THRESH, 1},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.opt, o.value); err != nil {
			return nil, fmt.Errorf("packet socket option %d: %w", o.opt, err)
		}
	}
	req := unix.TpacketReq{Block_size: blockSize, Block_nr: uint32(blocks), Frame_size: SlotSize, Frame_nr: uint32(blocks * perBlock)}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("PACKET_RX_RING: %w", err)
	}
	mem, err := unix.Mmap(fd, 0, blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		none := unix.TpacketReq{}
		return nil, errors.Join(fmt.Errorf("mmap: %w", err), unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &none))
	}
	return &ring{mem: mem, slots: blocks * perBlock}, nil
}

func (r *ring) close() error { return unix.Munmap(r.mem) }

func (r *ring) slot(i int) []byte { return r.mem[i*SlotSize : (i+1)*SlotSize : (i+1)*SlotSize] }

func header(slot []byte) *unix.Tpacket2Hdr {
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(unsafe.SliceData(slot)))
}

// release gives the slots of the last batch back to the kernel.
func (r *ring) release() {
	i := r.next - r.borrowed
	if i < 0 {
		i += r.slots
	}
	for ; r.borrowed > 0; r.borrowed-- {
		atomic.StoreUint32(&header(r.slot(i)).Status, unix.TP_STATUS_KERNEL)
		if i++; i == r.slots {
			i = 0
		}
	}
}

// oldest returns when the oldest frame was received that is lent, or else waits.
func (r *ring) oldest() (at time.Duration, found bool) {
	i := r.next - r.borrowed
	if i < 0 {
		i += r.slots
	}
	h := header(r.slot(i))
	if atomic.LoadUint32(&h.Status)&unix.TP_STATUS_USER == 0 {
		return 0, false
	}
	return time.Duration(h.Sec)*time.Second + time.Duration(h.Nsec), true
}

// recvRing is Recv by the ring.
func (p *AFPacket) recvRing(fs []Frame) (int, error) {
	r := p.ring
	r.copies = r.copies[:0]
	n := 0
	for n < len(fs) && r.borrowed < r.slots/2 {
		slot := r.slot(r.next)
		status := atomic.LoadUint32(&header(slot).Status)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		if r.next++; r.next == r.slots {
			r.next = 0
		}
		r.borrowed++
		if p.in.describeSlot(slot, status, &fs[n]); fs[n].Type == Outgoing && status&unix.TP_STATUS_COPY == 0 {
			continue
		}
		if status&unix.TP_STATUS_COPY != 0 {
			r.copies = append(r.copies, n)
		}
		n++
		if len(r.copies) == len(p.in.msgs) {
			break
		}
	}
	if n == 0 {
		return 0, p.pendingError()
	}
	p.in.lost = nil
	if len(r.copies) > 0 {
		return n, p.recvCopies(fs)
	}
	return n, nil
}

// describeSlot sets f to the frame of a slot, all fields but Link.
func (b *recvBatch) describeSlot(slot []byte, status uint32, f *Frame) {
	h := header(slot)
	from := int(h.Mac)
	end := min(from+int(h.Snaplen), len(slot))
	f.Data, f.WireLen = slot[from:end:end], h.Len
	f.Head = slot[from-rewrite.MaxTunnelOverhead : from : end]
	f.Offload = Offload{}
	if b.vnet != 0 {
		(*vnetHeader)(slot[from-vnetLen:]).decode(&f.Offload)
	}
	f.Type = PacketType((*unix.RawSockaddrLinklayer)(unsafe.Pointer(&slot[addressAt])).Pkttype)
	f.Tagged, f.VLAN = status&unix.TP_STATUS_VLAN_VALID != 0, 0
	if f.Tagged {
		f.VLAN = h.Vlan_tci
	}
}

// recvCopies fetches the frames that were too long for their slots: all of them,
// for the queue must not keep one that a later slot would get. A link error, which
// the kernel says before it hands out a frame, is returned when that is done.
func (p *AFPacket) recvCopies(fs []Frame) (fault error) {
	copies := p.ring.copies
	p.in.rearm()
	for got := 0; got < len(copies); {
		n, errno := recvmmsg(p.rx, p.in.msgs[got:len(copies)], unix.MSG_TRUNC)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return fault // what is missing stays as it is in its slot: truncated
		case errno != 0:
			fault = p.recvError(errno) // the kernel has forgotten it by now
			continue
		}
		for i, k := range copies[got : got+n] {
			if !p.takeCopy(&fs[k], got+i) {
				p.in.used = len(copies)
				p.discardCopies()
				return fault
			}
		}
		got += n
		p.in.used = got
	}
	return fault
}

// takeCopy gives f the bytes of message i. The slot says all else; the kernel fills
// in neither the address nor the metadata of a copy. It reports false when the
// message is not the slot's frame.
func (p *AFPacket) takeCopy(f *Frame, i int) bool {
	length := int(p.in.msgs[i].len) - p.in.vnet
	if length != int(f.WireLen) {
		return false
	}
	p.in.point(f, i, length)
	return true
}

// discardCopies empties the queue, so that slots and copies agree again. Frames
// whose copies go that way are truncated, and dropped as such.
func (p *AFPacket) discardCopies() {
	for range cap(p.in.msgs) {
		if _, errno := recvmmsg(p.rx, p.in.msgs[:1], unix.MSG_TRUNC); errno == unix.EAGAIN {
			return
		}
	}
}

// pendingError says what is wrong with a link from which nothing comes. A ring
// has no call that would report it on the way.
func (p *AFPacket) pendingError() error {
	p.in.drained = true
	errno, err := unix.GetsockoptInt(p.rx, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("%s: SO_ERROR: %w", p.name, err)
	}
	if errno == 0 {
		return p.recvError(unix.EAGAIN)
	}
	return p.recvError(unix.Errno(errno))
}
