package dataplane

import (
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendPatience bounds how long one Send waits in all for room in a full socket
// buffer. A bulk stream hits that limit in bursts, and a lost segment costs it
// more than a short wait; beyond it the link is stuck, and the other links of the
// same goroutine must not be.
const sendPatience = 5 * time.Millisecond

// sendBatch is what sendmmsg reads: a message is a vnet header and the bytes of a
// frame, gathered by two iovecs (one without vnet headers), and the payload of
// those that were merged with it.
type sendBatch struct {
	msgs  []mmsghdr
	parts []int // frames that each message is
	iovs  []unix.Iovec
	merge merger
	vnet  []vnetHeader // empty without PACKET_VNET_HDR
	lost  error        // the link error reported last, nil when frames go out
	stuck bool         // a whole sendPatience brought no room: wait no more until one goes out
}

func newSendBatch(n int, offload, datagrams bool) sendBatch {
	b := sendBatch{msgs: make([]mmsghdr, n), parts: make([]int, n), iovs: make([]unix.Iovec, 0, 2*n)}
	if offload {
		b.vnet, b.merge = make([]vnetHeader, n), newMerger(n, !datagrams)
	}
	return b
}

// load points messages at fs, as many as there is room for, and returns how many
// frames that are, and the messages.
func (b *sendBatch) load(fs []Frame) (frames int, msgs []mmsghdr) {
	fs = fs[:min(len(fs), len(b.msgs))]
	b.iovs = b.iovs[:0]
	if len(b.vnet) != 0 {
		b.merge.plan(fs)
	}
	n := 0
	for i := range fs {
		if len(b.vnet) != 0 && !b.merge.frames[i].head {
			continue
		}
		from := len(b.iovs)
		if len(b.vnet) != 0 {
			b.vnet[n].encode(&fs[i].Offload)
			b.gather(b.vnet[n][:])
		}
		b.gather(fs[i].Data)
		b.parts[n] = 1
		if len(b.vnet) != 0 {
			b.gatherChain(fs, i)
			b.parts[n] = int(b.merge.frames[i].parts)
		}
		h := &b.msgs[n].hdr
		h.Iov = &b.iovs[from]
		h.SetIovlen(len(b.iovs) - from)
		n++
	}
	return len(fs), b.msgs[:n]
}

// gather adds data to the message that is being made.
func (b *sendBatch) gather(data []byte) {
	iov := unix.Iovec{Base: unsafe.SliceData(data)}
	iov.SetLen(len(data))
	b.iovs = append(b.iovs, iov)
}

// gatherChain adds the payload of the frames that go with frame i.
func (b *sendBatch) gatherChain(fs []Frame, i int) {
	for k := b.merge.frames[i].next; k >= 0; k = b.merge.frames[k].next {
		headers, _ := b.merge.frames[k].Len()
		b.gather(fs[k].Data[headers:])
	}
}

// Send implements [Port]. It counts every frame that did not go out in SendFail:
// one that the kernel refuses (longer than the MTU without segmentation, broken
// metadata, queue full) alone, the ones behind it are sent; all the rest when the
// link is down or the socket buffer stays full for 5 ms, the longest that Send
// blocks. A link error wraps [ErrLinkDown] or [ErrLinkGone] and is reported once;
// further Sends return short counts and nil until frames go out again. After
// Close it returns [net.ErrClosed].
func (p *AFPacket) Send(fs []Frame) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	var deadline time.Time
	alive := true
	for rest := fs; alive && len(rest) > 0; {
		frames, msgs := p.out.load(rest)
		rest = rest[frames:]
		var sent int
		sent, alive, err = p.sendMessages(msgs, &deadline)
		n += sent
	}
	clear(p.out.iovs[:cap(p.out.iovs)]) // the caller's memory is not ours to hold
	p.stats.SendFail += uint64(len(fs) - n)
	return n, err
}

// sendMessages sends msgs, leaving out what the kernel refuses, and reports how
// many frames went out and whether it is worth trying more. It sets *deadline when
// it first has to wait.
func (p *AFPacket) sendMessages(msgs []mmsghdr, deadline *time.Time) (sent int, alive bool, err error) {
	parts := p.out.parts
	for len(msgs) > 0 {
		k, errno := sendmmsg(p.tx, msgs)
		switch errno {
		case 0:
			for _, n := range parts[:k] {
				sent += n
			}
			msgs, parts = msgs[k:], parts[k:]
			p.out.lost, p.out.stuck = nil, false
		case unix.EINTR:
		case unix.EAGAIN:
			if !p.waitForRoom(deadline) {
				return sent, false, nil
			}
		case unix.ENETDOWN:
			return sent, false, p.reportSend(p.errDown)
		case unix.ENXIO, unix.ENODEV:
			return sent, false, p.reportSend(p.errGone)
		default:
			msgs, parts = msgs[1:], parts[1:]
		}
	}
	return sent, true, nil
}

// reportSend returns err the first time that sending meets it.
func (p *AFPacket) reportSend(err error) error {
	if p.out.lost == err {
		return nil
	}
	p.out.lost = err
	return err
}

// waitForRoom waits until the socket buffer has drained, and reports whether it
// did so before the deadline.
func (p *AFPacket) waitForRoom(deadline *time.Time) bool {
	if p.out.stuck {
		return false
	}
	now := time.Now()
	if deadline.IsZero() {
		*deadline = now.Add(sendPatience)
	}
	if left := deadline.Sub(now); left > 0 {
		fds := [1]unix.PollFd{{Fd: int32(p.tx), Events: unix.POLLOUT}}
		ms := int((left + time.Millisecond - 1) / time.Millisecond)
		if k, err := unix.Poll(fds[:], ms); k > 0 || err == unix.EINTR {
			return true
		}
	}
	p.out.stuck = true
	return false
}
