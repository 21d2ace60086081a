package replay

import (
	"natlb/dataplane"
	"natlb/ipvs"
)

// face is how a packet that was sent on names its connection: the client, and
// the server or the virtual endpoint, whatever the packet's direction. It holds
// no pointer.
type face struct {
	client, other dataplane.Address
	cport, oport  uint16
	proto         uint8
	server        bool // other is the real server
	template      bool
}

// faces returns the names by which packets of a connection find it: with the
// virtual endpoint and with the server.
func (c *Conn) faces() (in, out face) {
	in = face{
		client: dataplane.AddressOf(c.Client.Addr()), cport: c.Client.Port(), other: dataplane.AddressOf(c.Virtual.Addr()), oport: c.Virtual.Port(),
		proto: uint8(c.Proto), template: c.Template,
	}
	out = in
	out.other, out.oport, out.server = dataplane.AddressOf(c.Dest.Addr()), c.Dest.Port(), true
	return in, out
}

// nameOf returns the name that an event has for its connection.
func nameOf(e *ipvs.Event) face {
	return face{
		client: dataplane.AddressOf(e.Client.Addr()), cport: e.Client.Port(), other: dataplane.AddressOf(e.Virtual.Addr()), oport: e.Virtual.Port(),
		proto: uint8(e.Proto), template: e.Template,
	}
}
