package dataplane

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// word returns a protocol as explanations write it.
func word(p ipvs.Protocol) string {
	if p == ipvs.AnyProtocol {
		return "any"
	}
	return strings.ToLower(p.String())
}

func describeService(s *serviceView) *ipvs.ExplainedService {
	x := &ipvs.ExplainedService{
		Address: s.key.VIP, Mark: s.key.Mark, IPv6: s.key.V6, Scheduler: schedulerName(s.cfg), OnePacket: s.flags&ipvs.FlagOnePacket != 0,
	}
	if !s.key.IsMark() {
		x.Protocol = word(s.key.Proto)
	}
	if s.flags&ipvs.FlagPersistent != 0 {
		x.PersistTimeout = s.cfg.PersistTimeout
	}
	return x
}

// protocolWord returns what an IP packet carries: tunnels have their names, others
// that are not IPVS's their numbers.
func protocolWord(proto uint8) string {
	switch proto {
	case rewrite.ProtoIPIP:
		return "ipip"
	case rewrite.ProtoIPv6:
		return "ipv6"
	case rewrite.ProtoGRE:
		return "gre"
	}
	return word(ipvs.Protocol(proto))
}

// describe returns a frame with one IP packet as text.
func (t *trial) describe(f *Frame) ipvs.Packet {
	var p rewrite.Packet
	fault := rewrite.Parse(f.Data, &p)
	x := ipvs.Packet{
		Link:   t.dir.linkName(f.Link),
		DstMAC: net.HardwareAddr(f.Data[0:6]).String(), SrcMAC: net.HardwareAddr(f.Data[6:12]).String(),
		Protocol: protocolWord(p.Proto),
		Src:      netip.AddrPortFrom(srcAddr(&p), p.SrcPort), Dst: netip.AddrPortFrom(dstAddr(&p), p.DstPort),
		TTL: p.TTL, Length: p.Len(), Frame: hex.EncodeToString(f.Data),
		ChecksumsOK: fault == rewrite.FaultNone && (p.Fragment() || rewrite.ChecksumOK(f.Data, &p)),
	}
	switch p.Proto {
	case rewrite.ProtoTCP:
		x.Flags = ipvs.TCPFlags(p.TCPFlags).String()
	case rewrite.ProtoSCTP:
		x.Chunk = ipvs.Chunk(p.Chunk).String()
	}
	if p.IsICMP() {
		x.Protocol = "icmp"
		if p.V6 {
			x.Protocol = "icmpv6"
		}
		x.ICMP = icmpWord(&p)
	}
	return x
}

// linkName returns the name of an interface, or what stands for the host itself.
func (d *Director) linkName(link uint8) string {
	if link == HostLink {
		return "host"
	}
	return d.cfg.Links[link].Name
}

// icmpWord names the errors that natlb sends.
func icmpWord(p *rewrite.Packet) string {
	kind, code := p.ICMPType, p.ICMPCode
	if p.V6 {
		return icmp6Word(kind, code)
	}
	switch {
	case kind == 3 && code == 0:
		return "network unreachable"
	case kind == 3 && code == 1:
		return "host unreachable"
	case kind == 3 && code == 3:
		return "port unreachable"
	case kind == 3 && code == icmpFragNeeded:
		return "fragmentation needed"
	case kind == 11:
		return "time exceeded"
	}
	return fmt.Sprintf("type %d code %d", kind, code)
}

// icmp6Word does so for ICMPv6.
func icmp6Word(kind, code uint8) string {
	switch {
	case kind == rewrite.ICMPv6Unreachable && code == 0:
		return "no route to destination"
	case kind == rewrite.ICMPv6Unreachable && code == 3:
		return "address unreachable"
	case kind == rewrite.ICMPv6Unreachable && code == 4:
		return "port unreachable"
	case kind == rewrite.ICMPv6TooBig:
		return "packet too big"
	case kind == rewrite.ICMPv6TimeExceeded:
		return "time exceeded"
	}
	return fmt.Sprintf("type %d code %d", kind, code)
}

// connFlags are the flags of a connection that mean something to an operator.
var connFlags = []struct {
	flag conntrack.Flags
	word string
}{
	{conntrack.NoOutput, "no-output"}, {conntrack.NoCPort, "client-port-unknown"}, {conntrack.OnePacket, "one-packet"},
	{conntrack.Helped, "ftp"}, {conntrack.OutSeq, "sequence-moved"},
}

// entry returns a connection or a template as text, nil for nil.
func (t *trial) entry(c *entry) *ipvs.ExplainedEntry {
	if c == nil {
		return nil
	}
	var ends *conntrack.Ends6
	if c.Is(conntrack.V6) {
		ends = &c.ends
	}
	status := connStatus(t.view, &c.Conn, ends, t.now)
	x := &ipvs.ExplainedEntry{
		Protocol: word(status.Proto), State: status.State, Client: status.Client, Virtual: status.Virtual, Dest: status.Dest, Source: c.source,
		Mark: c.Mark, Method: strings.ToLower(ipvs.ForwardMethod(c.Flags & conntrack.MethodMask).String()),
		Timeout: c.Timeout.Seconds(), Expires: status.Expires.Seconds(), Packets: c.InPkts,
	}
	switch {
	case c.Is(conntrack.Template):
	case c.Is(conntrack.Inactive):
		x.Flags = append(x.Flags, "inactive")
	default:
		x.Flags = append(x.Flags, "active")
	}
	for _, f := range connFlags {
		if c.Is(f.flag) {
			x.Flags = append(x.Flags, f.word)
		}
	}
	if c.Template != 0 {
		x.Flags = append(x.Flags, "persistent")
	}
	return x
}

// hop returns the way to an address.
func (t *trial) hop(dst netip.Addr) *ipvs.ExplainedHop {
	h := lookup(t.view.host, AddressOf(dst))
	x := &ipvs.ExplainedHop{To: dst, Kind: hopWords[h.Kind]}
	if h.Kind != HopForward {
		return x
	}
	x.Link, x.MTU, x.Resolved, x.Failed, x.Stale = t.dir.cfg.Links[h.Link].Name, h.MTU, h.Resolved, h.Failed, h.Stale
	switch {
	case h.Via != 0:
		x.Via = Addr4(h.Via)
	case h.Via6 != rewrite.Addr6{}:
		x.Via = h.Via6.Addr()
	}
	if h.Resolved {
		x.MAC = net.HardwareAddr(h.MAC[:]).String()
	}
	return x
}

var hopWords = [...]string{
	HopNone: "no route", HopForward: "forward", HopElsewhere: "by an interface that natlb was not given",
	HopLocal: "the director itself", HopGroup: "broadcast or multicast",
}
