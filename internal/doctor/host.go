package doctor

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"natlb/internal/hostnet"
)

// readView takes one look at routes and neighbours.
func readView() (*hostnet.View, error) {
	h, err := hostnet.Open(hostnet.Config{})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.View(), nil
}

// readLinks fills in what the kernel says of the director's interfaces.
func (f *Facts) readLinks() {
	all, err := netlink.LinkList()
	if err != nil {
		return // every interface is then reported as missing
	}
	names := map[int]string{}
	var there []string
	for _, l := range all {
		names[l.Attrs().Index] = l.Attrs().Name
		if l.Attrs().RawFlags&unix.IFF_LOOPBACK == 0 {
			there = append(there, l.Attrs().Name)
		}
	}
	for i := range f.Links {
		f.Links[i].Others = there
		for _, l := range all {
			if l.Attrs().Name == f.Links[i].Name {
				f.Links[i].read(l, names)
			}
		}
	}
}

func (l *Link) read(dumped netlink.Link, names map[int]string) {
	a := dumped.Attrs()
	l.Exists, l.Others = true, nil
	l.Type, l.Kind, l.MTU = a.EncapType, dumped.Type(), a.MTU
	l.Master = names[a.MasterIndex]
	l.Up = a.RawFlags&unix.IFF_UP != 0
	l.Carrier = a.RawFlags&unix.IFF_LOWER_UP != 0
	l.Packets, l.Lost = losses(a.Statistics)
	addrs, err := netlink.AddrList(dumped, netlink.FAMILY_ALL)
	if err == nil {
		for i := range addrs {
			l.readAddr(&addrs[i])
		}
	}
	l.Six.Disabled, l.Six.Forward, l.Six.MTU = conf6(l.Name, "disable_ipv6") != 0, conf6(l.Name, "forwarding") != 0, conf6(l.Name, "mtu")
	l.Forward = conf(l.Name, "forwarding") != 0
	l.RPFilter = max(conf("all", "rp_filter"), conf(l.Name, "rp_filter"))
	l.ARPIgnore = max(conf("all", "arp_ignore"), conf(l.Name, "arp_ignore"))
	l.Offloads = offloads(l.Name)
}

// readAddr notes one address of the link.
func (l *Link) readAddr(a *netlink.Addr) {
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return
	}
	ip = ip.Unmap()
	switch {
	case a.Flags&unix.IFA_F_DADFAILED != 0:
		l.Six.Duplicate = append(l.Six.Duplicate, ip)
	case a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0:
		l.Six.Tentative = append(l.Six.Tentative, ip)
	}
	if ip.Is6() && ip.IsLinkLocalUnicast() {
		l.Six.LinkLocal = ip
		return
	}
	bits, _ := a.Mask.Size()
	l.Addrs = append(l.Addrs, netip.PrefixFrom(ip, bits))
}

// conf reads net.ipv4.conf.LINK.NAME of the calling thread's namespace, 0 when
// it cannot be read.
func conf(link, name string) int { return confOf("ipv4", link, name) }

// conf6 does so for net.ipv6.conf.
func conf6(link, name string) int { return confOf("ipv6", link, name) }

func confOf(family, link, name string) int {
	b, err := os.ReadFile("/proc/sys/net/" + family + "/conf/" + link + "/" + name)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// offloads reads the switches of ethtool -k, nil when the driver does not tell.
func offloads(link string) map[string]bool {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return nil
	}
	defer tool.Close()
	features, err := tool.Features(link)
	if err != nil || len(features) == 0 {
		return nil
	}
	return features
}

// losses returns the frames of an interface and how many of them were lost. What
// the kernel has no use for (rx_dropped: LLDP, IPv6 where it is off) is no loss.
func losses(s *netlink.LinkStatistics) (packets, lost uint64) {
	if s == nil {
		return 0, 0
	}
	return s.RxPackets + s.TxPackets, s.RxErrors + s.RxMissedErrors + s.RxOverErrors + s.TxErrors + s.TxDropped
}

// readLosses reads the interfaces' counters again.
func (f *Facts) readLosses() {
	for i := range f.Links {
		l := &f.Links[i]
		dumped, err := netlink.LinkByName(l.Name)
		if err != nil || !l.Exists {
			continue
		}
		packets, lost := losses(dumped.Attrs().Statistics)
		if lost > l.Lost {
			l.Losing = lost - l.Lost
		}
		l.Packets, l.Lost = packets, lost
	}
}

// placeVIPs finds out whose the VIPs are as far as this host knows.
func (f *Facts) placeVIPs(view *hostnet.View) {
	seen := map[netip.Addr]bool{}
	add := func(vip netip.Addr) {
		if vip.IsValid() && !seen[vip] {
			seen[vip] = true
			f.VIPs = append(f.VIPs, VIP{Addr: vip, Local: localLink(view, vip)})
		}
	}
	for i := range f.Services {
		if key := f.Services[i].Key; !key.IsMark() {
			add(key.VIP.Addr())
		}
	}
	if f.Director != nil {
		for _, vip := range f.Director.MarkedVIPs {
			add(vip)
		}
	}
	for i := range f.VIPs {
		v := &f.VIPs[i]
		v.OnNet = slices.ContainsFunc(f.Links, func(l Link) bool { return l.VIP && contains(l.Addrs, v.Addr) })
	}
}

// localLink returns the interface whose address vip is; lo for addresses that
// only a route of type local makes the host's own; empty for all others.
func localLink(view *hostnet.View, vip netip.Addr) string {
	if !view.IsLocal(vip) {
		return ""
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err == nil {
		for _, a := range all {
			if ip, _ := netip.AddrFromSlice(a.IP); ip.Unmap() == vip {
				if l, ok := view.Link(a.LinkIndex); ok {
					return l.Name
				}
			}
		}
	}
	return "lo"
}

// somewhere and somewhere6 are addresses that no network has (RFC 1112 section 4, class
// E; the part of 2000::/3 that nobody has been given): the way there is the default
// route.
var (
	somewhere  = netip.AddrFrom4([4]byte{240, 0, 0, 1})
	somewhere6 = netip.MustParseAddr("3ffe:ffff:ffff:ffff::1")
)

// placeServers finds the way to every real server, and back to clients.
func (f *Facts) placeServers(view *hostnet.View) {
	f.Clients, f.Clients6 = wayTo(view, somewhere), wayTo(view, somewhere6)
	for i := range f.Services {
		for j := range f.Services[i].Destinations {
			rip := f.Services[i].Destinations[j].Addr.Addr()
			if f.server(rip) == nil {
				f.Servers = append(f.Servers, Server{RIP: rip, Way: wayTo(view, rip)})
			}
		}
	}
}

func wayTo(view *hostnet.View, dst netip.Addr) Way {
	r := view.Route(dst)
	w := Way{Kind: r.Kind, NextHop: r.NextHop, MTU: r.MTU}
	if l, ok := view.Link(r.Link); ok {
		w.Link = l.Name
	} else if r.Kind == hostnet.Unicast {
		w.Link = fmt.Sprintf("interface %d", r.Link)
	}
	return w
}

// readNeighbours notes what the kernel knows of the servers' next hops.
func (f *Facts) readNeighbours(view *hostnet.View) {
	for i := range f.Servers {
		s := &f.Servers[i]
		if l, ok := view.LinkByName(s.Way.Link); ok {
			s.Neighbour = view.Neighbour(l.Index, s.Way.NextHop).State
		}
	}
}
