package dataplane

import "golang.org/x/sys/unix"

// bufferKind is one of a socket's two buffers and the options that size it.
type bufferKind struct {
	force, plain int
	sysctl       string // the limit of the plain option
}

var (
	recvBuffer = bufferKind{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, "net.core.rmem_max"}
	sendBuffer = bufferKind{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, "net.core.wmem_max"}
)

// resize sets the buffer to want bytes, or to the system's limit where exceeding
// that is not permitted (it takes CAP_NET_ADMIN in the first user namespace), and
// returns the size reached. The kernel reports twice what it was asked for, the
// other half being for its own bookkeeping (socket(7)).
func (k bufferKind) resize(fd, want int) int {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, k.force, want) != nil {
		// Refused too on a kernel that has neither; then the size below tells.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, k.plain, want)
	}
	doubled, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, k.plain)
	if err != nil {
		return 0
	}
	return doubled / 2
}

// sizeBuffers sizes both sockets' buffers and says what came of it.
func (p *AFPacket) sizeBuffers(cfg AFPacketConfig) {
	recv := recvBuffer.resize(p.rx, cfg.RecvBuffer)
	send := sendBuffer.resize(p.tx, cfg.SendBuffer)
	log := cfg.Log.With("link", p.name, "recv_bytes", recv, "send_bytes", send)
	if recv < cfg.RecvBuffer || send < cfg.SendBuffer {
		log.Warn("socket buffers are smaller than asked for, bursts may be lost: not permitted to exceed the limits",
			"recv_wanted", cfg.RecvBuffer, "send_wanted", cfg.SendBuffer,
			"limits", recvBuffer.sysctl+", "+sendBuffer.sysctl)
		return
	}
	log.Info("socket buffers set")
}
