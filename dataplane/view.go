package dataplane

import (
	"sync"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/sched"
)

// service is the live object of a virtual service. Its scheduler is shared by
// all shards, one call at a time, so that the order of picks is exact.
type service struct {
	id  uint32 // index of its counters
	key ipvs.ServiceKey

	mu      sync.Mutex
	cfg     ipvs.Service
	sched   sched.Scheduler
	servers []*ipvs.RealServer // list order: newest first
}

// schedule asks the scheduler for the server of a new connection.
func (s *service) schedule(f *sched.Flow, now time.Duration) *ipvs.RealServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sched.Schedule(f, now)
}

// serverView is what packets need to know of a real server, by its ID.
type serverView struct {
	*ipvs.RealServer
	service uint32 // ID of the service that lists it
	addr    uint32 // RIP, host byte order
	port    uint16 // RPort; 0 keeps the packet's port
	method  ipvs.ForwardMethod
}

// endpoint is the key of the service map: protocol, address and port packed
// into one word, because a map of words is the fastest map there is.
type endpoint uint64

func endpointOf(proto uint8, addr uint32, port uint16) endpoint {
	return endpoint(proto)<<48 | endpoint(addr)<<16 | endpoint(port)
}

// view is one immutable picture of configuration and host. Shards load it once
// per batch.
type view struct {
	services map[endpoint]*service
	servers  []serverView // by server ID; a free ID has no RealServer
	nservice int          // slots of service counters
	roles    roleTable
	host     Host
	timeouts conntrack.Timeouts
	settings settings
}

// find returns the service of a packet to addr:port, or nil.
func (v *view) find(proto uint8, addr uint32, port uint16) *service {
	return v.services[endpointOf(proto, addr, port)]
}
