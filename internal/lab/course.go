package lab

import (
	"fmt"
	"net/netip"
)

// The addresses of the course.
var (
	VIP   = netip.MustParseAddr("192.168.0.178")  // what clients ask
	Outer = netip.MustParseAddr("192.168.0.1")    // the director's own address on the clients' side
	DIP   = netip.MustParseAddr("192.168.56.102") // the director's address on the servers' side, their gateway

	clientNet = netip.MustParsePrefix("192.168.0.0/24")
	serverNet = netip.MustParsePrefix("192.168.56.0/24")
)

// The names of the course's interfaces.
const (
	VIPLink    = "vip0" // director, towards the clients
	DIPLink    = "dip0" // director, towards the servers
	ClientLink = "eth0" // client
	ServerLink = "eth0" // server, towards the director
	OuterLink  = "eth1" // server with two NICs, towards the other router
	directorNS = "director"
	vipSwitch  = "vip-switch"
	dipSwitch  = "dip-switch"
	otherSide  = "other-router"
)

// otherRouter is the default gateway of servers with two NICs. It does not
// exist: see otherCable.
var otherRouter = netip.MustParseAddr("10.99.0.1")

// InsideTable is the routing table that LVS notes call "inside": on a server
// with two NICs it has the DIP as default route, for what the server says as RIP.
const InsideTable = 200

// CourseOptions vary the course. The zero value is the course itself with one
// client.
type CourseOptions struct {
	Clients     int  // client namespaces; 0 is 1. More than one share a switch
	ClientAddrs int  // addresses of each client; 0 is 1
	Servers     int  // real servers; 0 is 2, at most 100
	ClientMTU   int  // bytes, of all links on the clients' side; 0 is 1500
	ServerMTU   int  // bytes, of all links on the servers' side; 0 is 1500
	IPForward   bool // the director's own kernel forwards
	HostOwnsVIP bool // the VIP is an address of the director's interface
	OneArm      bool // the director has one interface, on one switch with everybody
	TwoNICs     bool // servers have a second NIC with the default route, and table inside for their RIP
}

// Course is the lab of the course, built.
type Course struct {
	*Lab
	Director   *Namespace
	Clients    []*Namespace
	Servers    []*Namespace
	RIPs       []netip.Addr   // RIPs[i] is the address of Servers[i]: 192.168.56.101, .103, .104, ...
	CIPs       [][]netip.Addr // CIPs[i] are the addresses of Clients[i]: 192.168.0.11, .12, ...
	ClientSide string         // the director's interface towards the clients
	ServerSide string         // the director's interface towards the servers; one-arm: the same
}

// NewCourse builds the course. Servers and clients are machines without
// programs: see ServeHTTP and NewClient.
func NewCourse(o CourseOptions) (*Course, error) {
	o.Clients, o.ClientAddrs, o.Servers = atLeastOne(o.Clients), atLeastOne(o.ClientAddrs), servers(o.Servers)
	if o.Clients*o.ClientAddrs > 100 || o.Servers > 100 {
		return nil, fmt.Errorf("lab: %d clients with %d addresses and %d servers: at most 100 addresses on each side",
			o.Clients, o.ClientAddrs, o.Servers)
	}
	c := &Course{ClientSide: VIPLink, ServerSide: DIPLink, RIPs: rips(o.Servers), CIPs: cips(o.Clients, o.ClientAddrs)}
	if o.OneArm {
		c.ServerSide = VIPLink
	}
	l, err := Build(c.plan(o))
	if err != nil {
		return nil, err
	}
	c.Lab, c.Director = l, l.Host(directorNS)
	for i := range o.Clients {
		c.Clients = append(c.Clients, l.Host(clientName(i)))
	}
	for i := range o.Servers {
		c.Servers = append(c.Servers, l.Host(serverName(i)))
	}
	return c, nil
}

func (c *Course) plan(o CourseOptions) Plan {
	p := Plan{Hosts: []Host{
		{Name: directorNS, Sysctls: routerSysctls(o.IPForward)},
		{Name: vipSwitch, Switch: true},
	}}
	serverSwitch := vipSwitch
	if !o.OneArm {
		serverSwitch = dipSwitch
		p.Hosts = append(p.Hosts, Host{Name: dipSwitch, Switch: true})
	}
	if o.TwoNICs {
		p.Hosts = append(p.Hosts, Host{Name: otherSide, Switch: true})
	}
	p.Cables = directorCables(o)
	for i, addrs := range c.CIPs {
		p.Hosts = append(p.Hosts, Host{
			Name: clientName(i), Sysctls: routerSysctls(false),
			Routes: []Route{{Via: Outer}},
		})
		p.Cables = append(p.Cables, Cable{
			{Host: clientName(i), Link: ClientLink, Addrs: prefixes(clientNet, addrs...), MTU: o.ClientMTU},
			{Host: vipSwitch, Link: clientName(i), MTU: o.ClientMTU},
		})
	}
	for i, rip := range c.RIPs {
		p.Hosts = append(p.Hosts, serverHost(i, rip, o.TwoNICs))
		p.Cables = append(p.Cables, Cable{
			{Host: serverName(i), Link: ServerLink, Addrs: prefixes(serverNet, rip), MTU: o.ServerMTU},
			{Host: serverSwitch, Link: serverName(i), MTU: o.ServerMTU},
		})
		if o.TwoNICs {
			p.Cables = append(p.Cables, otherCable(i))
		}
	}
	return p
}

// directorCables are the director's one or two links.
func directorCables(o CourseOptions) []Cable {
	outer := []netip.Addr{Outer}
	if o.HostOwnsVIP {
		outer = append(outer, VIP)
	}
	vip := End{Host: directorNS, Link: VIPLink, Addrs: prefixes(clientNet, outer...), MTU: o.ClientMTU}
	dip := End{Host: directorNS, Link: DIPLink, Addrs: prefixes(serverNet, DIP), MTU: o.ServerMTU}
	if o.OneArm {
		vip.Addrs = append(vip.Addrs, dip.Addrs...)
		return []Cable{{vip, {Host: vipSwitch, Link: directorNS, MTU: o.ClientMTU}}}
	}
	return []Cable{
		{vip, {Host: vipSwitch, Link: directorNS, MTU: o.ClientMTU}},
		{dip, {Host: dipSwitch, Link: directorNS, MTU: o.ServerMTU}},
	}
}

// serverHost is a real server: its default gateway is the DIP, or with two
// NICs the other router, and the DIP for what it says as RIP.
func serverHost(i int, rip netip.Addr, twoNICs bool) Host {
	h := Host{Name: serverName(i), Sysctls: routerSysctls(false)}
	if !twoNICs {
		h.Routes = []Route{{Via: DIP}}
		return h
	}
	h.Routes = []Route{{Via: otherRouter}, {Via: DIP, Table: InsideTable}}
	h.Rules = []Rule{{From: rip, Table: InsideTable}}
	return h
}

// otherCable is a server's second NIC. Nobody at its other end answers: what a
// server sends there by mistake is lost, which is what the rule prevents.
func otherCable(i int) Cable {
	address := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 99, 0, byte(101 + i)}), 24)
	return Cable{
		{Host: serverName(i), Link: OuterLink, Addrs: []netip.Prefix{address}},
		{Host: otherSide, Link: serverName(i)},
	}
}

// routerSysctls say of what a new namespace else inherits from the machine the
// lab runs on: whether it forwards, and that no reverse-path filter judges.
// ICMP redirects are off: in a one-arm lab they would teach servers and clients
// a way around the director.
func routerSysctls(forward bool) map[string]string {
	on := "0"
	if forward {
		on = "1"
	}
	m := map[string]string{"net.ipv4.ip_forward": on}
	for _, scope := range []string{"all", "default"} {
		conf := "net.ipv4.conf." + scope
		m[conf+".rp_filter"] = "0"
		m[conf+".send_redirects"] = "0"
		m[conf+".accept_redirects"] = "0"
	}
	return m
}

func clientName(i int) string { return fmt.Sprintf("client-%d", i+1) }
func serverName(i int) string { return fmt.Sprintf("server-%d", i+1) }

func atLeastOne(n int) int { return max(n, 1) }

func servers(n int) int {
	if n < 1 {
		return 2
	}
	return n
}

// rips are the course's .101 and .103 and then upwards: .102 is the DIP.
func rips(n int) []netip.Addr {
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		last := byte(101)
		if i > 0 {
			last = byte(102 + i)
		}
		addrs[i] = netip.AddrFrom4([4]byte{192, 168, 56, last})
	}
	return addrs
}

// cips number the clients' addresses from .11 upwards.
func cips(clients, each int) [][]netip.Addr {
	all := make([][]netip.Addr, clients)
	for i := range clients {
		for j := range each {
			all[i] = append(all[i], netip.AddrFrom4([4]byte{192, 168, 0, byte(11 + i*each + j)}))
		}
	}
	return all
}

func prefixes(network netip.Prefix, addrs ...netip.Addr) []netip.Prefix {
	ps := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		ps[i] = netip.PrefixFrom(a, network.Bits())
	}
	return ps
}
