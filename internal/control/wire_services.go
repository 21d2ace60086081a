package control

import (
	"fmt"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// wireService is the configuration of a service.
type wireService struct {
	Protocol       string         `json:"protocol,omitempty"` // tcp, udp or sctp; absent with a mark
	Address        netip.AddrPort `json:"address,omitzero"`
	Mark           uint32         `json:"mark,omitempty"`
	IPv6           bool           `json:"ipv6,omitempty"` // the family of a mark
	Scheduler      string         `json:"scheduler,omitempty"`
	Flags          []string       `json:"flags,omitempty"`
	PersistTimeout uint32         `json:"persist_timeout,omitempty"`
	Netmask        netip.Addr     `json:"netmask,omitzero"` // absent: all ones
	PrefixLen      uint8          `json:"prefix_len,omitempty"`
	Engine         string         `json:"engine,omitempty"`
}

// wireDestination is the configuration of a real server.
type wireDestination struct {
	Address        netip.AddrPort `json:"address"`
	Method         string         `json:"method,omitempty"` // masq, route, tunnel, fullnat; listings also local, bypass
	Weight         int32          `json:"weight"`
	UpperThreshold uint32         `json:"upper_threshold,omitempty"`
	LowerThreshold uint32         `json:"lower_threshold,omitempty"`
	TOA            bool           `json:"toa,omitempty"`         // with fullnat
	TunnelType     string         `json:"tunnel_type,omitempty"` // ipip, gue, gre
	TunnelPort     uint16         `json:"tunnel_port,omitempty"`
	TunnelChecksum string         `json:"tunnel_checksum,omitempty"` // none, csum, remcsum
}

// ServiceJSON is a service with its live numbers, on the socket and wherever natlb
// prints JSON. Absent fields are 0, false or do not apply.
type ServiceJSON struct {
	wireService
	Stats        ipvs.Stats        `json:"stats"`
	Rates        ipvs.Rates        `json:"rates"`
	Destinations []DestinationJSON `json:"destinations"`
}

// DestinationJSON is a real server of a service with its live numbers.
type DestinationJSON struct {
	wireDestination
	Active       int32      `json:"active"`
	Inactive     int32      `json:"inactive"`
	PersistConns int32      `json:"persist_conns"`
	Overloaded   bool       `json:"overloaded,omitempty"`
	Unreachable  bool       `json:"unreachable,omitempty"`         // no way to it, or its next hop does not answer
	LostFor      int64      `json:"unreachable_seconds,omitempty"` // for how long
	Withheld     bool       `json:"withheld,omitempty"`            // and therefore it takes no new connection
	LostPkts     uint64     `json:"unreachable_packets,omitempty"` // packets that did not reach it
	Stats        ipvs.Stats `json:"stats"`
	Rates        ipvs.Rates `json:"rates"`
}

func wireServiceOf(s *ipvs.Service) wireService {
	w := wireService{
		Address: s.Key.VIP, Mark: s.Key.Mark, IPv6: s.Key.V6,
		Scheduler: s.Scheduler, Flags: flagWords(s.Flags), PersistTimeout: s.PersistTimeout,
		PrefixLen: s.PrefixLen, Engine: s.Engine,
	}
	if !s.Key.IsMark() {
		w.Protocol = protocolWord(s.Key.Proto)
	}
	if m := ^s.Wildcard; s.Wildcard != 0 {
		w.Netmask = netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)})
	}
	return w
}

func (w *wireService) service() (s ipvs.Service, err error) {
	s = ipvs.Service{
		Key:       ipvs.ServiceKey{VIP: w.Address, Mark: w.Mark, V6: w.IPv6},
		Scheduler: w.Scheduler, PersistTimeout: w.PersistTimeout, PrefixLen: w.PrefixLen, Engine: w.Engine,
	}
	if w.Protocol != "" {
		if s.Key.Proto, err = protocolOf(w.Protocol); err != nil {
			return s, err
		}
	}
	if s.Flags, err = flagsOf(w.Flags); err != nil {
		return s, err
	}
	if w.Netmask.IsValid() {
		if !w.Netmask.Is4() {
			return s, fmt.Errorf("netmask %v: %w", w.Netmask, ipvs.ErrInvalid)
		}
		m := w.Netmask.As4()
		s.Wildcard = ^(uint32(m[0])<<24 | uint32(m[1])<<16 | uint32(m[2])<<8 | uint32(m[3]))
	}
	return s, nil
}

func wireDestinationOf(d *ipvs.Destination) wireDestination {
	w := wireDestination{
		Address: d.Addr, Method: methods.word(d.Method), Weight: d.Weight,
		UpperThreshold: d.UpperThreshold, LowerThreshold: d.LowerThreshold, TOA: d.TOA,
	}
	if d.Method == ipvs.Tunnel {
		w.TunnelType = tunnelTypes.word(d.Tunnel.Type)
		w.TunnelPort = d.Tunnel.Port
		w.TunnelChecksum = tunnelChecksums.word(d.Tunnel.Checksum)
	}
	return w
}

// destination takes a missing method as route and a missing tunnel type as
// ipip, the defaults of every face of natlb.
func (w *wireDestination) destination() (d ipvs.Destination, err error) {
	d = ipvs.Destination{
		Addr: w.Address, Method: ipvs.Route, Weight: w.Weight,
		UpperThreshold: w.UpperThreshold, LowerThreshold: w.LowerThreshold,
		Tunnel: ipvs.TunnelOptions{Port: w.TunnelPort}, TOA: w.TOA,
	}
	if w.Method != "" {
		if d.Method, err = methods.value(w.Method); err != nil {
			return d, err
		}
	}
	if w.TunnelType != "" {
		if d.Tunnel.Type, err = tunnelTypes.value(w.TunnelType); err != nil {
			return d, err
		}
	}
	if w.TunnelChecksum != "" {
		d.Tunnel.Checksum, err = tunnelChecksums.value(w.TunnelChecksum)
	}
	return d, err
}

// JSONOfService returns what says in JSON what s says.
func JSONOfService(s *ipvs.ServiceStatus) ServiceJSON {
	w := ServiceJSON{
		wireService: wireServiceOf(&s.Service), Stats: s.Stats, Rates: s.Rates,
		Destinations: make([]DestinationJSON, len(s.Destinations)),
	}
	for i := range s.Destinations {
		d := &s.Destinations[i]
		w.Destinations[i] = DestinationJSON{
			wireDestination: wireDestinationOf(&d.Destination),
			Active:          d.Active, Inactive: d.Inactive, PersistConns: d.PersistConns,
			Overloaded: d.Overloaded, Unreachable: d.Reach.Unreachable, LostFor: int64(d.Reach.For / time.Second),
			Withheld: d.Reach.Withheld, LostPkts: d.Reach.Lost, Stats: d.Stats, Rates: d.Rates,
		}
	}
	return w
}

func (w *ServiceJSON) status() (ipvs.ServiceStatus, error) {
	service, err := w.service()
	if err != nil {
		return ipvs.ServiceStatus{}, err
	}
	s := ipvs.ServiceStatus{Service: service, Stats: w.Stats, Rates: w.Rates}
	for i := range w.Destinations {
		wd := &w.Destinations[i]
		d, err := wd.destination()
		if err != nil {
			return s, err
		}
		s.Destinations = append(s.Destinations, ipvs.DestinationStatus{
			Destination: d, Active: wd.Active, Inactive: wd.Inactive, PersistConns: wd.PersistConns,
			Overloaded: wd.Overloaded, Stats: wd.Stats, Rates: wd.Rates,
			Reach: ipvs.Reach{Unreachable: wd.Unreachable, For: time.Duration(wd.LostFor) * time.Second, Withheld: wd.Withheld, Lost: wd.LostPkts},
		})
	}
	return s, nil
}
