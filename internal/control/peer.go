package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"natlb/ipvs"
)

// peer is who is at the other end of a connection, as the kernel says it.
type peer struct {
	pid    int32
	uid    uint32
	groups []uint32 // the effective one first, then the supplementary ones
}

type peerKey struct{}

// withPeer remembers the peer of a new connection for all its requests.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	p, err := peerOf(c)
	if err != nil {
		return ctx // requests without a peer change nothing
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// peerOf asks the kernel with SO_PEERCRED and SO_PEERGROUPS (unix(7)).
func peerOf(c net.Conn) (*peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%T is not a Unix connection", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	var p peer
	var ask error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, ask = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); ask != nil {
			return
		}
		p = peer{pid: cred.Pid, uid: cred.Uid, groups: []uint32{cred.Gid}}
		var more []uint32
		more, ask = peerGroups(fd)
		p.groups = append(p.groups, more...)
	})
	return &p, errors.Join(err, ask)
}

// peerGroups reads SO_PEERGROUPS; the kernel allows 65,536 of them.
func peerGroups(fd uintptr) ([]uint32, error) {
	for size := 64; size <= 1<<16; size <<= 2 {
		groups := make([]uint32, size)
		length := uint32(4 * size)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&length)), 0)
		switch errno {
		case 0:
			return groups[:length/4], nil
		case unix.ERANGE: // more groups than that
		default:
			return nil, errno
		}
	}
	return nil, unix.ERANGE
}

// mayChange allows changes to root, to the director's own user and to the
// members of the socket's group. Reading is for everyone who can open the
// socket.
func mayChange(p *peer, socketGroup uint32) error {
	switch {
	case p == nil:
		return fmt.Errorf("%w: the peer of this connection is unknown", ipvs.ErrPermission)
	case p.uid == 0, p.uid == uint32(os.Geteuid()), slices.Contains(p.groups, socketGroup):
		return nil
	}
	return fmt.Errorf("%w: uid %d may read only", ipvs.ErrPermission, p.uid)
}
