package e2e

// Other shapes than the course's two plain links. One arm:
//
//	client-1 ──[ switch ]── server-1, server-2      everybody's frames cross one interface
//	               └─────── vip0  director          with VIP, .1 and DIP
//
// Two NICs:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── eth0 server-1 eth1 ── other router
//	                                                            (table inside)  (default route)
//
// And devices upon devices: a VLAN as vip-if, a bridge or a bond as dip-if.

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"natlb/internal/lab"
)

func TestOneArm(t *testing.T) {
	begin(t)
	for name, o := range map[string]lab.CourseOptions{
		"natlb owns the VIP":         {OneArm: true, Servers: 3},
		"the host owns the VIP":      {OneArm: true, HostOwnsVIP: true},
		"the director also forwards": {OneArm: true, HostOwnsVIP: true, IPForward: true},
	} {
		t.Run(name, func(t *testing.T) { checkShape(t, newCourse(t, o)) })
	}
}

func TestTwoNICs(t *testing.T) {
	begin(t)
	checkShape(t, newCourse(t, lab.CourseOptions{TwoNICs: true}))
}

// checkShape runs a director on the course and checks requests, bulk, and
// datagrams in fragments.
func checkShape(t *testing.T, c *lab.Course) {
	t.Helper()
	d := courseDirector(t, c)
	servePages(t, c.Servers)
	for i, s := range c.Servers {
		// On its RIP: with two NICs the kernel would answer for an unbound
		// socket by the default route, and from the other NIC's address.
		serveEcho(t, s, c.RIPs[i].String()+":53")
	}
	balance(d, c)
	balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)
	checkBalanced(t, c)
	checkEcho(t, firstClient(c), 5)
	checkEcho(t, firstClient(c), 20000)

	content := randomBytes(10 * mega)
	port := serveMirror(t, c.Servers[0], content)
	balanceOver(d, "-t 192.168.0.178:"+port, c.RIPs[0])
	exchange(t, c.Clients[0], "192.168.0.178:"+port, content)
}

// VLAN 5 on the clients' cable, whose own frames are no business of natlb's.
func TestVLANDevice(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	vlan := func(n *lab.Namespace, parent string, address netip.Prefix) string {
		name := parent + ".5"
		stack(t, n, parent, address, func(under netlink.Link) error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.ParentIndex = name, under.Attrs().Index
			return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 5, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
		})
		must(t, n.SetUp(name, true), n.AddAddr(name, address))
		return name
	}
	vlan(c.Clients[0], lab.ClientLink, netip.PrefixFrom(c.CIPs[0][0], 24))
	c.ClientSide = vlan(c.Director, lab.VIPLink, netip.PrefixFrom(lab.Outer, 24))
	must(t, c.Clients[0].AddRoute(lab.Route{Via: lab.Outer}))
	checkShape(t, c)
}

// The servers' link is a port of a bridge, which has the DIP.
func TestBridgeDevice(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	c.ServerSide = "br-inside"
	master(t, c, func(attrs netlink.LinkAttrs) netlink.Link { return &netlink.Bridge{LinkAttrs: attrs} })
	checkShape(t, c)
}

// The servers' link is the only port of a bond, which has the DIP.
func TestBondDevice(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	c.ServerSide = "bond-inside"
	must(t, c.Director.SetUp(lab.DIPLink, false))
	master(t, c, func(attrs netlink.LinkAttrs) netlink.Link {
		bond := netlink.NewLinkBond(attrs)
		bond.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
		bond.Miimon = 10
		return bond
	})
	checkShape(t, c)
}

// master makes the director's inner link a port of a new device, c.ServerSide.
func master(t *testing.T, c *lab.Course, device func(netlink.LinkAttrs) netlink.Link) {
	t.Helper()
	dip := netip.PrefixFrom(lab.DIP, 24)
	stack(t, c.Director, lab.DIPLink, dip, func(under netlink.Link) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = c.ServerSide
		over := device(attrs)
		if err := netlink.LinkAdd(over); err != nil {
			return err
		}
		return netlink.LinkSetMaster(under, over)
	})
	must(t, c.Director.SetUp(c.ServerSide, true), c.Director.SetUp(lab.DIPLink, true), c.Director.AddAddr(c.ServerSide, dip))
}

// stack lays a device over an interface: the address leaves the interface, put
// makes the device. Where the kernel has no such devices the test is skipped.
func stack(t *testing.T, n *lab.Namespace, under string, address netip.Prefix, put func(netlink.Link) error) {
	t.Helper()
	must(t, n.DelAddr(under, address))
	err := n.Do(func() error {
		l, err := netlink.LinkByName(under)
		if err != nil {
			return err
		}
		return put(l)
	})
	if errors.Is(err, syscall.EOPNOTSUPP) {
		t.Skipf("this kernel has no such device: %v", err)
	}
	must(t, err)
}

// Two links on each side, each with its own network:
//
//	client-a ── vip0 ┐            ┌ dip0 ── server-a
//	                 │  director  │
//	client-b ── vip1 ┘            └ dip1 ── server-b
func TestManyLinks(t *testing.T) {
	begin(t)
	prefix := netip.MustParsePrefix
	ends := func(host, network, link, hostAddr, ownAddr string) lab.Cable {
		return lab.Cable{
			{Host: host, Link: "eth0", Addrs: []netip.Prefix{prefix(network + hostAddr + "/24")}},
			{Host: "director", Link: link, Addrs: []netip.Prefix{prefix(network + ownAddr + "/24")}},
		}
	}
	via := func(address string) []lab.Route { return []lab.Route{{Via: netip.MustParseAddr(address)}} }
	l := build(t, lab.Plan{
		Hosts: []lab.Host{
			{Name: "director", Sysctls: map[string]string{"net.ipv4.ip_forward": "0"}},
			{Name: "client-a", Routes: via("192.168.0.1")},
			{Name: "client-b", Routes: via("192.168.1.1")},
			{Name: "server-a", Routes: via("192.168.56.102")},
			{Name: "server-b", Routes: via("192.168.57.102")},
		},
		Cables: []lab.Cable{
			ends("client-a", "192.168.0.", "vip0", "11", "1"),
			ends("client-b", "192.168.1.", "vip1", "11", "1"),
			ends("server-a", "192.168.56.", "dip0", "101", "102"),
			ends("server-b", "192.168.57.", "dip1", "101", "102"),
		},
	})
	servePages(t, []*lab.Namespace{l.Host("server-a"), l.Host("server-b")})
	d := startDirector(t, l.Host("director"), "--vip-if", "vip0", "--vip-if", "vip1", "--dip-if", "dip0,dip1")
	balanceOver(d, "-t 192.168.0.178:80", netip.MustParseAddr("192.168.56.101"), netip.MustParseAddr("192.168.57.101"))
	for _, name := range []string{"client-a", "client-b"} {
		answers := fetch(t, lab.NewClient(l.Host(name), netip.Addr{}), vipURL, 20)
		checkTurns(t, answers, "server-b", "server-a")
	}
}
