package oracletest

import (
	"net/netip"
	"slices"
	"strings"
)

// plan is the address plan of a set of recordings.
type plan struct {
	vipNet, dipNet   netip.Prefix
	vipAddr, dipAddr netip.Addr   // the director's own
	clients          netip.Prefix // the client kernel's
	rawNet           netip.Prefix // nobody's, answered for by hand
	client0          netip.Addr
	rips             [4]netip.Addr

	// The same of IPv6.
	vipNet6, dipNet6   netip.Prefix
	vipAddr6, dipAddr6 netip.Addr
	clients6, rawNet6  netip.Prefix
	client06, raw06    netip.Addr
	rips6              [4]netip.Addr
}

// plans are those of the topology that was recorded, as tools/oracle/oracle.py
// has them, by the name that a scenario gives.
var plans = map[string]*plan{
	"open": newPlan("10.10", "10.20.0", "11", "12", "13", "14"),
	"own":  newPlan("172.27", "192.168.205", "201", "9", "130", "57"),
}

// newPlan makes a plan of the first half of the addresses on the VIP side, three
// quarters of those on the DIP side, and the rest of the real servers'.
func newPlan(vipSide, dipSide string, servers ...string) *plan {
	p := &plan{
		vipNet:  netip.MustParsePrefix(vipSide + ".0.0/16"),
		dipNet:  netip.MustParsePrefix(dipSide + ".0/24"),
		vipAddr: netip.MustParseAddr(vipSide + ".0.1"),
		dipAddr: netip.MustParseAddr(dipSide + ".1"),
		clients: netip.MustParsePrefix(vipSide + ".2.0/24"),
		rawNet:  netip.MustParsePrefix(vipSide + ".3.0/24"),
		client0: netip.MustParseAddr(vipSide + ".2.1"),
	}
	for i, s := range servers {
		p.rips[i] = netip.MustParseAddr(dipSide + "." + s)
		p.rips6[i] = netip.MustParseAddr("fd20:0:0:1::1" + string(rune('1'+i)))
	}
	p.vipNet6, p.dipNet6 = netip.MustParsePrefix("fd10:10::/32"), netip.MustParsePrefix("fd20:0:0:1::/64")
	p.vipAddr6, p.dipAddr6 = netip.MustParseAddr("fd10:10::1"), netip.MustParseAddr("fd20:0:0:1::1")
	p.clients6, p.rawNet6 = netip.MustParsePrefix("fd10:10:2::/48"), netip.MustParsePrefix("fd10:10:3::/48")
	p.client06, p.raw06 = netip.MustParseAddr("fd10:10:2::1"), netip.MustParseAddr("fd10:10:3::5")
	return p
}

// neighbour returns the MAC address of the host that has an address.
func (p *plan) neighbour(a netip.Addr) (mac [6]byte, ok bool) {
	if p.clients.Contains(a) || p.rawNet.Contains(a) || p.clients6.Contains(a) || p.rawNet6.Contains(a) {
		return clMAC, true
	}
	if i := p.server(a); i >= 0 {
		return serverMAC(i), true
	}
	return mac, false
}

// server returns the number of the real server that has an address, or -1.
func (p *plan) server(a netip.Addr) int {
	return max(slices.Index(p.rips[:], a), slices.Index(p.rips6[:], a))
}

// setOf returns the set that a scenario is in: a name is in one of them only.
func setOf(scenario string) string {
	if strings.HasPrefix(scenario, "w-") {
		return "own"
	}
	return "open"
}
