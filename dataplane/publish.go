package dataplane

import (
	"maps"
	"slices"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
)

// serviceTable finds services by their endpoint. It is immutable, in parts, so
// that a change makes one part anew and not all of it.
type serviceTable [serviceParts]map[endpoint]*serviceView

const (
	servicePartBits = 8
	serviceParts    = 1 << servicePartBits
)

// servicePart spreads endpoints by Fibonacci's multiplier; they are the operator's
// own, so no seed is needed.
func servicePart(e endpoint) int {
	return int(uint64(e) * 0x9e3779b97f4a7c15 >> (64 - servicePartBits))
}

// of returns the service of an endpoint, or nil.
func (t *serviceTable) of(e endpoint) *serviceView { return t[servicePart(e)][e] }

// viewBook is the writer's side of a view: what the last one was made of, and
// what has changed since. What has not is shared by one view and the next.
type viewBook struct {
	byAddr   serviceTable
	byMark   map[uint32]*serviceView
	ftp, all int            // how many TCP services have port 21, and services port 0
	servers  []serverView   // by ID; views see it as long as it was in their time
	dests    []*destination // the same of these

	staleServices []ipvs.ServiceKey // added, edited or deleted
	staleServers  []uint32          // IDs that are new, free, or may mean something else
}

// publish builds a view of everything and makes it current. The caller holds
// d.mu, and the shards when live objects change with it.
func (d *Director) publish() {
	d.book.takeServices(d.byKey)
	d.book.takeServers(d.servers)
	v := &view{
		byAddr:   d.book.byAddr,
		byMark:   d.book.byMark,
		idle:     len(d.services) == 0,
		ftp:      d.book.ftp > 0,
		catchAll: d.book.all > 0,
		servers:  d.book.servers,
		dests:    d.book.dests,
		nservice: int(d.nservice),
		host:     d.host,
		timeouts: conntrack.NewTimeouts(d.timeouts),
		settings: d.settings,
	}
	if len(v.byMark) > 0 && d.program != nil {
		v.marks, v.targets = &marks{d.program}, d.program.Targets()
	}
	d.steers(v)
	v.roles = d.roles.current(d.host)
	d.view.Store(v)
}

// takeServices brings the tables of services up to date.
func (b *viewBook) takeServices(live map[ipvs.ServiceKey]*service) {
	var fresh [serviceParts]bool // parts that no view has yet
	freshMarks := false
	for _, key := range b.staleServices {
		var v *serviceView
		if s := live[key]; s != nil {
			v = s.view()
		}
		if key.IsMark() {
			if !freshMarks {
				b.byMark, freshMarks = cloned(b.byMark), true
			}
			put(b.byMark, key.Mark, v)
			continue
		}
		e := endpointOf(uint8(key.Proto), Number4(key.VIP.Addr()), key.VIP.Port())
		n := servicePart(e)
		if !fresh[n] {
			b.byAddr[n], fresh[n] = cloned(b.byAddr[n]), true
		}
		more := put(b.byAddr[n], e, v)
		if key.VIP.Port() == 0 {
			b.all += more
		}
		if key.Proto == ipvs.TCP && key.VIP.Port() == ftpPort {
			b.ftp += more
		}
	}
	b.staleServices = b.staleServices[:0]
}

// cloned returns a copy of m that can be written to.
func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// put sets an entry, or deletes it when v is nil, and returns by how many m has
// grown.
func put[K comparable, V any](m map[K]*V, k K, v *V) (more int) {
	before := len(m)
	if v == nil {
		delete(m, k)
	} else {
		m[k] = v
	}
	return len(m) - before
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
	return &serviceView{
		service: s, flags: s.cfg.Flags, port: s.key.VIP.Port(), wildcard: s.cfg.Wildcard,
		timeout: time.Duration(s.cfg.PersistTimeout) * time.Second,
	}
}

// view returns what packets need to know of the server as it is now.
func (t *destination) view() serverView {
	return serverView{
		RealServer: t.server, service: t.service, addr: Number4(t.cfg.Addr.Addr()), port: t.cfg.Addr.Port(),
		method: t.cfg.Method, tunnel: tunnelOf(t.cfg.Tunnel), proto: uint8(t.key.service.Proto),
	}
}
