package dataplane

import (
	"net/netip"
	"slices"
	"time"

	"natlb/conntrack"
	"natlb/internal/ftp"
	"natlb/ipvs"
	"natlb/rewrite"
)

// The FTP helper reads along on control connections and enters the data
// connections that they announce into the table, so that these pass to and from
// the same real server (semantics 11.1, ip_vs_ftp.c):
//
//	active   client: PORT or EPRT, its endpoint     CIP:port ► VIP:20   to RIP:20, which connects
//	passive  server: 227 or 229 with its endpoint   CIP:any  ► VIP:port to RIP:port; the 227 then names the VIP
//
// The client's port of a passive data connection is not known before its first
// packet. A 227 may change its length by that, and from then on the sequence
// numbers of the server, and what the client acknowledges of them, are moved.
//
// A data connection always goes to the server of its control connection. A 227
// that names another address, as servers do that are told to announce the VIP,
// does not change that.

// helps reports whether new connection c gets the helper.
func (d *Director) helps(c *conntrack.Conn) bool {
	return c.Proto == rewrite.ProtoTCP && c.Masq() && slices.Contains(d.cfg.FTPPorts, c.VPort)
}

// helpIn does what a client's packet asks for beyond its translation: it fills
// in the port that a data connection waited for, and reads commands. Forward
// means go on.
func (s *Shard) helpIn(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref, now time.Duration) Verdict {
	t := s.of(p.V6)
	t.SetCPort(r, p.SrcPort)
	if !c.Is(conntrack.Helped) {
		return Forward
	}
	if !checksumOK(f, p) {
		return DropChecksum
	}
	if p.TCPFlags&conntrack.FlagSYN != 0 && c.State == conntrack.TCPSynRecv {
		// A new stream through the old entry: nothing of the last one's is moved.
		*t.Helper(r) = conntrack.Helper{}
		c.Flags &^= conntrack.OutSeq
	}
	if c.State == conntrack.TCPEstablished {
		if v := s.ftpCommand(f, p, c, r, now); v != Forward {
			return v
		}
	}
	if c.Is(conntrack.OutSeq) {
		rewrite.MapTCPAcks(f.Data, p, t.Helper(r).Out.Ack, f.Offload.Partial())
	}
	return Forward
}

// helpOut reads a server's packet of a connection with the helper, before it is
// counted: it may change its length. Forward means go on.
func (s *Shard) helpOut(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref, now time.Duration) Verdict {
	if !checksumOK(f, p) {
		return DropChecksum
	}
	if c.State == conntrack.TCPEstablished {
		if v := s.ftpReply(f, p, c, r, now); v != Forward {
			return v
		}
	}
	if c.Is(conntrack.OutSeq) {
		seq := s.of(p.V6).Helper(r).Out.Seq(rewrite.TCPSeq(f.Data, p))
		rewrite.SetTCPSeq(f.Data, p, seq, f.Offload.Partial())
	}
	return Forward
}

// checksumOK verifies a segment that a helper is going to read or change, which
// must not become right by that (semantics 5.6). Where the checksum is left to the
// outlet, or the inlet has verified it, there is nothing to do.
func checksumOK(f *Frame, p *rewrite.Packet) bool {
	return f.Offload.Flags&(OffloadNeedsCsum|OffloadDataValid) != 0 || rewrite.TCPChecksumOK(f.Data, p)
}

// ftpCommand looks for a command of the client about a data connection.
func (s *Shard) ftpCommand(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref, now time.Duration) Verdict {
	payload := rewrite.TCPPayload(f.Data, p)
	helper := s.of(p.V6).Helper(r)
	if mode := ftp.Passive(payload, p.V6); mode != ftp.None {
		helper.Awaits = uint8(mode)
		return Forward
	}
	client, ok := ftp.Active(payload)
	if !ok || client.Addr().Is6() != p.V6 {
		return Forward
	}
	helper.Awaits = uint8(ftp.None)
	d := s.dataFrom(c, r)
	d.SrcPort, d.DstPort = client.Port(), c.VPort-1
	if setSource(&d, client.Addr()); p.V6 && !d.Src6.IsSingleHost() {
		return Forward
	}
	return s.expectData(c, r, &d, c.RPort-1, now)
}

// ftpReply looks for the server's answer to a passive command, and rewrites it.
func (s *Shard) ftpReply(f *Frame, p *rewrite.Packet, c *conntrack.Conn, r conntrack.Ref, now time.Duration) Verdict {
	payload := rewrite.TCPPayload(f.Data, p)
	if len(payload) == 0 {
		return Forward
	}
	h, seq := s.of(p.V6).Helper(r), rewrite.TCPSeq(f.Data, p)
	mode, at, again := ftp.Mode(h.Awaits), 0, false
	// A repetition may have the reply anywhere: it is cut as the server likes.
	if back := h.RewroteAt - seq; ftp.Mode(h.Rewrote) != ftp.None && back < uint32(len(payload)) {
		mode, at, again = ftp.Mode(h.Rewrote), int(back), true
	}
	if mode == ftp.None {
		return Forward
	}
	reply, ok := ftp.ParseReply(payload[at:])
	if !ok || reply.Mode != mode {
		return Forward
	}
	port := reply.Server.Port()
	if !again {
		d := s.dataFrom(c, r)
		d.DstPort = port
		if v := s.expectData(c, r, &d, port, now); v != Forward {
			return v
		}
		h.Awaits, h.Rewrote, h.RewroteAt = uint8(ftp.None), uint8(mode), seq
	}
	if mode == ftp.EPSV {
		return Forward // it names the port alone, which is the VIP's, too
	}
	var buf [ftp.EndpointLen]byte
	text := ftp.AppendEndpoint(buf[:0], netip.AddrPortFrom(Addr4(c.VIP), port))
	before := p.End
	if v := s.replace(f, p, at+reply.From, at+reply.To, text); v != Forward {
		return v
	}
	if p.End != before {
		h.Out.Resize(h.RewroteAt, int32(p.End-before))
		c.Flags |= conntrack.OutSeq
	}
	return Forward
}

// dataFrom returns the ends of a data connection of control, which is r, without
// ports: as the client's packets have them.
func (s *Shard) dataFrom(control *conntrack.Conn, r conntrack.Ref) rewrite.Packet {
	d := rewrite.Packet{Src: control.CIP, Dst: control.VIP, Proto: rewrite.ProtoTCP}
	if d.V6 = control.Is(conntrack.V6); d.V6 {
		e := s.ends(r)
		d.Src6, d.Dst6 = e.CIP, e.VIP
	}
	return d
}

// setSource gives p another source of its family.
func setSource(p *rewrite.Packet, src netip.Addr) {
	if p.V6 {
		p.Src6 = rewrite.Addr6Of(src)
		p.Src = p.Src6.Fold()
		return
	}
	p.Src = Number4(src)
}

// expectData enters the data connection that control, which is r, has announced,
// or makes one that is there listen again. It hangs on control, which cannot
// expire before it, and is counted with the server, but not as a connection of
// the service (semantics section 7).
//
// It goes into the shard of its control connection, where its packets come, too:
// while there are such services clients are steered by their address alone. Only a
// client that names another machine than itself (RFC 959, section 5.2) is not
// followed when that one belongs to another shard.
func (s *Shard) expectData(control *conntrack.Conn, r conntrack.Ref, ends *rewrite.Packet, rport uint16, now time.Duration) Verdict {
	srv := &s.view.servers[control.Dest]
	t := s.of(ends.V6)
	data := s.expected(control, ends, rport)
	if data == 0 {
		data = s.insertData(ends, now)
		if data == 0 && s.evict(ends.V6) {
			data = s.insertData(ends, now)
		}
		if data == 0 {
			return DropTableFull // the sender repeats it
		}
		d := t.At(data)
		if ends.V6 {
			s.ends(data).RIP = s.ends(r).RIP
		}
		d.Dest, d.RIP, d.RPort, d.Mark = control.Dest, control.RIP, rport, control.Mark
		d.Flags |= conntrack.Inactive | conntrack.Flags(ipvs.Masq)
		d.Control = r
		control.NControl++
		overloaded := srv.BindInactive()
		if s.journal.follow {
			s.tellConn(ipvs.EventBorn, d, s.endsOf(d, data), d.State, ipvs.Awaited, false)
			if overloaded {
				s.tellServer(ipvs.EventServerOverloaded, d.Dest)
			}
		}
	}
	d := t.At(data)
	before := d.State
	if d.Listen(&s.view.timeouts) == conntrack.Deactivated {
		srv.Deactivate()
	}
	if d.State != before && s.journal.follow {
		s.tellConn(ipvs.EventState, d, s.endsOf(d, data), before, ipvs.Awaited, false)
	}
	t.Arm(data, d, now)
	return Forward
}

// insertData enters a data connection with these ends, or returns 0 when there is no
// room. It waits for the client's port if that is 0.
func (s *Shard) insertData(ends *rewrite.Packet, now time.Duration) conntrack.Ref {
	if ends.SrcPort != 0 {
		return s.insert(ends, now)
	}
	if ends.V6 {
		return s.table6.InsertPortless6(&conntrack.Key6{CIP: ends.Src6, VIP: ends.Dst6, VPort: ends.DstPort, Proto: ends.Proto}, now)
	}
	return s.table.InsertPortless(&conntrack.Key4{CIP: ends.Src, VIP: ends.Dst, VPort: ends.DstPort, Proto: ends.Proto}, now)
}

// expected returns the entry of a data connection with these ends to that port of
// control's server, or 0.
func (s *Shard) expected(control *conntrack.Conn, ends *rewrite.Packet, rport uint16) conntrack.Ref {
	r := s.findIn(ends)
	if r == 0 {
		return 0
	}
	d := s.of(ends.V6).At(r)
	if d.CPort != ends.SrcPort || d.Dest != control.Dest || d.RIP != control.RIP || d.RPort != rport || !d.Masq() {
		return 0
	}
	return r
}

// replace puts text in the place of the bytes from up to to of the payload.
func (s *Shard) replace(f *Frame, p *rewrite.Packet, from, to int, text []byte) Verdict {
	room := s.out.room(p.End + len(text))
	if room == nil {
		return DropNoBuffer
	}
	n := rewrite.ReplacePayload(room, f.Data, p, from, to, text, f.Offload.Partial())
	s.out.trim(room, n)
	if n == 0 {
		return DropTooBig
	}
	f.Data, f.WireLen = room[:n], uint32(n)
	s.frags.resize(len(rewrite.Piece(f.Data, p)))
	return Forward
}

// resize makes the pieces of the packet in the works, if it came in pieces, fit
// a payload of that length.
func (q *fragments) resize(length int) {
	n := len(q.cuts)
	for n > 1 && int(q.cuts[n-1].from) >= length {
		n--
	}
	if q.cuts = q.cuts[:n]; n > 0 {
		q.cuts[n-1].to = uint16(length)
	}
}
