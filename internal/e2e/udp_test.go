package e2e

// Datagrams, small, without checksum, and in fragments:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]─┬─ server-1: UDP 53, sends back
//	                    VIP 192.168.0.178:53                  └─ server-2: UDP 53, sends back

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"natlb/internal/lab"
)

var vipDNS = netip.AddrPortFrom(lab.VIP, 53)

// udpCourse is a course with a UDP service on the VIP's port 53.
func udpCourse(t *testing.T, o lab.CourseOptions) (*lab.Course, *director) {
	t.Helper()
	c := newCourse(t, o)
	for _, s := range c.Servers {
		serveEcho(t, s, ":53")
	}
	d := courseDirector(t, c)
	balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)
	return c, d
}

func TestUDP(t *testing.T) {
	begin(t)
	c, d := udpCourse(t, lab.CourseOptions{})
	client := firstClient(c)
	var answers []string
	for range 50 {
		answer, err := client.Echo(within(t, 10*time.Second), vipDNS, "hello", 5)
		if err != nil {
			t.Fatal(err)
		}
		name, payload, _ := strings.Cut(answer, ":")
		if payload != "hello" {
			t.Fatalf("Echo(hello) = %q", answer)
		}
		answers = append(answers, name)
	}
	checkTurns(t, answers, "server-2", "server-1")
	if got := strings.Count(d.ctl("-L -n -c"), "\nUDP "); got != 50 {
		t.Errorf("-L -n -c shows %d UDP entries, want 50", got)
	}
	if got := snmp(t, c.Clients[0], "Udp", "InCsumErrors"); got != 0 {
		t.Errorf("the client met %d wrong UDP checksums, want 0", got)
	}
}

// Datagrams of every kind of size come back whole: one frame, two fragments,
// six, and the most that UDP can carry.
func TestLargeUDP(t *testing.T) {
	begin(t)
	for name, offload := range map[string]lab.Offload{"offloads on": lab.SuperPackets, "offloads off": lab.Complete} {
		t.Run(name, func(t *testing.T) {
			c, _ := udpCourse(t, lab.CourseOptions{})
			must(t, c.SetOffload(offload))
			for _, size := range []int{0, 1, 1472, 1473, 8 << 10, 60 << 10, 65507 - len("server-1:")} {
				checkEcho(t, firstClient(c), size)
			}
			for _, n := range append(c.Servers, c.Clients...) {
				if got := snmp(t, n, "Udp", "InCsumErrors"); got != 0 {
					t.Errorf("%s met %d wrong UDP checksums, want 0", n.Name(), got)
				}
			}
		})
	}
}

// checkEcho checks that a datagram comes back from the VIP's port 53.
func checkEcho(t *testing.T, client *lab.Client, size int) {
	t.Helper()
	payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
	answer, err := client.Echo(within(t, 20*time.Second), vipDNS, payload, 5)
	if err != nil {
		t.Errorf("%d bytes: %v", size, err)
		return
	}
	if _, got, _ := strings.Cut(answer, ":"); got != payload {
		t.Errorf("%d bytes came back as %d others", size, len(got))
	}
}

// A checksum of 0 says that there is none. The director fills it in both ways.
func TestUDPWithoutChecksum(t *testing.T) {
	begin(t)
	for _, size := range []int{5, 4000} {
		c := newCourse(t, lab.CourseOptions{Servers: 1})
		server := listenPlain(t, c.Servers[0], ":53")
		d := courseDirector(t, c)
		balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)

		client := listenPlain(t, c.Clients[0], "192.168.0.11:5353")
		atServer, atClient := watchUDP(t, c.Servers[0], c.RIPs[0]), watchUDP(t, c.Clients[0], c.CIPs[0][0])
		payload := strings.Repeat("x", size)
		if got := passOn(t, client, server, net.UDPAddrFromAddrPort(vipDNS), payload); got.String() != "192.168.0.11:5353" {
			t.Errorf("the server saw a datagram from %v, want it from the client", got)
		}
		answer := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.168.0.11:5353"))
		if got := passOn(t, server, client, answer, payload); got.String() != vipDNS.String() {
			t.Errorf("the client saw an answer from %v, want it from %v", got, vipDNS)
		}
		for name, watch := range map[string]net.PacketConn{"server": atServer, "client": atClient} {
			if sum := udpChecksum(t, watch); sum == 0 {
				t.Errorf("%d bytes reached the %s with checksum 0, want it filled in", size, name)
			}
		}
	}
}

// A sender that hands several datagrams to its kernel at once: they cross the
// director as one super-packet where the offloads are on, and are several again
// at the server.
func TestUDPSegmentation(t *testing.T) {
	begin(t)
	const segment, count = 1000, 20
	c, _ := udpCourse(t, lab.CourseOptions{Servers: 1})
	conn, err := c.Clients[0].Dial(within(t, 5*time.Second), "udp4", netip.AddrPort{}, vipDNS.String())
	must(t, err)
	defer conn.Close()
	setOption(t, conn, unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment)
	checkEcho(t, firstClient(c), 10) // neighbours are known: nothing is lost
	payload := randomBytes(segment * count)
	_, err = conn.Write(payload)
	must(t, err)
	missing := map[string]bool{}
	for i := range count {
		missing["server-1:"+string(payload[i*segment:(i+1)*segment])] = true
	}
	buf := make([]byte, 65535)
	must(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	for len(missing) > 0 {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%d of %d datagrams have not come back: %v", len(missing), count, err)
		}
		if !missing[string(buf[:n])] {
			t.Fatalf("a datagram of %d bytes has come that was not sent", n)
		}
		delete(missing, string(buf[:n]))
	}
}

// setOption sets a socket option of a connection or a listening socket.
func setOption(t *testing.T, conn any, level, option, value int) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	must(t, err)
	var optErr error
	err = raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), level, option, value) })
	must(t, err, optErr)
}

// listenPlain opens a UDP socket that sends without checksums.
func listenPlain(t *testing.T, n *lab.Namespace, address string) net.PacketConn {
	t.Helper()
	conn, err := n.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, conn.Close()) })
	setOption(t, conn, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	return conn
}

// passOn sends payload from one socket until it arrives at the other, and
// returns whom the receiver saw as the sender.
func passOn(t *testing.T, from, at net.PacketConn, to net.Addr, payload string) net.Addr {
	t.Helper()
	buf := make([]byte, 65535)
	for range 5 {
		if _, err := from.WriteTo([]byte(payload), to); err != nil {
			t.Fatal(err)
		}
		must(t, at.SetReadDeadline(time.Now().Add(time.Second)))
		n, sender, err := at.ReadFrom(buf)
		if errors.Is(err, syscall.EAGAIN) || isTimeout(err) {
			continue
		}
		if err != nil || string(buf[:n]) != payload {
			t.Fatalf("received %d bytes, %v, want the %d sent", n, err, len(payload))
		}
		return sender
	}
	t.Fatalf("%d bytes to %v: lost five times", len(payload), to)
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// watchUDP opens a socket that sees the UDP headers of what reaches an address.
func watchUDP(t *testing.T, n *lab.Namespace, address netip.Addr) net.PacketConn {
	t.Helper()
	conn, err := n.ListenPacket("ip4:udp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, conn.Close()) })
	return conn
}

// udpChecksum is the checksum of the next datagram that the watcher sees.
func udpChecksum(t *testing.T, watch net.PacketConn) uint16 {
	t.Helper()
	buf := make([]byte, 65535)
	must(t, watch.SetReadDeadline(time.Now().Add(5*time.Second)))
	n, _, err := watch.ReadFrom(buf)
	if err != nil || n < 8 {
		t.Fatalf("read %d bytes of a datagram: %v", n, err)
	}
	return uint16(buf[6])<<8 | uint16(buf[7])
}
