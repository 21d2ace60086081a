package dataplane

import (
	"net/netip"

	"natlb/conntrack"
)

// endsRecord are the ends of a connection or template as records keep them.
type endsRecord struct {
	cip, vip, rip       Address
	cport, vport, rport uint16
}

// endsRecord takes down the ends of c; e has its addresses if it is of IPv6. A tunnel
// may lead to a server of the other family.
func (v *view) endsRecord(c *conntrack.Conn, e *conntrack.Ends6) endsRecord {
	r := endsRecord{cip: Address4(c.CIP), vip: Address4(c.VIP), cport: c.CPort, vport: c.VPort, rport: c.RPort}
	if e != nil {
		r.cip, r.vip = Address6(e.CIP), Address6(e.VIP)
	}
	r.rip = v.servers[c.Dest].address()
	return r
}

// sourceEnd returns the local end of connection c of table t: what its real server
// sees in the client's place. Port 0: it has none, or c is a template.
func sourceEnd(t *conntrack.Table, c *conntrack.Conn) (addr Address, port uint16) {
	if !c.Full() || c.Is(conntrack.Template) || c.Control == 0 {
		return addr, 0
	}
	r, twin := t.Twin(c)
	if c.Is(conntrack.V6) {
		return Address6(t.Ends6(r).CIP), twin.CPort
	}
	return Address4(twin.CIP), twin.CPort
}

// sourceOf is sourceEnd for listings; not valid where there is none.
func sourceOf(t *conntrack.Table, c *conntrack.Conn) (end netip.AddrPort) {
	if addr, port := sourceEnd(t, c); port != 0 {
		end = netip.AddrPortFrom(addr.Addr(), port)
	}
	return end
}

// address returns the server's.
func (v *serverView) address() Address {
	if v.v6 {
		return Address6(v.addr6)
	}
	return Address4(v.addr)
}

func (r *endsRecord) client() netip.AddrPort  { return netip.AddrPortFrom(r.cip.Addr(), r.cport) }
func (r *endsRecord) virtual() netip.AddrPort { return netip.AddrPortFrom(r.vip.Addr(), r.vport) }
func (r *endsRecord) server() netip.AddrPort  { return netip.AddrPortFrom(r.rip.Addr(), r.rport) }
