package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"natlb/ipvs"
)

func checkVIP(f *Facts, r *report) {
	for i := range f.VIPs {
		v := &f.VIPs[i]
		subject := v.Addr.String()
		for _, o := range v.Owners {
			cure := fmt.Sprintf("on that machine: ip addr del %s dev IF, or the prefix length that it shows", alone(v.Addr))
			if s := f.directAt(o.MAC, v.Addr); s != nil {
				cure = fmt.Sprintf("on %s, which has the VIP for -g or -i and must keep it to itself: ip addr del %s dev IF; ip addr add %s dev lo%s",
					s.RIP, alone(v.Addr), alone(v.Addr), quietVIP(v.Addr.Is6()))
			}
			r.fault(subject, cure, "another machine answers %s for it on %s: %s", resolution(v.Addr), o.Link, mac(o.MAC))
		}
		if len(v.Owners) > 0 {
			continue
		}
		text := "natlb's own"
		if v.Local != "" {
			text = "address of this host, on " + v.Local
		} else if !v.OnNet {
			text += ", in no connected network: a router has to send it here"
		}
		if l := f.deafTo(v); l != "" {
			r.fault(subject, fmt.Sprintf("ip addr add %s dev %s nodad", alone(v.Addr), l),
				"is on %s: the kernel answers neighbour discovery for it there alone, and nobody does on %s", v.Local, l)
			continue
		}
		if !v.Asked {
			r.unknown(subject, "", "%s; nobody was asked by %s", text, resolution(v.Addr))
			continue
		}
		r.ok(subject, "%s; no other machine answers for it", text)
	}
}

// directAt returns the real server with that MAC address that is to have the VIP, nil
// when there is none.
func (f *Facts) directAt(mac [6]byte, vip netip.Addr) *Server {
	for i := range f.Servers {
		s := &f.Servers[i]
		direct := f.reaches(s.RIP, ipvs.Route) || f.reaches(s.RIP, ipvs.Tunnel)
		if direct && slices.Contains(s.Answers, mac) && s.Way.NextHop == s.RIP {
			return s
		}
	}
	return nil
}

// deafTo returns a link of the VIP side in whose network a VIP of IPv6 is that the host
// has on another interface; empty when there is none.
func (f *Facts) deafTo(v *VIP) string {
	if !v.Addr.Is6() || v.Local == "" {
		return ""
	}
	for i := range f.Links {
		if l := &f.Links[i]; l.VIP && l.Name != v.Local && contains(l.Addrs, v.Addr) {
			return l.Name
		}
	}
	return ""
}

func mac(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// macs joins MAC addresses for a line.
func macs(all [][6]byte) string {
	words := make([]string, len(all))
	for i, m := range all {
		words[i] = mac(m)
	}
	return strings.Join(words, ", ")
}

// checkARPIgnore: for a VIP that is the host's, natlb leaves ARP to the kernel,
// and notes on direct routing tell people to make the kernel silent. IPv6 has no such
// setting.
func checkARPIgnore(f *Facts, r *report) {
	for i := range f.VIPs {
		v := &f.VIPs[i]
		if v.Local == "" || v.Addr.Is6() {
			continue
		}
		for j := range f.Links {
			l := &f.Links[j]
			if !l.VIP || !l.Exists {
				continue
			}
			switch {
			case l.ARPIgnore == 8, l.ARPIgnore == 3, (l.ARPIgnore == 1 || l.ARPIgnore == 2) && v.Local != l.Name:
				r.fault(v.Addr.String(), fmt.Sprintf("sysctl -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.%s.arp_ignore=0", l.Name),
					"is on %s, and arp_ignore is %d: nobody answers ARP for it on %s", v.Local, l.ARPIgnore, l.Name)
			default:
				r.ok(v.Addr.String(), "the kernel answers ARP for it on %s", l.Name)
			}
		}
	}
}
