package hostnet

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a network interface at the time of a [View]. It is a plain value.
type Link struct {
	Index       int     // interface index, positive
	Name        string  // interface name, such as eth0
	MTU         int     // bytes of the largest IP packet
	MAC         [6]byte // Ethernet address; zero on links that have none
	Up          bool    // administratively up and with carrier
	Forwarding  bool    // net.ipv4.conf.NAME.forwarding: the kernel forwards IPv4 that arrives here
	Forwarding6 bool    // net.ipv6.conf.NAME.forwarding: the same of IPv6
	Kind        string  // "device" for hardware, else the driver's kind: veth, bridge, bond, vlan ...
}

// newLink takes from a dumped link what natlb needs.
func newLink(l netlink.Link) Link {
	const up = unix.IFF_UP | unix.IFF_LOWER_UP
	a := l.Attrs()
	link := Link{
		Index: a.Index,
		Name:  a.Name,
		MTU:   a.MTU,
		Up:    a.RawFlags&up == up,
		Kind:  l.Type(),
	}
	if len(a.HardwareAddr) == len(link.MAC) {
		copy(link.MAC[:], a.HardwareAddr)
	}
	return link
}

// dumpLinks asks for all links and their forwarding switches.
func (c *client) dumpLinks() ([]Link, error) {
	forwarding, err := c.dumpForwarding(unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("dump forwarding switches: %w", err)
	}
	forwarding6, err := c.dumpForwarding(unix.AF_INET6)
	if err != nil {
		return nil, fmt.Errorf("dump forwarding switches of IPv6: %w", err)
	}
	dumped, err := c.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("dump links: %w", err)
	}
	links := make([]Link, len(dumped))
	for i, l := range dumped {
		links[i] = newLink(l)
		links[i].Forwarding, links[i].Forwarding6 = forwarding[links[i].Index], forwarding6[links[i].Index]
	}
	return links, nil
}
