package dataplane

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"natlb/rewrite"
)

// hostPort gives packets to the host's own stack: it sends them by a raw socket to
// an address of the host, so they come in again by the loopback interface, past
// the guard and without a look at where their source would be routed.
type hostPort struct {
	fd    int
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet4
}

// openHostPort opens the socket, for which it takes CAP_NET_RAW, in the network
// namespace of the calling thread.
func openHostPort() (*hostPort, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	// It is for sending only; IPPROTO_RAW receives nothing.
	p := &hostPort{
		fd: fd, msgs: make([]mmsghdr, MaxBatch), iovs: make([]unix.Iovec, MaxBatch),
		names: make([]unix.RawSockaddrInet4, MaxBatch),
	}
	for i := range p.msgs {
		h := &p.msgs[i].hdr
		h.Iov = &p.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&p.names[i]))
		h.Namelen = unix.SizeofSockaddrInet4
		p.names[i].Family = unix.AF_INET
	}
	return p, nil
}

// send delivers the IPv4 packets in fs and returns how many the stack took.
func (p *hostPort) send(fs []Frame) (n int) {
	for len(fs) > 0 {
		k := min(len(fs), len(p.msgs))
		for i := range fs[:k] {
			packet := fs[i].Data[rewrite.EthernetLen:]
			p.iovs[i].Base = unsafe.SliceData(packet)
			p.iovs[i].SetLen(len(packet))
			p.names[i].Addr = [4]byte(packet[ipDestination:])
		}
		fs = fs[k:]
		for msgs := p.msgs[:k]; len(msgs) > 0; {
			sent, errno := sendmmsg(p.fd, msgs)
			switch errno {
			case 0:
				n += sent
				msgs = msgs[sent:]
			case unix.EINTR:
			default:
				msgs = msgs[1:]
			}
		}
		clear(p.iovs[:k]) // the caller's memory is not ours to hold
	}
	return n
}

func (p *hostPort) close() { unix.Close(p.fd) }
