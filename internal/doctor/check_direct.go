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
		vip, rip := f.vipOf(d.Addr), d.Addr.Addr()
		cure := fmt.Sprintf("on %s: ip addr add %s/32 dev lo; sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2; ss -ltn sport = :%d", rip, vip, d.Addr.Port())
		if d.Method == ipvs.Tunnel {
			cure = fmt.Sprintf("on %s: %s; ip addr add %s/32 dev lo; sysctl -w net.ipv4.conf.all.rp_filter=0; ss -ltn sport = :%d", rip, farEnd(rip, d.Tunnel), vip, d.Addr.Port())
		}
		r.fault(subject, cure, "%d of %s half-open: it does not have the VIP %s, its answers do not reach the clients, or nothing listens there",
			c.HalfOpen, counted(c.Conns, "connection"), vip)
	})
}

// vipOf returns a VIP whose service has the server; "VIP" stands for that of marks.
func (f *Facts) vipOf(server netip.AddrPort) string {
	for i := range f.Services {
		s := &f.Services[i]
		for j := range s.Destinations {
			if s.Destinations[j].Addr == server && !s.Key.IsMark() {
				return s.Key.VIP.Addr().String()
			}
		}
	}
	return "VIP"
}

// farEnd returns the commands that make the other end of a tunnel on Linux.
func farEnd(rip netip.Addr, o ipvs.TunnelOptions) string {
	switch {
	case o.Type == ipvs.TunnelGUE:
		return fmt.Sprintf("modprobe fou; ip fou add port %d gue; ip link add natlb0 type ipip local %s remote any; ip link set natlb0 up", o.Port, rip)
	case o.Type == ipvs.TunnelGRE && o.Checksum != ipvs.TunnelNoChecksum:
		return fmt.Sprintf("ip link add natlb0 type gre local %s remote any icsum; ip link set natlb0 up", rip)
	case o.Type == ipvs.TunnelGRE:
		return fmt.Sprintf("ip link add natlb0 type gre local %s remote any; ip link set natlb0 up", rip)
	}
	return fmt.Sprintf("ip link add natlb0 type ipip local %s remote any; ip link set natlb0 up", rip)
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
			case d.Method == ipvs.Masq:
				r.fault(s.RIP.String(), fmt.Sprintf("natlb -e %s -r %s -g, with the program on the VIP's own port", words, d.Addr),
					"is an address of the director itself, which cannot be reached with -m")
			case !key.IsMark() && !f.local(key.VIP.Addr()):
				r.fault(s.RIP.String(), fmt.Sprintf("ip addr add %s/32 dev lo, or move the server to another machine", key.VIP.Addr()),
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
