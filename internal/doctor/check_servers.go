package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"natlb/internal/control"
	"natlb/internal/hostnet"
	"natlb/ipvs"
)

// methodWords are the forwarding methods as options.
var methodWords = map[ipvs.ForwardMethod]string{ipvs.Masq: "-m", ipvs.Route: "-g", ipvs.Tunnel: "-i"}

// methods returns the forwarding methods that work.
func (f *Facts) methods() []string {
	if f.Director != nil {
		return f.Director.Methods
	}
	return []string{"masq", "route", "tunnel"}
}

func checkService(f *Facts, r *report) {
	if f.Director != nil && len(f.Services) == 0 {
		r.warn("", "natlb -A -t VIP:port; natlb -a -t VIP:port -r RIP:port -m", "there is no service yet")
	}
	for i := range f.Services {
		checkOneService(f, &f.Services[i], r)
	}
}

func checkOneService(f *Facts, s *ipvs.ServiceStatus, r *report) {
	words := serviceWords(s.Key)
	fit, full, lost := 0, 0, 0
	for j := range s.Destinations {
		d := &s.Destinations[j]
		if word := methodWords[d.Method]; word != "" && !slices.Contains(f.methods(), methodName(d.Method)) {
			r.fault(words, fmt.Sprintf("natlb -e %s -r %s -m -w %d", words, d.Addr, d.Weight),
				"%s has forwarding method %s, which this version drops", d.Addr, word)
		}
		if d.Weight > 0 {
			fit++
		}
		if d.Weight > 0 && d.Reach.Withheld {
			lost++
		}
		if d.Weight > 0 && d.Overloaded {
			full++
		}
	}
	switch {
	case len(s.Destinations) == 0:
		r.warn(words, "natlb -a "+words+" -r RIP:port -m", "has no real server")
	case fit == 0:
		r.warn(words, fmt.Sprintf("natlb -e %s -r %s -m -w 1", words, s.Destinations[0].Addr), "all its real servers are quiesced (weight 0)")
	case lost == fit:
		r.warn(words, "see neighbour and route below", "none of its real servers can be reached, and they are quiesced (quiesce_unreachable): clients are refused")
	case full == fit:
		r.warn(words, "natlb -L -n --thresholds; raise -x, or add servers", "all its real servers are overloaded")
	default:
		r.ok(words, "%s of %s", s.Scheduler, counted(len(s.Destinations), "real server"))
	}
}

func methodName(m ipvs.ForwardMethod) string {
	switch m {
	case ipvs.Masq:
		return "masq"
	case ipvs.Route:
		return "route"
	case ipvs.Tunnel:
		return "tunnel"
	}
	return ""
}

func checkRoute(f *Facts, r *report) {
	for i := range f.Servers {
		s := &f.Servers[i]
		subject, link := s.RIP.String(), f.dipLink()
		there := f.link(s.Way.Link)
		switch {
		case s.Way.Kind == hostnet.Local:
			checkLocalServer(f, s, r)
		case s.Way.Kind != hostnet.Unicast && s.Way.Kind != hostnet.Unreachable:
			r.fault(subject, "correct the address", "is a %s address", s.Way.Kind)
		case s.Way.Kind == hostnet.Unreachable:
			r.fault(subject, fmt.Sprintf("ip route add %s via ROUTER, or an address of its network: ip addr add DIP/%d dev %s", alone(s.RIP), subnet(s.RIP), link), "no route")
		case there == nil:
			r.fault(subject, fmt.Sprintf("restart the director with --dip-if %s too, or: ip route replace %s dev %s", s.Way.Link, alone(s.RIP), link),
				"the way leaves by %s, which natlb was not given", s.Way.Link)
		case !there.DIP:
			r.fault(subject, fmt.Sprintf("ip route replace %s dev %s, or restart the director with --dip-if %s too", alone(s.RIP), link, s.Way.Link),
				"the way leaves by the VIP side (%s)", s.Way.Link)
		case s.Way.NextHop != s.RIP && f.reaches(s.RIP, ipvs.Route):
			r.fault(subject, "write -m or -i, or put the server into a network of the director",
				"-g gives packets for the VIP to %s, not to the server", s.Way.NextHop)
		case s.Way.NextHop != s.RIP:
			r.ok(subject, "by %s, via %s", s.Way.Link, s.Way.NextHop)
		default:
			r.ok(subject, "by %s", s.Way.Link)
		}
	}
}

// dipLink returns an interface of the DIP side, for cures.
func (f *Facts) dipLink() string {
	for i := range f.Links {
		if f.Links[i].DIP {
			return f.Links[i].Name
		}
	}
	return "IF"
}

func checkClientRoute(f *Facts, r *report) {
	if len(f.Links) == 0 {
		return
	}
	vip := "IF"
	for i := range f.Links {
		if f.Links[i].VIP {
			vip = f.Links[i].Name
		}
	}
	if f.uses4() {
		checkDefault(f, r, &f.Clients, "default route", "ip route replace default via ROUTER dev "+vip)
	}
	if f.uses(true) {
		checkDefault(f, r, &f.Clients6, "default route of IPv6", "ip -6 route replace default via ROUTER dev "+vip)
	}
}

// checkDefault looks at the way to clients of one family.
func checkDefault(f *Facts, r *report, way *Way, what, cure string) {
	switch {
	case way.Kind != hostnet.Unicast:
		r.warn("", cure, "no %s: only clients of connected networks get answers", what)
	case f.link(way.Link) == nil:
		r.warn("", cure, "the %s leaves by %s, which natlb was not given: clients beyond it get no answers", what, way.Link)
	case !f.link(way.Link).VIP:
		r.warn("", cure, "the %s leaves by the DIP side (%s)", what, way.Link)
	default:
		r.ok("", "%s by %s, via %s", what, way.Link, way.NextHop)
	}
}

func checkNeighbour(f *Facts, r *report) {
	asked := map[Way]bool{}
	for i := range f.Servers {
		s := &f.Servers[i]
		// A link-local router means nothing without its link.
		place := Way{Link: s.Way.Link, NextHop: s.Way.NextHop}
		if s.Way.Kind != hostnet.Unicast || asked[place] {
			continue
		}
		asked[place] = true
		who := s.Way.NextHop.String()
		switch {
		case len(s.Answers) > 1:
			r.fault(who, "take the address away from one of them: ip addr del "+alone(s.Way.NextHop)+" dev IF, or the prefix length that it shows",
				"%d machines answer %s for it on %s: %s", len(s.Answers), resolution(s.Way.NextHop), s.Way.Link, macs(s.Answers))
		case s.reachable():
			r.ok(who, "answers on %s", s.Way.Link)
		case !s.Asked && s.Neighbour != hostnet.NeighbourFailed && s.Neighbour != hostnet.NeighbourIncomplete:
			r.unknown(who, "", "was not asked")
		default:
			r.fault(who, fmt.Sprintf("is it up, on this network, at this address? %s; on it: ip addr", askFor(s.Way.NextHop, s.Way.Link)),
				"does not answer %s on %s%s", resolution(s.Way.NextHop), s.Way.Link, f.costOf(s.Way.NextHop))
		}
	}
}

// costOf says what a next hop that does not answer means for the real servers that it
// leads to, as far as the director has found out.
func (f *Facts) costOf(hop netip.Addr) string {
	var all ipvs.Reach
	for i := range f.Services {
		for j := range f.Services[i].Destinations {
			d := &f.Services[i].Destinations[j]
			if s := f.server(d.Addr.Addr()); s == nil || s.Way.NextHop != hop || !d.Reach.Unreachable {
				continue
			}
			all.Unreachable, all.Withheld = true, d.Reach.Withheld
			all.For, all.Lost = max(all.For, d.Reach.For), all.Lost+d.Reach.Lost
		}
	}
	switch {
	case !all.Unreachable:
		return ""
	case all.Withheld:
		return fmt.Sprintf(", for %v; %s lost; it gets no new connections (quiesce_unreachable)", all.For, counted(int(all.Lost), "packet"))
	}
	return fmt.Sprintf(", for %v; %s lost, and new connections go on being sent there (natlb sysctl quiesce_unreachable=1)", all.For, counted(int(all.Lost), "packet"))
}

// reachable reports whether the server's next hop, or the server beyond it, has
// answered something; where nobody could be asked, what the kernel knows counts.
func (s *Server) reachable() bool {
	return len(s.Answers) > 0 || s.Fits > 0 || !s.Asked && s.Neighbour == hostnet.NeighbourUsable
}

// unanswered reports whether connections wait at a server that sends nothing
// back.
func unanswered(d *ipvs.DestinationStatus) bool {
	return d.Stats.OutPkts == 0 || d.Rates.InPPS > 0 && d.Rates.OutPPS == 0
}

// census returns what is known of the connections of a server.
func (f *Facts) census(proto ipvs.Protocol, server netip.AddrPort) (c control.Census) {
	for _, c := range f.Census {
		if c.Proto == proto && c.Server == server {
			return c
		}
	}
	return c
}

// reaches reports whether a server is one of that forwarding method.
func (f *Facts) reaches(rip netip.Addr, method ipvs.ForwardMethod) bool {
	return slices.ContainsFunc(f.Services, func(s ipvs.ServiceStatus) bool {
		return slices.ContainsFunc(s.Destinations, func(d ipvs.DestinationStatus) bool {
			return d.Addr.Addr() == rip && d.Method == method
		})
	})
}

// masqServers calls yield for every TCP destination whose answers have to come back
// through the director, each address once, with its connections.
func (f *Facts) masqServers(yield func(*ipvs.DestinationStatus, control.Census)) {
	f.tcpServers(func(d *ipvs.DestinationStatus, c control.Census) {
		if d.Method == ipvs.Masq {
			yield(d, c)
		}
	})
}

// tcpServers calls yield for every TCP destination that is there, each address
// once, with its connections.
func (f *Facts) tcpServers(yield func(*ipvs.DestinationStatus, control.Census)) {
	seen := map[netip.AddrPort]bool{}
	for i := range f.Services {
		for j := range f.Services[i].Destinations {
			d := &f.Services[i].Destinations[j]
			if key := f.Services[i].Key; !seen[d.Addr] && (key.IsMark() || key.Proto == ipvs.TCP) {
				seen[d.Addr] = true
				yield(d, f.census(ipvs.TCP, d.Addr))
			}
		}
	}
}

// checkNearClient is the classic trap of NAT: a client in the servers' own
// network is answered directly, from an address that it did not ask.
func checkNearClient(f *Facts, r *report) {
	near, masq := false, false
	f.masqServers(func(d *ipvs.DestinationStatus, c control.Census) {
		masq = true
		if 2*c.NearHalfOpen <= c.Near {
			return // most of them came about: somebody has taken care of the way back
		}
		near = true
		rip := d.Addr.Addr()
		r.fault(c.NearClient.String(), fmt.Sprintf("ask from another network; or on %s: ip route replace %s via %s",
			rip, alone(c.NearClient), f.gatewayFor(rip)),
			"is a client in the network of %s, which answers it past the director (%d half-open)", rip, c.NearHalfOpen)
	})
	if near || !masq {
		return // what is not translated may be answered from anywhere
	}
	for i := range f.VIPs {
		v := &f.VIPs[i]
		if p := f.sharedNetwork(v.Addr); p.IsValid() {
			r.warn(v.Addr.String(), "put the VIP into another network than the real servers",
				"is in %s, the real servers' network: clients there would be answered past the director", p)
		}
	}
	if len(r.findings) == 0 && len(f.Servers) > 0 {
		r.ok("", "none seen")
	}
}

// sharedNetwork returns the connected network of the DIP side that has both vip
// and a real server in it.
func (f *Facts) sharedNetwork(vip netip.Addr) netip.Prefix {
	for _, p := range f.serverNetworks() {
		if p.Contains(vip) {
			return p
		}
	}
	return netip.Prefix{}
}

// serverNetworks returns the connected networks of the DIP side that have a real
// server in them, each once.
func (f *Facts) serverNetworks() (all []netip.Prefix) {
	for i := range f.Links {
		l := &f.Links[i]
		for _, p := range l.Addrs {
			p = p.Masked()
			has := slices.ContainsFunc(f.Servers, func(s Server) bool { return p.Contains(s.RIP) })
			if l.DIP && has && !p.IsSingleIP() && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// gatewayFor returns the director's address that is the gateway of a server.
func (f *Facts) gatewayFor(rip netip.Addr) string {
	for i := range f.Links {
		for _, p := range f.Links[i].Addrs {
			if f.Links[i].DIP && p.Masked().Contains(rip) {
				return p.Addr().String()
			}
		}
	}
	return f.dip(f.dipLink(), rip.Is6())
}

// What became of a connection of the doctor's own to a server.
const (
	accepted = "accepted"
	refused  = "refused"
	silent   = "silent"
)

// checkGateway looks at servers that were sent SYNs and sent nothing back.
func checkGateway(f *Facts, r *report) {
	idle, masq := true, false
	f.masqServers(func(d *ipvs.DestinationStatus, c control.Census) {
		masq = true
		idle = idle && d.Stats.InPkts == 0
		if c.HalfOpen-c.NearHalfOpen == 0 || !unanswered(d) {
			if d.Stats.OutPkts > 0 {
				r.ok(d.Addr.String(), "its answers come back")
			}
			return
		}
		checkSilentServer(f, r, d, c.HalfOpen-c.NearHalfOpen)
	})
	if idle && masq && f.Director != nil {
		r.unknown("", "ask a service something, then ask the doctor again", "nothing was forwarded yet")
	}
}

func checkSilentServer(f *Facts, r *report, d *ipvs.DestinationStatus, waiting int) {
	rip, port := d.Addr.Addr(), d.Addr.Port()
	s := f.server(rip)
	if s == nil || s.Way.Kind != hostnet.Unicast || s.Asked && !s.reachable() {
		return // no way there: that is the fault, and it is reported
	}
	gateway := fmt.Sprintf("on %s: %s route replace default via %s (two network cards: ip rule, see README)", rip, ipCommand(rip), f.gatewayFor(rip))
	if s.Way.NextHop.IsValid() && s.Way.NextHop != rip {
		gateway = fmt.Sprintf("make %s and the routers behind it send answers to clients through the director", s.Way.NextHop)
	}
	subject, before := d.Addr.String(), fmt.Sprintf("%d half-open, no packet back", waiting)
	switch s.Connect[port] {
	case accepted:
		r.fault(subject, gateway, "%s, yet it answers the director itself: its default gateway is not the director", before)
	case refused:
		r.fault(subject, fmt.Sprintf("on %s: start the program (ss -ltn sport = :%d); then its gateway: %s", rip, port, gateway),
			"%s: nothing listens there, and its default gateway is not the director", before)
	case silent:
		r.fault(subject, fmt.Sprintf("on %s: does its firewall drop port %d (nft list ruleset), does the program hang?", rip, port),
			"%s, and it does not answer the director either: its own firewall, or a full queue", before)
	default:
		r.fault(subject, gateway, "%s: its default gateway is not the director, or it is down", before)
	}
}
