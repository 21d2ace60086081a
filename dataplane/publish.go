package dataplane

import (
	"slices"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
)

// viewBook is the writer's side of a view: what the last one was made of, and
// what has changed since. What has not is shared by one view and the next.
type viewBook struct {
	four    serviceBook[endpoint]
	six     serviceBook[endpoint6]
	servers []serverView   // by ID; views see it as long as it was in their time
	dests   []*destination // the same of these

	staleServices []ipvs.ServiceKey // added, edited or deleted
	staleServers  []uint32          // IDs that are new, free, or may mean something else
}

// publish builds a view of everything and makes it current. The caller holds
// d.mu, and the shards when live objects change with it.
func (d *Director) publish() {
	d.book.takeServices(d.byKey)
	d.book.takeServers(d.servers)
	v := &view{
		idle:     len(d.services) == 0,
		four:     d.book.four.services(),
		six:      d.book.six.services(),
		servers:  d.book.servers,
		dests:    d.book.dests,
		nservice: int(d.nservice),
		host:     d.host,
		timeouts: conntrack.NewTimeouts(d.timeouts),
		settings: d.settings,
	}
	if v.marked() > 0 && d.program != nil {
		v.marks, v.targets = &marks{d.program}, d.program.Targets()
	}
	d.steers(v)
	v.roles = d.roles.current(d.host, d.splits)
	v.sources4, v.sources6, v.sourceLive = d.sources.views(d.host)
	d.view.Store(v)
}

// takeServers brings the list of servers up to date. Those with new IDs go behind
// what older views see of the list; another change needs a copy.
func (b *viewBook) takeServers(live []*destination) {
	published, own := len(b.servers), false
	for _, id := range b.staleServers {
		var v serverView
		if t := live[id]; t != nil {
			v = t.view()
		}
		for int(id) >= len(b.servers) {
			b.servers, b.dests = append(b.servers, serverView{}), append(b.dests, nil)
		}
		if b.servers[id] == v {
			continue
		}
		if int(id) < published && !own {
			b.servers, b.dests, own = slices.Clone(b.servers), slices.Clone(b.dests), true
		}
		b.servers[id], b.dests[id] = v, live[id]
	}
	b.staleServers = b.staleServers[:0]
}

// view returns what packets need to know of the service as it is now.
func (s *service) view() *serviceView {
	v := &serviceView{
		service: s, flags: s.cfg.Flags, port: s.key.VIP.Port(), wildcard: s.cfg.Wildcard, prefix: int(s.cfg.PrefixLen),
		timeout: time.Duration(s.cfg.PersistTimeout) * time.Second,
	}
	if v.prefix == 0 {
		v.prefix = 128
	}
	return v
}

// view returns what packets need to know of the server as it is now.
func (t *destination) view() serverView {
	rip := AddressOf(t.cfg.Addr.Addr())
	v := serverView{
		RealServer: t.server, service: t.service, addr: uint32(rip.Lo), port: t.cfg.Addr.Port(),
		method: t.cfg.Method, tunnel: tunnelOf(t.cfg.Tunnel, rip.V6), proto: uint8(t.key.service.Proto), v6: rip.V6, toa: t.cfg.TOA,
	}
	if rip.V6 {
		v.addr, v.addr6 = rip.Fold(), rip.Addr6
	}
	return v
}
