package dataplane

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr (linux/socket.h): one message of a batch and, behind
// it, how many bytes of it were moved. Go pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// recvmmsg fills msgs from the front without blocking and returns how many. The
// kernel keeps an error that strikes behind the first message for the next call.
func recvmmsg(fd int, msgs []mmsghdr, flags int) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])),
		uintptr(len(msgs)), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// sendmmsg sends msgs in order without blocking and returns how many. It reports
// an error only about the first message: after a short count, call again with the
// rest to learn why.
func sendmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
