package dataplane

import (
	"maps"

	"natlb/ipvs"
	"natlb/rewrite"
)

// endpoint is the key of the service map: protocol, address and port packed
// into one word, because a map of words is the fastest map there is.
type endpoint uint64

func endpointOf(proto uint8, addr uint32, port uint16) endpoint {
	return endpoint(proto)<<48 | endpoint(addr)<<16 | endpoint(port)
}

// endpoint6 is the key of the service map of IPv6; port is the lowest part of rest,
// the protocol the one above.
type endpoint6 struct {
	addr rewrite.Addr6
	rest uint64
}

func endpoint6Of(proto uint8, addr rewrite.Addr6, port uint16) endpoint6 {
	return endpoint6{addr, uint64(proto)<<16 | uint64(port)}
}

// serviceTable finds services by their endpoint. It is immutable, in parts, so
// that a change makes one part anew and not all of it.
type serviceTable [serviceParts]map[endpoint]*serviceView

// serviceTable6 does so for IPv6.
type serviceTable6 [serviceParts]map[endpoint6]*serviceView

const (
	servicePartBits = 8
	serviceParts    = 1 << servicePartBits
)

// servicePart spreads endpoints by Fibonacci's multiplier; they are the operator's
// own, so no seed is needed.
func servicePart(e endpoint) int {
	return int(uint64(e) * 0x9e3779b97f4a7c15 >> (64 - servicePartBits))
}

func servicePart6(e endpoint6) int {
	return int((uint64(spread6(e.addr)) + e.rest) * 0x9e3779b97f4a7c15 >> (64 - servicePartBits))
}

// of returns the service of an endpoint, or nil.
func (t *serviceTable) of(e endpoint) *serviceView { return t[servicePart(e)][e] }

// of returns the service of an endpoint, or nil.
func (t *serviceTable6) of(e endpoint6) *serviceView { return t[servicePart6(e)][e] }

// services6 are the services of IPv6 as a view has them.
type services6 struct {
	byAddr   serviceTable6
	byMark   map[uint32]*serviceView
	ftp      bool // there is a TCP service on port 21
	catchAll bool // there is a service on port 0
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

// find6 does so for IPv6: a service for a mark is another one there.
func (v *view) find6(mark uint32, proto uint8, addr rewrite.Addr6, port uint16) *serviceView {
	six := &v.six
	if mark != 0 {
		if s := six.byMark[mark]; s != nil {
			return s
		}
	}
	if s := six.byAddr.of(endpoint6Of(proto, addr, port)); s != nil {
		return s
	}
	if six.ftp && proto == rewrite.ProtoTCP && (port == ftpDataPort || port >= userPorts) {
		if s := six.byAddr.of(endpoint6Of(proto, addr, ftpPort)); s != nil {
			return s
		}
	}
	if six.catchAll {
		return six.byAddr.of(endpoint6Of(proto, addr, 0))
	}
	return nil
}

// serviceBook is the writer's side of the tables of services of one family, whose
// endpoints are of type E.
type serviceBook[E comparable] struct {
	byAddr   [serviceParts]map[E]*serviceView
	byMark   map[uint32]*serviceView
	ftp, all int // how many TCP services have port 21, and services port 0

	fresh      [serviceParts]bool // parts that no view has yet
	freshMarks bool
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
			e := endpointOf(uint8(key.Proto), Number4(vip), key.VIP.Port())
			b.four.take(key, e, servicePart(e), v)
		default:
			e := endpoint6Of(uint8(key.Proto), rewrite.Addr6Of(vip), key.VIP.Port())
			b.six.take(key, e, servicePart6(e), v)
		}
	}
	b.staleServices = b.staleServices[:0]
	b.four.fresh, b.four.freshMarks = [serviceParts]bool{}, false
	b.six.fresh, b.six.freshMarks = [serviceParts]bool{}, false
}

// take puts a service at its endpoint into part n of the table, or takes what is
// there away when v is nil.
func (b *serviceBook[E]) take(key ipvs.ServiceKey, e E, n int, v *serviceView) {
	if !b.fresh[n] {
		b.byAddr[n], b.fresh[n] = cloned(b.byAddr[n]), true
	}
	more := put(b.byAddr[n], e, v)
	if key.VIP.Port() == 0 {
		b.all += more
	}
	if key.Proto == ipvs.TCP && key.VIP.Port() == ftpPort {
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
