package e2e

// Who owns the VIP, and whether the director's kernel forwards. The four
// combinations look the same to clients:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2
//	                        VIP .178 on vip0, or on no interface
//	                        ip_forward 0 or 1

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"natlb/internal/lab"
)

func TestOwners(t *testing.T) {
	begin(t)
	for _, owns := range []bool{false, true} {
		for _, forward := range []bool{false, true} {
			t.Run(fmt.Sprintf("host owns VIP %v, ip_forward %v", owns, forward), func(t *testing.T) {
				c := newCourse(t, lab.CourseOptions{HostOwnsVIP: owns, IPForward: forward})
				servePages(t, c.Servers)
				for _, s := range c.Servers {
					serveEcho(t, s, ":53")
				}
				d := courseDirector(t, c)
				balance(d, c)
				balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)
				if guarded := len(nftTables(t, c.Director)) > 0; guarded != (owns || forward) {
					t.Errorf("the guard is there: %v, want %v", guarded, owns || forward)
				}
				checkKernelQuiet(t, c)
				checkRestOfVIP(t, c, owns)
				d.stop()
			})
		}
	}
}

// checkKernelQuiet checks that traffic of the services is balanced and that the
// director's own kernel neither answers nor forwards any of it.
func checkKernelQuiet(t *testing.T, c *lab.Course) {
	t.Helper()
	quietly(t, c, func() {
		checkBalanced(t, c)
		// 8,000 bytes are fragments on both sides.
		for _, size := range []int{10, 8000} {
			checkEcho(t, firstClient(c), size)
		}
	})
}

// quietly checks that the director's own kernel neither refuses nor forwards
// packets during the traffic.
func quietly(t *testing.T, c *lab.Course, traffic func()) {
	t.Helper()
	counters := [][2]string{{"Tcp", "OutRsts"}, {"Icmp", "OutDestUnreachs"}, {"Ip", "ForwDatagrams"}}
	var before []uint64
	for _, n := range counters {
		before = append(before, snmp(t, c.Director, n[0], n[1]))
	}
	traffic()
	for i, n := range counters {
		if got := snmp(t, c.Director, n[0], n[1]) - before[i]; got != 0 {
			t.Errorf("the director's kernel has counted %d %s %s, want 0", got, n[0], n[1])
		}
	}
}

// checkRestOfVIP checks what of the VIP is not a service's: ARP, ping, a port
// of the host's own, and ports that nobody listens on.
func checkRestOfVIP(t *testing.T, c *lab.Course, owns bool) {
	t.Helper()
	client := firstClient(c)
	if err := client.Ping(within(t, 5*time.Second), lab.VIP, 3); err != nil {
		t.Error(err)
	}
	if got, want := neighbour(t, c.Clients[0], lab.VIP), macOf(t, c.Director, lab.VIPLink); got != want {
		t.Errorf("the client's kernel has %s for the VIP, want the director's %s", got, want)
	}
	resets := snmp(t, c.Director, "Tcp", "OutRsts")
	if err := connectTo(t, c.Clients[0], "tcp4", "192.168.0.178:81"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a port of the VIP without service: %v, want ECONNREFUSED", err)
	}
	if byHost := snmp(t, c.Director, "Tcp", "OutRsts") > resets; byHost != owns {
		t.Errorf("the RST for a port without service came from the host: %v, want %v", byHost, owns)
	}
	if err := connectTo(t, c.Clients[0], "udp4", "192.168.0.178:54"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a datagram to a port of the VIP without service: %v, want ECONNREFUSED", err)
	}
	if owns {
		ssh := servePage(t, c.Director, "192.168.0.178:22")
		fetch(t, client, "http://192.168.0.178:22/", 3)
		if ssh.Served() != 3 {
			t.Errorf("the host's own server on the VIP answered %d requests, want 3", ssh.Served())
		}
	}
	// The director's other address is the host's in every set-up.
	servePage(t, c.Director, "192.168.0.1:22")
	fetch(t, client, "http://192.168.0.1:22/", 1)
	fetch(t, lab.NewClient(c.Servers[0], netip.Addr{}), "http://192.168.0.1:22/", 1)
}

// connectTo connects, and over UDP asks once; it returns what the kernel says.
func connectTo(t *testing.T, n *lab.Namespace, network, address string) error {
	t.Helper()
	conn, err := n.Dial(within(t, 5*time.Second), network, netip.AddrPort{}, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if network == "tcp4" {
		return nil
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	must(t, conn.SetReadDeadline(time.Now().Add(3*time.Second)))
	_, err = conn.Read(make([]byte, 100))
	return err
}

// neighbour is the MAC address that the namespace's kernel has for an address.
func neighbour(t *testing.T, n *lab.Namespace, address netip.Addr) string {
	t.Helper()
	mac := "none"
	must(t, n.Do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_V4)
		for _, e := range list {
			if e.IP.String() == address.String() {
				mac = e.HardwareAddr.String()
			}
		}
		return err
	}))
	return mac
}

func macOf(t *testing.T, n *lab.Namespace, link string) string {
	t.Helper()
	mac, err := n.HardwareAddr(link)
	must(t, err)
	return mac.String()
}

// A director that was killed leaves its table, which the next start replaces or
// removes.
func TestGuardAfterKill(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{HostOwnsVIP: true, IPForward: true})
	servePages(t, c.Servers)
	first := courseDirector(t, c)
	balance(first, c)
	first.kill()
	if got := nftTables(t, c.Director); len(got) != 1 {
		t.Fatalf("after SIGKILL there are the tables %v, want one", got)
	}
	// The same socket: what lies there is of no use and no hindrance.
	second := launch(t, c.Director, first.socket, "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
	await(t, "the second director is ready", 10*time.Second, func() bool { return second.log.contains("msg=ready") })
	if _, err := lab.NewClient(c.Clients[0], netip.Addr{}).Get(within(t, 5*time.Second), vipURL); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("without services the VIP answered %v, want the host's ECONNREFUSED", err)
	}
	balance(second, c)
	quietly(t, c, func() { checkBalanced(t, c) })
	if got := nftTables(t, c.Director); len(got) != 1 {
		t.Errorf("with services there are the tables %v, want one", got)
	}

	// The third has no need of a guard, and clears away what the second left.
	second.kill()
	must(t, c.Director.DelAddr(lab.VIPLink, netip.PrefixFrom(lab.VIP, 24)), c.Director.Sysctl("net.ipv4.ip_forward", "0"))
	third := courseDirector(t, c)
	if got := nftTables(t, c.Director); len(got) != 0 {
		t.Errorf("a director without need of a guard has left the tables %v of one that was killed", got)
	}
	balance(third, c)
	forget(t, c.Clients[0])
	checkBalanced(t, c)
}

// A service that comes and goes under a host that owns the VIP: its packets are
// the director's while it is there, and the host's again afterwards.
func TestGuardFollowsServices(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{HostOwnsVIP: true})
	servePages(t, c.Servers)
	own := servePage(t, c.Director, "192.168.0.178:80")
	d := courseDirector(t, c)
	fetch(t, firstClient(c), vipURL, 2)
	balance(d, c)
	checkBalanced(t, c)
	if own.Served() != 2 {
		t.Errorf("the host's own server answered %d requests, want the 2 before the service came", own.Served())
	}
	d.ctl("-C")
	fetch(t, firstClient(c), vipURL, 2)
	if own.Served() != 4 {
		t.Errorf("the host's own server answered %d requests, want 4 after the service has gone", own.Served())
	}
}

// An address that becomes the host's while the director runs, and stops being it.
func TestVIPChangesOwner(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	balance(d, c)
	checkBalanced(t, c)
	vip := netip.PrefixFrom(lab.VIP, 32)
	must(t, c.Director.AddAddr(lab.VIPLink, vip))
	await(t, "the guard has come", 5*time.Second, func() bool { return len(nftTables(t, c.Director)) == 1 })
	quietly(t, c, func() { checkBalanced(t, c) })
	must(t, c.Director.DelAddr(lab.VIPLink, vip))
	await(t, "the guard has gone", 5*time.Second, func() bool { return len(nftTables(t, c.Director)) == 0 })
	checkBalanced(t, c)
}

// --guard none works where the host does not interfere, and refuses where it
// would.
func TestGuardNone(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	d := courseDirector(t, c, "--guard", "none")
	balance(d, c)
	checkBalanced(t, c)
	must(t, c.Director.AddAddr(lab.VIPLink, netip.MustParsePrefix("192.168.0.179/32")))
	await(t, "a service on an address of the host is refused", 5*time.Second, func() bool {
		if _, err := d.try("-A -t 192.168.0.179:80", ""); err != nil {
			return true
		}
		d.ctl("-D -t 192.168.0.179:80")
		return false
	})

	forwarding := newCourse(t, lab.CourseOptions{IPForward: true})
	refused(t, forwarding.Director, "ip_forward", "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink, "--guard", "none")
}
