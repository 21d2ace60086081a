package oracletest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

const clientTimeout = 1.5 // seconds, where a step names no other

func addrPort(text string) netip.AddrPort {
	a, _ := netip.ParseAddrPort(text)
	return a
}

// sources returns the client addresses of a step.
func (p *player) sources(s step) []netip.Addr {
	var out []netip.Addr
	for _, t := range s.list("src") {
		a, _ := netip.ParseAddr(t)
		out = append(out, a)
	}
	if out == nil {
		out = []netip.Addr{p.net.plan.client0}
		if p.v6 {
			out[0] = p.net.plan.client06
		}
	}
	return out
}

// source returns the client endpoint of a step.
func (p *player) source(s step) netip.AddrPort {
	port := uint16(s.number("sport", 0))
	if port == 0 {
		port = p.nextPort()
	}
	return netip.AddrPortFrom(p.sources(s)[0], port)
}

func (p *player) nextPort() uint16 { p.sport++; return p.sport }

// recv waits for something to read. It returns the data, nothing at the end of
// the stream, or an errno.
func (p *player) recv(c *conn, timeout time.Duration) (data, errno string) {
	done := p.net.wait(timeout, func() bool { return len(c.in) > 0 || c.eof || c.state == closed })
	if done {
		p.pause(wakeUp) // what comes in meanwhile is read as well
	}
	switch {
	case !done:
		return "", "timeout"
	case len(c.in) > 0:
		data, c.in = string(c.in), nil
		return data, ""
	}
	errno, c.errno = c.errno, ""
	return "", errno
}

// connect opens a connection and reads the server's greeting: its name, or the
// errno of the failure.
func (p *player) connect(proto string, local, remote netip.AddrPort, timeout time.Duration) (*conn, string) {
	open := p.net.client.connect
	if proto == "sctp" {
		open = p.net.client.associate
	}
	c := open(flow{local, remote})
	p.net.wait(timeout, func() bool { return c.state != synSent })
	switch c.state {
	case synSent:
		c.close()
		return nil, "timeout"
	case closed:
		return nil, c.errno
	}
	for text := ""; ; {
		data, errno := p.recv(c, timeout)
		switch {
		case errno != "":
			c.close()
			return nil, errno
		case data == "":
			c.close()
			return nil, "eof"
		}
		if text += data; strings.HasSuffix(text, "\n") {
			return c, strings.TrimSpace(text)
		}
	}
}

// finish ends a connection in order, or with a reset.
func (p *player) finish(c *conn, how string) {
	if how == "rst" {
		c.abort()
		return
	}
	if c.state == closed {
		return
	}
	c.shut()
	for {
		data, errno := p.recv(c, time.Second/2)
		if data == "" || errno != "" {
			c.close()
			return
		}
	}
}

func (p *player) picks(s step) result {
	dsts, srcs, mode := s.list("dst"), p.sources(s), s.text("mode", "C")
	ports, _ := s["sports"].([]any)
	timeout := seconds(s.number("timeout", clientTimeout))
	got := []string{}
	for i := range int(s.number("n", 0)) {
		dst := addrPort(dsts[i/int(s.number("dst_every", 1))%len(dsts)])
		var sport uint16
		if ports == nil {
			sport = p.nextPort()
		} else {
			n, _ := ports[i%len(ports)].(float64)
			sport = uint16(n)
		}
		local := netip.AddrPortFrom(srcs[i%len(srcs)], sport)
		if s.text("proto", "tcp") == "udp" {
			got = append(got, p.udpOnce(local, dst, []byte("x"), timeout))
			continue
		}
		c, who := p.connect(s.text("proto", "tcp"), local, dst, timeout)
		got = append(got, who)
		if c != nil {
			p.part(c, who, mode[i%len(mode)], fmt.Sprint(s.text("id", "p"), i))
		}
		p.pause(seconds(s.number("gap", 0)))
	}
	return result{"picks": got}
}

// part does with a fresh connection what the mode says: H hold, R reset, C close.
func (p *player) part(c *conn, who string, mode byte, id string) {
	switch mode {
	case 'H':
		p.held = append(p.held, held{id, who, c})
	case 'R':
		p.finish(c, "rst")
	default:
		p.finish(c, "fin")
	}
}

func (p *player) release(s step) result {
	which, n := s.text("which", "all"), int(s.number("n", 1e9))
	released := []string{}
	var keep []held
	for _, h := range p.held {
		if len(released) < n && (which == "all" || which == h.server || which == h.id) {
			p.finish(h.conn, s.text("how", "fin"))
			released = append(released, h.server)
		} else {
			keep = append(keep, h)
		}
	}
	p.held = keep
	return result{"released": released}
}

func (p *player) tcp(s step) result {
	c, who := p.connect(s.text("proto", "tcp"), p.source(s), addrPort(s.text("dst", "")), seconds(s.number("timeout", clientTimeout)))
	if c != nil {
		p.held = append(p.held, held{s.text("id", ""), who, c})
	}
	return result{"got": who}
}

// do acts on a held connection.
func (p *player) do(s step) result {
	for i, h := range p.held {
		if h.id != s.text("id", "") {
			continue
		}
		switch s.text("act", "") {
		case "send":
			return p.say(h.conn, s)
		case "half":
			h.conn.shut()
			return result{}
		case "rst", "fin":
			p.finish(h.conn, s.text("act", ""))
		case "close":
			h.conn.close()
		default:
			return result{"error": "act " + s.text("act", "")}
		}
		p.held = append(p.held[:i:i], p.held[i+1:]...)
		return result{}
	}
	return result{"error": "no such connection"}
}

// say sends a line and notes the answer; late answers to earlier lines belong to
// it too.
func (p *player) say(c *conn, s step) result {
	if c.state == closed {
		errno := c.errno
		if c.errno = ""; errno == "" {
			errno = "EPIPE"
		}
		return result{"got": errno}
	}
	c.write([]byte(s.text("data", "") + "\n"))
	if !s.flag("recv", false) {
		return result{}
	}
	data, errno := p.recv(c, seconds(s.number("timeout", clientTimeout)))
	if errno != "" {
		return result{"got": errno}
	}
	for data != "" && !strings.HasPrefix(data, "x") {
		more, errno := p.recv(c, time.Second/10)
		if more == "" || errno != "" {
			break
		}
		data += more
	}
	return result{"got": readable(data)}
}

func readable(data string) string {
	switch {
	case data == "":
		return "eof"
	case len(data) < 200:
		return strings.TrimSpace(data)
	}
	return fmt.Sprintf("%d bytes", len(data))
}

func (p *player) udp(s step) result {
	local, remote, data := p.source(s), addrPort(s.text("dst", "")), s.data("x")
	if !s.flag("reply", true) {
		p.net.client.sendUDP(local, remote, data)
		return result{"got": "sent"}
	}
	return result{"got": p.udpOnce(local, remote, data, seconds(s.number("timeout", clientTimeout)))}
}

// udpOnce sends a datagram and returns the first word of the answer.
func (p *player) udpOnce(local, remote netip.AddrPort, data []byte, timeout time.Duration) string {
	k, f := p.net.client, flow{local, remote}
	sock := &udpSocket{}
	k.udpConn[f] = sock
	defer delete(k.udpConn, f)
	k.sendUDP(local, remote, data)
	if !p.net.wait(timeout, func() bool { return len(sock.data) > 0 || sock.err != "" }) {
		return "timeout"
	}
	if sock.err != "" {
		return sock.err
	}
	return strings.Fields(string(sock.data[0]))[0]
}

// exec runs one of the two programs that scenarios start on a real server: a
// datagram or a connection of its own to the outside.
func (p *player) exec(s step) result {
	cmd := strings.Join(s.list("cmd"), " ")
	var bound uint16
	if _, rest, ok := strings.Cut(cmd, `s.bind(("0.0.0.0",`); ok {
		fmt.Sscanf(rest, "%d", &bound)
	}
	i := int(s.text("ns", " 1")[2] - '1')
	if bound == 0 || i < 0 || i >= len(p.net.servers) {
		return result{"rc": 127}
	}
	rs, local := p.net.servers[i], netip.AddrPortFrom(p.net.plan.rips[i], bound)
	if _, rest, ok := strings.Cut(cmd, `s.sendto(b"hello",`); ok {
		rs.sendUDP(local, peerOf(rest), []byte("hello"))
	} else if _, rest, ok := strings.Cut(cmd, "s.connect("); ok {
		c := rs.connect(flow{local, peerOf(rest)})
		p.net.wait(time.Second, func() bool { return c.state != synSent })
		c.close()
	}
	return result{"rc": 0}
}

// peerOf reads Python's ("10.10.3.9",777).
func peerOf(text string) netip.AddrPort {
	text = strings.NewReplacer("(", "", `"`, "", ",", ":").Replace(text)
	end := strings.IndexByte(text, ')')
	return addrPort(text[:max(end, 0)])
}
