package doctor

import (
	"fmt"
	"net/netip"

	"natlb/internal/control"
	"natlb/ipvs"
)

// checkDirect looks at servers that answer clients themselves (-g and -i): they
// must have the VIP, which nothing that passes the director shows. What it sees is
// whether handshakes come to an end.
func checkDirect(f *Facts, r *report) {
	f.tcpServers(func(d *ipvs.DestinationStatus, c control.Census) {
		if d.Method != ipvs.Route && d.Method != ipvs.Tunnel {
			return
		}
		subject := d.Addr.String()
		if c.Conns == 0 || 2*c.HalfOpen <= c.Conns {
			r.ok(subject, "%s of %s half-open", fmt.Sprint(c.HalfOpen), counted(c.Conns, "connection"))
			return
		}
		vip, rip := f.vipOf(d), d.Addr.Addr()
		port := fmt.Sprintf("; ss -ltn sport = :%d", d.Addr.Port())
		cure := fmt.Sprintf("on %s: ip addr add %s dev lo%s%s", rip, vip.alone(), quietVIP(vip.v6), port)
		if d.Method == ipvs.Tunnel {
			cure = fmt.Sprintf("on %s: %s; ip addr add %s dev lo%s%s", rip, farEnd(rip, vip.v6, d.Tunnel), vip.alone(), looseFilter(vip.v6), port)
		}
		r.fault(subject, cure, "%d of %s half-open: it does not have the VIP %s, its answers do not reach the clients, or nothing listens there",
			c.HalfOpen, counted(c.Conns, "connection"), vip)
	})
}

// vipName is a VIP in a cure.
type vipName struct {
	addr netip.Addr // invalid: of a firewall mark, any
	v6   bool
}

// String returns the address; "VIP" stands for that of a firewall mark.
func (v vipName) String() string {
	if v.addr.IsValid() {
		return v.addr.String()
	}
	return "VIP"
}

// alone is [alone] for the VIP.
func (v vipName) alone() string {
	switch {
	case v.addr.IsValid():
		return alone(v.addr)
	case v.v6:
		return "VIP/128"
	}
	return "VIP/32"
}

// vipOf returns a VIP whose service has the server with that method.
func (f *Facts) vipOf(server *ipvs.DestinationStatus) (v vipName) {
	v.v6 = server.Addr.Addr().Is6()
	for i := range f.Services {
		s := &f.Services[i]
		for j := range s.Destinations {
			if d := &s.Destinations[j]; d.Addr != server.Addr || d.Method != server.Method {
				continue
			}
			if v.v6 = s.Key.Is6(); !s.Key.IsMark() {
				return vipName{s.Key.VIP.Addr(), v.v6}
			}
		}
	}
	return v
}

// quietVIP returns what keeps a server from telling its neighbours that the VIP is
// its own. For an address of lo the kernel answers no neighbour discovery elsewhere.
func quietVIP(v6 bool) string {
	if v6 {
		return ""
	}
	return "; sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
}

// looseFilter returns what lets packets out of a tunnel in, whose way back is another.
func looseFilter(v6 bool) string {
	if v6 {
		return ""
	}
	return "; sysctl -w net.ipv4.conf.all.rp_filter=0"
}

// farEnd returns the commands that make the other end of a tunnel on Linux, for
// packets of IPv6 or IPv4 inside.
func farEnd(rip netip.Addr, inner6 bool, o ipvs.TunnelOptions) string {
	// What ip link calls the tunnels of either family, and the far end that any sender is.
	ipip, gre, remote, fou := "ipip", "gre", "any", "ip fou add port"
	switch {
	case rip.Is6() && inner6:
		ipip, gre, remote, fou = "ip6tnl mode ip6ip6", "ip6gre", "::", "ip -6 fou add port"
	case rip.Is6():
		ipip, gre, remote, fou = "ip6tnl mode ipip6", "ip6gre", "::", "ip -6 fou add port"
	case inner6:
		ipip = "sit"
	}
	link := func(kind, more string) string {
		return fmt.Sprintf("ip link add natlb0 type %s local %s remote %s%s; ip link set natlb0 up", kind, rip, remote, more)
	}
	switch {
	case o.Type == ipvs.TunnelGUE:
		return fmt.Sprintf("modprobe fou; %s %d gue; %s", fou, o.Port, link(ipip, ""))
	case o.Type == ipvs.TunnelGRE && o.Checksum != ipvs.TunnelNoChecksum:
		return link(gre, " icsum")
	case o.Type == ipvs.TunnelGRE:
		return link(gre, "")
	}
	return link(ipip, "")
}

// checkLocalServer looks at a server that is an address of the director: what
// reaches it is not translated, and goes to a VIP that the host has.
func checkLocalServer(f *Facts, s *Server, r *report) {
	for i := range f.Services {
		key := f.Services[i].Key
		for j := range f.Services[i].Destinations {
			d := &f.Services[i].Destinations[j]
			words := serviceWords(key)
			switch {
			case d.Addr.Addr() != s.RIP:
			case d.Method == ipvs.Masq, d.Method == ipvs.FullNAT:
				r.fault(s.RIP.String(), fmt.Sprintf("natlb -e %s -r %s -g, with the program on the VIP's own port", words, d.Addr),
					"is an address of the director itself, which cannot be reached with -m")
			case !key.IsMark() && !f.local(key.VIP.Addr()):
				r.fault(s.RIP.String(), fmt.Sprintf("ip addr add %s dev lo, or move the server to another machine", alone(key.VIP.Addr())),
					"is an address of the director itself, and the host does not have the VIP %s", key.VIP.Addr())
			default:
				r.ok(s.RIP.String(), "is this machine")
			}
		}
	}
}

// local reports whether a VIP is an address of the host.
func (f *Facts) local(vip netip.Addr) bool {
	for i := range f.VIPs {
		if f.VIPs[i].Addr == vip {
			return f.VIPs[i].Local != ""
		}
	}
	return false
}
