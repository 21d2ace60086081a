package doctor

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"natlb/internal/control"
	"natlb/internal/hostnet"
	"natlb/ipvs"
)

var (
	vip1    = netip.MustParseAddr("192.168.0.178")
	rip1    = netip.MustParseAddr("192.168.56.101")
	server1 = netip.AddrPortFrom(rip1, 8088)
)

// healthy are the facts of a director that is well.
func healthy() *Facts {
	offloads := map[string]bool{"tx-checksum-ip-generic": true, "tx-tcp-segmentation": true, "rx-gro": true}
	service := ipvs.ServiceStatus{Service: ipvs.Service{
		Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.AddrPortFrom(vip1, 80)}, Scheduler: "rr",
	}}
	service.Destinations = []ipvs.DestinationStatus{{
		Destination: ipvs.Destination{Addr: server1, Method: ipvs.Masq, Weight: 1},
		Stats:       ipvs.Stats{Conns: 1, InPkts: 5, OutPkts: 4},
	}}
	return &Facts{
		Natlb: "1.0", Caps: []string{"cap_net_raw", "cap_net_admin"},
		Socket: Socket{Path: "/run/natlb.sock", Mode: 0o660},
		Director: &Director{
			Status: control.Status{Natlb: "1.0", PID: 7, Uptime: 61},
			Setup: control.Setup{Capabilities: []string{"cap_net_raw", "cap_net_admin"}, Guard: "auto",
				Methods: []string{"masq"}, Shards: 1, Conns: 1, MaxConns: 1000, Memory: 16 << 20},
		},
		Links: []Link{
			{Name: "eth0", VIP: true, Exists: true, Type: "ether", Kind: "device", Up: true, Carrier: true, MTU: 1500,
				Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/24")}, Offloads: offloads},
			{Name: "eth1", DIP: true, Exists: true, Type: "ether", Kind: "device", Up: true, Carrier: true, MTU: 1500,
				Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.56.102/24")}, Offloads: offloads},
		},
		Services: []ipvs.ServiceStatus{service},
		VIPs:     []VIP{{Addr: vip1, OnNet: true, Asked: true}},
		Servers: []Server{{RIP: rip1, Way: Way{Kind: hostnet.Unicast, Link: "eth1", NextHop: rip1, MTU: 1500},
			Neighbour: hostnet.NeighbourUsable, Asked: true, Answers: [][6]byte{{2, 0, 0, 0, 0, 1}}, Fits: 1500}},
		Counters: []Counter{{Counter: control.Counter{Name: "forward", Count: 9}, Moved: 1}},
		Clients:  Way{Kind: hostnet.Unicast, Link: "eth0", NextHop: netip.MustParseAddr("192.168.0.254"), MTU: 1500},
		Rules:    HostRules{Known: true},
		Memory:   Memory{Total: 8 << 30, Available: 6 << 30},
	}
}

// server2 adds a second real server, and returns it.
func (f *Facts) another(rip string, way Way) *Server {
	f.Servers = append(f.Servers, Server{RIP: netip.MustParseAddr(rip), Way: way})
	return &f.Servers[len(f.Servers)-1]
}

func count(name string, n, moved uint64) Counter {
	return Counter{control.Counter{Name: name, Count: n}, moved}
}

// TestChecks makes one fact at a time wrong and looks what the doctor says.
func TestChecks(t *testing.T) {
	direct := Way{Kind: hostnet.Unicast, Link: "eth1", NextHop: netip.MustParseAddr("192.168.56.103"), MTU: 1500}
	for _, tt := range []struct {
		name        string
		change      func(*Facts)
		check       string
		level       Level
		text, cured string // parts of text and cure
	}{
		{"no director", func(f *Facts) { f.Director, f.Socket.State = nil, SocketAbsent }, "socket", Fault, "no director is running", "natlb run --vip-if IF"},
		{"no director yet", func(f *Facts) { f.Director, f.Named, f.Socket.State = nil, true, SocketAbsent },
			"socket", Warning, "no director is running", "natlb run --vip-if eth0 --dip-if eth1"},
		{"stale socket", func(f *Facts) { f.Director, f.Socket.State = nil, SocketStale }, "socket", Fault, "a dead one has left its socket", "natlb run"},
		{"forbidden", func(f *Facts) { f.Director, f.Socket.State = nil, SocketForbidden }, "socket", Fault, "may not use the socket (mode 0660)", "sudo"},
		{"no socket", func(f *Facts) { f.Director, f.Socket.State = nil, SocketForeign }, "socket", Fault, "not a socket", "NATLB_SOCKET"},
		{"other protocol", func(f *Facts) { f.Director, f.Socket.State, f.Socket.Detail = nil, SocketMismatch, "speaks version 9" }, "socket", Fault, "version 9", "restart"},
		{"stopped", func(f *Facts) { f.Director, f.Socket.State, f.Socket.Detail = nil, SocketSilent, "does not answer" }, "socket", Fault, "does not answer", "kill -CONT"},
		{"anybody's socket", func(f *Facts) { f.Socket.Mode = 0o666 }, "socket", Warning, "any user", "chmod 660 /run/natlb.sock"},
		{"versions", func(f *Facts) { f.Director.Natlb = "0.9" }, "director", Warning, "is natlb 0.9 (up 1m1s), this is natlb 1.0", "restart"},
		{"namespace", func(f *Facts) { f.Elsewhere = "no" }, "namespace", Fault, "another network namespace", "nsenter -t 7 -n natlb doctor"},
		{"director may not send", func(f *Facts) { f.Director.Capabilities = nil }, "capability", Fault, "no cap_net_raw", "setcap"},
		{"director may not guard", func(f *Facts) { f.Director.Capabilities = f.Caps[:1] }, "capability", Fault, "no cap_net_admin", "setcap"},
		{"doctor may not ask", func(f *Facts) { f.Caps = nil }, "capability", Unknown, "nobody is asked", "sudo natlb doctor"},
		{"user may not run", func(f *Facts) { f.Director, f.Caps = nil, f.Caps[:1] }, "capability", Warning, "no cap_net_admin", "setcap"},
		{"rules", func(f *Facts) { f.RulesErr = "rules:3: what?" }, "rules-file", Fault, "rules:3", "mend"},
		{"interface gone", func(f *Facts) { f.Links[0] = Link{Name: "eth0", VIP: true, Others: []string{"eth1", "wg0"}} }, "interface", Fault, "there are: eth1, wg0", "bring it back"},
		{"not Ethernet", func(f *Facts) { f.Links[0].Type = "none" }, "interface", Fault, "not Ethernet", "name"},
		{"enslaved", func(f *Facts) { f.Links[1].Master = "br0" }, "interface", Fault, "belongs to br0", "natlb run --vip-if eth0 --dip-if br0"},
		{"down", func(f *Facts) { f.Links[1].Up = false }, "interface", Fault, "is down", "ip link set eth1 up"},
		{"no carrier", func(f *Facts) { f.Links[1].Carrier = false }, "interface", Fault, "no carrier", "cable"},
		{"no DIP", func(f *Facts) { f.Links[1].Addrs = nil }, "interface", Fault, "no IPv4 address", "ip addr add DIP/24 dev eth1"},
		{"no DIP for IPv4, which nobody wants", func(f *Facts) {
			f.Links[1].Addrs, f.Servers = []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}, nil
		}, "interface", OK, "2001:db8::1/64", ""},
		{"a DIP side for each family", func(f *Facts) {
			f.Links = append(f.Links, f.Links[1])
			f.Links[2].Name, f.Links[2].Addrs = "eth2", []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}
		}, "interface", OK, "2001:db8::1/64", ""},
		{"no DIP, no server", func(f *Facts) { f.Links[1].Addrs, f.Servers = nil, nil }, "interface", Fault, "has no address", "ip addr add DIP"},
		{"LRO", func(f *Facts) { f.Links[0].Offloads = map[string]bool{"rx-lro": true} }, "offload", Fault, "LRO is on", "ethtool -K eth0 lro off"},
		{"GRO off", func(f *Facts) {
			f.Links[0].Offloads = map[string]bool{"tx-checksum-ipv4": true, "tx-tcp-segmentation": true}
		}, "offload", Warning, "off: gro (each segment", "ethtool -K eth0 gro on"},
		{"all off", func(f *Facts) { f.Links[0].Offloads = map[string]bool{"rx-checksum": true} }, "offload", Warning, "off: tx, tso, gro", "ethtool -K eth0 tx on tso on gro on"},
		{"SCTP over a veth", func(f *Facts) { f.Links[1].Kind, f.Services[0].Key.Proto = "veth", ipvs.SCTP }, "offload", Unknown, "sends SCTP in super-packets", "tx-sctp-segmentation off"},
		{"offloads unknown", func(f *Facts) { f.Links[0].Offloads = nil }, "offload", Unknown, "cannot be read", ""},
		{"two directors", func(f *Facts) {
			f.KernelHas, f.KernelVIP = true, []KernelService{{ipvs.TCP, netip.AddrPortFrom(vip1, 80)}}
		}, "kernel-ipvs", Fault, "both would translate", "ipvsadm -D -t 192.168.0.178:80"},
		{"kernel IPVS of others", func(f *Facts) {
			f.KernelHas, f.KernelVIP = true, []KernelService{{ipvs.UDP, netip.AddrPortFrom(vip1, 80)}}
		}, "kernel-ipvs", OK, "1 service, none of natlb's", ""},
		{"kernel IPVS unreadable", func(f *Facts) { f.KernelHas, f.KernelErr = true, true }, "kernel-ipvs", Unknown, "cannot be read", "sudo"},
		{"forwards unguarded", func(f *Facts) { f.Links[0].Forward, f.Director.GuardFault = true, "no nftables" }, "guard", Fault, "no guard: no nftables", "sysctl -w net.ipv4.ip_forward=0"},
		{"owns a VIP unguarded", func(f *Facts) {
			f.VIPs[0].Local, f.Director.Guard = "eth0", "none"
			f.Links[0].Addrs = append(f.Links[0].Addrs, netip.PrefixFrom(vip1, 24))
		}, "guard", Fault, "--guard none leaves", "ip addr del 192.168.0.178/24 dev eth0; or restart"},
		{"guarded", func(f *Facts) { f.Links[0].Forward, f.Director.Guarding, f.Rules.Guard = true, true, true }, "guard", OK, "kept out", ""},
		{"guard flushed", func(f *Facts) { f.Links[0].Forward, f.Director.Guarding = true, true }, "guard", Fault, "somebody has removed", "restart"},
		{"guard left", func(f *Facts) { f.Director, f.Rules.Guard = nil, true }, "guard", Fault, "has left its guard", "nft delete table netdev natlb"},
		{"guard to be", func(f *Facts) { f.Director, f.Links[0].Forward = nil, true }, "guard", OK, "natlb run will keep", ""},
		{"guard in doubt", func(f *Facts) { f.Director, f.Links[0].Forward, f.Rules = nil, true, HostRules{Why: "EPERM"} }, "guard", Warning, "EPERM", "ip_forward=0"},
		{"strict, harmless", func(f *Facts) { f.Links[0].RPFilter, f.Links[1].RPFilter = 1, 1 }, "rp-filter", OK, "strict", ""},
		{"strict, asymmetric", func(f *Facts) { f.Links[1].RPFilter, f.Servers[0].Way.Link = 1, "eth0" }, "rp-filter", Fault, "192.168.56.101 leaves by eth0", "net.ipv4.conf.eth1.rp_filter=2"},
		{"strict for clients", func(f *Facts) { f.Links[0].RPFilter, f.VIPs[0].Local, f.Clients.Link = 1, "eth0", "eth1" }, "rp-filter", Warning, "pings of its VIPs", "rp_filter=2"},
		{"loose", func(f *Facts) { f.Links[1].RPFilter, f.Servers[0].Way.Link = 2, "eth0" }, "rp-filter", OK, "nowhere strict", ""},
		{"rules unreadable", func(f *Facts) { f.Rules = HostRules{Why: "EPERM"} }, "host-rules", Unknown, "EPERM", "sudo"},
		{"DNAT on the VIP", func(f *Facts) {
			f.Rules.Hostile = []HostRule{{"ip nat PREROUTING", dnat, netip.PrefixFrom(vip1, 32), 80}}
		}, "host-rules", Fault, "a dnat rule for 192.168.0.178", "nft -a list chain ip nat PREROUTING"},
		{"DNAT guarded", func(f *Facts) {
			f.Rules = HostRules{Known: true, Guard: true, Hostile: []HostRule{{"ip nat PREROUTING", dnat, netip.PrefixFrom(vip1, 32), 0}}}
			f.Director.Guarding = true
		}, "host-rules", Warning, "guard keeps", "nft"},
		{"DNAT of the port", func(f *Facts) { f.Rules.Hostile = []HostRule{{"ip nat DOCKER", dnat, netip.Prefix{}, 80}} }, "host-rules", Warning, "may meet", "nft"},
		{"DNAT of another port", func(f *Facts) { f.Rules.Hostile = []HostRule{{"ip nat DOCKER", dnat, netip.Prefix{}, 81}} }, "host-rules", OK, "no rule", ""},
		{"DNAT of another address", func(f *Facts) {
			f.Rules.Hostile = []HostRule{{"ip nat X", dnat, netip.MustParsePrefix("10.0.0.0/8"), 80}}
		}, "host-rules", OK, "no rule", ""},
		{"egress", func(f *Facts) { f.Rules.Hostile = []HostRule{{"netdev x out", egressDrop, netip.Prefix{}, 0}} }, "host-rules", Warning, "behind natlb", "nft list chain netdev x out"},
		{"legacy", func(f *Facts) { f.Rules.Legacy = []string{"iptables-legacy -t nat"} }, "host-rules", Warning, "iptables-legacy", "iptables-legacy -t nat -S"},
		{"VIP taken", func(f *Facts) { f.VIPs[0].Owners = []Owner{{"eth0", [6]byte{2, 0, 0, 0, 0, 0xab}}} }, "vip", Fault, "on eth0: 02:00:00:00:00:ab", "ip addr del 192.168.0.178"},
		{"VIP not asked", func(f *Facts) { f.VIPs[0].Asked = false }, "vip", Unknown, "nobody was asked", ""},
		{"VIP routed", func(f *Facts) { f.VIPs[0].OnNet = false }, "vip", OK, "a router has to send it", ""},
		{"VIP of the host", func(f *Facts) { f.VIPs[0].Local = "eth0" }, "vip", OK, "address of this host, on eth0", ""},
		{"silent for the VIP", func(f *Facts) { f.VIPs[0].Local, f.Links[0].ARPIgnore = "lo", 1 }, "arp-ignore", Fault, "is on lo, and arp_ignore is 1", "arp_ignore=0"},
		{"arp_ignore, on its link", func(f *Facts) { f.VIPs[0].Local, f.Links[0].ARPIgnore = "eth0", 1 }, "arp-ignore", OK, "answers", ""},
		{"arp_ignore 8", func(f *Facts) { f.VIPs[0].Local, f.Links[0].ARPIgnore = "eth0", 8 }, "arp-ignore", Fault, "arp_ignore is 8", "arp_ignore=0"},
		{"no service", func(f *Facts) { f.Services = nil }, "service", Warning, "no service yet", "natlb -A"},
		{"no server", func(f *Facts) { f.Services[0].Destinations = nil }, "service", Warning, "no real server", "natlb -a -t 192.168.0.178:80"},
		{"quiesced", func(f *Facts) { f.Services[0].Destinations[0].Weight = 0 }, "service", Warning, "quiesced", "-r 192.168.56.101:8088 -m -w 1"},
		{"overloaded", func(f *Facts) { f.Services[0].Destinations[0].Overloaded = true }, "service", Warning, "overloaded", "-x"},
		{"all unreachable", func(f *Facts) {
			f.Services[0].Destinations[0].Reach = ipvs.Reach{Unreachable: true, Withheld: true}
		}, "service", Warning, "none of its real servers can be reached", "neighbour"},
		{"silent, and quiesced", func(f *Facts) {
			f.Servers[0].Answers, f.Servers[0].Fits = nil, 0
			f.Services[0].Destinations[0].Reach = ipvs.Reach{Unreachable: true, For: 9 * time.Second, Withheld: true, Lost: 1}
		}, "neighbour", Fault, "on eth1, for 9s; 1 packet lost; it gets no new connections", "arping"},
		{"silent, and in use", func(f *Facts) {
			f.Servers[0].Answers, f.Servers[0].Fits = nil, 0
			f.Services[0].Destinations[0].Reach = ipvs.Reach{Unreachable: true, For: 9 * time.Second, Lost: 2}
		}, "neighbour", Fault, "2 packets lost, and new connections go on", "arping"},
		{"direct routing", func(f *Facts) { f.Services[0].Destinations[0].Method = ipvs.Route }, "service", Fault, "method -g", "natlb -e -t 192.168.0.178:80 -r 192.168.56.101:8088 -m -w 1"},
		{"tunnel", func(f *Facts) { f.Services[0].Destinations[0].Method = ipvs.Tunnel }, "service", Fault, "method -i", "-m"},
		{"no route", func(f *Facts) { f.Servers[0].Way = Way{} }, "route", Fault, "no route", "ip route add 192.168.56.101/32"},
		{"RIP is local", func(f *Facts) { f.Servers[0].Way = Way{Kind: hostnet.Local} }, "route", Fault, "cannot be reached with -m", "-g"},
		{"RIP is local, and the VIP is not", func(f *Facts) {
			f.reachedBy(ipvs.Route)
			f.Servers[0].Way = Way{Kind: hostnet.Local}
		}, "route", Fault, "the host does not have the VIP 192.168.0.178", "ip addr add 192.168.0.178/32 dev lo"},
		{"RIP and VIP are local", func(f *Facts) {
			f.reachedBy(ipvs.Route)
			f.VIPs[0].Local, f.Servers[0].Way = "eth0", Way{Kind: hostnet.Local}
		}, "route", OK, "is this machine", ""},
		{"direct routing by a router", func(f *Facts) { f.reachedBy(ipvs.Route); f.Servers[0].Way.NextHop = vip1 }, "route", Fault, "gives packets for the VIP to 192.168.0.178", "-i"},
		{"tunnel by a router", func(f *Facts) { f.reachedBy(ipvs.Tunnel); f.Servers[0].Way.NextHop = vip1 }, "route", OK, "via 192.168.0.178", ""},
		{"direct, half-open", func(f *Facts) { f.owes(""); f.reachedBy(ipvs.Route) }, "direct", Fault, "3 of 3 connections half-open", "on 192.168.56.101: ip addr add 192.168.0.178/32 dev lo; sysctl -w net.ipv4.conf.all.arp_ignore=1"},
		{"tunnel, half-open", func(f *Facts) { f.owes(""); f.reachedBy(ipvs.Tunnel) }, "direct", Fault, "3 of 3 connections half-open", "ip link add natlb0 type ipip local 192.168.56.101 remote any"},
		{"gre, half-open", func(f *Facts) {
			f.owes("")
			f.reachedBy(ipvs.Tunnel)
			f.Services[0].Destinations[0].Tunnel = ipvs.TunnelOptions{Type: ipvs.TunnelGRE, Checksum: ipvs.TunnelChecksummed}
		}, "direct", Fault, "half-open", "type gre local 192.168.56.101 remote any icsum"},
		{"gue, half-open", func(f *Facts) {
			f.owes("")
			f.reachedBy(ipvs.Tunnel)
			f.Services[0].Destinations[0].Tunnel = ipvs.TunnelOptions{Type: ipvs.TunnelGUE, Port: 6080}
		}, "direct", Fault, "half-open", "ip fou add port 6080 gue"},
		{"direct, well", func(f *Facts) { f.owes(""); f.reachedBy(ipvs.Route); f.Census[0].HalfOpen = 1 }, "direct", OK, "1 of 3 connections half-open", ""},
		{"RIP is a broadcast", func(f *Facts) { f.Servers[0].Way = Way{Kind: hostnet.Broadcast} }, "route", Fault, "broadcast", "correct"},
		{"way elsewhere", func(f *Facts) { f.Servers[0].Way.Link = "eth2" }, "route", Fault, "eth2, which natlb was not given", "--dip-if eth2"},
		{"way by the VIP side", func(f *Facts) { f.Servers[0].Way.Link = "eth0" }, "route", Fault, "VIP side (eth0)", "ip route replace 192.168.56.101/32 dev eth1"},
		{"way by a router", func(f *Facts) { f.Servers[0].Way.NextHop = vip1 }, "route", OK, "via 192.168.0.178", ""},
		{"no default", func(f *Facts) { f.Clients = Way{} }, "client-route", Warning, "no default route", "dev eth0"},
		{"default elsewhere", func(f *Facts) { f.Clients.Link = "eth2" }, "client-route", Warning, "eth2", "dev eth0"},
		{"default by the DIP side", func(f *Facts) { f.Clients.Link = "eth1" }, "client-route", Warning, "DIP side", "dev eth0"},
		{"no ARP", func(f *Facts) { f.Servers[0].Answers, f.Servers[0].Fits = nil, 0 }, "neighbour", Fault, "does not answer ARP on eth1", "arping -I eth1 192.168.56.101"},
		{"kernel says failed", func(f *Facts) {
			f.another("192.168.56.103", direct).Neighbour = hostnet.NeighbourFailed
		}, "neighbour", Fault, "does not answer", "arping"},
		{"not asked", func(f *Facts) { f.another("192.168.56.103", direct) }, "neighbour", Unknown, "was not asked", ""},
		{"kernel knows", func(f *Facts) {
			f.Servers = nil
			f.another("192.168.56.103", direct).Neighbour = hostnet.NeighbourUsable
		}, "neighbour", OK, "answers", ""},
		{"RIP twice", func(f *Facts) { f.Servers[0].Answers = [][6]byte{{2}, {4}} }, "neighbour", Fault, "2 machines answer ARP for it on eth1: 02:00:00:00:00:00, 04:", "ip addr del"},
		{"MTUs", func(f *Facts) { f.Links[1].MTU = 1400 }, "mtu", Warning, "MTU 1400, and eth0 has 1500", "ip link set eth1 mtu 1500"},
		{"narrow way", func(f *Facts) { f.Servers[0].Fits = 1400 }, "mtu", Fault, "of 1500 bytes do not arrive, of 1400 they do", "ip route replace 192.168.56.101/32 dev eth1 mtu 1400"},
		{"narrow router", func(f *Facts) { f.Servers[0].Fits, f.Servers[0].Way.NextHop = 1400, vip1 }, "mtu", Fault, "1400", "via 192.168.0.178 dev eth1 mtu 1400"},
		{"no ping", func(f *Facts) { f.Servers[0].Fits = 0 }, "mtu", OK, "MTU 1500 on 2 interfaces", ""},
		{"near client", func(f *Facts) {
			f.Census = []control.Census{{Proto: ipvs.TCP, Server: server1, Conns: 2, HalfOpen: 2, Near: 2, NearHalfOpen: 2, NearClient: netip.MustParseAddr("192.168.56.9")}}
		}, "near-client", Fault, "past the director (2 half-open)", "on 192.168.56.101: ip route replace 192.168.56.9/32 via 192.168.56.102"},
		{"server is a client", func(f *Facts) {
			f.another("192.168.56.103", direct)
			f.Census = []control.Census{{Proto: ipvs.TCP, Server: server1, Conns: 2, HalfOpen: 2, Near: 2, NearHalfOpen: 2, NearClient: netip.MustParseAddr("192.168.56.103")}}
		}, "hairpin", Fault, "a client of its own VIP: 192.168.56.101 answers it past the director", "-r 192.168.56.101:8088 --fullnat"},
		{"near client, answered", func(f *Facts) {
			f.Census = []control.Census{{Proto: ipvs.TCP, Server: server1, Conns: 9, HalfOpen: 1, Near: 2, NearHalfOpen: 1}}
		}, "near-client", OK, "none", ""},
		{"VIP among servers", func(f *Facts) { f.VIPs[0].Addr = netip.MustParseAddr("192.168.56.200") }, "near-client", Warning, "192.168.56.0/24", "another network"},
		{"gateway", func(f *Facts) { f.owes(accepted) }, "gateway", Fault, "3 half-open, no packet back, yet it answers the director itself", "ip route replace default via 192.168.56.102"},
		{"gateway, refused", func(f *Facts) { f.owes(refused) }, "gateway", Fault, "nothing listens there", "ss -ltn sport = :8088"},
		{"gateway, silent", func(f *Facts) { f.owes(silent) }, "gateway", Fault, "does not answer the director either", "firewall"},
		{"gateway, not tried", func(f *Facts) { f.owes("") }, "gateway", Fault, "or it is down", "via 192.168.56.102"},
		{"gateway beyond a router", func(f *Facts) { f.owes(accepted); f.Servers[0].Way.NextHop = vip1 }, "gateway", Fault, "default gateway", "make 192.168.0.178 and the routers behind it"},
		{"gateway since now", func(f *Facts) {
			f.owes(accepted)
			f.Services[0].Destinations[0].Stats.OutPkts = 7
			f.Services[0].Destinations[0].Rates = ipvs.Rates{InPPS: 3}
		}, "gateway", Fault, "no packet back", "via"},
		{"handshakes under way", func(f *Facts) {
			f.owes(accepted)
			f.Services[0].Destinations[0].Stats.OutPkts = 7
		}, "gateway", OK, "come back", ""},
		{"idle", func(f *Facts) { f.Services[0].Destinations[0].Stats = ipvs.Stats{} }, "gateway", Unknown, "nothing was forwarded", "ask"},
		{"socket overflows", func(f *Facts) {
			f.Counters = []Counter{count("link-eth0-received", 1000, 0), count("link-eth0-kernel-dropped", 11, 0)}
		}, "drops", Fault, "11 of 1000 frames lost", "natlb counters"},
		{"socket overflows now", func(f *Facts) {
			f.Counters = []Counter{count("link-eth0-received", 1000, 0), count("link-eth0-kernel-dropped", 1, 1)}
		}, "drops", Fault, "1 of them now", "natlb counters"},
		{"socket once full", func(f *Facts) {
			f.Counters = []Counter{count("link-eth0-received", 1000, 0), count("link-eth0-kernel-dropped", 10, 0)}
		}, "drops", Warning, "full once", "natlb counters"},
		{"refuses to send", func(f *Facts) { f.Counters = []Counter{count("link-eth1-send-failed", 3, 0)} }, "drops", Fault, "refuses to send", "ip -s link show eth1"},
		{"refused once", func(f *Facts) {
			f.Counters = []Counter{count("link-eth1-sent", 1000, 0), count("link-eth1-send-failed", 3, 0)}
		}, "drops", Warning, "has refused", "tc -s qdisc"},
		{"interface loses", func(f *Facts) { f.Links[0].Packets, f.Links[0].Lost, f.Links[0].Losing = 1e6, 3, 1 }, "drops", Warning, "3 frames, 1 of them now", "ethtool -S eth0"},
		{"dropping", func(f *Facts) { f.Counters = []Counter{count("drop-martian", 3, 2)} }, "verdicts", Warning, "2 frames", "docs/verdicts.md"},
		{"dropped", func(f *Facts) { f.Counters = []Counter{count("drop-martian", 3, 0)} }, "verdicts", OK, "none", ""},
		{"table full", func(f *Facts) { f.Director.Conns = 1000 }, "table", Fault, "full: 1000 of 1000", "--max-conns"},
		{"table refuses", func(f *Facts) { f.Counters = []Counter{count("drop-table-full", 3, 1)} }, "table", Fault, "full", "--max-conns"},
		{"table fills", func(f *Facts) { f.Director.Conns = 800 }, "table", Warning, "nearly full", "--max-conns"},
		{"memory short", func(f *Facts) { f.Memory.Available = 700 << 20 }, "memory", Warning, "700 MB of 8192 MB", "--max-conns"},
		{"memory out", func(f *Facts) { f.Memory.Available = 200 << 20 }, "memory", Fault, "200 MB", "--max-conns"},
		{"memory unknown", func(f *Facts) { f.Memory = Memory{} }, "memory", Unknown, "meminfo", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
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

// reachedBy makes the one server's forwarding method one that works.
func (f *Facts) reachedBy(m ipvs.ForwardMethod) {
	f.Director.Methods = []string{"masq", "route", "tunnel"}
	f.Services[0].Destinations[0].Method = m
}

// TestDirectServersOweNothing: what is not translated need not come back, and may
// have its VIP anywhere.
func TestDirectServersOweNothing(t *testing.T) {
	for _, m := range []ipvs.ForwardMethod{ipvs.Route, ipvs.Tunnel} {
		f := healthy()
		f.owes("")
		f.reachedBy(m)
		f.Census[0] = control.Census{Proto: ipvs.TCP, Server: server1, Conns: 5, HalfOpen: 2, Near: 2, NearHalfOpen: 2, NearClient: netip.MustParseAddr("192.168.56.9")}
		f.VIPs[0].Addr = netip.MustParseAddr("192.168.56.200")
		for _, x := range Examine(f) {
			if x.Level != OK && (x.Check == "gateway" || x.Check == "near-client") {
				t.Errorf("%v: %s: %s", m, x.Check, x.Text)
			}
		}
	}
}

// owes makes the one server owe answers, and says what came of a connection.
func (f *Facts) owes(result string) {
	f.Census = []control.Census{{Proto: ipvs.TCP, Server: server1, Conns: 3, HalfOpen: 3}}
	f.Services[0].Destinations[0].Stats = ipvs.Stats{Conns: 3, InPkts: 3}
	if result != "" {
		f.Servers[0].Connect = map[uint16]string{8088: result}
	}
}

// TestHealthy: where nothing is wrong there is nothing but ok, from every check
// that has something to look at.
func TestHealthy(t *testing.T) {
	silent := map[string]bool{"namespace": true, "rules-file": true, "ipv6": true, "arp-ignore": true, "direct": true}
	said := map[string]bool{}
	for _, x := range Examine(healthy()) {
		said[x.Check] = true
		if x.Level != OK || x.Cure != "" {
			t.Errorf("%v %s %s: %s (%s)", x.Level, x.Check, x.Subject, x.Text, x.Cure)
		}
	}
	for _, c := range Checks {
		if said[c.Name] == silent[c.Name] {
			t.Errorf("check %s has said something: %v", c.Name, said[c.Name])
		}
	}
}

// TestNothingKnown: no check falls over facts that are not there.
func TestNothingKnown(t *testing.T) {
	Examine(&Facts{})
	Examine(&Facts{Director: &Director{}, Links: []Link{{}}, Services: make([]ipvs.ServiceStatus, 1), VIPs: make([]VIP, 1), Servers: make([]Server, 1)})
}

// TestElsewhere: what could not be looked at is not judged.
func TestElsewhere(t *testing.T) {
	f := healthy()
	f.Elsewhere, f.Links[0].Exists = "not permitted", false
	for _, x := range Examine(f) {
		if x.Level == Fault && x.Check != "namespace" {
			t.Errorf("%s: %s", x.Check, x.Text)
		}
	}
}

// TestUnreachableServer: a server that is not there owes no answers, one fault
// is enough.
func TestUnreachableServer(t *testing.T) {
	f := healthy()
	f.owes(silent)
	f.Servers[0].Answers, f.Servers[0].Fits = nil, 0
	found := Examine(f)
	if n := Count(found, Fault); n != 1 {
		t.Errorf("%d faults, want 1: %v", n, found)
	}
}

// TestShort: many lines that say ok become few, and the worst come first.
func TestShort(t *testing.T) {
	f := healthy()
	for i := range 20 {
		addr := netip.AddrFrom4([4]byte{192, 168, 56, byte(110 + i)})
		f.another(addr.String(), Way{Kind: hostnet.Unicast, Link: "eth1", NextHop: addr, MTU: 1500})
	}
	f.Servers[20].Way = Way{}
	var got []Finding
	for _, x := range Examine(f) {
		if x.Check == "route" {
			got = append(got, x)
		}
	}
	if len(got) != 1+manyFine || got[0].Level != Fault || got[0].Subject != "192.168.56.129" || got[manyFine].Text != "and 17 more like these" {
		t.Errorf("route says %v", got)
	}
}
