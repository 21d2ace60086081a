package doctor

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"natlb/internal/hostnet"
)

const (
	pingRounds = 3                      // each ping is sent as often until it is answered
	pingWait   = 350 * time.Millisecond // for the answers to one round
	mostPinged = 256                    // servers
	smallPing  = 64                     // bytes of the whole IP packet
	icmpHeader = 8
)

// pinging is what differs between the families' pings.
type pinging struct {
	v6           bool
	network, any string
	headers      int // bytes in front of the payload: IP and ICMP
	proto        int // number of ICMP
	request      icmp.Type
	reply        icmp.Type
	level, name  int // the socket option that a packet is not cut
	value        int
}

var pingings = []pinging{
	{network: "ip4:icmp", any: "0.0.0.0", headers: 20 + icmpHeader, proto: 1, request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply,
		level: unix.IPPROTO_IP, name: unix.IP_MTU_DISCOVER, value: unix.IP_PMTUDISC_PROBE},
	{v6: true, network: "ip6:ipv6-icmp", any: "::", headers: 40 + icmpHeader, proto: 58, request: ipv6.ICMPTypeEchoRequest, reply: ipv6.ICMPTypeEchoReply,
		level: unix.IPPROTO_IPV6, name: unix.IPV6_MTU_DISCOVER, value: unix.IPV6_PMTUDISC_PROBE},
}

// narrower are packet sizes that tunnels and lines leave of a larger one: what
// a server is tried with when packets of full size do not arrive.
var narrower = []int{8192, 4096, 1500, 1492, 1480, 1460, 1450, 1420, 1400, 1280, 1000, 576}

// ping is one echo request, known by its sequence number: its place in the list.
type ping struct {
	server *Server
	size   int // bytes of the IP packet
	heard  bool
}

// pingServers finds out how long a packet reaches each server uncut.
func (f *Facts) pingServers(ctx context.Context) {
	for i := range pingings {
		f.pingFamily(ctx, &pingings[i])
	}
}

// pingFamily does so for the servers of one family.
func (f *Facts) pingFamily(ctx context.Context, how *pinging) {
	var pings []ping
	for i := range f.Servers[:min(len(f.Servers), mostPinged)] {
		if s := &f.Servers[i]; s.Way.Kind == hostnet.Unicast && s.RIP.Is6() == how.v6 {
			pings = append(pings, ping{server: s, size: smallPing}, ping{server: s, size: max(s.Way.MTU, smallPing)})
		}
	}
	if len(pings) == 0 || sendPings(ctx, how, pings) != nil {
		return
	}
	var more []ping
	for i := range f.Servers {
		s := &f.Servers[i]
		if s.RIP.Is6() != how.v6 || s.Fits == 0 || s.Fits >= s.Way.MTU {
			continue
		}
		for _, size := range narrower {
			if size < s.Way.MTU {
				more = append(more, ping{server: s, size: size})
			}
		}
	}
	if len(more) > 0 {
		_ = sendPings(ctx, how, more) // as far as it comes
	}
}

// sendPings sends until all are answered or the rounds are over, and notes in
// the servers what came back.
func sendPings(ctx context.Context, how *pinging, pings []ping) error {
	conn, err := how.socket(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	id := rand.IntN(1 << 16)
	payload := make([]byte, 1<<16)
	for range pingRounds {
		for i := range pings {
			if p := &pings[i]; !p.heard {
				how.send(conn, id, i, p, payload)
			}
		}
		if err := conn.SetReadDeadline(soon(ctx, pingWait)); err != nil {
			return err
		}
		how.hear(conn, id, pings)
		if !slices.ContainsFunc(pings, func(p ping) bool { return !p.heard }) {
			break
		}
	}
	return ctx.Err()
}

// socket opens a raw socket whose packets are never cut, also where the kernel
// remembers a smaller path MTU (IP_PMTUDISC_PROBE, ip(7)).
func (how *pinging) socket(ctx context.Context) (net.PacketConn, error) {
	listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), how.level, how.name, how.value)
		})
		return errors.Join(err, set)
	}}
	return listen.ListenPacket(ctx, how.network, how.any)
}

// send sends one request. A refusal (no route any more, no neighbour) is the same as
// silence. The kernel makes the checksum of IPv6.
func (how *pinging) send(conn net.PacketConn, id, seq int, p *ping, payload []byte) {
	echo := &icmp.Echo{ID: id, Seq: seq, Data: payload[:min(p.size-how.headers, 65507)]}
	request, err := (&icmp.Message{Type: how.request, Body: echo}).Marshal(nil)
	if err == nil {
		_, _ = conn.WriteTo(request, &net.IPAddr{IP: p.server.RIP.AsSlice()})
	}
}

// hear reads until the deadline, or until all are answered.
func (how *pinging) hear(conn net.PacketConn, id int, pings []ping) {
	missing := 0
	for i := range pings {
		if !pings[i].heard {
			missing++
		}
	}
	buf := make([]byte, 1<<16)
	for missing > 0 {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		m, err := icmp.ParseMessage(how.proto, buf[:n])
		if err != nil || m.Type != how.reply {
			continue
		}
		echo, ok := m.Body.(*icmp.Echo)
		if !ok || echo.ID != id || echo.Seq >= len(pings) || pings[echo.Seq].heard || from.String() != pings[echo.Seq].server.RIP.String() {
			continue
		}
		p := &pings[echo.Seq]
		p.heard = true
		p.server.Fits = max(p.server.Fits, p.size)
		missing--
	}
}
