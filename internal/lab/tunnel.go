package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// TunnelKind names what an [Unwrapper] takes apart.
type TunnelKind string

// The kinds, as a Linux server would be told them: GRE checksums are then wanted,
// not only taken.
const (
	IPIP        TunnelKind = "ipip"
	GRE         TunnelKind = "gre"
	GREChecksum TunnelKind = "gre-csum"
	GUE         TunnelKind = "gue"
)

// ErrNoTUN says that the kernel has no tun devices.
var ErrNoTUN = errors.New("lab: no /dev/net/tun")

// Unwrapper is the far end of a tunnel for kernels without tunnel devices: it
// reads outer packets of both families by sockets, whole, as the kernel puts
// fragments together, and gives the inner ones, of both families too, to a tun
// device. It never sends any.
type Unwrapper struct {
	outer []net.PacketConn
	tun   *os.File
	done  chan error // what each reader ended with
}

// Unwrap starts an unwrapper inside the namespace, with a tun device of that name.
// port is GUE's. Reverse-path filters are the caller's business.
func Unwrap(n *Namespace, device string, kind TunnelKind, port uint16) (*Unwrapper, error) {
	outer, err := listenOuter(n, kind, port)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", n.name, err)
	}
	tun, err := openTUN(n, device)
	if err == nil {
		err = n.SetUp(device, true)
	}
	if err != nil {
		closeAll(outer)
		return nil, err
	}
	u := &Unwrapper{outer: outer, tun: tun, done: make(chan error, len(outer))}
	for _, conn := range outer {
		go func() { u.done <- u.unwrap(conn, kind) }()
	}
	return u, nil
}

// listenOuter opens the sockets that the outer packets of a kind come to.
func listenOuter(n *Namespace, kind TunnelKind, port uint16) (outer []net.PacketConn, err error) {
	networks, at := []string{"ip4:4", "ip4:41", "ip6:4", "ip6:41"}, ""
	switch kind {
	case GRE, GREChecksum:
		networks = []string{"ip4:47", "ip6:47"}
	case GUE:
		networks, at = []string{"udp4", "udp6"}, ":"+strconv.Itoa(int(port))
	}
	for _, network := range networks {
		conn, err := n.ListenPacket(network, at)
		if err == nil && network == "udp6" {
			if err = takeNoChecksum(conn); err != nil {
				conn.Close()
			}
		}
		if err != nil {
			closeAll(outer)
			return nil, err
		}
		outer = append(outer, conn)
	}
	return outer, nil
}

// takeNoChecksum lets datagrams over IPv6 in that have none, as RFC 6935 has it for
// tunnels.
func takeNoChecksum(conn net.PacketConn) error {
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX, 1) })
	return errors.Join(err, optErr)
}

func closeAll(conns []net.PacketConn) (err error) {
	for _, c := range conns {
		err = errors.Join(err, c.Close())
	}
	return err
}

func openTUN(n *Namespace, device string) (*os.File, error) {
	var tun *os.File
	err := n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoTUN, err)
		}
		tun = os.NewFile(uintptr(fd), "/dev/net/tun")
		request, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	})
	if err != nil && tun != nil {
		tun.Close()
	}
	return tun, err
}

// unwrap runs until the socket is closed. What is not of its kind is dropped, as a
// tunnel device would.
func (u *Unwrapper) unwrap(outer net.PacketConn, kind TunnelKind) error {
	buf := make([]byte, 1<<16)
	for {
		size, _, err := outer.ReadFrom(buf)
		if err != nil {
			return err
		}
		if inner := innerPacket(kind, buf[:size]); inner != nil {
			// What the kernel does not take is lost, as any packet may be.
			_, _ = u.tun.Write(inner)
		}
	}
}

// innerPacket returns what is behind the outer IP (or UDP) header and the tunnel's
// own; nil where that is not as it should be.
func innerPacket(kind TunnelKind, b []byte) []byte {
	const withSum = 0x8000_0000
	if kind == IPIP {
		return b
	}
	if len(b) < 8 {
		return nil
	}
	switch word := binary.BigEndian.Uint32(b); {
	case kind == GRE && isPacket(b[4:], word, 0x0800, 0x86dd), kind == GUE && isPacket(b[4:], word, 4<<16, 41<<16):
		return b[4:]
	case kind == GREChecksum && isPacket(b[8:], word, withSum|0x0800, withSum|0x86dd) && sum(b) == 0xffff:
		return b[8:]
	}
	return nil
}

// isPacket reports whether inner is a packet of the family that a header names: as
// v4 or as v6.
func isPacket(inner []byte, header, v4, v6 uint32) bool {
	return len(inner) > 0 && (header == v4 && inner[0]>>4 == 4 || header == v6 && inner[0]>>4 == 6)
}

// sum is the ones' complement sum of RFC 1071.
func sum(b []byte) uint16 {
	total := uint32(0)
	for i, c := range b {
		total += uint32(c) << (8 * (1 - i&1))
		total = total&0xffff + total>>16
	}
	return uint16(total)
}

// Close ends it; the tun device goes.
func (u *Unwrapper) Close() error {
	err := closeAll(u.outer)
	for range u.outer {
		if read := <-u.done; !errors.Is(read, net.ErrClosed) {
			err = errors.Join(err, read)
		}
	}
	return errors.Join(err, u.tun.Close())
}
