package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is one line of a namespace's routing table.
type Route struct {
	To    netip.Prefix // the zero Prefix is the default route
	Via   netip.Addr   // the router; its link is the one its address is on
	Table int          // 0 is the main table
}

// Rule sends what comes from an address through a routing table of its own, as
// `ip rule add from ADDRESS table N`.
type Rule struct {
	From  netip.Addr
	Table int
}

// AddAddr puts an address on an interface. One of IPv6 is there at once: nobody is
// asked whether it is free.
func (n *Namespace) AddAddr(link string, address netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(address)}
	if address.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return n.withLink(link, func(l netlink.Link) error { return netlink.AddrAdd(l, a) })
}

// DelAddr takes an address off an interface.
func (n *Namespace) DelAddr(link string, address netip.Prefix) error {
	return n.withLink(link, func(l netlink.Link) error {
		return netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(address)})
	})
}

// SetUp brings an interface up or takes it down. With the link go its routes.
func (n *Namespace) SetUp(link string, up bool) error {
	return n.withLink(link, func(l netlink.Link) error {
		if up {
			return netlink.LinkSetUp(l)
		}
		return netlink.LinkSetDown(l)
	})
}

// SetMTU changes an interface's MTU, in bytes.
func (n *Namespace) SetMTU(link string, mtu int) error {
	return n.withLink(link, func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) })
}

// DelLink removes an interface; a veth's other end goes with it.
func (n *Namespace) DelLink(link string) error {
	return n.withLink(link, netlink.LinkDel)
}

// HardwareAddr is the interface's Ethernet address.
func (n *Namespace) HardwareAddr(link string) (net.HardwareAddr, error) {
	var mac net.HardwareAddr
	err := n.withLink(link, func(l netlink.Link) error {
		mac = l.Attrs().HardwareAddr
		return nil
	})
	return mac, err
}

// AddRoute adds a route.
func (n *Namespace) AddRoute(r Route) error {
	route := &netlink.Route{Gw: r.Via.AsSlice(), Table: r.Table}
	if r.To.IsValid() {
		route.Dst = ipNet(r.To)
	}
	return n.Do(func() error {
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("lab: %s: route %v via %v: %w", n.name, r.To, r.Via, err)
		}
		return nil
	})
}

// AddRule adds a policy routing rule.
func (n *Namespace) AddRule(r Rule) error { return n.rule(netlink.RuleAdd, r) }

// DelRule removes a policy routing rule.
func (n *Namespace) DelRule(r Rule) error { return n.rule(netlink.RuleDel, r) }

func (n *Namespace) rule(change func(*netlink.Rule) error, r Rule) error {
	rule := netlink.NewRule()
	rule.Src = ipNet(netip.PrefixFrom(r.From, r.From.BitLen()))
	rule.Table = r.Table
	return n.Do(func() error {
		if err := change(rule); err != nil {
			return fmt.Errorf("lab: %s: rule from %v table %d: %w", n.name, r.From, r.Table, err)
		}
		return nil
	})
}

// addBridge makes a bridge and brings it up.
func (n *Namespace) addBridge(name string) error {
	err := n.Do(func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: linkAttrs(name, 0)})
	})
	if err != nil {
		return fmt.Errorf("lab: %s: bridge %s: %w", n.name, name, err)
	}
	return n.SetUp(name, true)
}

// plug makes an interface a port of a bridge.
func (n *Namespace) plug(link, bridge string) error {
	return n.withLink(link, func(l netlink.Link) error {
		b, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(l, b)
	})
}

// addCable lays a veth pair between two namespaces, both ends still down.
// mtu 0 is the device's own 1500 bytes.
func addCable(a *Namespace, aLink string, aMTU int, b *Namespace, bLink string, bMTU int) error {
	veth := netlink.NewVeth(linkAttrs(aLink, aMTU))
	veth.PeerName = bLink
	veth.PeerMTU = uint32(bMTU)
	err := a.Do(func() error {
		return b.withHandle(func(fd int) error {
			veth.PeerNamespace = netlink.NsFd(fd)
			return netlink.LinkAdd(veth)
		})
	})
	if err != nil {
		return fmt.Errorf("lab: cable %s/%s to %s/%s: %w", a.name, aLink, b.name, bLink, err)
	}
	return nil
}

// withLink runs f inside the namespace on the interface of that name.
func (n *Namespace) withLink(link string, f func(netlink.Link) error) error {
	err := n.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		return f(l)
	})
	if err != nil {
		return fmt.Errorf("lab: %s: link %s: %w", n.name, link, err)
	}
	return nil
}

func linkAttrs(name string, mtu int) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	return attrs
}

// ipNet is p as the type that the netlink package takes, host bits kept.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
