package e2e

// natlb is the gateway of the real servers:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2
//	.11, default via .1     .1              .102   .101 .103, default via .102
//
// What crosses it outside any connection is routed, in both directions, whether
// or not the director's own kernel would.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

func TestGateway(t *testing.T) {
	begin(t)
	for _, o := range []lab.CourseOptions{{}, {IPForward: true}, {HostOwnsVIP: true, IPForward: true}, {OneArm: true}} {
		t.Run(fmt.Sprintf("ip_forward %v, host owns VIP %v, one arm %v", o.IPForward, o.HostOwnsVIP, o.OneArm), func(t *testing.T) {
			c := newCourse(t, o)
			servePages(t, c.Servers)
			serveClientSide(t, c)
			serveEcho(t, c.Servers[0], ":53")
			d := courseDirector(t, c)
			balance(d, c)
			dialFrom(t, c.Clients[0], portsOfVIP)
			checkBalanced(t, c)

			dialFrom(t, c.Clients[0], portsOfServers)
			server, client := lab.NewClient(c.Servers[0], netip.Addr{}), firstClient(c)
			checkReaches(t, "server-1", server, c.CIPs[0][0], "client-1")
			checkReaches(t, "client-1", client, c.RIPs[0], "server-1")
			dialFrom(t, c.Clients[0], portsOfVIP)
			checkBalanced(t, c)
			if !o.IPForward {
				if got := snmp(t, c.Director, "Ip", "ForwDatagrams"); got != 0 {
					t.Errorf("the director's kernel has forwarded %d packets, want 0", got)
				}
			}
		})
	}
}

// serveClientSide makes a server of the client's machine, too.
func serveClientSide(t *testing.T, c *lab.Course) {
	t.Helper()
	servePage(t, c.Clients[0], ":80")
	serveEcho(t, c.Clients[0], ":53")
}

// A client that reaches a server by the VIP and past it needs different ports for the
// two, as with any director: to the server both are the client, and the SYN of one
// meets what the other has left in TIME_WAIT. It may answer with an old ACK, which the
// client resets, and the next SYN of the closed connection is scheduled anew.
const (
	portsOfVIP     = "40000 49999"
	portsOfServers = "50000 59999"
)

// dialFrom has the kernel draw the ports of the machine's connections from a range.
func dialFrom(t *testing.T, n *lab.Namespace, ports string) {
	t.Helper()
	must(t, n.Sysctl("net.ipv4.ip_local_port_range", ports))
}

// checkReaches checks that a machine reaches another by ping, TCP and UDP, in
// fragments too, and sees the other's own address.
func checkReaches(t *testing.T, who string, from *lab.Client, to netip.Addr, name string) {
	t.Helper()
	if err := from.Ping(within(t, 10*time.Second), to, 5); err != nil {
		t.Errorf("from %s: %v", who, err)
	}
	for _, got := range fetch(t, from, fmt.Sprintf("http://%v/", to), 3) {
		if got != name {
			t.Errorf("%s got a page of %q, want it from %q", who, got, name)
		}
	}
	for _, size := range []int{5, 4000} {
		payload := strings.Repeat("x", size)
		got, err := from.Echo(within(t, 10*time.Second), netip.AddrPortFrom(to, 53), payload, 5)
		if want := name + ":" + payload; err != nil || got != want {
			t.Errorf("%s asked %v with %d bytes by UDP: %d bytes, %v, want %d", who, to, size, len(got), err, len(want))
		}
	}
}

// A router owes more than forwarding: it counts hops and says when they are
// used up, and which network it cannot reach.
func TestGatewayAnswers(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	d := courseDirector(t, c)
	balance(d, c)
	exceeded := snmp(t, c.Servers[0], "Icmp", "InTimeExcds")
	must(t, c.Servers[0].Sysctl("net.ipv4.ip_default_ttl", "1"))
	server := lab.NewClient(c.Servers[0], netip.Addr{})
	if err := server.Ping(within(t, 3*time.Second), c.CIPs[0][0], 1); err == nil {
		t.Error("a packet with TTL 1 has crossed the director")
	}
	if got := snmp(t, c.Servers[0], "Icmp", "InTimeExcds") - exceeded; got == 0 {
		t.Error("no time-exceeded has reached the server")
	}
	must(t, c.Servers[0].Sysctl("net.ipv4.ip_default_ttl", "64"))
	if err := connectTo(t, c.Servers[0], "tcp4", "203.0.113.1:80"); !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("connecting where the director has no route: %v, want unreachable", err)
	}
}

// With --no-route the director balances, and routes nothing.
func TestNoRoute(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	serveClientSide(t, c)
	d := courseDirector(t, c, "--no-route")
	balance(d, c)
	checkBalanced(t, c)
	for who, from := range map[string]struct {
		client *lab.Client
		to     netip.Addr
	}{
		"server-1": {lab.NewClient(c.Servers[0], netip.Addr{}), c.CIPs[0][0]},
		"client-1": {firstClient(c), c.RIPs[0]},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if got, err := from.client.Get(ctx, fmt.Sprintf("http://%v/", from.to)); err == nil {
			t.Errorf("with --no-route %s fetched %q from %v, want nothing", who, got, from.to)
		}
		cancel()
	}
	checkBalanced(t, c)
}
