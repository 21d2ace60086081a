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

// sendBatch is what sendmmsg reads: message i is vnet header i and the frame's
// own bytes, gathered by two iovecs (one without vnet headers).
type sendBatch struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	vnet  []vnetHeader // empty without PACKET_VNET_HDR
	lost  error        // the link error reported last, nil when frames go out
	stuck bool         // a whole sendPatience brought no room: wait no more until one goes out
}

func newSendBatch(n int, offload bool) sendBatch {
	b := sendBatch{msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, 2*n)}
	if offload {
		b.vnet = make([]vnetHeader, n)
	}
	for i := range b.msgs {
		h := &b.msgs[i].hdr
		if offload {
			h.Iov = &b.iovs[2*i]
			h.SetIovlen(2)
		} else {
			h.Iov = &b.iovs[2*i+1]
			h.SetIovlen(1)
		}
	}
	return b
}

// load points the messages at fs, as many as there is room for, and returns them.
func (b *sendBatch) load(fs []Frame) []mmsghdr {
	n := min(len(fs), len(b.msgs))
	for i := range fs[:n] {
		f, iov := &fs[i], b.iovs[2*i:2*i+2]
		if len(b.vnet) != 0 {
			b.vnet[i].encode(&f.Offload)
			iov[0].Base = &b.vnet[i][0]
			iov[0].SetLen(vnetLen)
		}
		iov[1].Base = unsafe.SliceData(f.Data)
		iov[1].SetLen(len(f.Data))
	}
	return b.msgs[:n]
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
		msgs := p.out.load(rest)
		rest = rest[len(msgs):]
		var sent int
		sent, alive, err = p.sendMessages(msgs, &deadline)
		n += sent
	}
	clear(p.out.iovs[:2*min(len(fs), len(p.out.msgs))]) // the caller's memory is not ours to hold
	p.stats.SendFail += uint64(len(fs) - n)
	return n, err
}

// sendMessages sends msgs, leaving out what the kernel refuses, and reports
// whether it is worth trying more. It sets *deadline when it first has to wait.
func (p *AFPacket) sendMessages(msgs []mmsghdr, deadline *time.Time) (sent int, alive bool, err error) {
	for len(msgs) > 0 {
		k, errno := sendmmsg(p.tx, msgs)
		switch errno {
		case 0:
			sent += k
			msgs = msgs[k:]
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
			msgs = msgs[1:]
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
