package sched_test

import (
	"fmt"
	"net/netip"
	"time"

	"natlb/ipvs"
	"natlb/sched"
)

// oldest is a scheduler in one file: the server that was added first takes
// everything for as long as it may. Only names.go would have to know of it.
type oldest struct{ servers []*ipvs.RealServer }

func (o *oldest) Schedule(*sched.Flow, time.Duration) *ipvs.RealServer {
	for i := len(o.servers) - 1; i >= 0; i-- { // the list is newest first
		if s := o.servers[i]; s.Eligible() {
			return s
		}
	}
	return nil
}

func (o *oldest) Update(servers []*ipvs.RealServer, _ sched.UpdateKind, _ *ipvs.RealServer) {
	o.servers = servers
}

func (o *oldest) Fork(_ *sched.Flow, twin sched.Twins) sched.Scheduler {
	return &oldest{twin.All(o.servers)}
}

func Example_ownScheduler() {
	var s sched.Scheduler = new(oldest)
	s.Update(nil, sched.Init, nil)
	var servers []*ipvs.RealServer
	for _, rip := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
		d := &ipvs.Destination{Addr: netip.MustParseAddrPort(rip), Weight: 1}
		server := ipvs.NewRealServer(uint32(len(servers)), d)
		servers = append([]*ipvs.RealServer{server}, servers...)
		s.Update(servers, sched.Add, server)
	}
	f := &sched.Flow{CIP: netip.MustParseAddr("192.0.2.1"), CPort: 40000, Proto: ipvs.TCP}
	fmt.Println(s.Schedule(f, 0).Addr)

	first := servers[1]
	first.Configure(&ipvs.Destination{Addr: first.Addr, Weight: 0})
	s.Update(servers, sched.Edit, first)
	fmt.Println(s.Schedule(f, 0).Addr)
	// Output:
	// 10.0.0.1:80
	// 10.0.0.2:80
}
