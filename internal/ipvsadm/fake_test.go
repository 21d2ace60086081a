package ipvsadm

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"natlb/internal/control"
	"natlb/ipvs"
)

// fakeDirector is a director in memory with the kernel's answers
// and without what natlb lacks: marks, persistence and IPv6 work, so that
// the grammar is judged whole.
type fakeDirector struct {
	services []ipvs.ServiceStatus
	conns    []ipvs.ConnStatus
	timeouts ipvs.Timeouts
	sources  []ipvs.SourceStatus
	fail     error // what every call returns
}

func newFakeDirector() *fakeDirector { return &fakeDirector{timeouts: ipvs.DefaultTimeouts} }

func (f *fakeDirector) Services(context.Context) ([]ipvs.ServiceStatus, error) {
	services := slices.Clone(f.services)
	for i := range services {
		services[i].Destinations = slices.Clone(services[i].Destinations)
	}
	return services, f.fail
}

func (f *fakeDirector) Connections(_ context.Context, yield func(ipvs.ConnStatus) bool) error {
	for _, c := range f.conns {
		if !yield(c) {
			break
		}
	}
	return f.fail
}

func (f *fakeDirector) Timeouts(context.Context) (ipvs.Timeouts, error) { return f.timeouts, f.fail }
func (f *fakeDirector) Sources(context.Context) ([]ipvs.SourceStatus, error) {
	return f.sources, f.fail
}
func (f *fakeDirector) TableSize(context.Context) (int, error) { return 4096, f.fail }

func (f *fakeDirector) Apply(ctx context.Context, changes []ipvs.Change) error {
	if f.fail != nil {
		return f.fail
	}
	before, _ := f.Services(ctx)
	for i := range changes {
		if err := f.apply(&changes[i]); err != nil {
			f.services = before
			return &ipvs.ChangeError{Index: i, Kind: changes[i].Kind, Err: err}
		}
	}
	return nil
}

func (f *fakeDirector) apply(c *ipvs.Change) error {
	if err := control.Check(c); err != nil && !errors.Is(err, ipvs.ErrUnsupported) {
		if c.Kind == ipvs.AddDestination && f.index(c.Service.Key) < 0 {
			return ipvs.ErrNoSuchService
		}
		return err
	}
	switch c.Kind {
	case ipvs.AddService, ipvs.EditService:
		return f.setService(c)
	case ipvs.FlushServices:
		f.services = nil
		return nil
	case ipvs.SetTimeouts:
		for _, t := range []struct {
			to   *uint32
			from uint32
		}{{&f.timeouts.TCP, c.Timeouts.TCP}, {&f.timeouts.TCPFin, c.Timeouts.TCPFin}, {&f.timeouts.UDP, c.Timeouts.UDP}} {
			if t.from != 0 {
				*t.to = t.from
			}
		}
		return nil
	case ipvs.ZeroStats:
		return f.zero(c.Service.Key)
	}
	i := f.index(c.Service.Key)
	if i < 0 {
		return ipvs.ErrNoSuchService
	}
	if c.Kind == ipvs.DeleteService {
		f.services = slices.Delete(f.services, i, i+1)
		return nil
	}
	return setDestination(&f.services[i], c)
}

func (f *fakeDirector) index(k ipvs.ServiceKey) int {
	return slices.IndexFunc(f.services, func(s ipvs.ServiceStatus) bool { return s.Key == k })
}

func (f *fakeDirector) setService(c *ipvs.Change) error {
	i := f.index(c.Service.Key)
	switch {
	case c.Kind == ipvs.AddService && i >= 0:
		return ipvs.ErrServiceExists
	case c.Kind == ipvs.EditService && i < 0:
		return ipvs.ErrNoSuchService
	}
	known := []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"}
	if !slices.Contains(known, c.Service.Scheduler) || c.Service.Engine != "" && c.Service.Engine != "sip" {
		return ipvs.ErrUnknownScheduler
	}
	if i >= 0 {
		f.services[i].Service = c.Service
	} else {
		f.services = append(f.services, ipvs.ServiceStatus{Service: c.Service})
	}
	return nil
}

func (f *fakeDirector) zero(k ipvs.ServiceKey) error {
	found := k == ipvs.ServiceKey{}
	for i := range f.services {
		s := &f.services[i]
		if k != (ipvs.ServiceKey{}) && s.Key != k {
			continue
		}
		found = true
		s.Stats = ipvs.Stats{}
		for j := range s.Destinations {
			s.Destinations[j].Stats = ipvs.Stats{}
		}
	}
	if !found {
		return ipvs.ErrNoSuchService
	}
	return nil
}

func setDestination(s *ipvs.ServiceStatus, c *ipvs.Change) error {
	j := slices.IndexFunc(s.Destinations, func(d ipvs.DestinationStatus) bool { return d.Addr == c.Destination.Addr })
	switch {
	case c.Kind == ipvs.AddDestination && j >= 0:
		return ipvs.ErrDestinationExists
	case c.Kind == ipvs.AddDestination:
		s.Destinations = slices.Insert(s.Destinations, 0, ipvs.DestinationStatus{Destination: c.Destination})
		return nil
	case j < 0:
		return ipvs.ErrNoSuchDestination
	case c.Kind == ipvs.EditDestination:
		s.Destinations[j].Destination = c.Destination
	case c.Kind == ipvs.DeleteDestination:
		s.Destinations = slices.Delete(s.Destinations, j, j+1)
	}
	return nil
}

// fakeLookup knows what the recorded guest knew.
type fakeLookup struct{}

var fakeServices = []struct {
	name  string
	port  uint16
	proto ipvs.Protocol
}{
	{"tcpmux", 1, ipvs.TCP}, {"ssh", 22, ipvs.TCP}, {"domain", 53, ipvs.TCP}, {"domain", 53, ipvs.UDP},
	{"http", 80, ipvs.TCP}, {"www", 80, ipvs.TCP}, {"mdns", 5353, ipvs.UDP}, {"http-alt", 8080, ipvs.TCP},
}

func (fakeLookup) Host(_ context.Context, name string) (netip.Addr, bool) {
	return netip.AddrFrom4([4]byte{127, 0, 0, 1}), name == "localhost"
}

func (fakeLookup) Name(_ context.Context, a netip.Addr) (string, bool) {
	return "localhost", a.IsLoopback()
}

func (fakeLookup) Port(name string, proto ipvs.Protocol) (uint16, bool) {
	for _, s := range fakeServices {
		if s.name == name && s.proto == proto {
			return s.port, true
		}
	}
	return 0, false
}

func (fakeLookup) Service(port uint16, proto ipvs.Protocol) (string, bool) {
	for _, s := range fakeServices {
		if s.port == port && s.proto == proto {
			return s.name, true
		}
	}
	return "", false
}
