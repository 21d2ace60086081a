package e2e

// A long way with one narrow cable, behind routers of real kernels:
//
//	client ─── ra ─── rb ─── vip0  director  dip0 ─── rc ─── rd ─── server
//	       10.1   10.2   192.168.0           192.168.56  10.3   10.4
//
// Both ends have 1500 bytes, so that they find out by path-MTU discovery alone:
// frag-needed comes from the director itself where its own link is the narrow
// one, and through the director, to be translated, where it is a router's.

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"natlb/internal/lab"
)

// way is the long way. Its cables are numbered from the client's.
type way struct {
	*lab.Lab
	client, server *lab.Namespace
}

var serverFar = netip.MustParseAddr("10.4.0.2")

// wayCables are the networks along the way; the router nearer to the client has
// .1, but for the director's two addresses.
var wayCables = []struct{ a, aLink, aAddr, b, bLink, bAddr string }{
	{"client", "eth0", "10.1.0.2/24", "ra", "left", "10.1.0.1/24"},
	{"ra", "right", "10.2.0.1/24", "rb", "left", "10.2.0.2/24"},
	{"rb", "right", "192.168.0.2/24", "director", lab.VIPLink, "192.168.0.1/24"},
	{"director", lab.DIPLink, "192.168.56.102/24", "rc", "left", "192.168.56.1/24"},
	{"rc", "right", "10.3.0.1/24", "rd", "left", "10.3.0.2/24"},
	{"rd", "right", "10.4.0.1/24", "server", "eth0", "10.4.0.2/24"},
}

// newWay builds the way with one cable of another MTU; narrow -1 is none.
func newWay(t *testing.T, narrow, mtu int) way {
	t.Helper()
	via := func(to, router string) lab.Route {
		r := lab.Route{Via: netip.MustParseAddr(router)}
		if to != "" {
			r.To = netip.MustParsePrefix(to)
		}
		return r
	}
	forward := map[string]string{"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}
	still := map[string]string{"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}
	p := lab.Plan{Hosts: []lab.Host{
		{Name: "client", Sysctls: still, Routes: []lab.Route{via("", "10.1.0.1")}},
		{Name: "ra", Sysctls: forward, Routes: []lab.Route{via("", "10.2.0.2")}},
		{Name: "rb", Sysctls: forward, Routes: []lab.Route{via("", "192.168.0.1"), via("10.1.0.0/24", "10.2.0.1")}},
		{Name: "director", Sysctls: still, Routes: []lab.Route{via("10.1.0.0/24", "192.168.0.2"), via("10.2.0.0/24", "192.168.0.2"), via("10.3.0.0/24", "192.168.56.1"), via("10.4.0.0/24", "192.168.56.1")}},
		{Name: "rc", Sysctls: forward, Routes: []lab.Route{via("", "192.168.56.102"), via("10.4.0.0/24", "10.3.0.2")}},
		{Name: "rd", Sysctls: forward, Routes: []lab.Route{via("", "10.3.0.1")}},
		{Name: "server", Sysctls: still, Routes: []lab.Route{via("", "10.4.0.1")}},
	}}
	for i, c := range wayCables {
		size := 0
		if i == narrow {
			size = mtu
		}
		p.Cables = append(p.Cables, lab.Cable{
			{Host: c.a, Link: c.aLink, Addrs: []netip.Prefix{netip.MustParsePrefix(c.aAddr)}, MTU: size},
			{Host: c.b, Link: c.bLink, Addrs: []netip.Prefix{netip.MustParsePrefix(c.bAddr)}, MTU: size},
		})
	}
	l := build(t, p)
	return way{l, l.Host("client"), l.Host("server")}
}

func TestPathMTU(t *testing.T) {
	begin(t)
	for _, tt := range []struct {
		name    string
		narrow  int
		mtu     int
		offload lab.Offload
	}{
		{"no narrow cable", -1, 0, lab.SuperPackets},
		{"director's inner link 1400", 3, 1400, lab.SuperPackets},
		{"director's inner link 1200, offloads off", 3, 1200, lab.Complete},
		{"director's outer link 1400", 2, 1400, lab.SuperPackets},
		{"director's outer link 1200, offloads off", 2, 1200, lab.Complete},
		{"behind a router on the servers' side", 4, 1300, lab.SuperPackets},
		{"behind a router on the clients' side", 1, 1300, lab.SuperPackets},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWay(t, tt.narrow, tt.mtu)
			must(t, w.SetOffload(tt.offload))
			d := startDirector(t, w.Host("director"), "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
			balanceOver(d, "-u 192.168.0.178:53", serverFar)
			checkCutDatagrams(t, w)

			content := randomBytes(20 * mega)
			port := serveMirror(t, w.server, content)
			balanceOver(d, "-t 192.168.0.178:"+port, serverFar)
			exchange(t, w.client, "192.168.0.178:"+port, content)
			for _, n := range []*lab.Namespace{w.client, w.server} {
				told, want := snmp(t, n, "Icmp", "InDestUnreachs") > 0, tt.narrow >= 0
				if told != want {
					t.Errorf("frag-needed has reached the %s: %v, want %v", n.Name(), told, want)
				}
			}
		})
	}
}

// checkCutDatagrams checks datagrams that may be cut on their way: with this
// setting the ends' kernels send without DF. Nobody learns a path MTU of it.
func checkCutDatagrams(t *testing.T, w way) {
	t.Helper()
	setting := func(value string) {
		must(t, w.client.Sysctl("net.ipv4.ip_no_pmtu_disc", value), w.server.Sysctl("net.ipv4.ip_no_pmtu_disc", value))
	}
	setting("1")
	defer setting("0")
	serveEcho(t, w.server, ":53")
	for _, size := range []int{1472, 8000} {
		checkEcho(t, lab.NewClient(w.client, netip.Addr{}), size)
	}
}

// Clients with 1500 bytes and a servers' side with less (and the other way
// round), as whole networks: the ends agree by their MSS, and what is larger
// all the same is cut.
func TestSmallSides(t *testing.T) {
	begin(t)
	for _, o := range []lab.CourseOptions{{ServerMTU: 1400}, {ServerMTU: 1200}, {ClientMTU: 1280}, {ServerMTU: 9000}} {
		t.Run(fmt.Sprintf("client side %d, server side %d", o.ClientMTU, o.ServerMTU), func(t *testing.T) {
			o.Servers = 1
			c := newCourse(t, o)
			serveEcho(t, c.Servers[0], ":53")
			content := randomBytes(20 * mega)
			port := serveMirror(t, c.Servers[0], content)
			d := courseDirector(t, c)
			balanceOver(d, "-t 192.168.0.178:"+port, c.RIPs...)
			balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)
			exchange(t, c.Clients[0], "192.168.0.178:"+port, content)
			for _, size := range []int{1472, 30000} {
				checkEcho(t, firstClient(c), size)
			}
		})
	}
}

// serveMirror starts a server that sends content and at the same time reads
// content, and closes the connection when it has read something else.
func serveMirror(t *testing.T, n *lab.Namespace, content []byte) (port string) {
	t.Helper()
	l, err := n.Listen("tcp", ":0")
	must(t, err)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		noError(t, l.Close())
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			wg.Go(func() {
				defer conn.Close()
				if err := bothWays(conn, content, true); err != nil {
					t.Errorf("at the server: %v", err)
				}
			})
		}
	})
	_, port, err = net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// exchange sends content to a mirror and receives it at the same time. Any
// goroutine may call it.
func exchange(t *testing.T, n *lab.Namespace, address string, content []byte) {
	t.Helper()
	conn, err := n.Dial(within(t, 10*time.Second), "tcp", netip.AddrPort{}, address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if err := bothWays(conn, content, false); err != nil {
		t.Errorf("at the client: %v", err)
	}
}

// bothWays writes content and meanwhile reads content. The client ends its
// direction when it has written; the server ends its own only when it has read
// all, so the client's end of the stream says that nothing is on the way any more.
func bothWays(conn net.Conn, content []byte, server bool) error {
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	end := conn.(*net.TCPConn).CloseWrite
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(content)
		if err == nil && !server {
			err = end()
		}
		written <- err
	}()
	in := &comparer{want: content}
	if _, err := io.Copy(in, conn); err != nil {
		return err
	}
	if in.read != len(content) {
		return fmt.Errorf("received %d bytes, want %d", in.read, len(content))
	}
	if err := <-written; err != nil || !server {
		return err
	}
	return end()
}
