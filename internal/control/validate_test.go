package control

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"natlb/ipvs"
)

func TestCheck(t *testing.T) {
	addr := netip.MustParseAddrPort
	service := func(edit func(*ipvs.Service)) ipvs.Change {
		c := ipvs.Change{Kind: ipvs.AddService, Service: webService}
		edit(&c.Service)
		return c
	}
	server := func(edit func(*ipvs.Destination)) ipvs.Change {
		c := ipvs.Change{Kind: ipvs.AddDestination, Service: ipvs.Service{Key: webService.Key}, Destination: webServer}
		edit(&c.Destination)
		return c
	}
	serverAt := func(a string) ipvs.Change { return server(func(d *ipvs.Destination) { d.Addr = addr(a) }) }
	vip := func(a string) ipvs.Change { return service(func(s *ipvs.Service) { s.Key.VIP = addr(a) }) }
	tunnel := func(o ipvs.TunnelOptions) ipvs.Change {
		return server(func(d *ipvs.Destination) { d.Addr, d.Method, d.Tunnel = addr("10.0.0.2:80"), ipvs.Tunnel, o })
	}
	persist := func(seconds uint32) ipvs.Change {
		return service(func(s *ipvs.Service) { s.Flags, s.PersistTimeout = ipvs.FlagPersistent, seconds })
	}
	mark := ipvs.ServiceKey{Mark: 5}
	for _, c := range []struct {
		name   string
		change ipvs.Change
		want   error
	}{
		{"service", service(func(*ipvs.Service) {}), nil},
		{"service at 0.0.0.0", vip("0.0.0.0:80"), nil},
		{"service at a multicast address", vip("224.0.0.1:80"), nil},
		{"service at the broadcast address", vip("255.255.255.255:80"), nil},
		{"service without address", service(func(s *ipvs.Service) { s.Key.VIP = netip.AddrPort{} }), ipvs.ErrInvalid},
		{"service without protocol", service(func(s *ipvs.Service) { s.Key.Proto = 0 }), ipvs.ErrInvalid},
		{"service at port 0", vip("192.0.2.1:0"), ipvs.ErrInvalid},
		{"service with a zone", vip("[fe80::1%eth0]:80"), ipvs.ErrInvalid},
		{"service with the family of a mark", service(func(s *ipvs.Service) { s.Key.V6 = true }), ipvs.ErrInvalid},
		{"mark with an address", service(func(s *ipvs.Service) { s.Key.Mark = 5 }), ipvs.ErrInvalid},
		{"one-packet over TCP", service(func(s *ipvs.Service) { s.Flags = ipvs.FlagOnePacket }), ipvs.ErrInvalid},
		{"unknown flag", service(func(s *ipvs.Service) { s.Flags = 0x40 }), ipvs.ErrInvalid},
		{"persistence of 0 s", persist(0), ipvs.ErrInvalid},
		{"persistence of 31 days and a second", persist(ipvs.MaxTimeout + 1), ipvs.ErrInvalid},
		{"IPv6 prefix of an IPv4 service", service(func(s *ipvs.Service) { s.PrefixLen = 64 }), ipvs.ErrInvalid},
		{"IPv6 prefix of 129", service(func(s *ipvs.Service) { s.Key.VIP, s.PrefixLen = addr("[::1]:80"), 129 }), ipvs.ErrInvalid},
		{"netmask of an IPv6 service", service(func(s *ipvs.Service) { s.Key.VIP, s.Wildcard = addr("[::1]:80"), 1 }), ipvs.ErrInvalid},

		{"server", server(func(*ipvs.Destination) {}), nil},
		{"server at port 0", serverAt("10.0.0.2:0"), nil},
		{"server on this host", serverAt("127.0.0.1:80"), nil},
		{"server at 0.0.0.0", serverAt("0.0.0.0:80"), ipvs.ErrInvalid},
		{"server at a multicast address", serverAt("224.0.0.5:80"), ipvs.ErrInvalid},
		{"server at the broadcast address", serverAt("255.255.255.255:80"), ipvs.ErrInvalid},
		{"IPv6 server on one link", ipvs.Change{
			Kind: ipvs.AddDestination, Service: ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: addr("[fd00::1]:80")}},
			Destination: ipvs.Destination{Addr: addr("[fe80::1]:80"), Method: ipvs.Masq},
		}, ipvs.ErrInvalid},
		{"edit of a server that cannot have been added", ipvs.Change{
			Kind: ipvs.EditDestination, Service: webService,
			Destination: ipvs.Destination{Addr: addr("224.0.0.5:80"), Method: ipvs.Masq},
		}, ipvs.ErrNoSuchDestination},
		{"thresholds before the address", server(func(d *ipvs.Destination) { d.Addr, d.LowerThreshold = addr("224.0.0.5:80"), 1 }), ipvs.ErrRange},
		{"server without address", server(func(d *ipvs.Destination) { d.Addr = netip.AddrPort{} }), ipvs.ErrInvalid},
		{"server of another family", serverAt("[fd00::1]:80"), ipvs.ErrDifferentFamily},
		{"weight 0", server(func(d *ipvs.Destination) { d.Weight = 0 }), nil},
		{"weight -1", server(func(d *ipvs.Destination) { d.Weight = -1 }), ipvs.ErrRange},
		{"thresholds", server(func(d *ipvs.Destination) { d.UpperThreshold, d.LowerThreshold = 4, 4 }), nil},
		{"lower above upper threshold", server(func(d *ipvs.Destination) { d.UpperThreshold, d.LowerThreshold = 3, 4 }), ipvs.ErrRange},
		{"lower without upper threshold", server(func(d *ipvs.Destination) { d.LowerThreshold = 1 }), ipvs.ErrRange},
		{"upper threshold that -x does not take", server(func(d *ipvs.Destination) { d.UpperThreshold = 1 << 31 }), ipvs.ErrRange},
		{"direct routing", server(func(d *ipvs.Destination) { d.Addr, d.Method = addr("10.0.0.2:80"), ipvs.Route }), nil},
		{"direct routing to another port", server(func(d *ipvs.Destination) { d.Method = ipvs.Route }), ipvs.ErrInvalid},
		{"direct routing to another port of a mark", ipvs.Change{Kind: ipvs.AddDestination, Service: ipvs.Service{Key: mark},
			Destination: ipvs.Destination{Addr: webServer.Addr, Method: ipvs.Route}}, nil},
		{"local method", server(func(d *ipvs.Destination) { d.Method = ipvs.Local }), ipvs.ErrInvalid},
		{"unknown method", server(func(d *ipvs.Destination) { d.Method = 9 }), ipvs.ErrInvalid},
		{"tunnel options without a tunnel", server(func(d *ipvs.Destination) { d.Tunnel.Port = 1 }), ipvs.ErrInvalid},
		{"ipip", tunnel(ipvs.TunnelOptions{}), nil},
		{"ipip with a port", tunnel(ipvs.TunnelOptions{Port: 1}), ipvs.ErrInvalid},
		{"ipip with a checksum", tunnel(ipvs.TunnelOptions{Checksum: ipvs.TunnelChecksummed}), ipvs.ErrInvalid},
		{"gue", tunnel(ipvs.TunnelOptions{Type: ipvs.TunnelGUE, Port: 6080, Checksum: ipvs.TunnelRemoteChecksum}), nil},
		{"gue without a port", tunnel(ipvs.TunnelOptions{Type: ipvs.TunnelGUE}), ipvs.ErrInvalid},
		{"gre", tunnel(ipvs.TunnelOptions{Type: ipvs.TunnelGRE, Checksum: ipvs.TunnelChecksummed}), nil},
		{"gre with a remote checksum", tunnel(ipvs.TunnelOptions{Type: ipvs.TunnelGRE, Checksum: ipvs.TunnelRemoteChecksum}), ipvs.ErrInvalid},
		{"unknown tunnel", tunnel(ipvs.TunnelOptions{Type: 3}), ipvs.ErrInvalid},

		{"timeouts", ipvs.Change{Kind: ipvs.SetTimeouts, Timeouts: ipvs.Timeouts{TCP: ipvs.MaxTimeout}}, nil},
		{"timeout too long", ipvs.Change{Kind: ipvs.SetTimeouts, Timeouts: ipvs.Timeouts{UDP: ipvs.MaxTimeout + 1}}, ipvs.ErrInvalid},
		{"flush", ipvs.Change{Kind: ipvs.FlushServices}, nil},
		{"zero everything", ipvs.Change{Kind: ipvs.ZeroStats}, nil},
		{"zero a service without address", ipvs.Change{Kind: ipvs.ZeroStats, Service: ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP}}}, ipvs.ErrInvalid},
		{"sysctl", ipvs.Change{Kind: ipvs.SetSysctl, Name: "drop_entry"}, nil},
		{"sysctl without a name", ipvs.Change{Kind: ipvs.SetSysctl}, ipvs.ErrInvalid},
		{"no change", ipvs.Change{}, ipvs.ErrInvalid},
		{"delete a service", ipvs.Change{Kind: ipvs.DeleteService, Service: ipvs.Service{Key: webService.Key}}, nil},
		{"delete nothing", ipvs.Change{Kind: ipvs.DeleteService}, ipvs.ErrInvalid},
		{"delete a server without address", ipvs.Change{Kind: ipvs.DeleteDestination, Service: webService}, ipvs.ErrInvalid},

		{"persistence", persist(1), nil},
		{"persistence engine", service(func(s *ipvs.Service) { s.Engine = "sip" }), ipvs.ErrUnsupported},
		{"an unknown persistence engine is the director's answer", service(func(s *ipvs.Service) { s.Engine = "nosuch" }), nil},
		{"one-packet", service(func(s *ipvs.Service) { s.Key.Proto, s.Flags = ipvs.UDP, ipvs.FlagOnePacket }), nil},
		{"SCTP", service(func(s *ipvs.Service) { s.Key.Proto = ipvs.SCTP }), nil},
		{"IPv6 service", vip("[2001:db8::1]:80"), nil},
		{"IPv6 server", server(func(d *ipvs.Destination) { d.Method, d.Addr = ipvs.Tunnel, addr("[fd00::1]:80") }), nil},
		{"firewall mark", service(func(s *ipvs.Service) { s.Key = mark }), nil},
		{"firewall mark of IPv6", service(func(s *ipvs.Service) { s.Key = mark; s.Key.V6 = true }), nil},
		{"deleting a mark is the director's answer", ipvs.Change{Kind: ipvs.DeleteService, Service: ipvs.Service{Key: mark}}, nil},
	} {
		if err := Check(&c.change); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: Check = %v, want %v", c.name, err, c.want)
		}
	}
}

func TestCheckBroadcasts(t *testing.T) {
	var local []net.Addr
	for _, s := range []string{"10.1.2.3/24", "127.0.0.1/8", "192.0.2.8/31", "198.51.100.255/32", "fe80::1/64"} {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		local = append(local, &net.IPNet{IP: ip, Mask: n.Mask})
	}
	local = append(local, &net.TCPAddr{})
	for _, c := range []struct {
		kind   ipvs.ChangeKind
		server string
		want   error
	}{
		{ipvs.AddDestination, "10.1.2.255", ipvs.ErrInvalid},
		{ipvs.AddDestination, "127.255.255.255", ipvs.ErrInvalid},
		{ipvs.EditDestination, "10.1.2.255", nil}, // the director says that there is none
		{ipvs.AddDestination, "10.1.2.3", nil},
		{ipvs.AddDestination, "10.1.2.0", nil},
		{ipvs.AddDestination, "10.1.3.255", nil},
		{ipvs.AddDestination, "192.0.2.9", nil}, // a /31 has no broadcast address
		{ipvs.AddDestination, "198.51.100.255", nil},
		{ipvs.AddDestination, "fe80::ffff:ffff:ffff:ffff", nil},
	} {
		changes := []ipvs.Change{{Kind: ipvs.FlushServices}, {
			Kind: c.kind, Service: webService, Destination: ipvs.Destination{Addr: netip.AddrPortFrom(netip.MustParseAddr(c.server), 80)},
		}}
		err := checkBroadcasts(changes, local)
		var change *ipvs.ChangeError
		if !errors.Is(err, c.want) || c.want != nil && (!errors.As(err, &change) || change.Index != 1) {
			t.Errorf("checkBroadcasts(%v %s) = %v, want %v for change 1", c.kind, c.server, err, c.want)
		}
	}
}

func TestSyncDaemonIsUnsupported(t *testing.T) {
	if !errors.Is(ErrSyncDaemon, ipvs.ErrUnsupported) {
		t.Errorf("%v does not wrap %v", ErrSyncDaemon, ipvs.ErrUnsupported)
	}
}
