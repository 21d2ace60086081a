package ipvsadm

import (
	"fmt"
	"io"
	"slices"

	"natlb/ipvs"
)

// save is -S: the command lines that make the table again. As with ipvsadm,
// thresholds and timeouts are not in them; nor are servers that ipvsadm has no words
// for, of which a line on the standard error tells.
func (s *invocation) save(ln *line) error {
	return s.saveTable(ln.given.has(optNumeric))
}

func (s *invocation) saveTable(numeric bool) error {
	services, err := s.env.Client.Services(s.ctx)
	if err != nil {
		return refusal(err, statusListing)
	}
	sortServices(services)
	names, stop := newNamer(s.ctx, s.lookup, numeric)
	defer stop()
	if n := dropFullNAT(services); n > 0 {
		fmt.Fprintf(s.env.Stderr, "left out, since ipvsadm could not read them: real servers with --fullnat (%d); natlb save has them\n", n)
	}
	return s.output(func(w io.Writer) {
		for i := range services {
			saveService(w, names, &services[i])
		}
	})
}

// dropFullNAT takes the servers out of services that are natlb's own, and returns how
// many they were.
func dropFullNAT(services []ipvs.ServiceStatus) (n int) {
	for i := range services {
		s := &services[i]
		n += len(s.Destinations)
		s.Destinations = slices.DeleteFunc(slices.Clone(s.Destinations), func(d ipvs.DestinationStatus) bool { return d.Method == ipvs.FullNAT })
		n -= len(s.Destinations)
	}
	return n
}

func saveService(w io.Writer, names *namer, s *ipvs.ServiceStatus) {
	fmt.Fprintln(w, serviceRule(names, &s.Service, schedFlagList(&s.Service)))
	for i := range s.Destinations {
		fmt.Fprintln(w, serverRule(names, s.Key, &s.Destinations[i].Destination))
	}
}

// serviceRule returns the line that adds a service; flags are what -b takes.
func serviceRule(names *namer, s *ipvs.Service, flags string) string {
	rule := "-A " + serviceArgs(names, s.Key) + " -s " + s.Scheduler
	if s.Persistent() {
		rule += fmt.Sprintf(" -p %d", s.PersistTimeout)
		if mask := maskOf(s); mask != "" {
			rule += " -M " + mask
		}
	}
	if s.Engine != "" {
		rule += " --pe " + s.Engine
	}
	if s.OnePacket() {
		rule += " -o"
	}
	if flags != "" {
		rule += " -b " + flags
	}
	return rule
}

// serverRule returns the line that adds a server, without its thresholds.
func serverRule(names *namer, k ipvs.ServiceKey, d *ipvs.Destination) string {
	return "-a " + serviceArgs(names, k) + " -r " + names.endpoint(d.Addr, k.Proto) + serverArgs(d)
}

func serviceArgs(names *namer, k ipvs.ServiceKey) string {
	if k.IsMark() {
		if k.V6 {
			return fmt.Sprintf("-f %d -6", k.Mark)
		}
		return fmt.Sprintf("-f %d", k.Mark)
	}
	letter := map[ipvs.Protocol]string{ipvs.TCP: "-t", ipvs.UDP: "-u", ipvs.SCTP: "--sctp-service"}[k.Proto]
	return letter + " " + names.endpoint(k.VIP, k.Proto)
}

// serverArgs writes the forwarding method always; the director itself as a
// server is -g.
func serverArgs(d *ipvs.Destination) string {
	letter := map[ipvs.ForwardMethod]string{ipvs.Masq: "-m", ipvs.Tunnel: "-i", ipvs.FullNAT: "--fullnat"}[d.Method]
	if letter == "" {
		letter = "-g"
	}
	if d.TOA {
		letter += " --toa"
	}
	args := fmt.Sprintf(" %s -w %d", letter, d.Weight)
	if d.Method != ipvs.Tunnel {
		return args
	}
	args += " --tun-type " + d.Tunnel.Type.String()
	if d.Tunnel.Type == ipvs.TunnelGUE {
		args += fmt.Sprintf(" --tun-port %d", d.Tunnel.Port)
	}
	if d.Tunnel.Type != ipvs.TunnelIPIP {
		args += " " + map[ipvs.TunnelChecksum]string{
			ipvs.TunnelNoChecksum: "--tun-nocsum", ipvs.TunnelChecksummed: "--tun-csum", ipvs.TunnelRemoteChecksum: "--tun-remcsum",
		}[d.Tunnel.Checksum]
	}
	return args
}
