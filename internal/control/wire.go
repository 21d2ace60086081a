package control

import (
	"fmt"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// ProtocolVersion is the version of the protocol: it is in every request with a
// body and in every reply, and it changes when old readers would misread.
const ProtocolVersion = 1

// The types of this file are the protocol: what they say in JSON is what the
// socket speaks. Names are snake_case, addresses are text ("192.0.2.1:80"),
// methods and flags are words, durations and timeouts seconds.

// header opens every reply; in a stream it is the first line.
type header struct {
	Version int    `json:"version"`
	Natlb   string `json:"natlb"`
}

type failure struct {
	header
	Code    string `json:"code"`
	Message string `json:"message"`
	Index   *int   `json:"index,omitempty"` // of the refused change
}

type applyRequest struct {
	Version int          `json:"version"`
	Changes []wireChange `json:"changes"`
}

type servicesReply struct {
	header
	Services []wireServiceStatus `json:"services"`
}

type snapshotReply struct {
	header
	Clock    int64               `json:"clock_ns"` // the director's clock: rates are told from two readings
	Entries  int                 `json:"entries"`  // connections and persistence templates
	Services []wireServiceStatus `json:"services"`
	Counters []Counter           `json:"counters"`
}

type countsReply struct {
	header
	Counts
}

type timeoutsReply struct {
	header
	ipvs.Timeouts
}

type countersReply struct {
	header
	Counters []Counter `json:"counters"`
}

type marksReply struct {
	header
	Text string `json:"text"`
}

type sysctlsReply struct {
	header
	Sysctls []Sysctl `json:"sysctls"`
}

type statusReply struct {
	Version int `json:"version"`
	Status
}

// wireChange is one change; Op is the word of ipvs.ChangeKind.String.
type wireChange struct {
	Op          string           `json:"op"`
	Service     *wireService     `json:"service,omitempty"`
	Destination *wireDestination `json:"destination,omitempty"` // of break-persistence the address alone
	Timeouts    *ipvs.Timeouts   `json:"timeouts,omitempty"`
	Name        string           `json:"name,omitempty"`
	Value       string           `json:"value,omitempty"`
	Words       []string         `json:"words,omitempty"` // mark: a command line of natlb mark
}

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

type wireDestination struct {
	Address        netip.AddrPort `json:"address"`
	Method         string         `json:"method,omitempty"` // masq, route, tunnel; listings also local, bypass
	Weight         int32          `json:"weight"`
	UpperThreshold uint32         `json:"upper_threshold,omitempty"`
	LowerThreshold uint32         `json:"lower_threshold,omitempty"`
	TunnelType     string         `json:"tunnel_type,omitempty"` // ipip, gue, gre
	TunnelPort     uint16         `json:"tunnel_port,omitempty"`
	TunnelChecksum string         `json:"tunnel_checksum,omitempty"` // none, csum, remcsum
}

type wireServiceStatus struct {
	wireService
	Stats        ipvs.Stats              `json:"stats"`
	Rates        ipvs.Rates              `json:"rates"`
	Destinations []wireDestinationStatus `json:"destinations"`
}

type wireDestinationStatus struct {
	wireDestination
	Active       int32      `json:"active"`
	Inactive     int32      `json:"inactive"`
	PersistConns int32      `json:"persist_conns"`
	Overloaded   bool       `json:"overloaded,omitempty"`
	Stats        ipvs.Stats `json:"stats"`
	Rates        ipvs.Rates `json:"rates"`
}

// ConnJSON is a connection entry or a persistence template, on the socket and
// wherever natlb prints JSON.
type ConnJSON struct {
	Protocol string         `json:"protocol"` // tcp, udp, sctp, any or a number
	State    string         `json:"state"`
	Expires  float64        `json:"expires_seconds"`
	Client   netip.AddrPort `json:"client"`
	Virtual  netip.AddrPort `json:"virtual"`
	Dest     netip.AddrPort `json:"dest"`
	Service  *wireService   `json:"service,omitempty"` // that it was scheduled by: protocol and address, or mark
	InPkts   uint32         `json:"in_packets"`        // of the client
	Mark     uint32         `json:"mark,omitempty"`
	Template bool           `json:"template,omitempty"`
	Engine   string         `json:"engine,omitempty"`
	Data     string         `json:"data,omitempty"`
}

// streamEnd is the last line of a stream: without it the stream was cut short.
type streamEnd struct {
	End   bool `json:"end"`
	Count int  `json:"count"`
}

// streamLine is how a reader takes a line of a stream that may be its last.
type streamLine struct {
	ConnJSON
	streamEnd
}

func wireChangeOf(c *ipvs.Change) wireChange {
	w := wireChange{Op: c.Kind.String(), Name: c.Name, Value: c.Value, Words: c.Words}
	switch c.Kind {
	case ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination, ipvs.BreakPersistence:
		d := wireDestinationOf(&c.Destination)
		w.Destination = &d
		fallthrough
	case ipvs.AddService, ipvs.EditService, ipvs.DeleteService:
		s := wireServiceOf(&c.Service)
		w.Service = &s
	case ipvs.ZeroStats:
		if c.Service.Key != (ipvs.ServiceKey{}) {
			s := wireServiceOf(&c.Service)
			w.Service = &s
		}
	case ipvs.SetTimeouts:
		w.Timeouts = &c.Timeouts
	}
	return w
}

func (w *wireChange) change() (c ipvs.Change, err error) {
	if c.Kind, err = kinds.value(w.Op); err != nil {
		return c, err
	}
	c.Name, c.Value, c.Words = w.Name, w.Value, w.Words
	if w.Service != nil {
		if c.Service, err = w.Service.service(); err != nil {
			return c, err
		}
	}
	if w.Destination != nil {
		if c.Destination, err = w.Destination.destination(); err != nil {
			return c, err
		}
	}
	if w.Timeouts != nil {
		c.Timeouts = *w.Timeouts
	}
	return c, nil
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
		UpperThreshold: d.UpperThreshold, LowerThreshold: d.LowerThreshold,
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
		Tunnel: ipvs.TunnelOptions{Port: w.TunnelPort},
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

func wireStatusOf(s *ipvs.ServiceStatus) wireServiceStatus {
	w := wireServiceStatus{
		wireService: wireServiceOf(&s.Service), Stats: s.Stats, Rates: s.Rates,
		Destinations: make([]wireDestinationStatus, len(s.Destinations)),
	}
	for i := range s.Destinations {
		d := &s.Destinations[i]
		w.Destinations[i] = wireDestinationStatus{
			wireDestination: wireDestinationOf(&d.Destination),
			Active:          d.Active, Inactive: d.Inactive, PersistConns: d.PersistConns,
			Overloaded: d.Overloaded, Stats: d.Stats, Rates: d.Rates,
		}
	}
	return w
}

func (w *wireServiceStatus) status() (ipvs.ServiceStatus, error) {
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
		})
	}
	return s, nil
}

// JSONOfConn returns what says in JSON what c says.
func JSONOfConn(c *ipvs.ConnStatus) ConnJSON {
	w := ConnJSON{
		Protocol: protocolWord(c.Proto), State: c.State, Expires: c.Expires.Seconds(),
		Client: c.Client, Virtual: c.Virtual, Dest: c.Dest, InPkts: c.InPkts,
		Mark: c.Mark, Template: c.Template, Engine: c.Engine, Data: c.Data,
	}
	if c.Service != (ipvs.ServiceKey{}) {
		s := wireServiceOf(&ipvs.Service{Key: c.Service})
		w.Service = &s
	}
	return w
}

func (w *ConnJSON) conn() (ipvs.ConnStatus, error) {
	proto, err := protocolOf(w.Protocol)
	var service ipvs.Service
	if w.Service != nil && err == nil {
		service, err = w.Service.service()
	}
	return ipvs.ConnStatus{
		Proto: proto, State: w.State, Expires: seconds(w.Expires),
		Client: w.Client, Virtual: w.Virtual, Dest: w.Dest, Service: service.Key, InPkts: w.InPkts,
		Mark: w.Mark, Template: w.Template, Engine: w.Engine, Data: w.Data,
	}, err
}

// seconds rounds to microseconds: finer digits are the float's own noise.
func seconds(s float64) time.Duration {
	return (time.Duration(s*1e6+0.5) * time.Microsecond)
}
