package dataplane

import (
	"fmt"
	"net/netip"
	"slices"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// Explain says what the director would do with a packet, and why, and changes
// nothing: it tries the packet on a copy of what the packet can touch. The error
// wraps ipvs.ErrInvalid.
func (d *Director) Explain(q ipvs.Question) (*ipvs.Explanation, error) {
	t, err := d.newTrial(&q)
	if err != nil {
		return nil, err
	}
	return t.run(), nil
}

// newTrial builds the packet that is asked about and a copy to try it on.
func (d *Director) newTrial(q *ipvs.Question) (*trial, error) {
	if err := checkQuestion(q); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := rewrite.Packet{Proto: uint8(q.Proto), TCPFlags: uint8(q.Flags)}
	var stood bool
	client, other := q.Client, q.Virtual
	side := VIPSide
	if q.Server.IsValid() {
		other, side = q.Server, DIPSide
	}
	setEnds(&p, client.Addr(), other.Addr())
	p.SrcPort, p.DstPort = client.Port(), other.Port()
	if q.Server.IsValid() {
		setEnds(&p, other.Addr(), client.Addr())
		p.SrcPort, p.DstPort = other.Port(), client.Port()
		stood = d.standIn(&p)
	} else if p.SrcPort == 0 && !d.freePort(&p) {
		return nil, fmt.Errorf("%w: %v has connections from every port that was tried: give the client's port", ipvs.ErrInvalid, client.Addr())
	}
	if p.TCPFlags == 0 {
		p.TCPFlags = conntrack.FlagSYN
		if q.Server.IsValid() {
			p.TCPFlags |= conntrack.FlagACK
		}
	}
	switch p.Chunk = int16(ipvs.ChunkInit); {
	case q.Chunk != nil:
		p.Chunk = int16(*q.Chunk)
	case q.Server.IsValid():
		p.Chunk = int16(ipvs.ChunkInitAck)
	}
	link, err := d.linkFrom(q.Link, srcAddr(&p), side)
	if err != nil {
		return nil, err
	}
	f := d.probe(link, &p)
	t := d.fork(f, p, q.Mark)
	t.answer, t.stood = q.Server.IsValid(), stood
	return t, nil
}

func checkQuestion(q *ipvs.Question) error {
	other, name := q.Virtual, "the virtual address"
	if q.Server.IsValid() {
		other, name = q.Server, "the real server"
	}
	switch {
	case !rewrite.CarriesPorts(uint8(q.Proto)):
		return fmt.Errorf("%w: protocol %v: packets of TCP, UDP and SCTP can be explained", ipvs.ErrInvalid, q.Proto)
	case q.Chunk != nil && q.Proto != ipvs.SCTP || q.Flags != 0 && q.Proto == ipvs.SCTP:
		return fmt.Errorf("%w: SCTP has chunks, TCP has flags", ipvs.ErrInvalid)
	case !q.Client.IsValid() || !other.IsValid():
		return fmt.Errorf("%w: the client and %s are needed", ipvs.ErrInvalid, name)
	case q.Client.Addr().Is4() != other.Addr().Is4():
		return fmt.Errorf("%w: the client %v and %s %v are of two families", ipvs.ErrInvalid, q.Client.Addr(), name, other.Addr())
	case other.Port() == 0:
		return fmt.Errorf("%w: %s %v needs a port", ipvs.ErrInvalid, name, other.Addr())
	case q.Server.IsValid() && q.Client.Port() == 0:
		return fmt.Errorf("%w: which port of %v does the server answer?", ipvs.ErrInvalid, q.Client.Addr())
	}
	return nil
}

// standIn gives a real server's packet the destination that it has by FULLNAT: the
// source address that stands for the client. It reports false where the server does
// see the client, or there is no such connection.
func (d *Director) standIn(p *rewrite.Packet) bool {
	defer d.freeze()()
	if slices.ContainsFunc(d.shards, func(s *Shard) bool { return s.findOut(p) != 0 }) {
		return false
	}
	client := conntrack.ClientEnd{CIP: p.Dst, CIP6: p.Dst6, CPort: p.DstPort, Proto: p.Proto}
	for _, s := range d.shards {
		t := s.of(p.V6)
		r := t.FindFull(client, func(r conntrack.Ref, c *conntrack.Conn) bool {
			return c.RPort == p.SrcPort && c.RIP == p.Src && (!p.V6 || t.Ends6(r).RIP == p.Src6)
		})
		if r != 0 {
			to := s.toServer(t.At(r), r)
			p.Dst, p.Dst6, p.DstPort = to.Src, to.Src6, to.SrcPort
			return true
		}
	}
	return false
}

// explainFull says what FULLNAT does to the packets of a connection.
func (t *trial) explainFull(x *ipvs.Explanation, c *entry) {
	if t.stood {
		x.Why = append(x.Why, fmt.Sprintf("by --fullnat the server does not see the client: it answers %v", c.source))
	}
	if c.Full() && c.Proto == rewrite.ProtoTCP && slices.Contains(t.dir.cfg.FTPPorts, c.VPort) {
		x.Why = append(x.Why, fmt.Sprintf("port %d is one of FTP, and --fullnat goes without the FTP helper: its data connections do not pass", c.VPort))
	}
}

// freePort gives p a client's port from which there is no connection. It looks
// at a bounded number of them.
func (d *Director) freePort(p *rewrite.Packet) bool {
	const first, most = 40000, 256
	defer d.freeze()()
ports:
	for p.SrcPort = first; p.SrcPort < first+most; p.SrcPort++ {
		for _, s := range d.shards {
			if r, _ := s.known(p, true); r != 0 {
				continue ports
			}
		}
		return true
	}
	return false
}

// linkFrom returns the link that a packet comes in by: the one named, or the one
// of that side that leads back to src, or the first of that side.
func (d *Director) linkFrom(name string, src netip.Addr, side Side) (uint8, error) {
	first := -1
	back := lookup(d.host, AddressOf(src))
	for i, l := range d.cfg.Links {
		switch {
		case l.Name == name:
			return uint8(i), nil
		case name != "" || l.Side&side == 0:
		case back.Kind == HopForward && int(back.Link) == i:
			return uint8(i), nil
		case first < 0:
			first = i
		}
	}
	if name != "" || first < 0 {
		var known []string
		for _, l := range d.cfg.Links {
			known = append(known, l.Name)
		}
		return 0, fmt.Errorf("%w: the director has no interface %q (it has %q)", ipvs.ErrInvalid, name, known)
	}
	return uint8(first), nil
}

// probe writes the packet as its sender, or the router before it, would send it
// to the director, and reads it back into p.
func (d *Director) probe(link uint8, p *rewrite.Packet) Frame {
	sender := [6]byte{2} // locally administered; nobody answers to it
	if back := lookup(d.host, AddressOf(srcAddr(p))); back.Resolved && back.Link == link {
		sender = back.MAC
	}
	data := make([]byte, rewrite.ProbeLen)
	data = data[:rewrite.Probe(data, p, sender, d.host.Link(link).MAC)]
	rewrite.Parse(data, p)
	return Frame{Data: data, WireLen: uint32(len(data)), Link: link}
}

// run tries the packet.
func (t *trial) run() *ipvs.Explanation {
	s, p := t.shard, &t.packet
	x := &ipvs.Explanation{Received: t.describe(&t.frame), Mark: t.mark}
	s.Begin(t.now)
	before := t.snapshot()
	f := t.frame
	v := s.Process(&f, t.now)
	s.End()

	x.Verdict, x.Meaning = v.String(), v.Meaning()
	after := t.snapshot()
	x.Connection = t.entry(before.conn)
	conn := after.conn
	switch {
	case before.conn == nil || before.dir == conntrack.In && !after.continues(&before) && v != DropServerGone:
		conn = t.opened(&before, &after)
		t.explainOpening(x, v)
		x.Template = t.template(&before, &after)
	case v == DropServerGone:
		x.Why = append(x.Why, "with sysctl expire_nodest_conn=0 its connections stay until their time is up")
	}
	x.Entry = t.entry(conn)
	if x.Pick != nil {
		x.Server = x.Pick.Server
	}
	switch {
	case conn != nil && before.dir == conntrack.Out && before.conn != nil:
		x.NextHop = t.hop(x.Entry.Client.Addr()) // by FULLNAT the packet's own destination is the director
	case conn != nil:
		x.NextHop = t.hop(t.view.servers[conn.Dest].address().Addr())
	case v == Route || v == HeldNeighbour:
		x.NextHop = t.hop(dstAddr(p))
	}
	if conn != nil {
		x.Server = addrOf(t.view.servers[conn.Dest].RealServer)
		t.explainFull(x, conn)
	}
	for _, out := range s.Output() {
		x.Sent = append(x.Sent, t.describe(&out))
	}
	if w := s.waiting.frames; v == HeldNeighbour {
		held := t.describe(&Frame{Data: w[len(w)-1].data, Link: s.wayToAddress(w[len(w)-1].dst).Link})
		x.Held = &held
	}
	return x
}

// snapshot is what a trial's tables have of the packet: copies, nil for none.
type snapshot struct {
	conn     *entry
	ref      conntrack.Ref
	dir      conntrack.Direction
	template *entry
	above    conntrack.Ref // the template's
}

// entry is a copy of a connection or template, with its addresses if it is of IPv6.
type entry struct {
	conntrack.Conn
	ends   conntrack.Ends6
	source netip.AddrPort // of FULLNAT
}

// copyEntry copies entry r of a table.
func copyEntry(t *conntrack.Table, r conntrack.Ref) *entry {
	e := &entry{Conn: *t.At(r), source: sourceOf(t, t.At(r))}
	if e.Is(conntrack.V6) {
		e.ends = *t.Ends6(r)
	}
	return e
}

func (t *trial) snapshot() (n snapshot) {
	s, p := t.shard, &t.packet
	if n.ref, n.dir = s.known(p, t.view.roles.dst(p)&roleVIP != 0); n.ref != 0 {
		n.conn = copyEntry(s.of(p.V6), n.ref)
	}
	if t.service != nil && t.service.flags&ipvs.FlagPersistent != 0 {
		if n.above = t.dir.templates.find(p, t.service); n.above != 0 {
			n.template = copyEntry(t.dir.templates.of(p.V6), n.above)
		}
	}
	return n
}

// continues reports whether the connection that was there has taken the packet.
func (n *snapshot) continues(before *snapshot) bool {
	return n.ref == before.ref && n.conn.InPkts == before.conn.InPkts+1
}

// opened returns the connection that the packet has opened, or nil.
func (t *trial) opened(before, after *snapshot) *entry {
	if c := &t.shard.passing; c.Is(conntrack.OnePacket) {
		return &entry{Conn: *c, ends: t.shard.passed}
	}
	if c := after.conn; c != nil && c.InPkts == 1 && (before.conn == nil || after.ref != before.ref || *c != *before.conn) {
		return c
	}
	return nil
}

// explainOpening says what it takes for the packet to open a connection.
func (t *trial) explainOpening(x *ipvs.Explanation, v Verdict) {
	p := &t.packet
	if x.Connection != nil {
		x.Why = append(x.Why, "the connection that was there has outlived its use: the packet is scheduled anew")
	}
	if t.answer {
		x.Why = append(x.Why, "it belongs to no connection of that client with that server")
	} else {
		x.NearMisses, x.LeftOut = t.nearMisses()
	}
	if t.view.marks == nil && t.view.roles.dst(p)&roleVIP == 0 {
		x.Why = append(x.Why, fmt.Sprintf("%v is no VIP", dstAddr(p)))
		return
	}
	x.Search = t.search()
	if t.service == nil {
		x.Why = append(x.Why, "no service takes the packet")
		return
	}
	x.Service = describeService(t.service)
	switch {
	case !t.shard.opens(p) && p.Proto == rewrite.ProtoTCP:
		x.Why = append(x.Why, fmt.Sprintf("%v opens no connection: a SYN without RST does", ipvs.TCPFlags(p.TCPFlags)))
	case !t.shard.opens(p):
		x.Why = append(x.Why, fmt.Sprintf("%v opens no connection: INIT does", ipvs.Chunk(p.Chunk)))
	case p.SrcPort == ftpDataPort && v != DropMartian && v != DropDefence:
		x.Why = append(x.Why, "from port 20, that of FTP data, nothing is scheduled")
	}
	x.Pick = t.witness.pick
}

// template says what persistence did when the packet was to open a connection.
func (t *trial) template(before, after *snapshot) *ipvs.ExplainedTemplate {
	switch {
	case t.service == nil || t.service.flags&ipvs.FlagPersistent == 0:
		return nil
	case after.template == nil && before.template == nil:
		return &ipvs.ExplainedTemplate{Outcome: "none"}
	case before.template == nil:
		return &ipvs.ExplainedTemplate{Outcome: "made", Entry: t.entry(after.template)}
	case after.above == before.above:
		return &ipvs.ExplainedTemplate{Outcome: "found", Entry: t.entry(after.template)}
	}
	x := &ipvs.ExplainedTemplate{Outcome: "replaced", Why: "its server is quiesced, and sysctl expire_quiescent_template is 1", Entry: t.entry(after.template)}
	switch srv := &t.view.servers[before.template.Dest]; {
	case !srv.Available():
		x.Why = "its server was deleted"
	case srv.Withheld():
		x.Why = "its server cannot be reached, and sysctls quiesce_unreachable and expire_quiescent_template are 1"
	}
	if after.template == nil {
		x.Outcome = "none"
	}
	return x
}
