package oracletest

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Ports that every real server listens on.
var (
	tcpPorts = []uint16{21, 22, 80, 81, 443, 1234, 8080, 8088, 9000}
	udpPorts = []uint16{53, 69, 80, 500, 5353, 8053, 9000}
)

// serve starts the programs of a real server.
func serve(k *kernel) {
	accept := func(c *conn) {
		s := &session{name: k.name}
		c.wake = s.wake
		k.net.after(wakeUp, func() { c.write([]byte(k.name + "\n")) })
	}
	for _, p := range tcpPorts {
		k.listen[p] = accept
	}
	for _, p := range sctpPorts {
		k.listenSCTP[p] = accept
	}
	for _, p := range udpPorts {
		k.udpPort[p] = func(local, remote netip.AddrPort, data []byte) {
			switch {
			case bytes.HasPrefix(data, []byte("quiet")):
			case bytes.HasPrefix(data, []byte("echo")):
				k.sendUDP(local, remote, append([]byte(k.name+" "), data...))
			default:
				k.sendUDP(local, remote, fmt.Appendf(nil, "%s %d\n", k.name, len(data)))
			}
		}
	}
}

// session is the TCP server's side of a connection. It obeys `say X`, `big N`,
// `half`, `close`, `rst` and `linger`.
type session struct {
	name   string
	linger bool // keeps its half open when the client has ended
}

func (s *session) wake(c *conn) {
	switch {
	case c.state == closed:
		return
	case len(c.in) == 0:
		if c.eof && !s.linger {
			c.close()
		}
		return
	}
	text := string(c.in)
	c.in = nil
	word, rest, _ := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(text, "linger"):
		s.linger = true
	case strings.HasPrefix(text, "half"):
		c.shut()
	case strings.HasPrefix(text, "close"):
		c.close()
	case strings.HasPrefix(text, "rst"):
		c.abort()
	case word == "big":
		n, _ := strconv.Atoi(strings.Fields(rest)[0])
		c.write(bytes.Repeat([]byte("x"), n))
	case word == "say":
		for _, line := range strings.SplitAfter(text, "\n") {
			if len(line) > 4 {
				c.write([]byte(line[4:]))
			}
		}
	}
	s.wake(c) // the end may have come with it
}
