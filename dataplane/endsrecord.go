package dataplane

import (
	"net/netip"

	"natlb/conntrack"
	"natlb/rewrite"
)

// address is an address of either family as the shards' records keep it: without a
// pointer. Of IPv4 it is the low word. The zero value is 0.0.0.0.
type address struct {
	rewrite.Addr6
	v6 bool
}

func address4(n uint32) address { return address{rewrite.Addr6{Lo: uint64(n)}, false} }

func address6(n rewrite.Addr6) address { return address{n, true} }

// addr returns the address as the world outside the data path has it.
func (a address) addr() netip.Addr {
	if a.v6 {
		return a.Addr6.Addr()
	}
	return Addr4(uint32(a.Lo))
}

// addressOf is the inverse of address.addr.
func addressOf(a netip.Addr) address {
	if a.Is4() {
		return address4(Number4(a))
	}
	return address6(rewrite.Addr6Of(a))
}

// endsRecord are the ends of a connection or template as records keep them.
type endsRecord struct {
	cip, vip, rip       address
	cport, vport, rport uint16
}

// endsRecord takes down the ends of c; e has its addresses if it is of IPv6. A tunnel
// may lead to a server of the other family.
func (v *view) endsRecord(c *conntrack.Conn, e *conntrack.Ends6) endsRecord {
	r := endsRecord{cip: address4(c.CIP), vip: address4(c.VIP), cport: c.CPort, vport: c.VPort, rport: c.RPort}
	if e != nil {
		r.cip, r.vip = address6(e.CIP), address6(e.VIP)
	}
	r.rip = v.servers[c.Dest].address()
	return r
}

// address returns the server's.
func (v *serverView) address() address {
	if v.v6 {
		return address6(v.addr6)
	}
	return address4(v.addr)
}

func (r *endsRecord) client() netip.AddrPort  { return netip.AddrPortFrom(r.cip.addr(), r.cport) }
func (r *endsRecord) virtual() netip.AddrPort { return netip.AddrPortFrom(r.vip.addr(), r.vport) }
func (r *endsRecord) server() netip.AddrPort  { return netip.AddrPortFrom(r.rip.addr(), r.rport) }
