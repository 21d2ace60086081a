package ipvsadm

import "natlb/ipvs"

// rules say which options go with a command, or with a tunnel type. What is in
// none of the sets is illegal.
type rules struct{ needs, takes, oneOf optSet }

// tunnelRules are for the options of each tunnel type.
var tunnelRules = map[ipvs.TunnelType]rules{
	ipvs.TunnelIPIP: {},
	ipvs.TunnelGUE:  {needs: of(optTunPort), oneOf: of(optTunNocsum, optTunCsum, optTunRemcsum)},
	ipvs.TunnelGRE:  {oneOf: of(optTunNocsum, optTunCsum)},
}

// verify walks opts in table order and returns the first fault; context is how
// messages end: "'NAME' command".
func (r rules) verify(given, among optSet, context string) error {
	var chosen opt
	someChosen := false
	for o := opt(0); o < optCount; o++ {
		switch {
		case !among.has(o):
		case !given.has(o):
			if r.needs.has(o) {
				return usage("You need to supply the '%s' option for the %s", optNames[o], context)
			}
		case r.oneOf.has(o):
			if someChosen {
				return usage("The option '%s' conflicts with the '%s' option in the %s", optNames[o], optNames[chosen], context)
			}
			chosen, someChosen = o, true
		case !(r.needs | r.takes).has(o):
			return usage("Illegal '%s' option with the %s", optNames[o], context)
		}
	}
	return nil
}

// check judges a line that has been read: first what goes with the command,
// then what the command itself asks for. The order decides which fault shows.
func check(ln *line) error {
	cmd := ln.cmd
	err := rules{cmd.needs, cmd.takes, cmd.oneOf}.verify(ln.given, 1<<optCount-1, "'"+cmd.name+"' command")
	if err != nil {
		return err
	}
	switch cmd.kind {
	case ipvs.AddService, ipvs.EditService:
		return checkService(&ln.service)
	case ipvs.AddDestination, ipvs.EditDestination:
		return checkServer(ln)
	}
	objects, details := of(optTimeout, optDaemon), of(optStats, optRate, optThresholds)
	if ln.given.any(objects|of(optConnection)) && ln.given.any(details) ||
		ln.given.any(objects) && ln.given.has(optPersistConn) {
		return usage("options conflicts in the list command")
	}
	return nil
}

func checkService(s *ipvs.Service) error {
	if s.Key.IsMark() {
		return nil
	}
	if s.Key.VIP.Port() == 0 && !s.Persistent() {
		return usage("Zero port specified for non-persistent service")
	}
	if s.OnePacket() && s.Key.Proto != ipvs.UDP {
		return usage("One-Packet Scheduling is only for UDP virtual services")
	}
	return nil
}

func checkServer(ln *line) error {
	if ln.server.Method != ipvs.Tunnel {
		if ln.server.Addr.Addr().Is6() != ln.service.Key.Is6() {
			return usage("Different address family is allowed only for tunneling servers")
		}
		if ln.given.any(tunnelOptions) {
			return usage("Tunnel options conflict with forward method")
		}
		return nil
	}
	kind := ln.server.Tunnel.Type
	return tunnelRules[kind].verify(ln.given, tunnelOptions&^of(optTunType), "'"+kind.String()+"' tunnel type")
}
