package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"

	"natlb/dataplane"
	"natlb/internal/hostnet"
	"natlb/ipvs"
)

// guard decides what the host's kernel must not see, and keeps it so.
type guard struct {
	mode  GuardMode
	links []dataplane.Link
	log   *slog.Logger
	nft   *hostnet.Guard
	works error // why nftables cannot be used here, nil when it can
}

func newGuard(mode GuardMode, links []dataplane.Link, log *slog.Logger) (*guard, error) {
	g := &guard{mode: mode, links: links, log: log, nft: hostnet.NewGuard(log)}
	if mode != GuardNone {
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
func (g *guard) keep(services []ipvs.ServiceStatus, marked []netip.Addr, p *picture) error {
	rules, why := g.rules(services, p)
	if local := addMarked(&rules, marked, p); local.IsValid() {
		why = fmt.Sprintf("the VIP %v is an address of this host", local)
	}
	switch {
	case why == "" && g.mode != GuardNone && g.works == nil:
		return g.nft.Remove()
	case why == "":
		return nil
	case g.mode == GuardNone:
		return fmt.Errorf("%s, and --guard none forbids to keep the host's kernel out of the way", why)
	case g.works != nil:
		return fmt.Errorf("%s, and nftables cannot be used to keep the host's kernel out of the way: %w", why, g.works)
	}
	return g.nft.Apply(rules)
}

// rules returns what the guard has to drop, and in which way the host would
// interfere without it; empty when it would not.
func (g *guard) rules(services []ipvs.ServiceStatus, p *picture) (r hostnet.GuardRules, why string) {
	for i, l := range g.links {
		if l.Side&dataplane.VIPSide != 0 {
			r.VIPLinks = append(r.VIPLinks, l.Name)
		}
		if l.Side&dataplane.DIPSide != 0 {
			r.DIPLinks = append(r.DIPLinks, l.Name)
		}
		if p.links[i].Forwarding && why == "" {
			why = "the host forwards packets (net.ipv4.ip_forward is 1)"
		}
	}
	for _, addr := range p.view.OwnAddrs() {
		if addr.Is4() {
			r.Locals = append(r.Locals, addr)
		}
	}
	forwards := why != ""
	owned, servers := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, s := range services {
		vip := s.Key.VIP
		if s.Key.IsMark() {
			// its VIPs come from the rules of natlb mark
		} else if p.view.IsLocal(vip.Addr()) {
			r.Services = append(r.Services, hostnet.GuardService{Proto: s.Key.Proto, VIP: vip})
			why = fmt.Sprintf("the VIP %v is an address of this host", vip.Addr())
		} else if forwards && !owned[vip.Addr()] {
			owned[vip.Addr()] = true
			r.OwnedVIPs = append(r.OwnedVIPs, vip.Addr())
		}
		for _, d := range s.Destinations {
			if rip := d.Addr.Addr(); !servers[rip] && !p.view.IsLocal(rip) {
				servers[rip] = true
				r.Servers = append(r.Servers, rip)
			}
		}
	}
	return r, why
}

// addMarked adds the VIPs that firewall marks lead to: all their TCP and UDP. It
// returns one that is an address of the host, if there is one.
func addMarked(r *hostnet.GuardRules, marked []netip.Addr, p *picture) (local netip.Addr) {
	for _, vip := range marked {
		if !p.view.IsLocal(vip) {
			r.OwnedVIPs = append(r.OwnedVIPs, vip)
			continue
		}
		local = vip
		for _, proto := range []ipvs.Protocol{ipvs.TCP, ipvs.UDP} {
			r.Services = append(r.Services, hostnet.GuardService{Proto: proto, VIP: netip.AddrPortFrom(vip, 0)})
		}
	}
	return local
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
