package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"natlb/ipvs"
)

func checkInterface(f *Facts, r *report) {
	if len(f.Links) == 0 {
		r.unknown("", "natlb doctor --vip-if IF --dip-if IF", "no director has told which, and none was named")
	}
	for i := range f.Links {
		checkLink(f, &f.Links[i], r)
	}
}

func checkLink(f *Facts, l *Link, r *report) {
	switch {
	case !l.Exists && f.Director != nil:
		r.fault(l.Name, "bring it back (the director takes it up again), or restart the director with another",
			"is gone; there are: %s", strings.Join(l.Others, ", "))
	case !l.Exists:
		r.fault(l.Name, "name another one", "does not exist; there are: %s", strings.Join(l.Others, ", "))
	case l.Type != "ether":
		r.fault(l.Name, "name an interface with Ethernet headers", "is not Ethernet (%s)", l.Type)
	case l.Master != "":
		r.fault(l.Name, strings.ReplaceAll("natlb run "+f.sides(), " "+l.Name, " "+l.Master),
			"belongs to %s, which has the addresses and routes", l.Master)
	case !l.Up:
		r.fault(l.Name, "ip link set "+l.Name+" up", "is down")
	case !l.Carrier:
		r.fault(l.Name, "plug in the cable, or bring up the other end", "is up and has no carrier")
	case l.DIP && len(f.Servers) == 0 && len(l.Addrs) == 0:
		r.fault(l.Name, "ip addr add DIP/24 dev "+l.Name, "has no address: the real servers have no gateway")
	case f.misses(l, false):
		r.fault(l.Name, "ip addr add DIP/24 dev "+l.Name, "has no IPv4 address: the real servers have no gateway")
	case f.misses(l, true):
		r.warn(l.Name, "ip addr add DIP/64 dev "+l.Name, "has no global IPv6 address: the real servers have %s as gateway, and errors to them have no source", cmp.Or(addrText(l.Six.LinkLocal), "none"))
	default:
		addrs := make([]string, len(l.Addrs))
		for i, p := range l.Addrs {
			addrs[i] = p.String()
		}
		r.ok(l.Name, "%s side, up, MTU %d, %s", l.side(), l.MTU, cmp.Or(strings.Join(addrs, " "), "no address"))
	}
}

// addrText returns an address as text, empty for none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (l *Link) side() string {
	switch {
	case l.VIP && l.DIP:
		return "VIP and DIP"
	case l.VIP:
		return "VIP"
	}
	return "DIP"
}

// checkOffload says what each offload that is off costs. One is a fault when it
// is on: what LRO joins cannot be taken apart again.
func checkOffload(f *Facts, r *report) {
	for i := range f.Links {
		l := &f.Links[i]
		if !l.Exists {
			continue
		}
		if l.Offloads == nil {
			r.unknown(l.Name, "", "its offloads cannot be read")
			continue
		}
		if l.Offloads["rx-lro"] {
			r.fault(l.Name, "ethtool -K "+l.Name+" lro off", "LRO is on: what it joins cannot be sent on, such frames are dropped")
		}
		checkSlowOffload(l, r)
		if l.Kind == "veth" && slices.ContainsFunc(f.Services, func(s ipvs.ServiceStatus) bool { return s.Key.Proto == ipvs.SCTP }) {
			r.unknown(l.Name, "at the other end: ethtool -K IF tx-sctp-segmentation off",
				"whether its other end sends SCTP in super-packets, which are lost, cannot be seen from here")
		}
	}
}

func checkSlowOffload(l *Link, r *report) {
	o := l.Offloads
	var off, costs []string
	if !o["tx-checksum-ip-generic"] && !o["tx-checksum-ipv4"] {
		off, costs = append(off, "tx"), append(costs, "checksums are made by the processor")
	}
	if !o["tx-tcp-segmentation"] {
		off, costs = append(off, "tso"), append(costs, "super-packets are cut by the processor")
	}
	// A veth hands over what its other end sent, super-packets whole: there is
	// nothing to join.
	if !o["rx-gro"] && l.Kind == "device" {
		off, costs = append(off, "gro"), append(costs, "each segment is handled alone, bulk TCP runs at about half speed")
	}
	if len(off) == 0 {
		r.ok(l.Name, "checksums and segmentation are left to the card")
		return
	}
	r.warn(l.Name, fmt.Sprintf("ethtool -K %s %s on", l.Name, strings.Join(off, " on ")),
		"off: %s (%s)", strings.Join(off, ", "), strings.Join(costs, "; "))
}

// checkMTU compares the two sides, and what reaches the servers with what is
// sent to them.
func checkMTU(f *Facts, r *report) {
	smallest, greatest := mtuRange(f.Links)
	if smallest != nil && smallest.MTU != greatest.MTU {
		r.warn(smallest.Name, fmt.Sprintf("ip link set %s mtu %d, if everything on that network can; else nothing", smallest.Name, greatest.MTU),
			"MTU %d, and %s has %d: longer packets are answered with frag-needed, or cut", smallest.MTU, greatest.Name, greatest.MTU)
	} else if smallest != nil {
		r.ok("", "MTU %d on %s", smallest.MTU, counted(existing(f.Links), "interface"))
	}
	fit := 0
	for i := range f.Servers {
		s := &f.Servers[i]
		switch {
		case s.Fits == 0: // does not answer pings: nothing is known
		case s.RIP.Is6() && s.Fits < leastMTU6:
			r.fault(s.RIP.String(), "every link and tunnel on the way must take 1280 bytes: ip link set IF mtu 1280 there",
				"packets of %d bytes do not arrive, of %d they do: IPv6 needs 1280 on every link", min(s.Way.MTU, leastMTU6), s.Fits)
		case s.Fits < s.Way.MTU:
			r.fault(s.RIP.String(), fmt.Sprintf("ip route replace %s %s mtu %d", alone(s.RIP), hop(s), s.Fits),
				"packets of %d bytes do not arrive, of %d they do: a smaller MTU on the way", s.Way.MTU, s.Fits)
		default:
			fit++
		}
	}
	if fit > 0 {
		r.ok("", "packets of full size reach %s", counted(fit, "real server"))
	}
}

// hop returns how a server is reached, as ip route takes it.
func hop(s *Server) string {
	if s.Way.NextHop.IsValid() && s.Way.NextHop != s.RIP {
		return fmt.Sprintf("via %s dev %s", s.Way.NextHop, s.Way.Link)
	}
	return "dev " + s.Way.Link
}

func mtuRange(links []Link) (smallest, greatest *Link) {
	for i := range links {
		l := &links[i]
		if !l.Exists {
			continue
		}
		if smallest == nil || l.MTU < smallest.MTU {
			smallest = l
		}
		if greatest == nil || l.MTU > greatest.MTU {
			greatest = l
		}
	}
	return smallest, greatest
}

func existing(links []Link) (n int) {
	for i := range links {
		if links[i].Exists {
			n++
		}
	}
	return n
}

// forwards returns the names of the links on which the kernel forwards packets of a
// family.
func (f *Facts) forwards(v6 bool) (names []string) {
	for i := range f.Links {
		if l := &f.Links[i]; !v6 && l.Forward || v6 && l.Six.Forward {
			names = append(names, f.Links[i].Name)
		}
	}
	slices.Sort(names)
	return names
}
