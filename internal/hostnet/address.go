package hostnet

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// address is one IP address of the host.
type address struct {
	link      int
	local     netip.Prefix // the host's own address, with the length of its subnet
	peer      netip.Prefix // the other end of a point-to-point address, else the zero Prefix
	scope     int          // RT_SCOPE_*
	secondary bool         // not the first of its subnet, or not to be used as a source
}

// subnet is what is reached directly because of the address.
func (a *address) subnet() netip.Prefix {
	if a.peer.IsValid() {
		return a.peer
	}
	return a.local
}

// dumpAddresses asks for all addresses of both families, in the kernel's order.
func (c *client) dumpAddresses() ([]address, error) {
	dumped, err := c.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("dump addresses: %w", err)
	}
	const poorSource = unix.IFA_F_SECONDARY | unix.IFA_F_TENTATIVE | unix.IFA_F_DEPRECATED
	addrs := make([]address, 0, len(dumped))
	for i := range dumped {
		d := &dumped[i]
		local := prefixOf(d.IPNet)
		if !local.IsValid() {
			continue
		}
		addrs = append(addrs, address{
			link:      d.LinkIndex,
			local:     local,
			peer:      prefixOf(d.Peer),
			scope:     d.Scope,
			secondary: d.Flags&poorSource != 0,
		})
	}
	return addrs, nil
}

// selectSource picks the address that a packet through link to nextHop carries
// when its route names none: the primary one in nextHop's subnet, else the
// link's first primary one, else the first of any other link (the rule of the
// kernel's inet_select_addr; wider scopes than the route's are not used).
func selectSource(addrs []address, link, scope int, nextHop netip.Addr, v4 bool) netip.Addr {
	var onLink, elsewhere netip.Addr
	for i := range addrs {
		a := &addrs[i]
		ip := a.local.Addr()
		if a.secondary || ip.Is4() != v4 || a.scope > scope {
			continue
		}
		switch {
		case a.link == link && nextHop.IsValid() && a.subnet().Contains(nextHop):
			return ip
		case a.link == link && !onLink.IsValid():
			onLink = ip
		case a.link != link && a.scope < unix.RT_SCOPE_LINK && !elsewhere.IsValid():
			elsewhere = ip
		}
	}
	if onLink.IsValid() {
		return onLink
	}
	return elsewhere
}
