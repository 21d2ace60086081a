package dataplane

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// wireLab is an anonymous network namespace that the test's goroutine lives in,
// with one veth per host:
//
//	[this namespace: link0] ── veth ── [host 0: eth0 10.9.0.1/24]
//	[this namespace: link1] ── veth ── [host 1: eth0 10.9.0.2/24]
//
// The near ends have no addresses: what they see is up to the Ports under test.
type wireLab struct {
	tb    testing.TB
	self  netns.NsHandle
	hosts []wireHost
}

type wireHost struct {
	ns   netns.NsHandle
	nl   *netlink.Handle
	eth  netlink.Link // far end
	near netlink.Link
	ip   netip.Addr
}

// newWireLab locks the goroutine to its thread for good: the thread ends with the
// test, and the namespaces with their last descriptor. (In a user namespace there
// would be no way back into the network namespace that it came from.)
func newWireLab(tb testing.TB, hosts int) *wireLab {
	tb.Helper()
	runtime.LockOSThread()
	self, err := netns.New()
	if errors.Is(err, unix.EPERM) {
		tb.Skipf("no permission to make network namespaces (needs CAP_SYS_ADMIN): %v", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	l := &wireLab{tb: tb, self: self}
	tb.Cleanup(func() {
		for _, h := range l.hosts {
			h.nl.Close()
			h.ns.Close()
		}
		self.Close()
	})
	for i := range hosts {
		l.addHost(i)
	}
	return l
}

func (l *wireLab) must(err error) {
	l.tb.Helper()
	if err != nil {
		l.tb.Fatal(err)
	}
}

func (l *wireLab) addHost(i int) {
	l.tb.Helper()
	ns, err := netns.New()
	l.must(err)
	l.must(netns.Set(l.self))
	nl, err := netlink.NewHandleAt(ns)
	l.must(err)
	h := wireHost{ns: ns, nl: nl, ip: netip.AddrFrom4([4]byte{10, 9, 0, byte(1 + i)})}
	name := "link" + string(rune('0'+i))
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: name, TxQLen: 1000},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(ns),
	}
	l.must(netlink.LinkAdd(veth))
	h.near, err = netlink.LinkByName(name)
	l.must(err)
	h.eth, err = nl.LinkByName("eth0")
	l.must(err)
	l.must(nl.AddrAdd(h.eth, &netlink.Addr{IPNet: &net.IPNet{IP: h.ip.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
	l.hosts = append(l.hosts, h)
	l.must(nl.LinkSetUp(h.eth))
	l.must(netlink.LinkSetUp(h.near))
	l.waitUp(i)
}

// waitUp waits until both ends of host i's link have their send queues. The
// kernel attaches them some time after the link came up, up to a second; until
// then it takes frames and discards them without a word.
func (l *wireLab) waitUp(i int) {
	l.tb.Helper()
	h := l.hosts[i]
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		near, err := netlink.LinkByIndex(h.near.Attrs().Index)
		l.must(err)
		far, err := h.nl.LinkByIndex(h.eth.Attrs().Index)
		l.must(err)
		if near.Attrs().OperState == netlink.OperUp && far.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	l.tb.Fatalf("%s is not up after 10 s", h.near.Attrs().Name)
}

// on runs f in host i's namespace; sockets that it opens stay there.
func (l *wireLab) on(i int, f func()) {
	l.tb.Helper()
	l.must(netns.Set(l.hosts[i].ns))
	defer func() { l.must(netns.Set(l.self)) }()
	f()
}

// neighbour makes host i send what is for ip to mac without asking by ARP.
func (l *wireLab) neighbour(i int, ip string, mac net.HardwareAddr) {
	l.tb.Helper()
	h := l.hosts[i]
	l.must(h.nl.NeighSet(&netlink.Neigh{
		LinkIndex: h.eth.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: net.ParseIP(ip), HardwareAddr: mac,
	}))
}

// testSlots is the size of the ring of the Ports that labs open.
var testSlots int

// open opens a Port on host i's near link.
func (l *wireLab) open(i int, cfg AFPacketConfig) *AFPacket {
	l.tb.Helper()
	cfg.Interface, cfg.Slots = l.hosts[i].near.Attrs().Name, cmp.Or(cfg.Slots, testSlots)
	p, err := OpenAFPacket(cfg)
	l.must(err)
	l.tb.Cleanup(func() { p.Close() })
	return p
}

// fault returns the first error that Recv has, of those that come without frames
// in front.
func (l *wireLab) fault(p *AFPacket, fs []Frame) error {
	for {
		if n, err := p.Recv(fs); n == 0 || err != nil {
			return err
		}
	}
}

// udp returns a socket on host i, connected to port 9 of ip.
func (l *wireLab) udp(i int, ip string) net.Conn {
	l.tb.Helper()
	var c net.Conn
	var err error
	l.on(i, func() { c, err = net.Dial("udp4", net.JoinHostPort(ip, "9")) })
	l.must(err)
	l.tb.Cleanup(func() { c.Close() })
	return c
}

// next returns the next batch of frames that p captures, waiting for it.
func (l *wireLab) next(p *AFPacket, fs []Frame) []Frame {
	l.tb.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		n, err := p.Recv(fs)
		l.must(err)
		if n > 0 {
			return fs[:n]
		}
		fds := []unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 100); err != nil && err != unix.EINTR {
			l.tb.Fatal(err)
		}
	}
	l.tb.Fatalf("%s: no frame within 5 s", p.Name())
	return nil
}

// nextMatching returns the first frame for which match is true, and fails on
// frames that come before it unless they are ARP.
func (l *wireLab) nextMatching(p *AFPacket, match func(*Frame) bool) Frame {
	l.tb.Helper()
	fs := make([]Frame, 1)
	for range 100 {
		f := l.next(p, fs)[0]
		if match(&f) {
			return f
		}
		if etherType(f.Data) != etherTypeARP {
			l.tb.Fatalf("%s: captured %x, want only the frame in question", p.Name(), f.Data)
		}
	}
	l.tb.Fatalf("%s: no matching frame in 100", p.Name())
	return Frame{}
}

func etherType(frame []byte) int {
	if len(frame) < 14 {
		return -1
	}
	return int(frame[12])<<8 | int(frame[13])
}

// isIPv4 matches IPv4 frames of a protocol.
func isIPv4(proto byte) func(*Frame) bool {
	return func(f *Frame) bool {
		return len(f.Data) >= 34 && etherType(f.Data) == etherTypeIPv4 && f.Data[23] == proto
	}
}
