package dataplane

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"natlb/ipvs"
	"natlb/rewrite"
)

// BenchmarkFork measures for how long a question holds the shards up: what is
// copied while they stand still, for a service of so many servers beside so many
// connections.
func BenchmarkFork(b *testing.B) {
	for _, scheduler := range []string{"wlc", "mh", "lblcr"} {
		for _, servers := range []int{16, 1024} {
			for _, conns := range []int{0, 1_000_000} {
				b.Run(fmt.Sprintf("sched=%s/servers=%d/conns=%d", scheduler, servers, conns), func(b *testing.B) {
					d := benchDirector(b, scheduler, servers, conns)
					p := rewrite.Packet{Src: 0x0a0a0201, SrcPort: 40000, Dst: 0x0a0a0101, DstPort: 80, Proto: rewrite.ProtoTCP, TCPFlags: rewrite.TCPSyn}
					f := d.probe(0, &p)
					var held time.Duration
					n := 0
					for b.Loop() {
						t := d.emptyTrial(f, p, nil)
						began := time.Now()
						d.copyTo(t)
						held += time.Since(began)
						n++
					}
					b.ReportMetric(float64(held.Nanoseconds())/float64(n), "held-ns/op")
				})
			}
		}
	}
}

// benchDirector returns a director with one persistent service and connections
// to it.
func benchDirector(b *testing.B, scheduler string, servers, conns int) *Director {
	b.Helper()
	d := NewDirector(Config{Seed: 1, Links: []Link{{Name: "vip", Side: VIPSide}, {Name: "dip", Side: DIPSide}}})
	service := ipvs.Service{
		Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}, Scheduler: scheduler,
		Flags: ipvs.FlagPersistent, PersistTimeout: 60,
	}
	changes := []ipvs.Change{{Kind: ipvs.AddService, Service: service}}
	for i := range servers {
		changes = append(changes, ipvs.Change{Kind: ipvs.AddDestination, Service: service, Destination: ipvs.Destination{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, byte(i >> 8), byte(i)}), 80), Weight: int32(1 + i%7),
		}})
	}
	if err := d.Apply(changes); err != nil {
		b.Fatal(err)
	}
	s := d.shards[0]
	data := make([]byte, rewrite.ProbeLen)
	for i := range conns {
		p := rewrite.Packet{Src: 0x0b000000 + uint32(i), SrcPort: 40000, Dst: 0x0a0a0101, DstPort: 80, Proto: rewrite.ProtoTCP, TCPFlags: rewrite.TCPSyn}
		n := rewrite.Probe(data, &p, [6]byte{2}, [6]byte{4})
		s.Begin(0)
		s.Process(&Frame{Data: data[:n], WireLen: uint32(n)}, 0)
		s.End()
	}
	return d
}
