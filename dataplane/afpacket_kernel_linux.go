package dataplane

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// segmentsDatagrams reports whether a packet socket knows several datagrams that
// go as one (VIRTIO_NET_HDR_GSO_UDP_L4). Before Linux 6.2 it refuses to send them,
// and all would be lost. Only the release can tell: the socket has no option for
// it, and a trial would be seen on the link.
func segmentsDatagrams() bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && atLeast(unix.ByteSliceToString(u.Release[:]), 6, 2)
}

// atLeast reports whether a kernel's release ("6.1.0-56-amd64") is version
// major.minor or a later one.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}
