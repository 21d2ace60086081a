package dataplane

import (
	"maps"

	"natlb/ipvs"
	"natlb/rewrite"
)

// point is the key of a map of services: protocol, address and port.
type point[E any] interface {
	comparable
	part() int    // of the table, that it lies in
	proto() uint8 // IANA number
	port() uint16 // host byte order
	at(uint16) E  // the same with another port
}

// endpoint is the point of IPv4, packed into one word, because a map of words is the
// fastest map there is.
type endpoint uint64

func endpointOf(proto uint8, addr uint32, port uint16) endpoint {
	return endpoint(proto)<<48 | endpoint(addr)<<16 | endpoint(port)
}

// part spreads endpoints by Fibonacci's multiplier; they are the operator's own, so
// no seed is needed.
func (e endpoint) part() int {
	return int(uint64(e) * 0x9e3779b97f4a7c15 >> (64 - servicePartBits))
}

func (e endpoint) proto() uint8            { return uint8(e >> 48) }
func (e endpoint) port() uint16            { return uint16(e) }
func (e endpoint) at(port uint16) endpoint { return e&^0xffff | endpoint(port) }

// endpoint6 is the point of IPv6; port is the lowest part of rest, the protocol the
// one above.
type endpoint6 struct {
	addr rewrite.Addr6
	rest uint64
}

func endpoint6Of(proto uint8, addr rewrite.Addr6, port uint16) endpoint6 {
	return endpoint6{addr, uint64(proto)<<16 | uint64(port)}
}

func (e endpoint6) part() int {
	return int((uint64(spread6(e.addr)) + e.rest) * 0x9e3779b97f4a7c15 >> (64 - servicePartBits))
}

func (e endpoint6) proto() uint8             { return uint8(e.rest >> 16) }
func (e endpoint6) port() uint16             { return uint16(e.rest) }
func (e endpoint6) at(port uint16) endpoint6 { return endpoint6Of(e.proto(), e.addr, port) }

// services are those of one family as a view has them. They are immutable, those with
// an address in parts, so that a change makes one part anew and not all of it.
type services[E point[E]] struct {
	byAddr   [serviceParts]map[E]*serviceView
	byMark   map[uint32]*serviceView
	ftp      bool // there is a TCP service on port 21
	catchAll bool // there is a service on port 0
}

const (
	servicePartBits = 8
	serviceParts    = 1 << servicePartBits
)

const (
	ftpPort     = 21
	ftpDataPort = 20 // as a client's port it is never scheduled (semantics 5.4)
	userPorts   = 1024
)

// of returns the service of an endpoint, or nil.
func (t *services[E]) of(e E) *serviceView { return t.byAddr[e.part()][e] }

// find returns the service of a packet with that mark to an endpoint, or nil: by
// mark first, then exactly, then as data of an FTP service, then the service
// for all ports (semantics 5.4, ip_vs_service_find).
func (t *services[E]) find(mark uint32, e E) *serviceView {
	if mark != 0 {
		if s := t.byMark[mark]; s != nil {
			return s
		}
	}
	if s := t.of(e); s != nil {
		return s
	}
	if t.ftp && e.proto() == rewrite.ProtoTCP && (e.port() == ftpDataPort || e.port() >= userPorts) {
		if s := t.of(e.at(ftpPort)); s != nil {
			return s
		}
	}
	if t.catchAll {
		return t.of(e.at(0))
	}
	return nil
}

// serviceBook is the writer's side of the tables of services of one family, whose
// endpoints are of type E.
type serviceBook[E point[E]] struct {
	byAddr   [serviceParts]map[E]*serviceView
	byMark   map[uint32]*serviceView
	ftp, all int // how many TCP services have port 21, and services port 0

	fresh      [serviceParts]bool // parts that no view has yet
	freshMarks bool
}

// services returns the tables for a view.
func (b *serviceBook[E]) services() services[E] {
	return services[E]{b.byAddr, b.byMark, b.ftp > 0, b.all > 0}
}

// takeServices brings the tables of services up to date.
func (b *viewBook) takeServices(live map[ipvs.ServiceKey]*service) {
	for _, key := range b.staleServices {
		var v *serviceView
		if s := live[key]; s != nil {
			v = s.view()
		}
		vip := key.VIP.Addr()
		switch {
		case key.IsMark() && key.V6:
			b.six.takeMark(key.Mark, v)
		case key.IsMark():
			b.four.takeMark(key.Mark, v)
		case vip.Is4():
			b.four.take(endpointOf(uint8(key.Proto), Number4(vip), key.VIP.Port()), v)
		default:
			b.six.take(endpoint6Of(uint8(key.Proto), rewrite.Addr6Of(vip), key.VIP.Port()), v)
		}
	}
	b.staleServices = b.staleServices[:0]
	b.four.fresh, b.four.freshMarks = [serviceParts]bool{}, false
	b.six.fresh, b.six.freshMarks = [serviceParts]bool{}, false
}

// take puts a service at its endpoint, or takes what is there away when v is nil.
func (b *serviceBook[E]) take(e E, v *serviceView) {
	n := e.part()
	if !b.fresh[n] {
		b.byAddr[n], b.fresh[n] = cloned(b.byAddr[n]), true
	}
	more := put(b.byAddr[n], e, v)
	if e.port() == 0 {
		b.all += more
	}
	if e.proto() == rewrite.ProtoTCP && e.port() == ftpPort {
		b.ftp += more
	}
}

// takeMark does so for the service of a mark.
func (b *serviceBook[E]) takeMark(mark uint32, v *serviceView) {
	if !b.freshMarks {
		b.byMark, b.freshMarks = cloned(b.byMark), true
	}
	put(b.byMark, mark, v)
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
