package ipvsadm

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"natlb/ipvs"
)

func setNothing(*parser, *line, string) error { return nil } // that it was given is all there is to it

func setTCP(p *parser, ln *line, v string) error  { return p.setService(ln, ipvs.TCP, v) }
func setUDP(p *parser, ln *line, v string) error  { return p.setService(ln, ipvs.UDP, v) }
func setSCTP(p *parser, ln *line, v string) error { return p.setService(ln, ipvs.SCTP, v) }

func (p *parser) setService(ln *line, proto ipvs.Protocol, v string) error {
	addr, port, _, ok := p.hostPort(v, proto)
	if !ok {
		return usage(badService)
	}
	ln.service.Key = ipvs.ServiceKey{Proto: proto, VIP: netip.AddrPortFrom(addr, port)}
	if addr.Is6() {
		ln.resetMask()
	}
	return nil
}

func setMark(_ *parser, ln *line, v string) error {
	n, ok := number(v, 1, 1<<32-1)
	if !ok {
		return usage("invalid fwmark value `%s' specified", v)
	}
	ln.service.Key = ipvs.ServiceKey{Mark: uint32(n)}
	return nil
}

// setIPv6 acts on the mark before it. Deviation: 1.31 says "-6 used before -f"
// and an empty line; later versions say this.
func setIPv6(_ *parser, ln *line, _ string) error {
	if !ln.service.Key.IsMark() {
		return usage("-6 must follow -f")
	}
	ln.service.Key.V6 = true
	ln.resetMask()
	return nil
}

func (ln *line) resetMask() { ln.service.Wildcard, ln.service.PrefixLen = 0, 0 }

func setScheduler(_ *parser, ln *line, v string) error {
	ln.service.Scheduler = v[:min(len(v), schedulerLen)]
	return nil
}

func setPersistent(_ *parser, ln *line, v string) error {
	n, ok := number(v, 1, ipvs.MaxTimeout)
	if !ok {
		return usage("invalid timeout value `%s' specified", v)
	}
	ln.service.Flags |= ipvs.FlagPersistent
	ln.service.PersistTimeout = uint32(n)
	return nil
}

// setNetmask reads an IPv4 mask unless an IPv6 service stands before it. Full
// masks are stored as the zero value.
func setNetmask(p *parser, ln *line, v string) error {
	if ln.service.Key.Is6() {
		n := leadingNumber(v)
		if n < 1 || n > 128 {
			return usage("illegal ipv6 netmask specified")
		}
		ln.service.PrefixLen = uint8(n % 128)
		return nil
	}
	mask, ok := p.host4(v)
	if !ok {
		return usage("illegal virtual server persistent mask specified")
	}
	bits := mask.As4()
	ln.service.Wildcard = ^binary.BigEndian.Uint32(bits[:])
	return nil
}

func setOps(_ *parser, ln *line, _ string) error {
	ln.service.Flags |= ipvs.FlagOnePacket
	return nil
}

func setEngine(_ *parser, ln *line, v string) error {
	ln.service.Engine = v
	return nil
}

func setSchedFlags(_ *parser, ln *line, v string) error {
	ln.schedFlags = v
	return nil
}

// setServer gives the server the port on the line, else the service's if that
// is known already (0 for a mark). A mark has no protocol; 1.31 takes its
// servers' port names for TCP's.
func setServer(p *parser, ln *line, v string) error {
	proto := ln.service.Key.Proto
	if ln.service.Key.IsMark() {
		proto = ipvs.TCP
	}
	addr, port, given, ok := p.hostPort(v, proto)
	if !ok {
		return usage(badServer)
	}
	if !given {
		port = ln.service.Key.VIP.Port()
	}
	ln.server.Addr = netip.AddrPortFrom(addr, port)
	return nil
}

func setRoute(_ *parser, ln *line, _ string) error  { ln.server.Method = ipvs.Route; return nil }
func setTunnel(_ *parser, ln *line, _ string) error { ln.server.Method = ipvs.Tunnel; return nil }
func setMasq(_ *parser, ln *line, _ string) error   { ln.server.Method = ipvs.Masq; return nil }

func setFullNAT(_ *parser, ln *line, _ string) error {
	ln.server.Method = ipvs.FullNAT
	return nil
}

func setTOA(_ *parser, ln *line, _ string) error { ln.server.TOA = true; return nil }

func setWeight(_ *parser, ln *line, v string) error {
	n, err := within(v, 0, maxInt, "illegal weight specified")
	ln.server.Weight = int32(n)
	return err
}

func setUpper(_ *parser, ln *line, v string) error {
	n, err := within(v, 0, maxInt, "illegal u_threshold specified")
	ln.server.UpperThreshold = uint32(n)
	return err
}

func setLower(_ *parser, ln *line, v string) error {
	n, err := within(v, 0, maxInt, "illegal l_threshold specified")
	ln.server.LowerThreshold = uint32(n)
	return err
}

func setTunType(_ *parser, ln *line, v string) error {
	for _, t := range []ipvs.TunnelType{ipvs.TunnelIPIP, ipvs.TunnelGUE, ipvs.TunnelGRE} {
		if v == t.String() {
			ln.server.Tunnel.Type = t
			return nil
		}
	}
	return usage("illegal tunnel type specified")
}

func setTunPort(_ *parser, ln *line, v string) error {
	n, err := within(v, 1, 65535, "illegal tunnel port specified")
	ln.server.Tunnel.Port = uint16(n)
	return err
}

func setTunCsum(_ *parser, ln *line, _ string) error {
	ln.server.Tunnel.Checksum = ipvs.TunnelChecksummed
	return nil
}

func setTunRemcsum(_ *parser, ln *line, _ string) error {
	ln.server.Tunnel.Checksum = ipvs.TunnelRemoteChecksum
	return nil
}

func setSyncID(_ *parser, _ *line, v string) error {
	_, err := within(v, 0, 255, "illegal syncid specified")
	return err
}

func setSyncMaxlen(_ *parser, _ *line, v string) error {
	_, err := within(v, 1, 65507, "illegal sync-maxlen specified")
	return err
}

func setMcastPort(_ *parser, _ *line, v string) error {
	_, err := within(v, 1, 65535, "illegal mcast-port specified")
	return err
}

func setMcastTTL(_ *parser, _ *line, v string) error {
	_, err := within(v, 1, 255, "illegal mcast-ttl specified")
	return err
}

func setMcastGroup(_ *parser, _ *line, v string) error {
	family := "IPv4"
	if strings.Contains(v, ":") {
		family = "IPv6"
	}
	if a, err := netip.ParseAddr(v); err != nil || a.Zone() != "" || !a.IsMulticast() {
		return usage("invalid %s mcast-group `%s'", family, v)
	}
	return nil
}

// schedFlagNames are the words of -b: those of a scheduler stand for the same
// flags as the general ones.
var schedFlagNames = []struct {
	word      string
	scheduler string // "": any
	flag      ipvs.ServiceFlags
}{
	{"flag-1", "", ipvs.FlagSched1},
	{"flag-2", "", ipvs.FlagSched2},
	{"flag-3", "", ipvs.FlagSched3},
	{"sh-fallback", "sh", ipvs.FlagSched1},
	{"sh-port", "sh", ipvs.FlagSched2},
	{"mh-fallback", "mh", ipvs.FlagSched1},
	{"mh-port", "mh", ipvs.FlagSched2},
}

// applySchedFlags reads -b against the scheduler, wherever -s stood. Deviation:
// a list without any item crashes 1.31.
func (ln *line) applySchedFlags() error {
	if ln.schedFlags == "" { // not given, or given empty: no flags
		return nil
	}
	scheduler := ln.service.Scheduler
	if scheduler == "" {
		scheduler = ipvs.DefaultScheduler
	}
	items := strings.FieldsFunc(ln.schedFlags, func(r rune) bool { return r == ',' })
	if len(items) == 0 {
		return usage("invalid scheduler flag `%s'", ln.schedFlags)
	}
next:
	for _, item := range items {
		for _, f := range schedFlagNames {
			if f.word != item {
				continue
			}
			if f.scheduler != "" && f.scheduler != scheduler {
				return usage("incompatible scheduler flag `%s'", item)
			}
			ln.service.Flags |= f.flag
			continue next
		}
		return usage("invalid scheduler flag `%s'", item)
	}
	return nil
}
