package doctor

import (
	"strconv"
	"strings"
)

// leastMTU6 is what IPv6 asks of every link (RFC 8200 section 5).
const leastMTU6 = 1280

// checkIPv6 looks at what only IPv6 wants of an interface: that it is on at all, the
// least MTU, and addresses that have passed the question whether somebody has them
// already (RFC 4862 section 5.4).
func checkIPv6(f *Facts, r *report) {
	if !f.uses(true) {
		return
	}
	for i := range f.Links {
		if l := &f.Links[i]; l.Exists && l.Up {
			checkIPv6Link(l, r)
		}
	}
}

func checkIPv6Link(l *Link, r *report) {
	before := len(r.findings)
	switch {
	case l.MTU < leastMTU6:
		r.fault(l.Name, "ip link set "+l.Name+" mtu 1500 (at least 1280), then give it its addresses again", "MTU %d: the kernel has IPv6 on links with 1280 and more alone", l.MTU)
	case l.Six.Disabled:
		r.fault(l.Name, "sysctl -w net.ipv6.conf."+conf6Name(l.Name)+".disable_ipv6=0, then give it its addresses again",
			"disable_ipv6 is 1: the kernel has no addresses there, and finds no neighbours")
	case !l.Six.LinkLocal.IsValid():
		r.fault(l.Name, "sysctl -w net.ipv6.conf."+conf6Name(l.Name)+".addr_gen_mode=0; ip link set "+l.Name+" down; ip link set "+l.Name+" up",
			"has no link-local address (fe80::): neighbour discovery has nothing to ask from")
	}
	for _, a := range l.Six.Duplicate {
		r.fault(l.Name, "take "+a.String()+" away from the machine that has it too (its MAC address is in dmesg); then: ip addr del "+alone(a)+" dev "+l.Name+", and add it again",
			"another machine has its address %s: the kernel does not use it (dadfailed)", a)
	}
	for _, a := range l.Six.Tentative {
		r.warn(l.Name, "ask again in some seconds; if it stays: ip link show "+l.Name+" (no carrier?)", "%s is not in use yet: the kernel asks whether another machine has it (tentative)", a)
	}
	if l.Six.MTU > 0 && l.Six.MTU < l.MTU && l.MTU >= leastMTU6 {
		r.warn(l.Name, "sysctl -w net.ipv6.conf."+conf6Name(l.Name)+".mtu="+strconv.Itoa(l.MTU)+", and look at the MTU that the router advertises",
			"the kernel's MTU for IPv6 is %d, the interface has %d: a router has said so, or somebody here", l.Six.MTU, l.MTU)
	}
	if len(r.findings) == before {
		r.ok(l.Name, "on, link-local address %s", l.Six.LinkLocal)
	}
}

// conf6Name returns an interface's name as sysctl takes it: a dot in it is a slash.
func conf6Name(link string) string { return strings.ReplaceAll(link, ".", "/") }
