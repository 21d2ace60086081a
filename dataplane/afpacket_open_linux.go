package dataplane

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Defaults of [AFPacketConfig].
const (
	DefaultRecvBuffer = 32 << 20 // bytes
	DefaultSendBuffer = 4 << 20  // bytes
	DefaultBatch      = 64       // frames
)

// maxBatch is the kernel's own limit on the messages of one call (UIO_MAXIOV).
const maxBatch = 1024

// AFPacketConfig says which interface to open, and how.
type AFPacketConfig struct {
	Interface string // name; not needed with Index
	Index     int    // interface index, host byte order; 0: look up Interface

	// RecvBuffer and SendBuffer are the socket buffers in bytes, as SO_RCVBUF
	// and SO_SNDBUF count them (socket(7)); 0 means the defaults. Receiving
	// needs room for what arrives while natlb is off the CPU.
	RecvBuffer, SendBuffer int

	// Slots is the size of the receive ring, in frames of up to 2 KiB (longer
	// ones take room of RecvBuffer). 0 means no ring: every frame takes room of
	// RecvBuffer and a share of a system call. Where the kernel refuses a ring,
	// and before Linux 6.2, there is none.
	Slots int

	// Batch is the most frames that one system call moves, 1 to 1024; 0 means
	// DefaultBatch. Each takes 66 KiB of address space, resident once used.
	Batch int

	// Filter is the capture filter to start with, see [AFPacket.SetFilter]; nil
	// means FilterIPv4ARP.
	Filter []bpf.RawInstruction

	// MergeDatagrams sends neighbouring datagrams of one flow as one super-packet,
	// too, as is always done with segments of TCP. It saves much, and a machine
	// behind a virtual link (veth) then counts and captures super-packets. Before
	// Linux 6.2 it does nothing.
	MergeDatagrams bool

	// Fanout makes the Port one of several that share the interface's frames; nil:
	// it gets them all.
	Fanout *Fanout

	// Log gets one line about the buffer sizes; nil discards it.
	Log *slog.Logger
}

func (c AFPacketConfig) withDefaults() (AFPacketConfig, error) {
	if c.RecvBuffer == 0 {
		c.RecvBuffer = DefaultRecvBuffer
	}
	if c.SendBuffer == 0 {
		c.SendBuffer = DefaultSendBuffer
	}
	if c.Batch == 0 {
		c.Batch = DefaultBatch
	}
	if c.Filter == nil {
		c.Filter = FilterIPv4ARP()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.RecvBuffer < 0 || c.SendBuffer < 0 || c.Slots < 0 {
		return c, fmt.Errorf("socket buffers of %d and %d bytes, ring of %d slots: sizes are positive", c.RecvBuffer, c.SendBuffer, c.Slots)
	}
	if c.Batch < 1 || c.Batch > maxBatch {
		return c, fmt.Errorf("batch of %d frames: 1 to %d are possible", c.Batch, maxBatch)
	}
	return c, nil
}

// OpenAFPacket opens a Port on an Ethernet interface of the calling thread's
// network namespace. The interface may be down. The error says what to do: it
// wraps EPERM without CAP_NET_RAW, names the interfaces there are when the one
// asked for is not among them, and refuses loopback and other non-Ethernet ones.
func OpenAFPacket(cfg AFPacketConfig) (*AFPacket, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ifi, err := findInterface(cfg)
	if err != nil {
		return nil, err
	}
	rx, err := openPacketSocket(ifi)
	if err != nil {
		return nil, err
	}
	tx, err := openPacketSocket(ifi)
	if err != nil {
		unix.Close(rx)
		return nil, err
	}
	p := &AFPacket{
		name:    ifi.Name,
		index:   ifi.Index,
		errDown: fmt.Errorf("%s: %w", ifi.Name, ErrLinkDown),
		errGone: fmt.Errorf("%s: %w", ifi.Name, ErrLinkGone),
		rx:      rx,
		tx:      tx,
	}
	if err := p.setUp(cfg); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// setUp configures the sockets, which let no frame in so far, and opens them
// with the real filter last: no frame is seen half-configured.
func (p *AFPacket) setUp(cfg AFPacketConfig) error {
	if err := requireEthernet(p.rx, p.name); err != nil {
		return err
	}
	vnet := 0
	offload, err := enableOffload(p.rx, p.tx)
	if err != nil {
		return fmt.Errorf("%s: PACKET_VNET_HDR: %w", p.name, err)
	}
	if offload {
		vnet = vnetLen
	}
	p.caps.Offload = offload
	for _, opt := range []int{unix.PACKET_IGNORE_OUTGOING, unix.PACKET_AUXDATA} {
		if _, err := setPacketOption(p.rx, opt, 1); err != nil {
			return fmt.Errorf("%s: packet socket option %d: %w", p.name, opt, err)
		}
	}
	p.sizeBuffers(cfg)
	if cfg.Slots > 0 {
		if p.ring, err = openRing(p.rx, cfg.Slots); err != nil {
			cfg.Log.Warn("no receive ring, frames are received by the queue", "link", p.name, "err", err)
		} else {
			cfg.Log.Info("receive ring", "link", p.name, "slots", p.ring.slots, "bytes", len(p.ring.mem))
		}
	}
	// While it makes a ring the kernel has the socket off its link, and forgets to
	// put it back when that comes up meanwhile: so it is bound only now.
	if err := unix.Bind(p.rx, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: p.index}); err != nil {
		return fmt.Errorf("%s: bind: %w", p.name, err)
	}
	if cfg.Fanout != nil {
		if err := p.join(cfg.Fanout); err != nil {
			return err
		}
	}
	p.in = newRecvBatch(cfg.Batch, vnet)
	p.out = newSendBatch(cfg.Batch, offload, cfg.MergeDatagrams && segmentsDatagrams())
	return p.attach(cfg.Filter)
}

// findInterface looks up the interface that cfg names.
func findInterface(cfg AFPacketConfig) (*net.Interface, error) {
	var ifi *net.Interface
	var err error
	what := fmt.Sprintf("%q", cfg.Interface)
	if cfg.Index != 0 {
		what = fmt.Sprintf("index %d", cfg.Index)
		ifi, err = net.InterfaceByIndex(cfg.Index)
	} else {
		ifi, err = net.InterfaceByName(cfg.Interface)
	}
	if err == nil {
		return ifi, nil
	}
	all, listErr := net.Interfaces()
	if listErr != nil {
		return nil, fmt.Errorf("interface %s: %w", what, err)
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return nil, fmt.Errorf("no interface %s here; there are: %s", what, strings.Join(names, ", "))
}

// bigEndian returns n as the kernel wants it where it says __be16.
func bigEndian(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// openPacketSocket opens a packet socket, bound to protocol 0, which receives
// nothing, and whose filter lets nothing in. It returns its descriptor, outside
// the Go runtime's poller; see [AFPacket].
func openPacketSocket(ifi *net.Interface) (int, error) {
	conn, err := packet.Listen(ifi, packet.Raw, 0, &packet.Config{Filter: filterNothing()})
	if errors.Is(err, unix.EPERM) {
		return -1, fmt.Errorf("packet socket on %s needs CAP_NET_RAW: run as root, or: setcap cap_net_raw,cap_net_admin+ep natlb (%w)", ifi.Name, unix.EPERM)
	}
	if err != nil {
		return -1, fmt.Errorf("packet socket on %s: %w", ifi.Name, err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("packet socket on %s: %w", ifi.Name, err)
	}
	var fd int
	var dupErr error
	err = raw.Control(func(c uintptr) {
		fd, dupErr = unix.FcntlInt(c, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, dupErr); err != nil {
		return -1, fmt.Errorf("packet socket on %s: %w", ifi.Name, err)
	}
	return fd, nil
}

// requireEthernet refuses an interface without Ethernet headers.
func requireEthernet(fd int, name string) error {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("%s: getsockname: %w", name, err)
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	switch {
	case ok && ll.Hatype == unix.ARPHRD_ETHER:
		return nil
	case ok && ll.Hatype == unix.ARPHRD_LOOPBACK:
		return fmt.Errorf("%s is a loopback interface: natlb needs an Ethernet one", name)
	case ok:
		return fmt.Errorf("%s is not an Ethernet interface (hardware type %d): natlb needs one with Ethernet headers", name, ll.Hatype)
	}
	return fmt.Errorf("%s: the packet socket has an address of type %T", name, sa)
}

// setPacketOption sets an option of level SOL_PACKET and reports whether the
// kernel has it: sandboxes that imitate packet sockets have none of them.
func setPacketOption(fd, opt, value int) (bool, error) {
	err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, value)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return false, nil
	}
	return err == nil, err
}

// enableOffload switches PACKET_VNET_HDR on for both sockets and reports whether
// the kernel has it.
func enableOffload(rx, tx int) (bool, error) {
	if ok, err := setPacketOption(rx, unix.PACKET_VNET_HDR, 1); !ok {
		return false, err
	}
	err := unix.SetsockoptInt(tx, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	return err == nil, err
}

// attachFilter sets or replaces the filter of a socket.
func attachFilter(fd int, program []bpf.RawInstruction) error {
	if len(program) == 0 || len(program) > 4096 {
		return unix.EINVAL // BPF_MAXINSNS; SockFprog's length has 16 bits
	}
	code := sockFilter(program)
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
}

// sockFilter puts a program into the kernel's form.
func sockFilter(program []bpf.RawInstruction) []unix.SockFilter {
	code := make([]unix.SockFilter, len(program))
	for i, in := range program {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return code
}
