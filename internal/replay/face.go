package replay

import (
	"net/netip"

	"natlb/dataplane"
	"natlb/ipvs"
	"natlb/rewrite"
)

// addr is an address of either family without a pointer: of IPv4 the low word, in
// host byte order.
type addr struct {
	rewrite.Addr6
	v6 bool
}

func addr4(n uint32) addr { return addr{rewrite.Addr6{Lo: uint64(n)}, false} }

func addr6(n rewrite.Addr6) addr { return addr{n, true} }

func addrOf(a netip.Addr) addr {
	if a.Is4() {
		return addr4(dataplane.Number4(a))
	}
	return addr6(rewrite.Addr6Of(a))
}

// srcOf and dstOf return the addresses of a packet.
func srcOf(p *rewrite.Packet) addr {
	if p.V6 {
		return addr6(p.Src6)
	}
	return addr4(p.Src)
}

func dstOf(p *rewrite.Packet) addr {
	if p.V6 {
		return addr6(p.Dst6)
	}
	return addr4(p.Dst)
}

// face is how a packet that was sent on names its connection: the client, and
// the server or the virtual endpoint, whatever the packet's direction. It holds
// no pointer.
type face struct {
	client, other addr
	cport, oport  uint16
	proto         uint8
	server        bool // other is the real server
	template      bool
}

// faces returns the names by which packets of a connection find it: with the
// virtual endpoint and with the server.
func (c *Conn) faces() (in, out face) {
	in = face{
		client: addrOf(c.Client.Addr()), cport: c.Client.Port(), other: addrOf(c.Virtual.Addr()), oport: c.Virtual.Port(),
		proto: uint8(c.Proto), template: c.Template,
	}
	out = in
	out.other, out.oport, out.server = addrOf(c.Dest.Addr()), c.Dest.Port(), true
	return in, out
}

// nameOf returns the name that an event has for its connection.
func nameOf(e *ipvs.Event) face {
	return face{
		client: addrOf(e.Client.Addr()), cport: e.Client.Port(), other: addrOf(e.Virtual.Addr()), oport: e.Virtual.Port(),
		proto: uint8(e.Proto), template: e.Template,
	}
}
