package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"natlb/internal/hostnet"
	"natlb/ipvs"
)

func checkKernelIPVS(f *Facts, r *report) {
	switch {
	case !f.KernelHas:
		r.ok("", "the kernel has none loaded")
		return
	case f.KernelErr:
		r.unknown("", "sudo natlb doctor", "the kernel has IPVS, and /proc/net/ip_vs cannot be read")
		return
	}
	twice := false
	for i := range f.Services {
		k := f.Services[i].Key
		if !k.IsMark() && slices.Contains(f.KernelVIP, KernelService{k.Proto, k.VIP}) {
			twice = true
			r.fault(k.String(), "with ipvsadm's own binary: ipvsadm -D "+serviceWords(k),
				"the kernel's IPVS has this service too: both would translate its packets")
		}
	}
	if !twice {
		r.ok("", "the kernel's IPVS has %s, none of natlb's", counted(len(f.KernelVIP), "service"))
	}
}

// checkGuard: where the host forwards or owns a VIP, its kernel must not see
// the services' packets.
func checkGuard(f *Facts, r *report) {
	why, undo := f.interference()
	guarding := f.Director != nil && f.Director.Guarding
	rules := &f.Rules
	switch {
	case f.Director == nil && rules.Known && rules.Guard:
		r.fault("", "nft delete table netdev natlb; the next natlb run does it too",
			"a director that was killed has left its guard: it drops packets for nobody")
	case f.Director == nil && why != "" && !rules.Known:
		r.warn("", undo, "%s: natlb run needs nftables, which cannot be read here (%s)", why, rules.Why)
	case f.Director == nil && why != "":
		r.ok("", "%s: natlb run will keep the kernel out by nftables", why)
	case guarding && rules.Known && !rules.Guard:
		r.fault("", "restart the director (and let nobody flush the ruleset: nft delete table ... instead)",
			"%s, and somebody has removed natlb's nftables rules: the kernel interferes", cmp.Or(why, "the guard was needed"))
	case guarding:
		r.ok("", "%s: the kernel is kept out by nftables", cmp.Or(why, "firewall marks lead to the host"))
	case why == "":
		r.ok("", "not needed: the host does not forward and owns no VIP")
	case f.Director.Guard == "none":
		r.fault("", undo+"; or restart the director with --guard auto", "%s, and --guard none leaves the kernel in the way", why)
	default:
		r.fault("", undo+"; or load nftables (modprobe nf_tables) and restart the director",
			"%s, and there is no guard: %s", why, cmp.Or(f.Director.GuardFault, "its rules could not be installed"))
	}
}

// interference returns in which way the host's kernel would interfere without a
// guard, and the command that ends it; empty when it would not.
func (f *Facts) interference() (why, undo string) {
	for i := range f.VIPs {
		if v := &f.VIPs[i]; v.Local != "" {
			return fmt.Sprintf("the VIP %s is an address of this host", v.Addr),
				fmt.Sprintf("ip addr del %s dev %s", f.prefixOf(v), v.Local)
		}
	}
	if len(f.forwards(false)) > 0 {
		return "the host forwards packets (ip_forward)", "sysctl -w net.ipv4.ip_forward=0"
	}
	if names := f.forwards(true); len(names) > 0 && f.uses(true) {
		return fmt.Sprintf("the host forwards IPv6 packets (net.ipv6.conf.%s.forwarding)", names[0]), "sysctl -w net.ipv6.conf.all.forwarding=0"
	}
	return "", ""
}

// prefixOf returns a VIP of the host with the prefix length that it has there.
func (f *Facts) prefixOf(v *VIP) string {
	if l := f.link(v.Local); l != nil {
		for _, p := range l.Addrs {
			if p.Addr() == v.Addr {
				return p.String()
			}
		}
	}
	return alone(v.Addr)
}

// checkRPFilter: natlb's packets never meet the filter, but ARP requests do:
// where the way back to a server leaves by another interface, a strict filter
// makes the kernel deaf to it. IPv6 has no such filter.
func checkRPFilter(f *Facts, r *report) {
	const strict = 1
	for i := range f.Links {
		l := &f.Links[i]
		if !l.Exists || l.RPFilter != strict {
			continue
		}
		cure := fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2, or mend the route", l.Name)
		harmless := true
		for j := range f.Servers {
			s := &f.Servers[j]
			if s.RIP.Is4() && l.DIP && !l.VIP && s.Way.Kind == hostnet.Unicast && s.Way.Link != l.Name && contains(l.Addrs, s.RIP) {
				harmless = false
				r.fault(l.Name, cure, "strict, and the way to %s leaves by %s: the kernel does not answer its ARP", s.RIP, s.Way.Link)
			}
		}
		if l.VIP && !l.DIP && f.Clients.Kind == hostnet.Unicast && f.Clients.Link != l.Name && f.ownsVIP() {
			harmless = false
			r.warn(l.Name, cure, "strict, and the default route leaves by %s: the host does not answer pings of its VIPs from afar", f.Clients.Link)
		}
		if harmless {
			r.ok(l.Name, "strict, and nothing comes from where it would not go back")
		}
	}
	if len(r.findings) == 0 && len(f.Links) > 0 {
		r.ok("", "nowhere strict")
	}
}

// ownsVIP reports whether a VIP of IPv4 is the host's.
func (f *Facts) ownsVIP() bool {
	return slices.ContainsFunc(f.VIPs, func(v VIP) bool { return v.Local != "" && v.Addr.Is4() })
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Masked().Contains(addr) })
}

// checkHostRules: natlb takes its packets before any rule but those of the
// netdev egress hook; what the kernel's own copy meets matters where no guard
// takes that away.
func checkHostRules(f *Facts, r *report) {
	if !f.Rules.Known {
		r.unknown("", "sudo natlb doctor", "nftables cannot be read: %s", cmp.Or(f.Rules.Why, "not tried"))
		return
	}
	for i := range f.Rules.Hostile {
		h := &f.Rules.Hostile[i]
		if h.Does == egressDrop {
			r.warn(h.Place, "nft list chain "+h.Place, "drops on the way out, behind natlb")
			continue
		}
		if vip, sure := f.translated(h); vip.IsValid() {
			checkTranslated(f, r, h, vip, sure)
		}
	}
	for _, table := range f.Rules.Legacy {
		r.warn(table, table+" -S", "rules of iptables-legacy, which the doctor cannot read")
	}
	if len(r.findings) == 0 {
		r.ok("", "no rule of the host translates a VIP")
	}
}

func checkTranslated(f *Facts, r *report, h *HostRule, vip netip.Addr, sure bool) {
	look := "nft -a list chain " + h.Place + ", then nft delete rule " + h.Place + " handle N"
	switch {
	case f.Director != nil && f.Director.Guarding && f.Rules.Guard:
		r.warn(h.Place, look, "a %s rule for %s; natlb's guard keeps packets of the services from it", h.Does, vip)
	case sure:
		r.fault(h.Place, look, "a %s rule for %s: the kernel may answer the services' packets a second time", h.Does, vip)
	default:
		r.warn(h.Place, look, "a %s rule that may meet %s", h.Does, vip)
	}
}

// translated returns a VIP that a rule may meet, and whether the rule names it.
func (f *Facts) translated(h *HostRule) (vip netip.Addr, sure bool) {
	for i := range f.Services {
		key := f.Services[i].Key
		if key.IsMark() || !h.meets(key.VIP.Addr()) || h.Port != 0 && key.VIP.Port() != 0 && h.Port != key.VIP.Port() {
			continue
		}
		if !h.VIP.IsValid() {
			vip = key.VIP.Addr()
		} else if h.VIP.Contains(key.VIP.Addr()) {
			return key.VIP.Addr(), true
		}
	}
	return vip, false
}

// meets reports whether packets to an address of that family come by the rule's table.
func (h *HostRule) meets(vip netip.Addr) bool {
	family, _, _ := strings.Cut(h.Place, " ")
	return (family != "ip" || vip.Is4()) && (family != "ip6" || vip.Is6())
}

// serviceWords returns a service as ipvsadm's options name it.
func serviceWords(k ipvs.ServiceKey) string {
	switch {
	case k.IsMark():
		return fmt.Sprintf("-f %d", k.Mark)
	case k.Proto == ipvs.UDP:
		return "-u " + k.VIP.String()
	case k.Proto == ipvs.SCTP:
		return "--sctp-service " + k.VIP.String()
	}
	return "-t " + k.VIP.String()
}
