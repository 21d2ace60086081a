package oracletest

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"natlb/internal/packettest"
)

// rawClients are clients without a kernel: their packets are made by hand, and
// nothing answers for them.
type rawClients struct {
	net   *network
	flows map[string]*rawFlow
	order []*rawFlow // as they were made

	open bool // the capture on the client's interface runs
	from int  // where it began, in the VIP wire's packets
	seen int  // up to where it has been looked at
}

// rawFlow is a hand-made connection, of TCP if nothing else is said.
type rawFlow struct {
	src, dst     netip.Addr
	sport, dport uint16
	snd, rcv     uint32
	irs          uint32 // the server's first sequence number
	started      bool   // irs is known
	data         []byte
	label        *regexp.Regexp

	*association // over SCTP
	cookie       []byte
}

// send sends packets from the client's interface and returns what comes back
// while the step waits.
func (r *rawClients) send(s step, packets ...[]byte) result {
	r.drain()
	for _, ip := range packets {
		r.net.send(vipLink, clMAC, ip)
	}
	return result{"back": r.back(s)}
}

// drain looks at everything that has come up to now.
func (r *rawClients) drain() {
	if !r.open {
		r.open, r.from = true, len(r.net.wires[vipLink])
	}
	r.seen = len(r.net.wires[vipLink])
}

func (r *rawClients) back(s step) []string {
	r.net.run(r.net.now + seconds(s.number("wait", 0.15)))
	out := []string{}
	fresh := r.net.wires[vipLink][r.seen:]
	r.seen = len(r.net.wires[vipLink])
	for _, c := range fresh {
		if !c.fromDirector {
			continue
		}
		h, p, ok := parseIP(c.ip())
		if !ok {
			continue
		}
		r.learn(h, p)
		if (s.op() == "raw" && h.proto == protoTCP || s.op() == "rawsctp" && h.proto == protoSCTP) && h.off == 0 && !h.mf && len(p) >= 4 {
			f := r.flows[s.text("id", "")]
			if binary.BigEndian.Uint16(p) != f.dport || binary.BigEndian.Uint16(p[2:]) != f.sport {
				continue // retransmissions of other flows are not this step's business
			}
		}
		out = append(out, r.relabel(packettest.DescribeIP(c.ip())))
	}
	return out
}

// learn notes what a server has sent to the flows.
func (r *rawClients) learn(h ipHeader, p []byte) {
	if h.proto == protoSCTP {
		r.learnSCTP(h, p)
		return
	}
	s, ok := parseSegment(p)
	if !ok || h.proto != protoTCP || h.off != 0 {
		return
	}
	for _, f := range r.order {
		if f.sport != s.dport || f.src != h.dst || f.dport != s.sport {
			continue
		}
		if !f.started || s.flags&syn != 0 {
			f.started, f.irs, f.rcv = true, s.seq, s.seq
		}
		if end := s.seq + s.length(); int32(end-f.rcv) >= 0 {
			f.rcv = end
		}
		f.data = append(f.data, s.data...)
	}
}

// relabel prints servers' sequence numbers relative to their first one.
func (r *rawClients) relabel(line string) string {
	for _, f := range r.order {
		if !f.started || !strings.Contains(line, " TCP ") {
			continue
		}
		line = f.label.ReplaceAllStringFunc(line, func(m string) string {
			g := f.label.FindStringSubmatch(m)
			n, _ := strconv.ParseUint(g[2], 10, 32)
			return g[1] + "s+" + strconv.FormatUint(uint64(uint32(n)-f.irs), 10) + g[3]
		})
	}
	return line
}

func (r *rawClients) flow(s step) *rawFlow {
	id := s.text("id", "")
	f := r.flows[id]
	if f == nil {
		dst := addrPort(s.text("dst", ""))
		f = &rawFlow{src: s.addr("src"), sport: uint16(s.number("sport", 0)), dst: dst.Addr(), dport: dst.Port(), snd: 1000}
		f.label = regexp.MustCompile(`( TCP ` + strconv.Itoa(int(f.dport)) + `>` + strconv.Itoa(int(f.sport)) + ` \S+ seq=)(\d+)( )`)
		r.flows[id] = f
		r.order = append(r.order, f)
	}
	if s.has("seq") {
		f.snd = uint32(s.number("seq", 0))
	}
	return f
}

// header is the IP header that a step asks for.
func header(s step, src, dst netip.Addr, proto uint8, ident float64) ipHeader {
	return ipHeader{
		src: src, dst: dst, proto: proto, ident: uint32(s.number("ident", ident)),
		ttl: uint8(s.number("ttl", 64)), df: s.flag("df", true),
	}
}

// rawTCP sends one segment of a flow; the acknowledgement is automatic.
func (p *player) rawTCP(s step) result {
	f := p.raw.flow(s)
	opts, _ := hex.DecodeString(s.text("opts", ""))
	g := segment{
		sport: f.sport, dport: f.dport, seq: f.snd, flags: flagsOf(s.text("flags", "")), opts: opts,
		data: s.data(""), bad: s.flag("badsum", false),
	}
	if g.flags&ack != 0 {
		g.ack = f.rcv
	}
	f.snd += g.length()
	r := p.raw.send(s, header(s, f.src, f.dst, protoTCP, 1).packet(g.bytes(f.src, f.dst)))
	if len(f.data) > 0 {
		text := strings.TrimSpace(string(f.data))
		r["from"] = text[:min(len(text), 40)]
	}
	return r
}

func (p *player) rawUDP(s step) result {
	src, dst := netip.AddrPortFrom(s.addr("src"), uint16(s.number("sport", 0))), addrPort(s.text("dst", ""))
	kind := udpGood
	if s.flag("zero", false) {
		kind = udpZero
	} else if s.flag("badsum", false) {
		kind = udpBad
	}
	u := udpBytes(src, dst, s.data("x"), kind)
	size := int(s.number("frag", 0))
	if size == 0 {
		return p.raw.send(s, header(s, src.Addr(), dst.Addr(), protoUDP, 5).packet(u))
	}
	h := ipHeader{src: src.Addr(), dst: dst.Addr(), proto: protoUDP, ident: uint32(s.number("ident", 99)), ttl: 64}
	var packets, sorted [][]byte
	for ; h.off < len(u); h.off += size {
		h.mf = h.off+size < len(u)
		packets = append(packets, h.packet(u[h.off:min(h.off+size, len(u))]))
	}
	order, ok := s["order"].([]any)
	for _, i := range order {
		n, _ := i.(float64)
		sorted = append(sorted, packets[int(n)])
	}
	if ok {
		packets = sorted
	}
	return p.raw.send(s, packets...)
}

func (p *player) rawIP(s step) result {
	ip, _ := hex.DecodeString(s.text("hex", ""))
	return p.raw.send(s, ip)
}

func (p *player) ping(s step) result {
	rest := uint32(s.number("id", 77))<<16 | uint32(s.number("seq", 1))
	h := header(s, s.addr("src"), s.addr("dst"), icmpOf(s.addr("dst")), 7)
	kind := uint8(8)
	if h.dst.Is6() {
		kind = 128
	}
	echo := icmpFrom(h.src, h.dst, kind, 0, rest, []byte(strings.Repeat("p", int(s.number("len", 32)))))
	h.df = true
	return p.raw.send(s, h.packet(echo))
}

// lastTo returns the newest of cs that carries a packet of the step's protocol
// to an address, cut to what the step quotes of it.
func lastTo(cs []captured, to netip.Addr, s step) []byte {
	for _, c := range slices.Backward(cs) {
		h, _, ok := parseIP(c.ip())
		if ok && h.dst == to && h.proto == uint8(s.number("proto", 0)) {
			ip := c.ip()
			return ip[:min(len(ip), headerLen(to)+int(s.number("inner", 8)))]
		}
	}
	return nil
}

// icmpError is the ICMP error of a step about the quoted packet.
func icmpError(s step, from netip.Addr, quoted []byte) []byte {
	about, _, _ := parseIP(quoted)
	h := ipHeader{src: from, dst: about.src, proto: icmpOf(from), ident: 3, ttl: 64}
	return h.packet(icmpFrom(h.src, h.dst, uint8(s.number("type", 0)), uint8(s.number("code", 0)), uint32(s.number("rest", 0)), quoted))
}

// icmpFromServer lets a real server send an error about the last packet that it
// got.
func (p *player) icmpFromServer(s step) result {
	i := int(s.text("rs", "rs1")[2] - '1')
	c := p.caps[s.text("cap", "dip")]
	if c == nil {
		return result{"error": "no capture"}
	}
	rip := p.net.plan.rips[i]
	if s.flag("v6", false) || s.number("v6", 0) != 0 {
		rip = p.net.plan.rips6[i]
	}
	quoted := lastTo(p.net.wires[c.link][c.from:], rip, s)
	if quoted == nil {
		return result{"error": "no packet seen"}
	}
	ip := icmpError(s, rip, quoted)
	p.raw.drain()
	if s.number("offload", 0) != 0 {
		p.net.sendPartial(dipLink, serverMAC(i), ip)
	} else {
		p.net.send(dipLink, serverMAC(i), ip)
	}
	return result{"sent": packettest.DescribeIP(ip), "back": p.raw.back(s)}
}

// icmpFromClient lets a raw client send an error about the last packet that it
// got.
func (p *player) icmpFromClient(s step) result {
	got := slices.DeleteFunc(slices.Clone(p.net.wires[vipLink][p.raw.from:p.raw.seen]), func(c captured) bool { return !c.fromDirector })
	quoted := lastTo(got, s.addr("src"), s)
	if quoted == nil {
		return result{"error": "no packet seen"}
	}
	ip := icmpError(s, s.addr("src"), quoted)
	mark := len(p.net.wires[dipLink])
	r := p.raw.send(s, ip)
	r["sent"] = packettest.DescribeIP(ip)
	if p.caps["dip"] != nil {
		side := []string{}
		for _, c := range p.net.wires[dipLink][mark:] {
			side = append(side, packettest.DescribeIP(c.ip()))
		}
		r["dip_side"] = side
	}
	return r
}
