package oracletest

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// kernel is the network stack of one host, as far as the scenarios meet it.
type kernel struct {
	net  *network
	name string
	link uint8
	mac  [6]byte
	owns func(netip.Addr) bool

	conns   map[flow]*conn
	listen  map[uint16]func(*conn)
	udpPort map[uint16]func(local, remote netip.AddrPort, data []byte) // sockets that take from anybody
	udpConn map[flow]*udpSocket
	pmtu    map[netip.Addr]int

	associations map[flow]*conn // over SCTP
	listenSCTP   map[uint16]func(*conn)
	pieces       map[pieceKey]*pieces

	ident uint32
	iss   uint32
}

// flow is a connection as its host sees it.
type flow struct{ local, remote netip.AddrPort }

// udpSocket is a connected socket of a client.
type udpSocket struct {
	data [][]byte
	err  string // of errno, once
}

type pieceKey struct {
	src, dst netip.Addr
	ident    uint32
	proto    uint8
}

// pieces collects the fragments of a datagram, which come complete or not at
// all here.
type pieces struct {
	data  []byte
	have  int
	total int // -1 until the last one has come
}

func newKernel(n *network, name string, link uint8, mac [6]byte, owns func(netip.Addr) bool) *kernel {
	return &kernel{
		net: n, name: name, link: link, mac: mac, owns: owns, iss: uint32(mac[5]) << 24,
		conns: map[flow]*conn{}, listen: map[uint16]func(*conn){},
		udpPort: map[uint16]func(_, _ netip.AddrPort, _ []byte){}, udpConn: map[flow]*udpSocket{},
		associations: map[flow]*conn{}, listenSCTP: map[uint16]func(*conn){},
		pmtu: map[netip.Addr]int{}, pieces: map[pieceKey]*pieces{},
	}
}

const mtu = 1500

// send sends a payload, in fragments when it does not fit.
func (k *kernel) send(src, dst netip.Addr, proto uint8, df bool, payload []byte) {
	k.ident++
	h := ipHeader{src: src, dst: dst, proto: proto, ident: k.ident, ttl: 64, df: df}
	room := mtu - headerLen(src)
	if len(payload) <= room {
		k.net.send(k.link, k.mac, h.packet(payload))
		return
	}
	if src.Is6() {
		room -= 8
	}
	most := room &^ 7
	for h.df = false; h.off < len(payload); h.off += most {
		end := min(h.off+most, len(payload))
		h.mf = end < len(payload)
		k.net.send(k.link, k.mac, h.packet(payload[h.off:end]))
	}
}

// receive takes a packet from the wire.
func (k *kernel) receive(ip []byte) {
	h, p, ok := parseIP(ip)
	if !ok || !k.owns(h.dst) || ip[0]>>4 == 4 && checksum(ip[:int(ip[0]&15)*4], 0) != 0 {
		return
	}
	if h.mf || h.off != 0 {
		if p = k.assemble(h, p); p == nil {
			return
		}
	}
	switch h.proto {
	case protoTCP:
		k.receiveTCP(h, p)
	case protoUDP:
		k.receiveUDP(h, p, ip)
	case protoSCTP:
		k.receiveSCTP(h, p)
	case icmpOf(h.src):
		k.receiveICMP(h, p)
	}
}

// assemble returns the whole payload once its last piece has come.
func (k *kernel) assemble(h ipHeader, p []byte) []byte {
	key := pieceKey{h.src, h.dst, h.ident, h.proto}
	g := k.pieces[key]
	if g == nil {
		g = &pieces{total: -1}
		k.pieces[key] = g
	}
	if end := h.off + len(p); end > len(g.data) {
		g.data = slices.Grow(g.data, end-len(g.data))[:end]
	}
	copy(g.data[h.off:], p)
	g.have += len(p)
	if !h.mf {
		g.total = h.off + len(p)
	}
	if g.have != g.total {
		return nil
	}
	delete(k.pieces, key)
	return g.data
}

func (k *kernel) receiveUDP(h ipHeader, p, ip []byte) {
	if len(p) < 8 {
		return
	}
	if sum := binary.BigEndian.Uint16(p[6:]); sum != 0 && checksum(p, pseudo(h.src, h.dst, protoUDP, len(p))) != 0 {
		return
	}
	remote := netip.AddrPortFrom(h.src, binary.BigEndian.Uint16(p))
	local := netip.AddrPortFrom(h.dst, binary.BigEndian.Uint16(p[2:]))
	data := slices.Clone(p[8:])
	if s := k.udpConn[flow{local, remote}]; s != nil {
		s.data = append(s.data, data)
	} else if take := k.udpPort[local.Port()]; take != nil {
		k.net.after(wakeUp, func() { take(local, remote, data) })
	} else {
		k.unreachable(h, ip)
	}
}

// unreachable tells the sender of ip that nobody has the port.
func (k *kernel) unreachable(h ipHeader, ip []byte) {
	if h.src.Is6() {
		const most = 1280 - 48
		k.send(h.dst, h.src, protoICMP6, false, icmpFrom(h.dst, h.src, 1, 4, 0, ip[:min(len(ip), most)]))
		return
	}
	const most = 576 - 28
	k.send(h.dst, h.src, protoICMP, false, icmpBytes(3, 3, 0, ip[:min(len(ip), most)]))
}

// sendUDP sends a datagram; it may be cut only when it has to be.
func (k *kernel) sendUDP(local, remote netip.AddrPort, data []byte) {
	k.send(local.Addr(), remote.Addr(), protoUDP, true, udpBytes(local, remote, data, udpGood))
}

// receiveICMP takes an ICMP error to the socket whose packet it quotes.
func (k *kernel) receiveICMP(h ipHeader, p []byte) {
	switch {
	case h.src.Is6():
		if p = asICMP4(h, p); p == nil {
			return
		}
	case len(p) < 8 || p[0] != 3 || checksum(p, 0) != 0:
		return
	}
	q, inner, ok := parseIP(p[8:])
	if !ok || len(inner) < 8 {
		return
	}
	f := flow{
		netip.AddrPortFrom(q.src, binary.BigEndian.Uint16(inner)),
		netip.AddrPortFrom(q.dst, binary.BigEndian.Uint16(inner[2:])),
	}
	if p[1] == 4 {
		k.pmtu[q.dst] = int(binary.BigEndian.Uint32(p[4:]) & 0xffff)
	}
	switch q.proto {
	case protoTCP:
		if c := k.conns[f]; c != nil {
			c.icmp(p[1])
		}
	case protoSCTP:
		if c := k.associations[f]; c != nil {
			c.icmp(p[1])
		}
	case protoUDP:
		if s := k.udpConn[f]; s != nil && p[1] == 3 {
			s.err = "ECONNREFUSED"
		}
	}
}

// asICMP4 returns an ICMPv6 error with type and code of the ICMP error that means the
// same to a socket, or nil.
func asICMP4(h ipHeader, p []byte) []byte {
	if len(p) < 8 || checksum(p, pseudo(h.src, h.dst, protoICMP6, len(p))) != 0 {
		return nil
	}
	p = slices.Clone(p)
	switch {
	case p[0] == 1 && p[1] == 4:
		p[1] = 3
	case p[0] == 1:
		p[1] = 1
	case p[0] == 2:
		p[1] = 4
	default:
		return nil
	}
	p[0] = 3
	return p
}

func (k *kernel) receiveTCP(h ipHeader, p []byte) {
	s, ok := parseSegment(p)
	if !ok || checksum(p, pseudo(h.src, h.dst, protoTCP, len(p))) != 0 {
		return
	}
	s.data = slices.Clone(s.data)
	f := flow{netip.AddrPortFrom(h.dst, s.dport), netip.AddrPortFrom(h.src, s.sport)}
	c := k.conns[f]
	if c != nil && c.reusable(&s) {
		delete(k.conns, f)
		c = nil
	}
	switch accept := k.listen[s.dport]; {
	case c != nil:
		c.input(&s)
	case accept != nil && s.flags&(syn|ack|rst) == syn:
		if s.flags&fin == 0 { // a SYN with a FIN opens nothing and gets no answer
			k.passive(f, &s, accept)
		}
	case accept != nil && s.flags&(ack|rst) == 0: // neither opens nor belongs to anything
	case s.flags&rst == 0:
		k.refuse(f, &s)
	}
}

// refuse answers a segment that belongs to no connection (RFC 9293, 3.10.7.1).
func (k *kernel) refuse(f flow, s *segment) {
	r := segment{sport: f.local.Port(), dport: f.remote.Port(), seq: s.ack, flags: rst}
	if s.flags&ack == 0 {
		r.seq, r.ack, r.flags = 0, s.seq+s.length(), rst|ack
	}
	k.send(f.local.Addr(), f.remote.Addr(), protoTCP, true, r.bytes(f.local.Addr(), f.remote.Addr()))
}
