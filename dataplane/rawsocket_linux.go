package dataplane

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"natlb/rewrite"
)

// hostPort gives packets to the host's own stack: it sends them by a raw socket to
// an address of the host, so they come in again by the loopback interface, past
// the guard and without a look at where their source would be routed. Each family
// has a socket of its own.
type hostPort struct {
	fd    int
	v6    bool
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet6 // of IPv4 their first part
}

// openHostPort opens the socket, for which it takes CAP_NET_RAW, in the network
// namespace of the calling thread.
func openHostPort(v6 bool) (*hostPort, error) {
	family, nameLen := uint16(unix.AF_INET), uint32(unix.SizeofSockaddrInet4)
	if v6 {
		family, nameLen = unix.AF_INET6, unix.SizeofSockaddrInet6
	}
	fd, err := unix.Socket(int(family), unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	// It is for sending only; IPPROTO_RAW receives nothing.
	p := &hostPort{
		fd: fd, v6: v6, msgs: make([]mmsghdr, MaxBatch), iovs: make([]unix.Iovec, MaxBatch),
		names: make([]unix.RawSockaddrInet6, MaxBatch),
	}
	for i := range p.msgs {
		h := &p.msgs[i].hdr
		h.Iov = &p.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&p.names[i]))
		h.Namelen = nameLen
		p.names[i].Family = family
	}
	return p, nil
}

// send delivers the packets of its family in fs and returns how many the stack took.
func (p *hostPort) send(fs []Frame) (n int) {
	for len(fs) > 0 {
		k := min(len(fs), len(p.msgs))
		for i := range fs[:k] {
			packet := fs[i].Data[rewrite.EthernetLen:]
			p.iovs[i].Base = unsafe.SliceData(packet)
			p.iovs[i].SetLen(len(packet))
			if p.v6 {
				p.names[i].Addr = [16]byte(packet[ip6Destination:])
			} else {
				(*unix.RawSockaddrInet4)(unsafe.Pointer(&p.names[i])).Addr = [4]byte(packet[ipDestination:])
			}
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
