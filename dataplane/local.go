package dataplane

import (
	"net/netip"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// HostLink is the link of outgoing frames that are for the host's own stack: not
// an interface, but what [Worker] gives to a raw socket.
const HostLink = 0xff

// deliver gives a client's packet to the host itself, which is the real server of
// connection c (local node). The guard keeps the packet that came in from the
// host, and what the host answers leaves it without the director: so only a VIP
// of the host can be served, and nothing translated. TTL and size do not count, as
// the packet is at its end.
func (s *Shard) deliver(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref) Verdict {
	if translates(c.Method()) || !s.isLocalVIP(c, r) {
		return DropLocalServer
	}
	if f.Offload.Super() && p.Proto == rewrite.ProtoUDP {
		return s.segments(f, p, int(f.Offload.GSOSize), 0, func(datagram []byte) Verdict {
			s.out.put(HostLink, datagram, Offload{})
			return Forward
		})
	}
	// A TCP super-packet is one long segment to the stack.
	if f.Offload.Partial() {
		rewrite.CompleteChecksum(f.Data, int(f.Offload.CsumStart), int(f.Offload.CsumOffset))
	}
	s.out.put(HostLink, f.Data[:p.End], Offload{})
	return Forward
}

// isLocalVIP reports whether the VIP of connection c, which is r, is an address of
// the host.
func (s *Shard) isLocalVIP(c *conntrack.Conn, r conntrack.Ref) bool {
	if c.Is(conntrack.V6) {
		return s.view.host.IsLocal6(s.ends(r).VIP)
	}
	return s.view.host.IsLocal(c.VIP)
}

// localServerEvent returns the event of a server that is given an address of the
// host, at which packets will not arrive.
func (d *Director) localServerEvent(c *ipvs.Change, now time.Duration) (ipvs.Event, bool) {
	if c.Kind != ipvs.AddDestination && c.Kind != ipvs.EditDestination || !isLocal(d.host, c.Destination.Addr.Addr()) {
		return ipvs.Event{}, false
	}
	key := c.Service.Key
	served := !translates(c.Destination.Method) && (key.IsMark() || isLocal(d.host, key.VIP.Addr()))
	return ipvs.Event{Kind: ipvs.EventLocalServer, At: now, Service: key, Server: c.Destination.Addr, Method: c.Destination.Method}, !served
}

// isLocal reports whether an address of either family is the host's own.
func isLocal(h Host, a netip.Addr) bool {
	if a.Is4() {
		return h.IsLocal(Number4(a))
	}
	return h.IsLocal6(rewrite.Addr6Of(a))
}
