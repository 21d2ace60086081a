package bench

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"natlb/ipvs"
	"natlb/sched"
)

// BenchmarkSchedule picks servers for new connections of 1024 clients to 64
// addresses, in three states of a service. Weights and connection counts are
// mixed.
//
//   - still: nothing changes between picks.
//   - busy: every pick becomes an active connection, and the oldest of eight for
//     each server closes and ends, so that three servers have changed.
//   - drained: of sixteen servers one is left, the others are quiesced.
func BenchmarkSchedule(b *testing.B) {
	flows := flows()
	for _, name := range sched.Names() {
		if name == "none" {
			continue // picks nothing, for nothing
		}
		for _, state := range []string{"still", "busy", "drained"} {
			for _, n := range []int{2, 16, 128, 1024} {
				b.Run(fmt.Sprintf("sched=%s/state=%s/servers=%d", name, state, n), func(b *testing.B) {
					s, servers := filled(b, name, n)
					bind := func(*ipvs.RealServer) {}
					switch state {
					case "busy":
						bind = churn(8 * n)
					case "drained":
						drain(s, servers)
					}
					i := 0
					pick := func() {
						if server := s.Schedule(&flows[i%len(flows)], time.Second); server != nil {
							bind(server)
						} else if state == "still" {
							b.Fatalf("%s with %d servers picks nobody", name, n)
						}
						i++
					}
					for range max(len(flows), 16*n) { // caches learn the addresses, counts settle
						pick()
					}
					b.ReportAllocs()
					for b.Loop() {
						pick()
					}
				})
			}
		}
	}
}

// churn returns what is done with each picked server while that many connections
// live.
func churn(live int) func(*ipvs.RealServer) {
	conns, next := make([]*ipvs.RealServer, live), 0
	return func(s *ipvs.RealServer) {
		s.BindInactive()
		s.Activate()
		if old := conns[next]; old != nil {
			old.UnbindInactive()
		}
		conns[next] = s
		if next++; next == live {
			next = 0
		}
		if closing := conns[next]; closing != nil {
			closing.Deactivate()
		}
	}
}

// drain quiesces all servers but each sixteenth. Clients of those are tried on
// other slots, where the scheduler can do that.
func drain(s sched.Scheduler, servers []*ipvs.RealServer) {
	if r, ok := s.(sched.Reflag); ok {
		r.SetFlags(ipvs.FlagSched1)
	}
	for i, server := range servers {
		if i%16 != len(servers)%16/2 {
			server.Configure(&ipvs.Destination{Addr: server.Addr})
			s.Update(servers, sched.Edit, server)
		}
	}
}

// BenchmarkUpdate tells a scheduler of an edit that changes a weight, and of a
// server that leaves and comes back; each change with the pick after it.
func BenchmarkUpdate(b *testing.B) {
	for _, name := range sched.Names() {
		for _, change := range []string{"edit", "leave"} {
			for _, n := range []int{16, 1024} {
				b.Run(fmt.Sprintf("sched=%s/change=%s/servers=%d", name, change, n), func(b *testing.B) {
					s, servers := filled(b, name, n)
					head := servers[0]
					weight, f := int32(1), &flows()[0]
					for b.Loop() {
						if change == "leave" {
							s.Update(servers[1:], sched.Delete, head)
							s.Schedule(f, time.Second)
							s.Update(servers, sched.Add, head)
							s.Schedule(f, time.Second)
							continue
						}
						weight ^= 3
						head.Configure(&ipvs.Destination{Addr: head.Addr, Weight: weight})
						s.Update(servers, sched.Edit, head)
						s.Schedule(f, time.Second)
					}
				})
			}
		}
	}
}

// BenchmarkAllChanged picks after the counts of every server have changed, the
// most that a single pick can find to do; the changes themselves are not timed.
func BenchmarkAllChanged(b *testing.B) {
	for _, n := range []int{16, 1024} {
		b.Run(fmt.Sprintf("sched=wlc/servers=%d", n), func(b *testing.B) {
			s, servers := filled(b, "wlc", n)
			f := &flows()[0]
			for b.Loop() {
				b.StopTimer()
				for i, server := range servers {
					server.BindInactive()
					if i%2 == 0 {
						server.UnbindInactive()
					}
				}
				b.StartTimer()
				s.Schedule(f, time.Second)
			}
		})
	}
}

// filled returns a scheduler with its n servers of weights 1..7, with up to 7
// active and some inactive connections; none has more active ones than weight.
func filled(b *testing.B, name string, n int) (sched.Scheduler, []*ipvs.RealServer) {
	b.Helper()
	s, err := sched.New(name, 0, nil)
	if err != nil {
		b.Fatalf("New(%q) = %v, want no error", name, err)
	}
	servers := make([]*ipvs.RealServer, n)
	for i := range servers {
		rip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		weight := 1 + i%7
		server := ipvs.NewRealServer(uint32(i), &ipvs.Destination{Addr: netip.AddrPortFrom(rip, 80), Weight: int32(weight)})
		for range i * 31 % 200 {
			server.BindInactive()
		}
		for range i * 13 % (weight + 1) {
			server.BindInactive()
			server.Activate()
		}
		servers[i] = server
	}
	s.Update(servers, sched.Init, nil)
	return s, servers
}

// flows returns new connections whose addresses come in no order.
func flows() []sched.Flow {
	flows := make([]sched.Flow, 1024)
	for i := range flows {
		n := i * 389 % len(flows)
		flows[i] = sched.Flow{
			CIP:   netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}),
			VIP:   netip.AddrFrom4([4]byte{198, 51, 100, byte(n % 64)}),
			CPort: uint16(20000 + n), VPort: 80, Proto: ipvs.TCP,
		}
	}
	return flows
}
