package dataplane

import (
	"sync"
	"time"

	"natlb/conntrack"
	"natlb/internal/classify"
	"natlb/ipvs"
	"natlb/rewrite"
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
	gone    bool               // deleted, and still in the director's list
	asked   bool               // a server was picked since the scheduler was last prepared
}

// schedule asks the scheduler for the server of a new connection.
func (s *service) schedule(f *sched.Flow, now time.Duration) *ipvs.RealServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	return s.sched.Schedule(f, now)
}

// prepare lets the scheduler of a service in use compute now what its next pick
// would have to. For one that nobody asks that would be in vain: while a long
// list is made server by server, most of all.
func (s *service) prepare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.sched.(sched.Preparer); ok && s.asked {
		s.asked = false
		p.Prepare()
	}
}

// serviceView is what packets need to know of a service.
type serviceView struct {
	*service
	flags    ipvs.ServiceFlags
	port     uint16        // VPort; 0 for a firewall-mark service
	wildcard uint32        // bits of a client's address that do not matter
	timeout  time.Duration // of new templates
}

// serverView is what packets need to know of a real server, by its ID.
type serverView struct {
	*ipvs.RealServer
	service uint32 // ID of the service that lists it
	addr    uint32 // RIP, host byte order
	port    uint16 // RPort; 0 keeps the packet's port
	method  ipvs.ForwardMethod
	tunnel  rewrite.Tunnel // of method Tunnel
	proto   uint8          // of its service; 0 for a firewall-mark service
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
	byAddr   serviceTable
	byMark   map[uint32]*serviceView
	idle     bool              // there is no service
	ftp      bool              // there is a TCP service on port 21
	catchAll bool              // there is a service on port 0
	marks    *marks            // nil without firewall-mark services
	targets  []classify.Target // what of the traffic marks lead to; empty without such services
	servers  []serverView      // by server ID; a free ID has no RealServer
	dests    []*destination    // by server ID, for their keys; nil: a free ID
	nservice int               // slots of service counters
	roles    roleTable
	host     Host
	timeouts conntrack.Timeouts
	settings settings

	steering  steering
	resteered bool // connections may be in the shard that another steering put them in
}

const (
	ftpPort     = 21
	ftpDataPort = 20 // as a client's port it is never scheduled (semantics 5.4)
	userPorts   = 1024
)

// find returns the service of a packet with that mark to addr:port, or nil: by
// mark first, then exactly, then as data of an FTP service, then the service
// for all ports (semantics 5.4, ip_vs_service_find).
func (v *view) find(mark uint32, proto uint8, addr uint32, port uint16) *serviceView {
	if mark != 0 {
		if s := v.byMark[mark]; s != nil {
			return s
		}
	}
	if s := v.byAddr.of(endpointOf(proto, addr, port)); s != nil {
		return s
	}
	if v.ftp && proto == rewrite.ProtoTCP && (port == ftpDataPort || port >= userPorts) {
		if s := v.byAddr.of(endpointOf(proto, addr, ftpPort)); s != nil {
			return s
		}
	}
	if v.catchAll {
		return v.byAddr.of(endpointOf(proto, addr, 0))
	}
	return nil
}
