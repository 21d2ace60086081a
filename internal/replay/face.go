package replay

import (
	"natlb/dataplane"
	"natlb/ipvs"
)

// face is how a packet that was sent on names its connection: the client, and
// the server or the virtual endpoint, whatever the packet's direction. It holds
// no pointer.
type face struct {
	client, other uint32
	cport, oport  uint16
	proto         uint8
	server        bool // other is the real server
	template      bool
}

// faces returns the names by which packets of a connection find it: with the
// virtual endpoint and with the server.
func (c *Conn) faces() (in, out face) {
	in = face{
		client: dataplane.Number4(c.Client.Addr()), cport: c.Client.Port(), other: dataplane.Number4(c.Virtual.Addr()), oport: c.Virtual.Port(),
		proto: uint8(c.Proto), template: c.Template,
	}
	out = in
	out.other, out.oport, out.server = dataplane.Number4(c.Dest.Addr()), c.Dest.Port(), true
	return in, out
}

// nameOf returns the name that an event has for its connection.
func nameOf(e *ipvs.Event) face {
	return face{
		client: dataplane.Number4(e.Client.Addr()), cport: e.Client.Port(), other: dataplane.Number4(e.Virtual.Addr()), oport: e.Virtual.Port(),
		proto: uint8(e.Proto), template: e.Template,
	}
}
