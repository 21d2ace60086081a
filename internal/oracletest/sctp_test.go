package oracletest

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strings"
)

const protoSCTP = 132

// Chunk types (RFC 9260 section 3.2).
const (
	chunkData             = 0
	chunkInit             = 1
	chunkInitAck          = 2
	chunkSack             = 3
	chunkAbort            = 6
	chunkShutdown         = 7
	chunkShutdownAck      = 8
	chunkCookieEcho       = 10
	chunkCookieAck        = 11
	chunkShutdownComplete = 14
)

var chunkTypes = map[string]uint8{
	"DATA": chunkData, "INIT": chunkInit, "SACK": chunkSack, "HEARTBEAT": 4, "ABORT": chunkAbort, "SHUTDOWN": chunkShutdown,
	"SHUTDOWN_ACK": chunkShutdownAck, "COOKIE_ECHO": chunkCookieEcho, "SHUTDOWN_COMPLETE": chunkShutdownComplete,
}

// sctpPorts are those that every real server listens on.
var sctpPorts = []uint16{80, 443, 8080, 9000}

// chunk is one chunk of a packet.
type chunk struct {
	kind, flags uint8
	body        []byte
}

// sctpBytes returns an SCTP packet.
func sctpBytes(sport, dport uint16, tag uint32, bad bool, chunks ...chunk) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint32(b, tag)
	b = append(b, 0, 0, 0, 0)
	for _, c := range chunks {
		b = append(b, c.kind, c.flags)
		b = binary.BigEndian.AppendUint16(b, uint16(4+len(c.body)))
		b = append(b, c.body...)
		b = append(b, make([]byte, -len(c.body)&3)...)
	}
	sum := sctpSum(b)
	if bad {
		sum ^= 0x5555
	}
	binary.LittleEndian.PutUint32(b[8:], sum)
	return b
}

func sctpSum(p []byte) uint32 {
	b := append([]byte{}, p...)
	clear(b[8:12])
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

// sctpOK reports whether a packet has a right CRC.
func sctpOK(p []byte) bool { return len(p) >= 12 && sctpSum(p) == binary.LittleEndian.Uint32(p[8:]) }

func chunksOf(p []byte) (out []chunk) {
	for b := p[12:]; len(b) >= 4; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return out
		}
		out = append(out, chunk{b[0], b[1], b[4:n]})
		b = b[min((n+3)&^3, len(b)):]
	}
	return out
}

// association is what a connection over SCTP has in the place of TCP's numbers.
type association struct {
	tag, peer    uint32 // verification tags: what comes has the first, what goes the second
	tsn, peerTSN uint32 // last sent, last received
	stream       uint16 // stream sequence number
}

// initBody is the body of an INIT or INIT ACK without parameters.
func (a *association) initBody() []byte {
	b := binary.BigEndian.AppendUint32(nil, a.tag)
	b = append(b, 0, 0, 255, 255, 0, 10, 0, 10)
	return binary.BigEndian.AppendUint32(b, a.tsn+1)
}

// extensions are the parameters ECN and "forward TSN", by which Linux offers and
// takes both.
var extensions = []byte{0x80, 0, 0, 4, 0xc0, 0, 0, 4}

func (k *kernel) newAssociation(f flow) *conn {
	k.iss += 64007
	c := &conn{k: k, f: f, association: &association{tag: k.iss, tsn: k.iss}}
	k.associations[f] = c
	return c
}

// associate opens an association.
func (k *kernel) associate(f flow) *conn {
	c := k.newAssociation(f)
	c.state = synSent
	c.sendChunk(chunkInit, 0, append(append(c.initBody(), 0, 12, 0, 6, 0, 5, 0, 0), extensions...))
	return c
}

// sendChunk sends a packet with one chunk.
func (c *conn) sendChunk(kind, flags uint8, body []byte) {
	l, r := c.f.local, c.f.remote
	c.k.send(l.Addr(), r.Addr(), protoSCTP, true, sctpBytes(l.Port(), r.Port(), c.peer, false, chunk{kind, flags, body}))
}

// sendData is write over SCTP.
func (c *conn) sendData(data []byte) {
	const most = 1452
	for first := uint8(2); len(data) > 0; first = 0 {
		n, flags := min(len(data), most), first
		if n == len(data) {
			flags |= 1
		}
		c.tsn++
		b := binary.BigEndian.AppendUint32(nil, c.tsn)
		b = append(b, 0, 0, byte(c.stream>>8), byte(c.stream), 0, 0, 0, 0)
		c.sendChunk(chunkData, flags, append(b, data[:n]...))
		data = data[n:]
	}
	c.stream++
}

// endSCTP is shut and close over SCTP, which knows no half-closed state.
func (c *conn) endSCTP() {
	if c.state == established {
		c.state = finWait1
		c.sendChunk(chunkShutdown, 0, binary.BigEndian.AppendUint32(nil, c.peerTSN))
	}
}

// receiveSCTP takes a packet; cookies are tag and first TSN of both sides, and as
// long as Linux makes them.
func (k *kernel) receiveSCTP(h ipHeader, p []byte) {
	if !sctpOK(p) {
		return
	}
	f := flow{
		netip.AddrPortFrom(h.dst, binary.BigEndian.Uint16(p[2:])), netip.AddrPortFrom(h.src, binary.BigEndian.Uint16(p)),
	}
	for _, x := range chunksOf(p) {
		c := k.associations[f]
		switch {
		case x.kind == chunkInit:
			k.greetSCTP(f, x.body)
		case c == nil && x.kind == chunkCookieEcho && len(x.body) >= 16:
			c = k.newAssociation(f)
			c.state, c.tag, c.tsn = established, binary.BigEndian.Uint32(x.body), binary.BigEndian.Uint32(x.body[4:])
			c.peer, c.peerTSN = binary.BigEndian.Uint32(x.body[8:]), binary.BigEndian.Uint32(x.body[12:])
			c.sendChunk(chunkCookieAck, 0, nil)
			k.listenSCTP[f.local.Port()](c)
		case c == nil:
			if x.kind != chunkAbort && x.kind != chunkShutdownComplete {
				k.refuseSCTP(f, binary.BigEndian.Uint32(p[4:]), 1)
			}
		default:
			c.inputChunk(x)
		}
	}
}

// greetSCTP answers an INIT.
func (k *kernel) greetSCTP(f flow, init []byte) {
	peer := binary.BigEndian.Uint32(init)
	if k.listenSCTP[f.local.Port()] == nil {
		k.refuseSCTP(f, peer, 0)
		return
	}
	k.iss += 64007
	a := association{tag: k.iss, tsn: k.iss}
	cookie := make([]byte, 228)
	binary.BigEndian.PutUint32(cookie, a.tag)
	binary.BigEndian.PutUint32(cookie[4:], a.tsn)
	binary.BigEndian.PutUint32(cookie[8:], peer)
	binary.BigEndian.PutUint32(cookie[12:], binary.BigEndian.Uint32(init[12:])-1)
	body := append(append(a.initBody(), 0, 7, 0, 232), cookie...)
	if bytes.HasSuffix(init, extensions) {
		body = append(body, extensions...)
	}
	l, r := f.local, f.remote
	k.send(l.Addr(), r.Addr(), protoSCTP, true, sctpBytes(l.Port(), r.Port(), peer, false, chunk{chunkInitAck, 0, body}))
}

func (k *kernel) refuseSCTP(f flow, tag uint32, flags uint8) {
	l, r := f.local, f.remote
	k.send(l.Addr(), r.Addr(), protoSCTP, true, sctpBytes(l.Port(), r.Port(), tag, false, chunk{chunkAbort, flags, nil}))
}

// inputChunk takes a chunk of the association.
func (c *conn) inputChunk(x chunk) {
	switch {
	case x.kind == chunkInitAck && c.state == synSent:
		c.peer, c.peerTSN = binary.BigEndian.Uint32(x.body), binary.BigEndian.Uint32(x.body[12:])-1
		c.sendChunk(chunkCookieEcho, 0, x.body[20:248])
	case x.kind == chunkCookieAck && c.state == synSent:
		c.state = established
	case x.kind == chunkData:
		if tsn := binary.BigEndian.Uint32(x.body); tsn == c.peerTSN+1 {
			c.peerTSN, c.in = tsn, append(c.in, x.body[12:]...)
		}
		c.sendChunk(chunkSack, 0, append(binary.BigEndian.AppendUint32(nil, c.peerTSN), 0, 0, 255, 255, 0, 0, 0, 0))
		c.notify()
	case x.kind == chunkShutdown:
		c.eof = true
		c.sendChunk(chunkShutdownAck, 0, nil)
		c.state = lastAck
		c.notify()
	case x.kind == chunkShutdownAck:
		c.eof = true
		c.sendChunk(chunkShutdownComplete, 0, nil)
		c.end("")
	case x.kind == chunkShutdownComplete:
		c.end("")
	case x.kind == chunkAbort && c.state == synSent:
		c.end("ECONNREFUSED")
	case x.kind == chunkAbort:
		c.end("ECONNRESET")
	}
}

// learnSCTP notes what a server has sent to the flows.
func (r *rawClients) learnSCTP(h ipHeader, p []byte) {
	if h.off != 0 || len(p) < 16 {
		return
	}
	for _, f := range r.order {
		if f.sport != binary.BigEndian.Uint16(p[2:]) || f.src != h.dst {
			continue
		}
		for _, x := range chunksOf(p) {
			switch x.kind {
			case chunkInitAck:
				f.peer, f.peerTSN, f.cookie = binary.BigEndian.Uint32(x.body), binary.BigEndian.Uint32(x.body[12:])-1, x.body[20:]
			case chunkData:
				f.peerTSN = binary.BigEndian.Uint32(x.body)
				f.data = append(f.data, x.body[12:]...)
			}
		}
	}
}

// rawSCTP sends one packet of a flow: tags, cookie and numbers are automatic.
func (p *player) rawSCTP(s step) result {
	f := p.raw.flow(s)
	if f.association == nil {
		f.association = &association{tag: 0x01020304, tsn: 999}
	}
	tag, names := f.peer, strings.Split(s.text("chunks", ""), "+")
	var chunks []chunk
	for _, name := range names {
		x := chunk{kind: chunkTypes[name]}
		switch name {
		case "INIT":
			tag, x.body = 0, f.initBody()
		case "COOKIE_ECHO":
			x.body = f.cookie
		case "DATA":
			f.tsn++
			x.flags, x.body = 3, binary.BigEndian.AppendUint32(nil, f.tsn)
			x.body = append(append(x.body, 0, 0, byte(f.stream>>8), byte(f.stream), 0, 0, 0, 0), s.data("x")...)
			f.stream++
		case "SACK":
			x.body = append(binary.BigEndian.AppendUint32(nil, f.peerTSN), 0, 0, 255, 255, 0, 0, 0, 0)
		case "SHUTDOWN":
			x.body = binary.BigEndian.AppendUint32(nil, f.peerTSN)
		}
		chunks = append(chunks, x)
	}
	if s.has("tag") {
		tag = uint32(s.number("tag", 0))
	}
	packet := sctpBytes(f.sport, f.dport, tag, s.flag("badsum", false), chunks...)
	r := p.raw.send(s, header(s, f.src, f.dst, protoSCTP, 1).packet(packet))
	if len(f.data) > 0 {
		text := strings.TrimSpace(string(f.data))
		r["from"] = text[:min(len(text), 40)]
	}
	return r
}
