package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"natlb/ipvs"
	"natlb/sched"
)

// schedulerSpy is a scheduler that remembers what it was told last.
type schedulerSpy struct {
	sched.Scheduler
	servers  []*ipvs.RealServer
	prepared int
}

func (s *schedulerSpy) Update(servers []*ipvs.RealServer, how sched.UpdateKind, changed *ipvs.RealServer) {
	s.servers = servers
	s.Scheduler.Update(servers, how, changed)
}

// Prepare implements sched.Preparer.
func (s *schedulerSpy) Prepare() { s.prepared++ }

// spiedDirector returns a director with one service of two servers, and its
// scheduler.
func spiedDirector(t *testing.T) (*Director, *service, *schedulerSpy) {
	t.Helper()
	d := NewDirector(Config{Seed: 1})
	cfg := ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}}
	apply(t, d, ipvs.Change{Kind: ipvs.AddService, Service: cfg})
	s := d.byKey[cfg.Key]
	spy := &schedulerSpy{Scheduler: s.sched}
	s.sched = spy
	for _, addr := range []string{"10.20.0.11:80", "10.20.0.12:80"} {
		apply(t, d, onServer(ipvs.AddDestination, s, addr, 1))
	}
	if len(spy.servers) != 2 {
		t.Fatalf("the scheduler knows %d servers, want 2", len(spy.servers))
	}
	return d, s, spy
}

func apply(t *testing.T, d *Director, changes ...ipvs.Change) {
	t.Helper()
	if err := d.Apply(changes); err != nil {
		t.Fatal(err)
	}
}

func onServer(kind ipvs.ChangeKind, s *service, addr string, weight int32) ipvs.Change {
	return ipvs.Change{
		Kind: kind, Service: ipvs.Service{Key: s.key},
		Destination: ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Weight: weight, Method: ipvs.Masq},
	}
}

// TestSchedulersAreLetGo: a scheduler that is not asked any more is told of an
// empty list. Its servers can live on, with connections, and would go on telling
// it of every change.
func TestSchedulersAreLetGo(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(s *service) ipvs.Change
		want int
	}{
		{"delete", func(s *service) ipvs.Change {
			return ipvs.Change{Kind: ipvs.DeleteService, Service: ipvs.Service{Key: s.key}}
		}, 0},
		{"flush", func(*service) ipvs.Change { return ipvs.Change{Kind: ipvs.FlushServices} }, 0},
		{"another scheduler", func(s *service) ipvs.Change {
			return ipvs.Change{Kind: ipvs.EditService, Service: ipvs.Service{Key: s.key, Scheduler: "rr"}}
		}, 0},
		{"the same scheduler", func(s *service) ipvs.Change {
			return ipvs.Change{Kind: ipvs.EditService, Service: ipvs.Service{Key: s.key, Scheduler: ipvs.DefaultScheduler, PersistTimeout: 60}}
		}, 2},
	} {
		d, s, spy := spiedDirector(t)
		apply(t, d, c.do(s))
		if got := len(spy.servers); got != c.want {
			t.Errorf("%s: the old scheduler was left with %d servers, want %d", c.name, got, c.want)
		}
	}
}

// TestPreparesServicesInUse: after a transaction the schedulers that somebody
// asks are prepared, once; those that nobody asks are not.
func TestPreparesServicesInUse(t *testing.T) {
	d, s, spy := spiedDirector(t)
	if spy.prepared != 0 {
		t.Errorf("prepared %d times before the first pick, want 0", spy.prepared)
	}
	for range 2 {
		spy.prepared = 0
		if s.schedule(&sched.Flow{}, time.Second) == nil {
			t.Fatal("nobody is picked")
		}
		apply(t, d, onServer(ipvs.EditDestination, s, "10.20.0.11:80", 3), onServer(ipvs.DeleteDestination, s, "10.20.0.12:80", 0),
			onServer(ipvs.AddDestination, s, "10.20.0.12:80", 1))
		apply(t, d, onServer(ipvs.EditDestination, s, "10.20.0.11:80", 1))
		if spy.prepared != 1 {
			t.Errorf("prepared %d times after two transactions, want once, at the end of the first", spy.prepared)
		}
	}
}
