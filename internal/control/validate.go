package control

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"

	"natlb/ipvs"
)

// Check judges one change by its values alone: ranges, addresses, families, and
// what this version of natlb supports. It wraps [ipvs.ErrInvalid],
// [ipvs.ErrRange], [ipvs.ErrDifferentFamily] or [ipvs.ErrUnsupported]
// (as ip_vs_ctl.c does). Whether a service or server exists is the
// director's to say.
func Check(c *ipvs.Change) error {
	if err := checkValues(c); err != nil {
		return err
	}
	return supported(c)
}

// checkAll checks a whole transaction, so that a bad one changes nothing.
func checkAll(changes []ipvs.Change) error {
	for i := range changes {
		if err := Check(&changes[i]); err != nil {
			return &ipvs.ChangeError{Index: i, Kind: changes[i].Kind, Err: err}
		}
	}
	return nil
}

// MissingFirst turns the refusal of a server's values into
// [ipvs.ErrNoSuchService] when the server's service would not exist at that
// point of the transaction: the service is looked up before the server is
// looked at (ip_vs_ctl.c).
func MissingFirst(services []ipvs.ServiceStatus, changes []ipvs.Change, err error) error {
	var refused *ipvs.ChangeError
	if !errors.As(err, &refused) || refused.Kind != ipvs.AddDestination && refused.Kind != ipvs.EditDestination {
		return err
	}
	key := changes[refused.Index].Service.Key
	exists := slices.ContainsFunc(services, func(s ipvs.ServiceStatus) bool { return s.Key == key })
	for _, c := range changes[:refused.Index] {
		switch {
		case c.Kind == ipvs.AddService && c.Service.Key == key:
			exists = true
		case c.Kind == ipvs.DeleteService && c.Service.Key == key, c.Kind == ipvs.FlushServices:
			exists = false
		}
	}
	if exists || checkKey(key) != nil {
		return err
	}
	return &ipvs.ChangeError{Index: refused.Index, Kind: refused.Kind, Err: ipvs.ErrNoSuchService}
}

func checkValues(c *ipvs.Change) error {
	switch c.Kind {
	case ipvs.AddService, ipvs.EditService:
		return checkService(&c.Service)
	case ipvs.DeleteService:
		return checkKey(c.Service.Key)
	case ipvs.AddDestination, ipvs.EditDestination:
		if err := checkKey(c.Service.Key); err != nil {
			return err
		}
		if err := checkDestination(&c.Destination, c.Service.Key.Is6()); err != nil {
			return err
		}
		switch unicast := isUnicast(c.Destination.Addr.Addr()); {
		case !unicast && c.Kind == ipvs.AddDestination:
			return invalid("real server address %v is not unicast", c.Destination.Addr.Addr())
		case !unicast:
			return ipvs.ErrNoSuchDestination // it cannot have been added
		}
		return checkServerPort(c.Service.Key, &c.Destination)
	case ipvs.DeleteDestination, ipvs.BreakPersistence:
		if err := checkKey(c.Service.Key); err != nil {
			return err
		}
		return checkAddr("real server", c.Destination.Addr)
	case ipvs.FlushServices:
		return nil
	case ipvs.ZeroStats:
		if c.Service.Key == (ipvs.ServiceKey{}) {
			return nil // zero everything
		}
		return checkKey(c.Service.Key)
	case ipvs.SetTimeouts:
		return checkTimeouts(c.Timeouts)
	case ipvs.SetSysctl:
		if c.Name == "" {
			return invalid("sysctl without a name")
		}
		return nil
	case ipvs.OrderDestinations:
		return checkKey(c.Service.Key)
	case ipvs.ChangeSources:
		if len(c.Words) == 0 {
			return invalid("source without a command")
		}
		return nil
	case ipvs.ChangeMarks:
		if len(c.Words) == 0 {
			return invalid("mark without a command")
		}
		return nil
	}
	return invalid("unknown change %d", uint8(c.Kind))
}

// checkKey wants a protocol with an address, or a mark, and not both. The
// service address itself may be anything, as in ip_vs_add_service.
func checkKey(k ipvs.ServiceKey) error {
	if k.IsMark() {
		if k.Proto != ipvs.AnyProtocol || k.VIP != (netip.AddrPort{}) {
			return invalid("a firewall-mark service has neither protocol nor address")
		}
		return nil
	}
	switch k.Proto {
	case ipvs.TCP, ipvs.UDP, ipvs.SCTP:
	default:
		return invalid("protocol %v of a virtual service", k.Proto)
	}
	if k.V6 {
		return invalid("the family of a virtual service is that of its address")
	}
	return checkAddr("virtual service", k.VIP)
}

func checkService(s *ipvs.Service) error {
	if err := checkKey(s.Key); err != nil {
		return err
	}
	if !s.Key.IsMark() {
		if s.Key.VIP.Port() == 0 && !s.Persistent() {
			return invalid("port 0 is for persistent services")
		}
		if s.OnePacket() && s.Key.Proto != ipvs.UDP {
			return invalid("one-packet scheduling is for UDP")
		}
	}
	const known = ipvs.FlagPersistent | ipvs.FlagOnePacket | ipvs.FlagSched1 | ipvs.FlagSched2 | ipvs.FlagSched3
	if s.Flags&^known != 0 {
		return invalid("unknown service flags %#x", uint32(s.Flags&^known))
	}
	if s.Persistent() && (s.PersistTimeout < 1 || s.PersistTimeout > ipvs.MaxTimeout) {
		return invalid("persistence timeout %d s, want 1 to %d", s.PersistTimeout, ipvs.MaxTimeout)
	}
	if s.Key.Is6() {
		if s.Wildcard != 0 || s.PrefixLen > 128 {
			return invalid("an IPv6 service groups clients by a prefix length of 1 to 128")
		}
	} else if s.PrefixLen != 0 {
		return invalid("an IPv4 service groups clients by a netmask")
	}
	return nil
}

func checkDestination(d *ipvs.Destination, service6 bool) error {
	if err := checkAddr("real server", d.Addr); err != nil {
		return err
	}
	switch d.Method {
	case ipvs.Masq, ipvs.Route, ipvs.Tunnel, ipvs.FullNAT:
	default:
		return invalid("forwarding method %v", d.Method)
	}
	if d.Weight < 0 {
		return fmt.Errorf("weight %d: %w", d.Weight, ipvs.ErrRange)
	}
	if d.UpperThreshold > math.MaxInt32 {
		return fmt.Errorf("upper threshold %d: %w", d.UpperThreshold, ipvs.ErrRange)
	}
	if d.LowerThreshold > d.UpperThreshold {
		return fmt.Errorf("lower threshold %d above the upper one, %d: %w", d.LowerThreshold, d.UpperThreshold, ipvs.ErrRange)
	}
	if d.TOA && d.Method != ipvs.FullNAT {
		return invalid("--toa goes with --fullnat: by forwarding method %v servers see the clients", d.Method)
	}
	if d.Method == ipvs.Tunnel {
		return checkTunnel(d.Tunnel)
	}
	if d.Tunnel != (ipvs.TunnelOptions{}) {
		return invalid("tunnel options with forwarding method %v", d.Method)
	}
	if d.Addr.Addr().Is6() != service6 {
		return ipvs.ErrDifferentFamily
	}
	return nil
}

// checkServerPort wants the service's port where packets keep theirs: ipvsadm
// puts it there whatever is typed, so that no other port could be saved.
func checkServerPort(k ipvs.ServiceKey, d *ipvs.Destination) error {
	if d.Method == ipvs.Masq || d.Method == ipvs.FullNAT || k.IsMark() || d.Addr.Port() == k.VIP.Port() {
		return nil
	}
	return invalid("real server port %d: with forwarding method %v it is that of the service, %d", d.Addr.Port(), d.Method, k.VIP.Port())
}

func checkTunnel(t ipvs.TunnelOptions) error {
	switch {
	case t.Type > ipvs.TunnelGRE || t.Checksum > ipvs.TunnelRemoteChecksum:
		return invalid("tunnel type %d with checksum %d", t.Type, t.Checksum)
	case t.Type == ipvs.TunnelGUE && t.Port == 0:
		return invalid("a gue tunnel needs a port")
	case t.Type != ipvs.TunnelGUE && t.Port != 0:
		return invalid("%v tunnels have no port", t.Type)
	case t.Type == ipvs.TunnelIPIP && t.Checksum != ipvs.TunnelNoChecksum,
		t.Type == ipvs.TunnelGRE && t.Checksum == ipvs.TunnelRemoteChecksum:
		return invalid("%v tunnels do not carry that checksum", t.Type)
	}
	return nil
}

func checkTimeouts(t ipvs.Timeouts) error {
	for _, s := range [...]uint32{t.TCP, t.TCPFin, t.UDP} {
		if s > ipvs.MaxTimeout {
			return invalid("timeout %d s, want 0 to %d", s, ipvs.MaxTimeout)
		}
	}
	return nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// checkBroadcasts refuses to add a server at the broadcast address of one of
// the host's own networks: its routing table knows it as RTN_BROADCAST
// (ip_vs_ctl.c asks inet_addr_type). An address that becomes one later stays.
func checkBroadcasts(changes []ipvs.Change, local []net.Addr) error {
	for i, c := range changes {
		if c.Kind != ipvs.AddDestination {
			continue
		}
		for _, l := range local {
			if n, ok := l.(*net.IPNet); ok && isBroadcastOf(c.Destination.Addr.Addr(), n) {
				return &ipvs.ChangeError{Index: i, Kind: c.Kind, Err: invalid("real server address %v is the broadcast address of %v", c.Destination.Addr.Addr(), n)}
			}
		}
	}
	return nil
}

func isBroadcastOf(a netip.Addr, n *net.IPNet) bool {
	ip := n.IP.To4()
	if ones, bits := n.Mask.Size(); !a.Is4() || ip == nil || bits != 32 || ones > 30 {
		return false
	}
	for i, b := range a.As4() {
		if b != ip[i]|^n.Mask[i] {
			return false
		}
	}
	return true
}

// isUnicast leaves out IPv6's link-local addresses, as the kernel does.
func isUnicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != broadcast && !(a.Is6() && a.IsLinkLocalUnicast())
}

func checkAddr(of string, a netip.AddrPort) error {
	if !a.IsValid() {
		return invalid("%s without an address", of)
	}
	if a.Addr().Zone() != "" {
		return invalid("%s address %v has a zone", of, a.Addr())
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ipvs.ErrInvalid)...)
}
