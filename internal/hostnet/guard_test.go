package hostnet

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"natlb/ipvs"
)

// The namespaces of these tests:
//
//	client: eth0 10.1.0.2/24 ---- vip0 10.1.0.1/24 :director: 10.2.0.1/24 dip0 ---- eth0 10.2.0.2/24 :server
type guardLab struct {
	t                        *testing.T
	director, client, server *namespace
	vipMAC, clientMAC        net.HardwareAddr
	out                      *tap // of the client, sends
	vipTap                   *tap // of the director, sees what arrives at vip0
}

func newGuardLab(t *testing.T) *guardLab {
	ns := newNamespaces(t, 3)
	veth(t, ns[0], "vip0", "10.1.0.1/24", ns[1], "eth0", "10.1.0.2/24")
	veth(t, ns[0], "dip0", "10.2.0.1/24", ns[2], "eth0", "10.2.0.2/24")
	if err := GuardAvailable(); err != nil {
		t.Skipf("no guard here: %v", err)
	}
	lab := &guardLab{t: t, director: ns[0], client: ns[1], server: ns[2]}
	lab.vipMAC, lab.vipTap = link(t, "vip0").Attrs().HardwareAddr, newTap(t, "vip0")
	within(t, lab.client, lab.director, func() {
		must(t, netlink.RouteAdd(viaRoute(t, "0.0.0.0/0", "eth0", "10.1.0.1", 0)))
		lab.clientMAC, lab.out = link(t, "eth0").Attrs().HardwareAddr, newTap(t, "eth0")
	})
	within(t, lab.server, lab.director, func() {
		must(t, netlink.RouteAdd(viaRoute(t, "0.0.0.0/0", "eth0", "10.2.0.1", 0)))
	})
	return lab
}

func service(proto ipvs.Protocol, endpoint string) GuardService {
	return GuardService{proto, netip.MustParseAddrPort(endpoint)}
}

// connect starts a TCP connection from the thread's namespace without waiting.
func connect(t *testing.T, endpoint string) (fd int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	to := netip.MustParseAddrPort(endpoint)
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if err != nil && err != unix.EINPROGRESS && err != unix.ECONNREFUSED {
		t.Fatal(err)
	}
	if err == unix.ECONNREFUSED {
		t.Fatal("refused before connect returned")
	}
	return fd
}

// outcome says how a connection of connect stands.
func outcome(t *testing.T, fd int) string {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if _, err := unix.Poll(p, 0); err != nil || p[0].Revents == 0 {
		return "waiting"
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	must(t, err)
	switch unix.Errno(errno) {
	case 0:
		return "connected"
	case unix.ECONNREFUSED:
		return "refused"
	}
	return unix.Errno(errno).Error()
}

// TestGuardKeepsTheHostQuiet connects to ports of the host's own VIP.
func TestGuardKeepsTheHostQuiet(t *testing.T) {
	lab := newGuardLab(t)
	ssh, err := net.Listen("tcp4", "10.1.0.1:22")
	must(t, err)
	defer ssh.Close()
	g := NewGuard(slog.New(slog.DiscardHandler))
	must(t, g.Apply(GuardRules{
		VIPLinks: []string{"vip0"},
		Services: []GuardService{service(ipvs.TCP, "10.1.0.1:80"), service(ipvs.UDP, "10.1.0.1:53")},
	}))
	if there, err := Leftover(); !there || err != nil {
		t.Errorf("Leftover() = %v, %v while the guard works, want true", there, err)
	}
	open := func(endpoint string) (fd int) {
		within(t, lab.client, lab.director, func() { fd = connect(t, endpoint) })
		return fd
	}
	becomes := func(fd int, want string) {
		t.Helper()
		eventually(t, "connection "+want, func() bool { return outcome(t, fd) == want })
	}
	guarded := open("10.1.0.1:80")
	lab.vipTap.await("the SYN to port 80", func(f []byte) bool {
		return isIPv4(f, unix.IPPROTO_TCP, "10.1.0.2", "10.1.0.1") && bytes.Equal(f[36:38], []byte{0, 80})
	})
	becomes(open("10.1.0.1:22"), "connected")
	becomes(open("10.1.0.1:53"), "refused") // only UDP is guarded there
	if got := outcome(t, guarded); got != "waiting" {
		t.Errorf("connection to the guarded port is %s, want waiting", got)
	}
	must(t, g.Remove())
	becomes(open("10.1.0.1:80"), "refused")
	if there, err := Leftover(); there || err != nil {
		t.Errorf("Leftover() = %v, %v after Remove, want false", there, err)
	}
	must(t, g.Remove()) // nothing to remove
}

// controlProto is a protocol for experiments (RFC 3692): nothing guards it.
const controlProto = 253

// check sends p from the client and then a packet that nothing guards, and
// checks whether the director's IP stack receives p too. The tap must see both.
func (lab *guardLab) check(t *testing.T, p packet, reaches bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, controlProto)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience.Seconds())}))
	before := snmp(t, "InReceives")
	received := func() int { return snmp(t, "InReceives") - before }

	lab.out.send(p.bytes())
	control := packet{dstMAC: lab.vipMAC, srcMAC: lab.clientMAC, src: "10.1.0.2", dst: "10.1.0.1", proto: controlProto}
	lab.out.send(control.bytes())
	lab.vipTap.await("the packet", func(f []byte) bool { return bytes.Contains(p.bytes(), f[14:34]) })
	lab.vipTap.await("the control packet", func(f []byte) bool { return bytes.Equal(f, control.bytes()) })
	if _, _, err := unix.Recvfrom(fd, make([]byte, 100), 0); err != nil {
		t.Fatalf("the control packet did not reach the IP stack: %v", err)
	}
	if reaches {
		eventually(t, "the packet reaches the IP stack", func() bool { return received() == 2 })
	} else if got := received(); got != 1 {
		t.Errorf("the IP stack received %d packets, want the control packet only", got)
	}
}

func TestGuardDropsExactly(t *testing.T) {
	lab := newGuardLab(t)
	sysctl(t, "ipv4/ip_forward", "1")
	vlan := netlink.LinkAttrs{Name: "vip0.5", ParentIndex: link(t, "vip0").Attrs().Index}
	haveVLAN := netlink.LinkAdd(&netlink.Vlan{LinkAttrs: vlan, VlanId: 5}) == nil
	if haveVLAN {
		must(t, netlink.LinkSetUp(link(t, "vip0.5")))
		sysctl(t, "ipv4/conf/vip0.5/rp_filter", "0")
	}
	g := NewGuard(nil)
	must(t, g.Apply(GuardRules{ // one-arm: both rule kinds on vip0
		VIPLinks:  []string{"vip0"},
		DIPLinks:  []string{"vip0"},
		OwnedVIPs: []netip.Addr{addr("10.1.0.100")},
		Services: []GuardService{
			service(ipvs.TCP, "10.1.0.1:80"), service(ipvs.UDP, "10.1.0.1:53"), service(ipvs.SCTP, "10.1.0.1:0"),
		},
		Servers: []netip.Addr{addr("10.1.0.11"), addr("10.1.0.12")},
		Locals:  []netip.Addr{addr("10.1.0.1"), addr("127.0.0.1")},
	}))
	const tcp, udp, sctp, icmp = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_ICMP
	const more = 0x2000
	for i, tt := range []struct {
		name    string
		p       packet
		reaches bool
	}{
		{"service", packet{dst: "10.1.0.1", proto: tcp, dport: 80}, false},
		{"other port", packet{dst: "10.1.0.1", proto: tcp, dport: 81}, true},
		{"other protocol", packet{dst: "10.1.0.1", proto: udp, dport: 80}, true},
		{"source port of a service", packet{dst: "10.1.0.1", proto: tcp, sport: 80, dport: 81}, true},
		{"UDP service", packet{dst: "10.1.0.1", proto: udp, dport: 53}, false},
		{"all ports", packet{dst: "10.1.0.1", proto: sctp, dport: 777}, false},
		{"ping to the host's VIP", packet{dst: "10.1.0.1", proto: icmp}, true},
		{"other address", packet{dst: "10.2.0.1", proto: tcp, dport: 80}, true},
		{"first fragment", packet{dst: "10.1.0.1", proto: udp, dport: 53, fragment: more}, false},
		{"first fragment, other port", packet{dst: "10.1.0.1", proto: udp, dport: 54, fragment: more}, true},
		{"middle fragment", packet{dst: "10.1.0.1", proto: udp, fragment: more | 185}, false},
		{"last fragment", packet{dst: "10.1.0.1", proto: udp, fragment: 370}, false},
		{"last fragment that looks like no service", packet{dst: "10.1.0.1", proto: tcp, dport: 81, fragment: 1}, false},
		{"fragment of a protocol without service", packet{dst: "10.1.0.1", proto: icmp, fragment: 1}, true},
		{"owned VIP, TCP", packet{dst: "10.1.0.100", proto: tcp, dport: 4444}, false},
		{"owned VIP, ping", packet{dst: "10.1.0.100", proto: icmp}, false},
		{"owned VIP, fragment", packet{dst: "10.1.0.100", proto: 47, fragment: 1}, false},
		{"server's reply", packet{src: "10.1.0.11", dst: "10.1.0.2", proto: tcp, sport: 80}, false},
		{"server's reply, other server", packet{src: "10.1.0.12", dst: "192.0.2.1", proto: udp}, false},
		{"server's ICMP", packet{src: "10.1.0.11", dst: "10.1.0.2", proto: icmp}, false},
		{"server's SCTP", packet{src: "10.1.0.11", dst: "10.1.0.2", proto: sctp}, false},
		{"server's fragment", packet{src: "10.1.0.11", dst: "10.1.0.2", proto: udp, fragment: more | 9}, false},
		{"server to the director", packet{src: "10.1.0.11", dst: "10.1.0.1", proto: tcp, dport: 22}, true},
		{"server to the service", packet{src: "10.1.0.11", dst: "10.1.0.1", proto: tcp, dport: 80}, false},
		{"somebody else's packet to forward", packet{src: "10.1.0.2", dst: "10.2.0.2", proto: tcp, dport: 80}, true},
		{"broadcast frame", packet{dst: "10.1.0.1", proto: tcp, dport: 80, dstMAC: bytes.Repeat([]byte{0xff}, 6)}, true},
		{"tagged for a VLAN device", packet{dst: "10.1.0.1", proto: tcp, dport: 80, vlan: 5}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enter(t, lab.director) // a subtest has a thread of its own
			if tt.p.vlan != 0 && !haveVLAN {
				t.Skip("this kernel has no VLAN devices")
			}
			p := tt.p
			p.srcMAC, p.id = lab.clientMAC, uint16(1+i)
			if p.dstMAC == nil {
				p.dstMAC = lab.vipMAC
			}
			if p.src == "" {
				p.src = "10.1.0.2"
			}
			lab.check(t, p, tt.reaches)
		})
	}
}

// TestGuardKeepsServersFromBeingForwarded sends with real kernels at both ends
// and a director that forwards.
func TestGuardKeepsServersFromBeingForwarded(t *testing.T) {
	lab := newGuardLab(t)
	sysctl(t, "ipv4/ip_forward", "1")
	protocols := []int{unix.IPPROTO_ICMP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_GRE}
	// fromServer sends of each protocol a small and a fragmented packet to the
	// client, then has the director send, and counts what the client got.
	fromServer := func() (got int) {
		lab.out.pending()
		within(t, lab.server, lab.director, func() {
			for _, proto := range protocols {
				rawSend(t, proto, "10.1.0.2", 20)
				rawSend(t, proto, "10.1.0.2", 3000)
			}
		})
		rawSend(t, controlProto, "10.1.0.2", 20)
		lab.out.await("the director's own packet", func(f []byte) bool {
			if bytes.Equal(f[12:14], []byte{8, 0}) && bytes.Equal(f[26:30], []byte{10, 2, 0, 2}) {
				got++
			}
			return isIPv4(f, controlProto, "10.1.0.1", "10.1.0.2")
		})
		return got
	}
	if got, want := fromServer(), 4*len(protocols); got != want {
		t.Fatalf("without guard the client got %d packets of the server, want %d", got, want)
	}
	g := NewGuard(nil)
	must(t, g.Apply(GuardRules{
		VIPLinks: []string{"vip0"}, DIPLinks: []string{"dip0"},
		Servers: []netip.Addr{addr("10.2.0.2")}, Locals: []netip.Addr{addr("10.1.0.1"), addr("10.2.0.1")},
	}))
	if got := fromServer(); got != 0 {
		t.Errorf("with the guard the client got %d packets of the server, want 0", got)
	}
	var fd int
	within(t, lab.server, lab.director, func() { fd = connect(t, "10.2.0.1:22") })
	eventually(t, "the director itself answers its server", func() bool { return outcome(t, fd) == "refused" })
}

// rawSend sends size zero bytes of any IP protocol from the thread's namespace.
func rawSend(t *testing.T, proto int, to string, size int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Sendto(fd, make([]byte, size), 0, &unix.SockaddrInet4{Addr: addr(to).As4()}))
}

// TestApplyLeavesNoGap replaces the rules many times under traffic that all of
// them guard.
func TestApplyLeavesNoGap(t *testing.T) {
	lab := newGuardLab(t)
	g := NewGuard(nil)
	rules := func(port int) GuardRules {
		return GuardRules{VIPLinks: []string{"vip0"}, Services: []GuardService{
			service(ipvs.TCP, "10.1.0.1:80"), service(ipvs.TCP, fmt.Sprintf("10.1.0.1:%d", port)),
		}}
	}
	must(t, g.Apply(rules(1)))
	p := packet{dstMAC: lab.vipMAC, srcMAC: lab.clientMAC, src: "10.1.0.2", dst: "10.1.0.1", proto: unix.IPPROTO_TCP, dport: 80}
	before := snmp(t, "InReceives")
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		sent := 0
		for {
			select {
			case <-stop:
				stopped <- sent
				return
			default:
				if unix.Sendto(lab.out.fd, p.bytes(), 0, &unix.SockaddrLinklayer{Ifindex: lab.out.index}) == nil {
					sent++
				}
			}
		}
	}()
	for i := range 50 {
		must(t, g.Apply(rules(2+i)))
	}
	close(stop)
	if sent := <-stopped; sent < 50 {
		t.Fatalf("only %d packets were sent while the rules changed", sent)
	}
	lab.vipTap.pending() // the flood filled its buffer
	lab.check(t, p, false)
	if got := snmp(t, "InReceives") - before; got != 1 {
		t.Errorf("the IP stack received %d packets, want the control packet only", got)
	}
}

func TestApplyEqualRulesDoesNothing(t *testing.T) {
	newGuardLab(t)
	g := NewGuard(nil)
	a := GuardRules{
		VIPLinks: []string{"vip0"}, DIPLinks: []string{"dip0"},
		Services: []GuardService{service(ipvs.TCP, "10.1.0.1:80"), service(ipvs.UDP, "10.1.0.1:53")},
	}
	b := a
	b.Services = []GuardService{a.Services[1], a.Services[0], a.Services[1]}
	must(t, g.Apply(a))
	// Whoever removes the table behind the guard's back shows that the second
	// Apply did not write it again.
	conn, err := dialNftables()
	must(t, err)
	clearTable(conn, GuardTable)
	must(t, conn.Flush())
	must(t, g.Apply(b))
	if there, _ := Leftover(); there {
		t.Error("Apply of equal rules wrote the table")
	}
	must(t, g.Apply(GuardRules{VIPLinks: []string{"vip0"}}))
	if there, _ := Leftover(); !there {
		t.Error("Apply of other rules did not write the table")
	}
	must(t, g.Apply(GuardRules{}))
	if there, _ := Leftover(); there {
		t.Error("Apply of no rules left the table")
	}
}

// TestApplyTouchesItsOwnTableOnly stands beside another chain on the interface
// and takes over what a crashed run left.
func TestApplyTouchesItsOwnTableOnly(t *testing.T) {
	lab := newGuardLab(t)
	crashed := NewGuard(nil)
	must(t, crashed.Apply(GuardRules{VIPLinks: []string{"vip0", "dip0"}, Services: []GuardService{service(ipvs.TCP, "10.1.0.1:80")}}))
	conn, err := dialNftables()
	must(t, err)
	other := conn.AddTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyNetdev})
	conn.AddChain(&nftables.Chain{Name: "in", Table: other, Device: "vip0", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter})
	must(t, conn.Flush())

	g := NewGuard(nil)
	must(t, g.Apply(GuardRules{VIPLinks: []string{"vip0"}, Services: []GuardService{service(ipvs.TCP, "10.1.0.1:81")}}))
	p := packet{dstMAC: lab.vipMAC, srcMAC: lab.clientMAC, src: "10.1.0.2", dst: "10.1.0.1", proto: unix.IPPROTO_TCP}
	for port, want := range map[uint16]bool{80: true, 81: false} {
		p.dport = port
		lab.check(t, p, want)
	}
	if got, want := chains(t), "natlb/dip-side natlb/dip-side6 natlb/in-vip0 natlb/vip-side natlb/vip-side6 other/in"; got != want {
		t.Errorf("chains = %q, want %q", got, want)
	}
	must(t, NewGuard(nil).Remove()) // by a run that never applied
	if got, want := chains(t), "other/in"; got != want {
		t.Errorf("chains after Remove = %q, want %q", got, want)
	}
}

// chains lists the netdev chains of the thread's namespace.
func chains(t *testing.T) string {
	t.Helper()
	conn, err := dialNftables()
	must(t, err)
	list, err := conn.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	must(t, err)
	var names []string
	for _, c := range list {
		names = append(names, c.Table.Name+"/"+c.Name)
	}
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

func TestApplyGoesOnWithoutAVanishedInterface(t *testing.T) {
	lab := newGuardLab(t)
	var log bytes.Buffer
	g := NewGuard(slog.New(slog.NewTextHandler(&log, nil)))
	r := GuardRules{VIPLinks: []string{"vip0", "gone0"}, Services: []GuardService{service(ipvs.TCP, "10.1.0.1:80")}}
	add := func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "gone0"}, PeerName: "gone1"}))
	}
	add()
	must(t, g.Apply(r))
	must(t, netlink.LinkDel(link(t, "gone0")))
	for range 2 {
		must(t, g.Apply(r))
	}
	if got := strings.Count(log.String(), "gone0"); got != 1 {
		t.Errorf("the missing interface was logged %d times, want once:\n%s", got, &log)
	}
	p := packet{dstMAC: lab.vipMAC, srcMAC: lab.clientMAC, src: "10.1.0.2", dst: "10.1.0.1", proto: unix.IPPROTO_TCP, dport: 80}
	lab.check(t, p, false) // vip0 still is guarded
	add()
	must(t, g.Apply(r))
	if got := chains(t); !strings.Contains(got, "natlb/in-gone0") {
		t.Errorf("chains = %q, want one for gone0, which came back", got)
	}
}

func TestApplyThousandsOfServices(t *testing.T) {
	lab := newGuardLab(t)
	var r GuardRules
	r.VIPLinks = []string{"vip0"}
	n := 5000
	if os.Getenv(insideVar) != "" {
		n = 1000 // an ordinary user's socket buffer holds no more
	}
	for i := range n {
		r.Services = append(r.Services, GuardService{ipvs.TCP, netip.AddrPortFrom(addr("10.1.0.1"), uint16(10000+i))})
	}
	g := NewGuard(nil)
	must(t, g.Apply(r))
	p := packet{dstMAC: lab.vipMAC, srcMAC: lab.clientMAC, src: "10.1.0.2", dst: "10.1.0.1", proto: unix.IPPROTO_TCP}
	for port, want := range map[int]bool{10000: false, 10000 + n - 1: false, 10000 + n: true} {
		p.dport = uint16(port)
		lab.check(t, p, want)
	}
}

// TestGuardStaysInItsNamespace applies from a thread of another namespace.
func TestGuardStaysInItsNamespace(t *testing.T) {
	lab := newGuardLab(t)
	g := NewGuard(nil)
	within(t, lab.client, lab.director, func() {
		must(t, g.Apply(GuardRules{VIPLinks: []string{"vip0"}}))
		if there, err := Leftover(); there || err != nil {
			t.Errorf("Leftover() = %v, %v in the client's namespace, want false", there, err)
		}
	})
	if there, err := Leftover(); !there || err != nil {
		t.Errorf("Leftover() = %v, %v in the director's namespace, want true", there, err)
	}
	within(t, lab.client, lab.director, func() { must(t, g.Remove()) })
	if there, err := Leftover(); there || err != nil {
		t.Errorf("Leftover() = %v, %v after Remove from elsewhere, want false", there, err)
	}
}

func TestGuardAvailableLeavesNothing(t *testing.T) {
	newGuardLab(t)
	must(t, GuardAvailable())
	if got := chains(t); got != "" {
		t.Errorf("chains after GuardAvailable = %q, want none", got)
	}
}

func TestApplyRefusesWhatItCannotGuard(t *testing.T) {
	for name, r := range map[string]GuardRules{
		"server in a zone": {Servers: []netip.Addr{addr("fe80::1%eth0")}},
		"service nowhere":  {Services: []GuardService{{Proto: ipvs.TCP}}},
		"invalid address":  {Locals: []netip.Addr{{}}},
		"without protocol": {Services: []GuardService{service(ipvs.AnyProtocol, "10.1.0.1:80")}},
	} {
		if _, err := newRuleset(r); err == nil {
			t.Errorf("%s: newRuleset(%+v) = nil error, want one", name, r)
		}
	}
}

func TestExplainKeepsTheCause(t *testing.T) {
	for errno, words := range map[unix.Errno]string{
		unix.EPERM: "CAP_NET_ADMIN", unix.EOPNOTSUPP: "no nftables", unix.ENOENT: "interface vanished",
		unix.EMSGSIZE: "too many services", unix.EBUSY: "busy",
	} {
		err := explain(fmt.Errorf("conn.Receive: %w", errno))
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), words) {
			t.Errorf("explain(%v) = %q, want it to say %q and wrap the cause", errno, err, words)
		}
	}
}
