package doctor

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	connectWait = time.Second
	mostTried   = 64 // servers
)

// connect tries to connect to each of the servers at once and notes in
// Facts.Servers what came of it. The connections are closed at once.
func (f *Facts) connect(ctx context.Context, servers []netip.AddrPort) {
	fds := map[int]netip.AddrPort{}
	for _, addr := range servers[:min(len(servers), mostTried)] {
		fd, result := startConnect(addr)
		if result != "" {
			f.tried(addr, result)
			continue
		}
		defer unix.Close(fd)
		fds[fd] = addr
	}
	for end := soon(ctx, connectWait); len(fds) > 0 && time.Now().Before(end); {
		polls := make([]unix.PollFd, 0, len(fds))
		for fd := range fds {
			polls = append(polls, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT})
		}
		if _, err := unix.Poll(polls, int(time.Until(end).Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, p := range polls {
			if p.Revents != 0 {
				f.tried(fds[int(p.Fd)], resultOf(int(p.Fd)))
				delete(fds, int(p.Fd))
			}
		}
	}
	for _, addr := range fds {
		f.tried(addr, silent)
	}
}

// startConnect begins to connect without waiting; result is not empty when that
// has failed at once, and then there is no fd.
func startConnect(addr netip.AddrPort) (fd int, result string) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, silent
	}
	err = unix.Connect(fd, to)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return -1, silent
	}
	return fd, ""
}

func resultOf(fd int) string {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err == nil && code == 0:
		return accepted
	case code == int(unix.ECONNREFUSED):
		return refused
	}
	return silent
}

func (f *Facts) tried(addr netip.AddrPort, result string) {
	s := f.server(addr.Addr())
	if s == nil {
		return
	}
	if s.Connect == nil {
		s.Connect = map[uint16]string{}
	}
	s.Connect[addr.Port()] = result
}
