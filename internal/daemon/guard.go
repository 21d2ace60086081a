package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"natlb/dataplane"
	"natlb/internal/classify"
	"natlb/internal/hostnet"
	"natlb/ipvs"
)

// guard decides what the host's kernel must not see, and keeps it so.
type guard struct {
	mode  GuardMode
	links []dataplane.Link
	ftp   []uint16 // ports with the FTP helper
	log   *slog.Logger
	nft   *hostnet.Guard
	works error // why nftables cannot be used here, nil when it can

	claim     *os.File // the lock that says whose the one table is
	installed bool     // there are rules of ours to remove
}

// errGuarded is why a second director may not touch the table of the first.
var errGuarded = errors.New("another natlb guards this network namespace")

// claimTable locks the network namespace for this director's guard. The lock is
// on the namespace's own file: it ends with the process, however that ends, and
// leaves nothing behind.
func claimTable() (*os.File, error) {
	f, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errGuarded
	}
	return nil, err
}

func newGuard(mode GuardMode, links []dataplane.Link, ftp []uint16, log *slog.Logger) (*guard, error) {
	g := &guard{mode: mode, links: links, ftp: ftp, log: log, nft: hostnet.NewGuard(log)}
	g.claim, g.works = claimTable()
	if g.works == nil && mode != GuardNone {
		g.works = hostnet.GuardAvailable()
	}
	if mode == GuardNFT && g.works != nil {
		return nil, fmt.Errorf("--guard nft: %w", g.works)
	}
	if g.works == nil {
		if err := g.nft.Remove(); err != nil && mode != GuardNone { // what a crash has left
			return nil, fmt.Errorf("nftables: %w", err)
		}
	}
	return g, nil
}

// keep makes the guard fit the services and the host. It fails when the host
// would interfere and nothing can be done about it.
func (g *guard) keep(sc dataplane.Scope, p *picture) error {
	rules, why := g.rules(sc, p)
	if local := addMarked(&rules, sc, p); local.IsValid() {
		why = fmt.Sprintf("the VIP %v is an address of this host", local)
	}
	switch {
	case why == "" && !g.installed:
		return nil
	case why == "":
		err := g.nft.Remove()
		g.installed = err != nil
		return err
	case g.mode == GuardNone:
		return fmt.Errorf("%s, and --guard none forbids to keep the host's kernel out of the way", why)
	case g.works != nil:
		return fmt.Errorf("%s, and nftables cannot be used to keep the host's kernel out of the way: %w", why, g.works)
	}
	g.installed = true // even if it fails: to remove what is not there is no error
	return g.nft.Apply(rules)
}

// rules returns what the guard has to drop, and in which way the host would
// interfere without it; empty when it would not.
func (g *guard) rules(sc dataplane.Scope, p *picture) (r hostnet.GuardRules, why string) {
	for i, l := range g.links {
		r.VIPLinks = append(r.VIPLinks, l.Name) // all of them: on the servers' side, too, there are clients
		if l.Side&dataplane.DIPSide != 0 {
			r.DIPLinks = append(r.DIPLinks, l.Name)
		}
		switch {
		case why != "":
		case p.links[i].Forwarding:
			why = "the host forwards packets (net.ipv4.ip_forward is 1)"
		case p.links[i].Forwarding6 && has6(sc):
			why = "the host forwards IPv6 packets (net.ipv6.conf." + l.Name + ".forwarding is 1)"
		}
	}
	r.Locals = p.view.OwnAddrs()
	forwards := why != ""
	for _, key := range sc.Services {
		if vip := key.VIP; vip.IsValid() && p.view.IsLocal(vip.Addr()) {
			r.Services = append(r.Services, hostnet.GuardService{Proto: key.Proto, VIP: vip})
			if key.Proto == ipvs.TCP && slices.Contains(g.ftp, vip.Port()) { // active data connections
				data := netip.AddrPortFrom(vip.Addr(), vip.Port()-1)
				r.Services = append(r.Services, hostnet.GuardService{Proto: key.Proto, VIP: data})
			}
			why = fmt.Sprintf("the VIP %v is an address of this host", vip.Addr())
		}
	}
	if why == "" && len(sc.Targets) == 0 {
		return r, ""
	}
	// What is no longer in the table stays covered: natlb answers and routes for
	// it still, and the host would do the same a second time.
	for _, vip := range sc.Owned {
		if forwards && !p.view.IsLocal(vip) {
			r.OwnedVIPs = append(r.OwnedVIPs, vip)
			r.Servers = append(r.Servers, vip) // as which servers with -g and -i answer
		}
	}
	for _, addr := range sc.Sources {
		if forwards && !p.view.IsLocal(addr) {
			r.OwnedVIPs = append(r.OwnedVIPs, addr)
		}
	}
	for _, rip := range sc.Servers {
		if !p.view.IsLocal(rip) {
			r.Servers = append(r.Servers, rip)
		}
	}
	return r, why
}

// has6 reports whether any of the scope is IPv6.
func has6(sc dataplane.Scope) bool {
	return slices.ContainsFunc(slices.Concat(sc.Owned, sc.Servers, sc.Marked), netip.Addr.Is6) ||
		slices.ContainsFunc(sc.Services, ipvs.ServiceKey.Is6)
}

// mostPorts is how many ports of one firewall-mark rule are guarded one by one;
// a rule with more guards all.
const mostPorts = 1024

// addMarked adds what firewall marks lead to: their VIPs that nobody owns, and on
// the host's own addresses the ports that the rules name. It returns an own
// address that is concerned, if there is one.
func addMarked(r *hostnet.GuardRules, sc dataplane.Scope, p *picture) (local netip.Addr) {
	for _, vip := range sc.Marked {
		if !p.view.IsLocal(vip) {
			r.OwnedVIPs = append(r.OwnedVIPs, vip)
		}
	}
	for _, addr := range p.view.OwnAddrs() {
		for i := range sc.Targets {
			if t := &sc.Targets[i]; t.Prefix.Contains(addr) && !addr.IsLoopback() {
				local = addr
				r.Services = append(r.Services, targetServices(t, addr)...)
			}
		}
	}
	return local
}

// targetServices returns what the guard drops of a target on one own address.
func targetServices(t *classify.Target, addr netip.Addr) (out []hostnet.GuardService) {
	ports := []uint16{0} // all
	if t.Ports != nil {
		ports = nil
		for _, r := range t.Ports {
			for port := int(r[0]); port <= int(r[1]) && len(ports) <= mostPorts; port++ {
				ports = append(ports, uint16(port))
			}
		}
		if len(ports) > mostPorts {
			ports = []uint16{0}
		}
	}
	for _, proto := range []ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP} {
		if t.Proto != 0 && t.Proto != uint8(proto) {
			continue
		}
		for _, port := range ports {
			out = append(out, hostnet.GuardService{Proto: proto, VIP: netip.AddrPortFrom(addr, port)})
		}
	}
	return out
}

// remove takes away everything that the guard has installed.
func (g *guard) remove() {
	if g.mode == GuardNone || g.works != nil {
		return
	}
	if err := g.nft.Remove(); err != nil {
		g.log.Error("nftables rules not removed", "err", err)
	}
}
