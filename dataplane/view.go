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
	wildcard uint32        // bits of a client's IPv4 address that do not matter
	prefix   int           // how many bits of its IPv6 address do
	timeout  time.Duration // of new templates
}

// serverView is what packets need to know of a real server, by its ID.
type serverView struct {
	*ipvs.RealServer
	service uint32 // ID of the service that lists it
	addr    uint32 // RIP, host byte order; of IPv6 its fold
	port    uint16 // RPort; 0 keeps the packet's port
	method  ipvs.ForwardMethod
	tunnel  rewrite.Tunnel // of method Tunnel
	proto   uint8          // of its service; 0 for a firewall-mark service
	v6      bool           // RIP is addr6
	addr6   rewrite.Addr6
	toa     bool // FULLNAT: tell the server the client's end
}

// view is one immutable picture of configuration and host. Shards load it once
// per batch.
type view struct {
	idle       bool // there is no service, of either family
	four       services[endpoint]
	six        services[endpoint6]
	marks      *marks            // nil without firewall-mark services
	targets    []classify.Target // what of the traffic marks lead to; empty without such services
	servers    []serverView      // by server ID; a free ID has no RealServer
	dests      []*destination    // by server ID, for their keys; nil: a free ID
	nservice   int               // slots of service counters
	roles      roleTable
	sources4   []sourceView  // that new connections may take, of IPv4
	sources6   []sourceView  // the same of IPv6
	sourceLive []*sourceAddr // by ID, for their counts; nil: a free ID
	host       Host
	timeouts   conntrack.Timeouts
	settings   settings

	steering  steering
	resteered bool // connections may be in the shard that another steering put them in
}

// marked returns how many services for firewall marks there are, of either family.
func (v *view) marked() int { return len(v.four.byMark) + len(v.six.byMark) }
