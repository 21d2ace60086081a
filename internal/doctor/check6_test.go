package doctor

import (
	"net/netip"
	"strings"
	"testing"

	"natlb/internal/control"
	"natlb/internal/hostnet"
	"natlb/ipvs"
	"natlb/rewrite"
)

var (
	vip6      = netip.MustParseAddr("2001:db8:0:168::178")
	rip6      = netip.MustParseAddr("2001:db8:0:56::101")
	server6   = netip.AddrPortFrom(rip6, 8088)
	linkLocal = netip.MustParseAddr("fe80::1")
)

// healthy6 are the facts of a director of IPv6 that is well.
func healthy6() *Facts {
	f := healthy()
	f.Links[0].Addrs = []netip.Prefix{netip.MustParsePrefix("2001:db8:0:168::1/64")}
	f.Links[1].Addrs = []netip.Prefix{netip.MustParsePrefix("2001:db8:0:56::102/64")}
	for i := range f.Links {
		f.Links[i].Six = LinkSix{LinkLocal: linkLocal, MTU: 1500}
	}
	s := &f.Services[0]
	s.Key.VIP = netip.AddrPortFrom(vip6, 80)
	s.Destinations[0].Addr = server6
	f.VIPs[0].Addr = vip6
	f.Servers[0].RIP, f.Servers[0].Way.NextHop = rip6, rip6
	f.Clients, f.Clients6 = Way{}, Way{Kind: hostnet.Unicast, Link: "eth0", NextHop: linkLocal, MTU: 1500}
	return f
}

// owes6 is owes for the server of IPv6.
func (f *Facts) owes6(result string) {
	f.owes(result)
	f.Census[0].Server = server6
}

// TestChecksOfIPv6 is TestChecks where the families differ.
func TestChecksOfIPv6(t *testing.T) {
	tunnel := func(kind ipvs.TunnelType, outer string) func(*Facts) {
		return func(f *Facts) {
			f.owes6("")
			f.reachedBy(ipvs.Tunnel)
			d := &f.Services[0].Destinations[0]
			d.Addr, d.Tunnel = netip.AddrPortFrom(netip.MustParseAddr(outer), 8088), ipvs.TunnelOptions{Type: kind, Port: 6080}
			f.Census[0].Server = d.Addr
		}
	}
	for _, tt := range []struct {
		name        string
		change      func(*Facts)
		check       string
		level       Level
		text, cured string
	}{
		{"MTU below 1280", func(f *Facts) { f.Links[1].MTU = 1279 }, "ipv6", Fault, "MTU 1279", "ip link set eth1 mtu 1500"},
		{"switched off", func(f *Facts) { f.Links[1].Six.Disabled = true }, "ipv6", Fault, "disable_ipv6 is 1", "sysctl -w net.ipv6.conf.eth1.disable_ipv6=0"},
		{"switched off, a VLAN", func(f *Facts) { f.Links[1].Name, f.Links[1].Six.Disabled = "eth1.5", true }, "ipv6", Fault, "disable_ipv6 is 1", "net.ipv6.conf.eth1/5.disable_ipv6=0"},
		{"no link-local address", func(f *Facts) { f.Links[0].Six.LinkLocal = netip.Addr{} }, "ipv6", Fault, "no link-local address", "addr_gen_mode=0"},
		{"duplicate address", func(f *Facts) { f.Links[0].Six.Duplicate = []netip.Addr{vip6} }, "ipv6", Fault, "another machine has its address 2001:db8:0:168::178", "ip addr del 2001:db8:0:168::178/128 dev eth0"},
		{"tentative address", func(f *Facts) { f.Links[0].Six.Tentative = []netip.Addr{vip6} }, "ipv6", Warning, "(tentative)", "ask again"},
		{"the router's MTU", func(f *Facts) { f.Links[0].Six.MTU = 1400 }, "ipv6", Warning, "MTU for IPv6 is 1400", "net.ipv6.conf.eth0.mtu=1500"},
		{"no global DIP", func(f *Facts) { f.Links[1].Addrs = nil }, "interface", Warning, "have fe80::1 as gateway", "ip addr add DIP/64 dev eth1"},
		{"forwards unguarded", func(f *Facts) { f.Links[0].Six.Forward, f.Director.GuardFault = true, "no nftables" }, "guard", Fault,
			"forwards IPv6 packets (net.ipv6.conf.eth0.forwarding), and there is no guard", "sysctl -w net.ipv6.conf.all.forwarding=0"},
		{"owns a VIP unguarded", func(f *Facts) { f.VIPs[0].Local, f.Director.Guard = "eth0", "none" }, "guard", Fault, "--guard none leaves", "ip addr del 2001:db8:0:168::178/128 dev eth0"},
		{"VIP taken", func(f *Facts) { f.VIPs[0].Owners = []Owner{{"eth0", [6]byte{2, 0, 0, 0, 0, 0xab}}} }, "vip", Fault,
			"answers neighbour discovery for it on eth0: 02:00:00:00:00:ab", "ip addr del 2001:db8:0:168::178/128 dev IF"},
		{"VIP on a server's interface", func(f *Facts) {
			f.reachedBy(ipvs.Route)
			f.VIPs[0].Owners = []Owner{{"eth0", f.Servers[0].Answers[0]}}
		}, "vip", Fault, "answers neighbour discovery for it", "on 2001:db8:0:56::101, which has the VIP for -g or -i and must keep it to itself: ip addr del 2001:db8:0:168::178/128 dev IF; ip addr add 2001:db8:0:168::178/128 dev lo"},
		{"VIP of the host on lo", func(f *Facts) { f.VIPs[0].Local = "lo" }, "vip", Fault, "nobody does on eth0", "ip addr add 2001:db8:0:168::178/128 dev eth0 nodad"},
		{"VIP of the host on lo, routed", func(f *Facts) {
			f.VIPs[0].Local, f.VIPs[0].Addr = "lo", netip.MustParseAddr("2001:db8:1::1")
		}, "vip", OK, "on lo", ""},
		{"VIP of the host on its link", func(f *Facts) { f.VIPs[0].Local = "eth0" }, "vip", OK, "on eth0", ""},
		{"not asked", func(f *Facts) { f.VIPs[0].Asked = false }, "vip", Unknown, "nobody was asked by neighbour discovery", ""},
		{"no route", func(f *Facts) { f.Servers[0].Way = Way{} }, "route", Fault, "no route", "ip route add 2001:db8:0:56::101/128 via ROUTER, or an address of its network: ip addr add DIP/64 dev eth1"},
		{"way by the VIP side", func(f *Facts) { f.Servers[0].Way.Link = "eth0" }, "route", Fault, "VIP side", "ip route replace 2001:db8:0:56::101/128 dev eth1"},
		{"no default", func(f *Facts) { f.Clients6 = Way{} }, "client-route", Warning, "no default route of IPv6", "ip -6 route replace default via ROUTER dev eth0"},
		{"silent", func(f *Facts) { f.Servers[0].Answers, f.Servers[0].Fits = nil, 0 }, "neighbour", Fault,
			"does not answer neighbour discovery on eth1", "ping -6 -c 3 -I eth1 2001:db8:0:56::101"},
		{"RIP twice", func(f *Facts) { f.Servers[0].Answers = [][6]byte{{2}, {4}} }, "neighbour", Fault, "2 machines answer neighbour discovery", "ip addr del 2001:db8:0:56::101/128"},
		{"narrow way", func(f *Facts) { f.Servers[0].Fits = 1400 }, "mtu", Fault, "of 1400 they do", "ip route replace 2001:db8:0:56::101/128 dev eth1 mtu 1400"},
		{"too narrow way", func(f *Facts) { f.Servers[0].Fits = 1000 }, "mtu", Fault, "packets of 1280 bytes do not arrive, of 1000 they do: IPv6 needs 1280", "mtu 1280"},
		{"near client", func(f *Facts) {
			f.Census = []control.Census{{Proto: ipvs.TCP, Server: server6, Conns: 2, HalfOpen: 2, Near: 2, NearHalfOpen: 2, NearClient: netip.MustParseAddr("2001:db8:0:56::9")}}
		}, "near-client", Fault, "past the director", "ip route replace 2001:db8:0:56::9/128 via 2001:db8:0:56::102"},
		{"VIP among servers", func(f *Facts) { f.VIPs[0].Addr = netip.MustParseAddr("2001:db8:0:56::200") }, "near-client", Warning, "2001:db8:0:56::/64", "another network"},
		{"gateway", func(f *Facts) { f.owes6(accepted) }, "gateway", Fault, "its default gateway is not the director", "ip -6 route replace default via 2001:db8:0:56::102"},
		{"direct, half-open", func(f *Facts) { f.owes6(""); f.reachedBy(ipvs.Route) }, "direct", Fault, "3 of 3 connections half-open",
			"on 2001:db8:0:56::101: ip addr add 2001:db8:0:168::178/128 dev lo; ss -ltn"},
		{"6 in 6", tunnel(ipvs.TunnelIPIP, "2001:db8:0:56::101"), "direct", Fault, "half-open", "type ip6tnl mode ip6ip6 local 2001:db8:0:56::101 remote ::; ip link set natlb0 up; ip addr add 2001:db8:0:168::178/128 dev lo; ss"},
		{"6 in 4", tunnel(ipvs.TunnelIPIP, "192.168.56.101"), "direct", Fault, "half-open", "type sit local 192.168.56.101 remote any"},
		{"gre over 6", tunnel(ipvs.TunnelGRE, "2001:db8:0:56::101"), "direct", Fault, "half-open", "type ip6gre local 2001:db8:0:56::101 remote ::"},
		{"gue over 6", tunnel(ipvs.TunnelGUE, "2001:db8:0:56::101"), "direct", Fault, "half-open", "ip -6 fou add port 6080 gue"},
		{"4 in 6", func(f *Facts) {
			tunnel(ipvs.TunnelIPIP, "2001:db8:0:56::101")(f)
			f.Services[0].Key.VIP = netip.AddrPortFrom(vip1, 80)
		}, "direct", Fault, "half-open", "type ip6tnl mode ipip6 local 2001:db8:0:56::101 remote ::; ip link set natlb0 up; ip addr add 192.168.0.178/32 dev lo; sysctl -w net.ipv4.conf.all.rp_filter=0"},
		{"of a mark", func(f *Facts) {
			f.owes6("")
			f.reachedBy(ipvs.Route)
			f.Services[0].Key = ipvs.ServiceKey{Mark: 5, V6: true}
		}, "direct", Fault, "the VIP VIP", "ip addr add VIP/128 dev lo; ss"},
		{"DNAT on the VIP", func(f *Facts) {
			f.Rules.Hostile = []HostRule{{"ip6 nat PREROUTING", dnat, netip.PrefixFrom(vip6, 128), 80}}
		}, "host-rules", Fault, "a dnat rule for 2001:db8:0:168::178", "nft"},
		{"DNAT of the other family", func(f *Facts) { f.Rules.Hostile = []HostRule{{"ip nat DOCKER", dnat, netip.Prefix{}, 80}} }, "host-rules", OK, "no rule", ""},
		{"two directors", func(f *Facts) {
			f.KernelHas, f.KernelVIP = true, []KernelService{{ipvs.TCP, netip.AddrPortFrom(vip6, 80)}}
		}, "kernel-ipvs", Fault, "both would translate", "ipvsadm -D -t [2001:db8:0:168::178]:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy6()
			tt.change(f)
			var said []string
			for _, x := range Examine(f) {
				if x.Check != tt.check {
					continue
				}
				said = append(said, x.Level.String()+" "+x.Subject+": "+x.Text+" cure: "+x.Cure)
				if x.Level == tt.level && strings.Contains(x.Text, tt.text) && strings.Contains(x.Cure, tt.cured) {
					return
				}
			}
			t.Errorf("%s says %q, want a %v with %q, cure %q", tt.check, said, tt.level, tt.text, tt.cured)
		})
	}
}

// TestHealthy6: a director of IPv6 that is well is told nothing else, and nothing of
// what IPv4 alone has.
func TestHealthy6(t *testing.T) {
	said := map[string]bool{}
	for _, x := range Examine(healthy6()) {
		said[x.Check] = true
		if x.Level != OK || x.Cure != "" {
			t.Errorf("%v %s %s: %s (%s)", x.Level, x.Check, x.Subject, x.Text, x.Cure)
		}
		if strings.Contains(x.Text, "ARP") {
			t.Errorf("%s speaks of ARP: %s", x.Check, x.Text)
		}
	}
	if !said["ipv6"] || said["arp-ignore"] {
		t.Errorf("checks that have said something: %v", said)
	}
}

// TestIPv6IsNotAsked: of a director without IPv6 nobody wants any.
func TestIPv6IsNotAsked(t *testing.T) {
	f := healthy()
	f.Links[0].Six = LinkSix{Disabled: true, Forward: true, Duplicate: []netip.Addr{vip6}}
	for _, x := range Examine(f) {
		if x.Level != OK {
			t.Errorf("%v %s %s: %s", x.Level, x.Check, x.Subject, x.Text)
		}
	}
}

// TestProbesOfIPv6: the question is for who has the address, and only an answer counts.
func TestProbesOfIPv6(t *testing.T) {
	mine, his := [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	question, to := ndProbe(mine, rip6)
	if to != [6]byte{0x33, 0x33, 0xff, 0, 1, 1} {
		t.Errorf("asked is %x", to)
	}
	if addr, _, ok := ndClaim(question); ok {
		t.Errorf("a question is taken for the claim of %v", addr)
	}
	answer := answerTo(t, question, his)
	if addr, mac, ok := ndClaim(answer); !ok || addr != rip6 || mac != his {
		t.Errorf("ndClaim = %v, %x, %v", addr, mac, ok)
	}
	if _, _, ok := ndClaim(answer[:60]); ok {
		t.Error("a piece of an answer is a claim")
	}
	frame, to := arpProbe(mine, rip1)
	if addr, _, ok := arpClaim(frame); len(frame) < 42 || to[0] != 0xff || !ok || !addr.IsUnspecified() {
		t.Errorf("the ARP probe is %x to %x", frame, to)
	}
}

// answerTo returns what the machine that has the address answers to a probe.
func answerTo(t *testing.T, question []byte, mac [6]byte) []byte {
	t.Helper()
	var p rewrite.Packet
	var m rewrite.ND
	if rewrite.ParseIPv6(question, &p) != rewrite.FaultNone || !rewrite.ParseND(question, &p, &m) {
		t.Fatalf("%x is no question", question)
	}
	frame := make([]byte, rewrite.NDFrameLen)
	return frame[:rewrite.NDReply(frame, question, mac, &m)]
}
