package drain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/ipvs"
)

// fakeDirector has servers whose connections end as time goes by.
type fakeDirector struct {
	services []ipvs.ServiceStatus
	applied  []string
	refusal  error
	end      func(*fakeDirector) // called before each listing
}

func (f *fakeDirector) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if f.end != nil {
		f.end(f)
	}
	return f.services, nil
}

func (f *fakeDirector) Apply(ctx context.Context, changes []ipvs.Change) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f.refusal != nil {
		return f.refusal
	}
	for _, c := range changes {
		f.applied = append(f.applied, fmt.Sprintf("%v %v %v", c.Kind, c.Service.Key, c.Destination.Addr))
		for i := range f.services {
			if s := &f.services[i]; s.Key == c.Service.Key {
				for j := range s.Destinations {
					if d := &s.Destinations[j]; d.Addr == c.Destination.Addr && c.Kind == ipvs.EditDestination {
						d.Destination = c.Destination
					}
				}
			}
		}
	}
	return nil
}

var (
	tcp    = ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:80")}
	udp    = ipvs.ServiceKey{Proto: ipvs.UDP, VIP: netip.MustParseAddrPort("192.0.2.1:53")}
	server = netip.MustParseAddrPort("10.0.0.2:8080")
	other  = netip.MustParseAddrPort("10.0.0.3:8080")
)

// newDirector has one server with active connections, which end one a second,
// beside another one.
func newDirector(key ipvs.ServiceKey, active, inactive int32) *fakeDirector {
	begun := time.Now()
	f := &fakeDirector{services: []ipvs.ServiceStatus{{
		Service: ipvs.Service{Key: key},
		Destinations: []ipvs.DestinationStatus{
			{Destination: ipvs.Destination{Addr: server, Weight: 3, UpperThreshold: 9}, Active: active, Inactive: inactive},
			{Destination: ipvs.Destination{Addr: other, Weight: 5}, Active: 100},
		},
	}}}
	f.end = func(f *fakeDirector) {
		gone := int32(time.Since(begun) / time.Second)
		f.services[0].Destinations[0].Active = max(active-gone, 0)
		f.services[0].Destinations[0].Inactive = max(inactive-gone, 0)
	}
	return f
}

func run(ctx context.Context, f *fakeDirector, change func(*Config)) (Outcome, *Progress, []int, error) {
	var left []int
	cfg := Config{
		Director: f,
		Choose:   func(_ ipvs.ServiceKey, d *ipvs.Destination) bool { return d.Addr == server },
		Show:     func(p *Progress) { left = append(left, p.Left()) },
	}
	if change != nil {
		change(&cfg)
	}
	outcome, p, err := Run(ctx, cfg)
	return outcome, p, left, err
}

func TestDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDirector(tcp, 3, 50)
		outcome, p, left, err := run(t.Context(), f, func(c *Config) {
			c.Poll = time.Second
			c.Delete = true
			c.BreakPersistence = true
			c.Deadline = time.Minute
		})
		if outcome != Drained || err != nil || p.Elapsed != 3*time.Second || !slices.Equal(left, []int{3, 2, 1, 0}) {
			t.Errorf("Run = %v after %v, %v; left %v", outcome, p.Elapsed, err, left)
		}
		if p.Servers[0].Before.Weight != 3 || p.Servers[0].Before.UpperThreshold != 9 {
			t.Errorf("the server was %+v before", p.Servers[0].Before)
		}
		if now := f.services[0].Destinations; now[0].Weight != 0 || now[0].UpperThreshold != 9 || now[1].Weight != 5 {
			t.Errorf("the servers are %+v", now)
		}
		want := []string{
			"edit-server TCP 192.0.2.1:80 10.0.0.2:8080", "break-persistence TCP 192.0.2.1:80 10.0.0.2:8080",
			"delete-server TCP 192.0.2.1:80 10.0.0.2:8080",
		}
		if diff := cmp.Diff(want, f.applied); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
	})
}

// TestDrainedOfDatagrams: UDP has no active connections.
func TestDrainedOfDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outcome, p, _, err := run(t.Context(), newDirector(udp, 0, 20), nil)
		if outcome != Drained || err != nil || p.Elapsed != 20*time.Second {
			t.Errorf("Run = %v after %v, %v, want 20 s", outcome, p.Elapsed, err)
		}
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDirector(tcp, 100, 0)
		outcome, p, _, err := run(t.Context(), f, func(c *Config) { c.Deadline = 10*time.Second + 123*time.Millisecond; c.Delete = true })
		if outcome != Deadline || err != nil || p.Elapsed != 10*time.Second+123*time.Millisecond || p.Left() != 90 {
			t.Errorf("Run = %v after %v with %d left, %v", outcome, p.Elapsed, p.Left(), err)
		}
		if len(f.applied) != 1 {
			t.Errorf("applied %q, want the edit alone", f.applied)
		}
	})
}

func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2700*time.Millisecond)
		defer cancel()
		f := newDirector(tcp, 100, 0)
		outcome, p, _, err := run(ctx, f, func(c *Config) { c.Delete = true })
		if outcome != Interrupted || err != nil || p.Left() != 98 || len(f.applied) != 1 {
			t.Errorf("Run = %v with %d left, %v, applied %q", outcome, p.Left(), err, f.applied)
		}
		// In the middle of the change it is carried out.
		soon, stopSoon := context.WithCancel(t.Context())
		f = newDirector(tcp, 100, 0)
		f.end = func(*fakeDirector) { stopSoon() }
		if outcome, p, _, err := run(soon, f, nil); outcome != Interrupted || err != nil || len(p.Servers) != 1 || len(f.applied) != 1 {
			t.Errorf("Run = %v, %v, applied %q", outcome, err, f.applied)
		}
		early, stop := context.WithCancel(t.Context())
		stop()
		f = newDirector(tcp, 100, 0)
		if _, p, _, err := run(early, f, nil); err == nil || len(p.Servers) != 0 || f.applied != nil {
			t.Errorf("Run of an ended context = %v, applied %q", err, f.applied)
		}
	})
}

// TestOthersMeddle: what somebody else does to the server ends the draining, and
// is said.
func TestOthersMeddle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		meddle func(*fakeDirector)
		want   string
	}{
		{"deleted", func(f *fakeDirector) { f.services[0].Destinations = f.services[0].Destinations[1:] },
			"TCP 192.0.2.1:80 server 10.0.0.2:8080 was deleted by somebody else, with 98 of its connections left"},
		{"service deleted", func(f *fakeDirector) { f.services = nil },
			"TCP 192.0.2.1:80 server 10.0.0.2:8080 was deleted by somebody else, with 98 of its connections left"},
		{"raised", func(f *fakeDirector) { f.services[0].Destinations[0].Weight = 4 },
			"TCP 192.0.2.1:80 server 10.0.0.2:8080 was given weight 4 by somebody else: it takes new connections again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newDirector(tcp, 100, 0)
				connections, begun := f.end, time.Now()
				f.end = func(f *fakeDirector) {
					if time.Since(begun) < 3*time.Second {
						connections(f)
					} else {
						tt.meddle(f)
					}
				}
				outcome, _, _, err := run(t.Context(), f, func(c *Config) { c.Delete = true; c.Deadline = time.Minute })
				if outcome != Changed || fmt.Sprint(err) != tt.want {
					t.Errorf("Run = %v, %v, want %s", outcome, err, tt.want)
				}
				if len(f.applied) != 1 {
					t.Errorf("applied %q, want the edit alone", f.applied)
				}
			})
		})
	}
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDirector(tcp, 1, 0)
		if _, p, _, err := run(t.Context(), f, func(c *Config) { c.Choose = func(ipvs.ServiceKey, *ipvs.Destination) bool { return false } }); !errors.Is(err, ErrNothing) || len(p.Servers) != 0 {
			t.Errorf("Run of no server = %v", err)
		}
		f.refusal = ipvs.ErrPermission
		if _, p, left, err := run(t.Context(), f, nil); !errors.Is(err, ipvs.ErrPermission) || len(p.Servers) != 0 || left != nil {
			t.Errorf("Run without permission = %v, shown %v", err, left)
		}
	})
}

// TestManyServices: servers of several services are quiesced in one transaction.
func TestManyServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDirector(tcp, 2, 0)
		f.services = append(f.services, ipvs.ServiceStatus{
			Service: ipvs.Service{Key: udp}, Destinations: []ipvs.DestinationStatus{{Destination: ipvs.Destination{Addr: server}, PersistConns: 4}},
		})
		outcome, p, _, err := run(t.Context(), f, nil)
		if outcome != Drained || err != nil || len(p.Servers) != 2 || len(f.applied) != 2 || p.Templates() != 4 {
			t.Errorf("Run = %v, %v with %+v, applied %q", outcome, err, p, f.applied)
		}
	})
}
