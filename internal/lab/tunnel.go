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
// reads outer packets by a socket, whole, as the kernel puts fragments together,
// and gives the inner ones to a tun device. It never sends any.
type Unwrapper struct {
	outer net.PacketConn
	tun   *os.File
	done  chan error
}

// Unwrap starts an unwrapper inside the namespace, with a tun device of that name.
// port is GUE's. Reverse-path filters are the caller's business.
func Unwrap(n *Namespace, device string, kind TunnelKind, port uint16) (*Unwrapper, error) {
	network, address := "ip4:4", "0.0.0.0"
	switch kind {
	case GRE, GREChecksum:
		network = "ip4:47"
	case GUE:
		network, address = "udp4", "0.0.0.0:"+strconv.Itoa(int(port))
	}
	outer, err := n.ListenPacket(network, address)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", n.name, err)
	}
	tun, err := openTUN(n, device)
	if err == nil {
		err = n.SetUp(device, true)
	}
	if err != nil {
		outer.Close()
		return nil, err
	}
	u := &Unwrapper{outer: outer, tun: tun, done: make(chan error, 1)}
	go func() { u.done <- u.unwrap(kind) }()
	return u, nil
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
func (u *Unwrapper) unwrap(kind TunnelKind) error {
	buf := make([]byte, 1<<16)
	for {
		size, _, err := u.outer.ReadFrom(buf)
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
	const toIPv4, withSum, gue = 0x0000_0800, 0x8000_0800, 0x0004_0000
	word := uint32(0)
	if len(b) >= 8 {
		word = binary.BigEndian.Uint32(b)
	}
	switch {
	case kind == IPIP:
		return b
	case kind == GRE && word == toIPv4, kind == GUE && word == gue:
		return b[4:]
	case kind == GREChecksum && word == withSum && sum(b) == 0xffff:
		return b[8:]
	}
	return nil
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
	err := u.outer.Close()
	if read := <-u.done; !errors.Is(read, net.ErrClosed) {
		err = errors.Join(err, read)
	}
	return errors.Join(err, u.tun.Close())
}
