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

// The addresses of a course that has IPv6, too: the last numbers are those of IPv4.
var (
	VIP6   = netip.MustParseAddr("2001:db8:0:168::178")
	Outer6 = netip.MustParseAddr("2001:db8:0:168::1")
	DIP6   = netip.MustParseAddr("2001:db8:0:56::102")

	clientNet6 = netip.MustParsePrefix("2001:db8:0:168::/64")
	serverNet6 = netip.MustParsePrefix("2001:db8:0:56::/64")
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
var (
	otherRouter  = netip.MustParseAddr("10.99.0.1")
	otherRouter6 = netip.MustParseAddr("2001:db8:0:99::1")
)

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
	IPv6        bool // everybody has IPv6 addresses, too; no MTU below 1280 then
}

// Course is the lab of the course, built.
type Course struct {
	*Lab
	Director   *Namespace
	Clients    []*Namespace
	Servers    []*Namespace
	RIPs       []netip.Addr   // RIPs[i] is the address of Servers[i]: 192.168.56.101, .103, .104, ...
	CIPs       [][]netip.Addr // CIPs[i] are the addresses of Clients[i]: 192.168.0.11, .12, ...
	RIPs6      []netip.Addr   // the same of IPv6: 2001:db8:0:56::101, ::103, ...; nil without
	CIPs6      [][]netip.Addr // 2001:db8:0:168::11, ::12, ...; nil without
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
	if o.IPv6 {
		c.RIPs6 = likewise(serverNet6, c.RIPs)
		for _, cips := range c.CIPs {
			c.CIPs6 = append(c.CIPs6, likewise(clientNet6, cips))
		}
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
		{Name: directorNS, Sysctls: routerSysctls(o.IPForward, o.IPv6)},
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
		h := Host{Name: clientName(i), Sysctls: routerSysctls(false, o.IPv6), Routes: []Route{{Via: Outer}}}
		end := End{Host: clientName(i), Link: ClientLink, Addrs: prefixes(clientNet, addrs...), MTU: o.ClientMTU}
		if o.IPv6 {
			h.Routes = append(h.Routes, Route{Via: Outer6})
			end.Addrs = append(end.Addrs, prefixes(clientNet6, c.CIPs6[i]...)...)
		}
		p.Hosts = append(p.Hosts, h)
		p.Cables = append(p.Cables, Cable{end, {Host: vipSwitch, Link: clientName(i), MTU: o.ClientMTU}})
	}
	for i, rip := range c.RIPs {
		h := Host{Name: serverName(i), Sysctls: routerSysctls(false, o.IPv6)}
		end := End{Host: serverName(i), Link: ServerLink, Addrs: prefixes(serverNet, rip), MTU: o.ServerMTU}
		h.routeBy(DIP, otherRouter, rip, o.TwoNICs)
		if o.IPv6 {
			h.routeBy(DIP6, otherRouter6, c.RIPs6[i], o.TwoNICs)
			end.Addrs = append(end.Addrs, prefixes(serverNet6, c.RIPs6[i])...)
		}
		p.Hosts = append(p.Hosts, h)
		p.Cables = append(p.Cables, Cable{end, {Host: serverSwitch, Link: serverName(i), MTU: o.ServerMTU}})
		if o.TwoNICs {
			p.Cables = append(p.Cables, otherCable(i, o.IPv6))
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
	if o.IPv6 {
		vip.Addrs = append(vip.Addrs, prefixes(clientNet6, Outer6)...)
		dip.Addrs = append(dip.Addrs, prefixes(serverNet6, DIP6)...)
	}
	if o.IPv6 && o.HostOwnsVIP {
		vip.Addrs = append(vip.Addrs, prefixes(clientNet6, VIP6)...)
	}
	if o.OneArm {
		vip.Addrs = append(vip.Addrs, dip.Addrs...)
		return []Cable{{vip, {Host: vipSwitch, Link: directorNS, MTU: o.ClientMTU}}}
	}
	return []Cable{
		{vip, {Host: vipSwitch, Link: directorNS, MTU: o.ClientMTU}},
		{dip, {Host: dipSwitch, Link: directorNS, MTU: o.ServerMTU}},
	}
}

// routeBy makes the DIP the default gateway of a real server, or with two NICs the
// other router, and the DIP for what it says as RIP.
func (h *Host) routeBy(dip, other, rip netip.Addr, twoNICs bool) {
	if !twoNICs {
		h.Routes = append(h.Routes, Route{Via: dip})
		return
	}
	h.Routes = append(h.Routes, Route{Via: other}, Route{Via: dip, Table: InsideTable})
	h.Rules = append(h.Rules, Rule{From: rip, Table: InsideTable})
}

// otherCable is a server's second NIC. Nobody at its other end answers: what a
// server sends there by mistake is lost, which is what the rule prevents.
func otherCable(i int, ipv6 bool) Cable {
	address := netip.AddrFrom4([4]byte{10, 99, 0, byte(101 + i)})
	addrs := []netip.Prefix{netip.PrefixFrom(address, 24)}
	if ipv6 {
		network := netip.PrefixFrom(otherRouter6, 64)
		addrs = append(addrs, prefixes(network, likewise(network, []netip.Addr{address})...)...)
	}
	return Cable{
		{Host: serverName(i), Link: OuterLink, Addrs: addrs},
		{Host: otherSide, Link: serverName(i)},
	}
}

// routerSysctls say of what a new namespace else inherits from the machine the
// lab runs on: whether it forwards, and that no reverse-path filter judges.
// ICMP redirects are off: in a one-arm lab they would teach servers and clients
// a way around the director. IPv6 is off unless asked for; then it is there at once,
// without questions whether an address is free or a router there.
func routerSysctls(forward, ipv6 bool) map[string]string {
	on := "0"
	if forward {
		on = "1"
	}
	m := map[string]string{"net.ipv4.ip_forward": on}
	if ipv6 {
		for _, scope := range []string{"all", "default"} {
			conf := "net.ipv6.conf." + scope
			m[conf+".forwarding"] = on
			for _, name := range []string{"disable_ipv6", "accept_dad", "dad_transmits", "accept_ra", "router_solicitations", "accept_redirects"} {
				m[conf+"."+name] = "0"
			}
		}
	}
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

// likewise returns addresses in a network of IPv6 that read as the last numbers of
// these: ::101 for 192.168.56.101.
func likewise(network netip.Prefix, addrs []netip.Addr) []netip.Addr {
	all := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		b, last := network.Masked().Addr().As16(), a.As4()[3]
		b[14], b[15] = last/100, last/10%10<<4|last%10
		all[i] = netip.AddrFrom16(b)
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
