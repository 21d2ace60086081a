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
// addresses. Weights and connection counts are mixed, nobody is refused.
func BenchmarkSchedule(b *testing.B) {
	flows := flows()
	for _, name := range sched.Names() {
		if name == "none" {
			continue // picks nothing, for nothing
		}
		for _, n := range []int{2, 16, 256, 1024} {
			b.Run(fmt.Sprintf("sched=%s/servers=%d", name, n), func(b *testing.B) {
				s := filled(b, name, n)
				for i := range flows { // caches learn the addresses
					if s.Schedule(&flows[i], time.Second) == nil {
						b.Fatalf("%s with %d servers picks nobody for %v", name, n, flows[i])
					}
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					s.Schedule(&flows[i%len(flows)], time.Second)
					i++
				}
			})
		}
	}
}

// filled returns a scheduler with n servers of weights 1..7, with up to 7
// active and some inactive connections; none has more active ones than weight.
func filled(b *testing.B, name string, n int) sched.Scheduler {
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
	return s
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
