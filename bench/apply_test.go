package bench

import (
	"fmt"
	"net/netip"
	"testing"

	"natlb/dataplane"
	"natlb/ipvs"
)

// key returns the identity of service i.
func key(i int) ipvs.Service {
	vip := netip.AddrFrom4([4]byte{10, 10, byte(1 + i>>8), byte(i)})
	return ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.AddrPortFrom(vip, 80)}}
}

// server returns server i with a weight.
func server(i int, weight int32) ipvs.Destination {
	rip := netip.AddrFrom4([4]byte{10, 20, byte(i >> 8), byte(i)})
	return ipvs.Destination{Addr: netip.AddrPortFrom(rip, 8080), Weight: weight, Method: ipvs.Masq}
}

func mustApply(b *testing.B, d *dataplane.Director, changes ...ipvs.Change) {
	b.Helper()
	if err := d.Apply(changes); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApply carries out one transaction on a service with that many
// servers: change=one edits a server, all edits every one, fill adds them all
// and takes them away again.
func BenchmarkApply(b *testing.B) {
	for _, sched := range []string{"wlc", "wrr", "mh"} {
		for _, n := range []int{1024, 4096} {
			name := func(change string) string { return fmt.Sprintf("sched=%s/servers=%d/change=%s", sched, n, change) }
			service := key(0)
			service.Scheduler = sched
			fill := []ipvs.Change{{Kind: ipvs.AddService, Service: service}}
			for i := range n {
				fill = append(fill, ipvs.Change{Kind: ipvs.AddDestination, Service: service, Destination: server(i, 1+int32(i%7))})
			}
			edits := func(round int) (all []ipvs.Change) {
				for i := range n {
					all = append(all, ipvs.Change{Kind: ipvs.EditDestination, Service: service, Destination: server(i, 1+int32((i+round)%7))})
				}
				return all
			}
			rounds := [2][]ipvs.Change{edits(1), edits(2)}
			full := func(b *testing.B) *dataplane.Director {
				d := dataplane.NewDirector(dataplane.Config{Seed: 1})
				mustApply(b, d, fill...)
				return d
			}
			b.Run(name("one"), func(b *testing.B) {
				d := full(b)
				for round := 0; b.Loop(); round++ {
					mustApply(b, d, rounds[round%2][n/2])
				}
			})
			b.Run(name("all"), func(b *testing.B) {
				d := full(b)
				for round := 0; b.Loop(); round++ {
					mustApply(b, d, rounds[round%2]...)
				}
			})
			b.Run(name("fill"), func(b *testing.B) {
				d := dataplane.NewDirector(dataplane.Config{Seed: 1})
				for b.Loop() {
					mustApply(b, d, fill...)
					mustApply(b, d, ipvs.Change{Kind: ipvs.FlushServices})
				}
			})
		}
	}
}

// BenchmarkRestore makes a table as -R does, one transaction for each line:
// 15,000 lines are 5,000 services with two servers each.
func BenchmarkRestore(b *testing.B) {
	for b.Loop() {
		d := dataplane.NewDirector(dataplane.Config{Seed: 1})
		for i := range 5000 {
			mustApply(b, d, ipvs.Change{Kind: ipvs.AddService, Service: key(i)})
			for s := range 2 {
				mustApply(b, d, ipvs.Change{Kind: ipvs.AddDestination, Service: key(i), Destination: server(2*i+s, 1)})
			}
		}
	}
}
