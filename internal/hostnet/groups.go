package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Groups keeps the host a member of the groups in which its neighbours ask for
// VIPs of IPv6 (solicited-node addresses, RFC 4291 section 2.7.1). For addresses of
// its own the kernel does that by itself; for one that natlb owns nobody would,
// and a network card or a switch that listens to MLD would keep the questions from
// the packet sockets. Being a member the kernel says so, and says no more: it answers
// for its own addresses only. Any goroutine may call its methods.
type Groups struct {
	ns  *namespace
	err error // why there is no ns

	mu      sync.Mutex
	sockets []*groupSocket
	members map[membership]*groupSocket
}

// membership is one group on one link.
type membership struct {
	link  int
	group netip.Addr
}

// groupSocket holds memberships. The kernel bounds those of one socket by its
// memory for options (net.core.optmem_max).
type groupSocket struct{ fd, groups int }

const groupsPerSocket = 64

// NewGroups returns memberships, none so far, in the network namespace of the
// calling thread. The caller must Close them.
func NewGroups() *Groups {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ns, err := threadNamespace()
	return &Groups{ns: ns, err: err, members: make(map[membership]*groupSocket)}
}

// solicitedNode returns the group in which neighbours ask for an IPv6 address.
func solicitedNode(ip netip.Addr) netip.Addr {
	b := ip.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// Set makes the groups of vips the ones that the host is a member of on links
// (interface indices), and leaves all others that it has joined here. VIPs of IPv4
// have none. It goes on after a group that cannot be joined, as on a link without
// IPv6; the error names the first.
func (g *Groups) Set(links []int, vips []netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := make(map[membership]bool)
	for _, ip := range vips {
		if !ip.Is6() || ip.IsMulticast() || ip.IsUnspecified() {
			continue
		}
		for _, link := range links {
			want[membership{link, solicitedNode(ip)}] = true
		}
	}
	for m, s := range g.members {
		if !want[m] {
			g.leave(m, s)
		}
	}
	if len(want) == len(g.members) {
		return nil
	}
	if g.err != nil {
		return fmt.Errorf("multicast groups: %w", g.err)
	}
	return g.ns.do(func() error { return g.join(want) })
}

// join joins what is wanted and not joined, and returns the first error.
func (g *Groups) join(want map[membership]bool) (first error) {
	for m := range want {
		if g.members[m] != nil {
			continue
		}
		s, err := g.room()
		if err == nil {
			err = s.change(unix.IPV6_JOIN_GROUP, m)
		}
		if err == nil {
			s.groups++
			g.members[m] = s
		} else if first == nil {
			first = fmt.Errorf("join %v on interface %d: %w", m.group, m.link, err)
		}
	}
	return first
}

// room returns a socket that can take one more group.
func (g *Groups) room() (*groupSocket, error) {
	i := slices.IndexFunc(g.sockets, func(s *groupSocket) bool { return s.groups < groupsPerSocket })
	if i >= 0 {
		return g.sockets[i], nil
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &groupSocket{fd: fd}
	g.sockets = append(g.sockets, s)
	return s, nil
}

// leave gives a membership up. With its link it has gone already.
func (g *Groups) leave(m membership, s *groupSocket) {
	_ = s.change(unix.IPV6_LEAVE_GROUP, m)
	s.groups--
	delete(g.members, m)
}

func (s *groupSocket) change(option int, m membership) error {
	return unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, option,
		&unix.IPv6Mreq{Multiaddr: m.group.As16(), Interface: uint32(m.link)})
}

// Close leaves all groups.
func (g *Groups) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for _, s := range g.sockets {
		errs = append(errs, unix.Close(s.fd))
	}
	g.sockets = nil
	clear(g.members)
	return errors.Join(errs...)
}
