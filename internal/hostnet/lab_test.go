package hostnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// patience bounds every wait for a condition.
const patience = 10 * time.Second

// insideVar marks a run of the tests inside their own user namespace.
const insideVar = "HOSTNET_TEST_IN_USER_NAMESPACE"

// TestMain lets an ordinary user run the tests as root of a user namespace,
// where the kernel allows that; where not, the tests that need it skip.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 && os.Getenv(insideVar) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), insideVar+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		var exit *exec.ExitError
		err := cmd.Run()
		switch {
		case err == nil:
			os.Exit(0)
		case errors.As(err, &exit):
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "no user namespace here, going on without:", err)
	}
	os.Exit(m.Run())
}

// newNamespaces makes n anonymous network namespaces with lo up and leaves the
// test's thread, which is locked to it and ends with it, in the first. Links
// made later have no IPv6: its duplicate address detection would change the
// host at a time of its own.
func newNamespaces(t *testing.T, n int) []*namespace {
	t.Helper()
	runtime.LockOSThread()
	var all []*namespace
	for range n {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Skipf("cannot make a network namespace: %v", err)
		}
		ns, err := threadNamespace()
		must(t, err)
		t.Cleanup(func() { ns.file.Close() })
		all = append(all, ns)
		must(t, netlink.LinkSetUp(link(t, "lo")))
		err = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	enter(t, all[0])
	return all
}

// enter moves the calling goroutine's thread, which it keeps and which ends
// with it.
func enter(t *testing.T, ns *namespace) {
	t.Helper()
	runtime.LockOSThread()
	must(t, unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET))
}

// within runs f in ns and comes back to the director's namespace.
func within(t *testing.T, ns, director *namespace, f func()) {
	t.Helper()
	enter(t, ns)
	defer enter(t, director)
	f()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

// veth makes a pair from the thread's namespace into peer's, both ends up, with
// one address each.
func veth(t *testing.T, here *namespace, name, cidr string, peer *namespace, peerName, peerCIDR string) {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: name},
		PeerName:      peerName,
		PeerNamespace: netlink.NsFd(peer.file.Fd()),
	}))
	addAddr(t, name, cidr)
	must(t, netlink.LinkSetUp(link(t, name)))
	within(t, peer, here, func() {
		addAddr(t, peerName, peerCIDR)
		must(t, netlink.LinkSetUp(link(t, peerName)))
	})
}

func addAddr(t *testing.T, name, cidr string) {
	t.Helper()
	a, err := netlink.ParseAddr(cidr)
	must(t, err)
	must(t, netlink.AddrAdd(link(t, name), a))
}

func delAddr(t *testing.T, name, cidr string) {
	t.Helper()
	a, err := netlink.ParseAddr(cidr)
	must(t, err)
	must(t, netlink.AddrDel(link(t, name), a))
}

// viaRoute is a route of the thread's namespace; gw may be empty.
func viaRoute(t *testing.T, dst, name, gw string, metric int) *netlink.Route {
	t.Helper()
	_, n, err := net.ParseCIDR(dst)
	must(t, err)
	r := &netlink.Route{Dst: n, LinkIndex: link(t, name).Attrs().Index, Gw: net.ParseIP(gw), Priority: metric}
	if gw == "" {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

// sysctl writes below /proc/sys/net, which is that of the thread's namespace.
func sysctl(t *testing.T, path, value string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/net/"+path, []byte(value), 0))
}

// snmp reads a counter of the IPv4 stack of the thread's namespace.
func snmp(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/net/snmp", unix.Gettid()))
	must(t, err)
	var names []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if fields[0] != "Ip:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, n := range names {
			if n == name {
				v, err := strconv.Atoi(fields[i])
				must(t, err)
				return v
			}
		}
	}
	t.Fatalf("no counter %q in snmp", name)
	return 0
}

// eventually polls a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// tap is a packet socket: of newTap an ETH_P_ALL one, as the data plane's.
type tap struct {
	t     *testing.T
	fd    int
	index int
}

func newTap(t *testing.T, name string) *tap {
	t.Helper()
	return newTapOf(t, name, unix.ETH_P_ALL)
}

// newTapOf makes a tap for one type of frames. But for ETH_P_ALL it is behind the
// guard, where the IP stack is.
func newTapOf(t *testing.T, name string, kind uint16) *tap {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	index := link(t, name).Attrs().Index
	must(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: kind>>8 | kind<<8, Ifindex: index}))
	return &tap{t, fd, index}
}

// send transmits a whole frame.
func (p *tap) send(frame []byte) {
	p.t.Helper()
	must(p.t, unix.Sendto(p.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: p.index}))
}

// await reads frames until one satisfies ok.
func (p *tap) await(what string, ok func(frame []byte) bool) {
	p.t.Helper()
	must(p.t, unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}))
	buf := make([]byte, 1<<16)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, _, err := unix.Recvfrom(p.fd, buf, 0)
		if err == nil && ok(buf[:n]) {
			return
		}
	}
	p.t.Fatalf("the tap did not see: %s", what)
}

// pending reads what is queued, without waiting.
func (p *tap) pending() (frames [][]byte) {
	p.t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(p.fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return frames
		}
		frames = append(frames, bytes.Clone(buf[:n]))
	}
}

// packet describes an Ethernet frame with an IPv4 packet in it.
type packet struct {
	dstMAC, srcMAC net.HardwareAddr
	vlan           uint16 // 0: untagged
	src, dst       string
	proto          byte
	sport, dport   uint16
	fragment       uint16 // the IPv4 flags and offset word
	id             uint16
}

// bytes builds the frame: 8 bytes of transport header, right IPv4 checksum.
func (p packet) bytes() []byte {
	b := append(append([]byte{}, p.dstMAC...), p.srcMAC...)
	if p.vlan != 0 {
		b = binary.BigEndian.AppendUint16(append(b, 0x81, 0x00), p.vlan)
	}
	b = append(b, 0x08, 0x00)
	ip := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, p.proto, 0, 0}
	binary.BigEndian.PutUint16(ip[4:], p.id)
	binary.BigEndian.PutUint16(ip[6:], p.fragment)
	ip = append(ip, netip.MustParseAddr(p.src).AsSlice()...)
	ip = append(ip, netip.MustParseAddr(p.dst).AsSlice()...)
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	b = append(b, ip...)
	b = binary.BigEndian.AppendUint16(b, p.sport)
	b = binary.BigEndian.AppendUint16(b, p.dport)
	return append(b, 0, 8, 0, 0)
}

// isIPv4 reports whether frame is an untagged IPv4 packet of that protocol from
// src to dst.
func isIPv4(frame []byte, proto byte, src, dst string) bool {
	return len(frame) >= 34 && frame[12] == 0x08 && frame[13] == 0x00 && frame[23] == proto &&
		bytes.Equal(frame[26:30], netip.MustParseAddr(src).AsSlice()) &&
		bytes.Equal(frame[30:34], netip.MustParseAddr(dst).AsSlice())
}
