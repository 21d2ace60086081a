package doctor

import (
	"fmt"
	"strings"
)

func checkVIP(f *Facts, r *report) {
	for i := range f.VIPs {
		v := &f.VIPs[i]
		subject := v.Addr.String()
		for _, o := range v.Owners {
			r.fault(subject, fmt.Sprintf("on that machine: ip addr del %s/32 dev IF, or the prefix length that it shows", v.Addr),
				"another machine answers ARP for it on %s: %s", o.Link, mac(o.MAC))
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
		if !v.Asked {
			r.unknown(subject, "", "%s; nobody was asked by ARP", text)
			continue
		}
		r.ok(subject, "%s; no other machine answers for it", text)
	}
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
// and notes on direct routing tell people to make the kernel silent.
func checkARPIgnore(f *Facts, r *report) {
	for i := range f.VIPs {
		v := &f.VIPs[i]
		if v.Local == "" {
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
