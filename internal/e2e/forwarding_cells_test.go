package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"natlb/internal/lab"
)

// forwarding is a lab in which a row of the table is tried.
type forwarding struct {
	forwardingRow
	c    *lab.Course
	d    *director
	vip  netip.Addr
	rips []netip.Addr
	ends []*lab.Namespace // who serves, in the order of rips

	course lab.CourseOptions
	shards string
}

func newForwarding(t *testing.T, r forwardingRow, o lab.CourseOptions, shards string) *forwarding {
	t.Helper()
	o.OneArm = r.place == beside || r.place == among
	f := forwardingLab(t, r, o, shards)
	for i, n := range f.ends {
		servePage(t, n, ":80")
		serveEcho(t, n, f.askedAt(i, 53).String())
	}
	f.serve("-t", 80, f.rips...)
	f.serve("-u", 53, f.rips...)
	return f
}

// forwardingLab builds the lab, with a director that has no services yet.
func forwardingLab(t *testing.T, r forwardingRow, o lab.CourseOptions, shards string) *forwarding {
	t.Helper()
	o.IPv6 = r.v6 || r.rip6
	f := &forwarding{forwardingRow: r, c: newCourse(t, o), vip: lab.VIP, course: o, shards: shards}
	if r.v6 {
		f.vip = lab.VIP6
	}
	f.ends, f.rips = f.c.Servers, f.c.RIPs
	if r.rip6 {
		f.rips = f.c.RIPs6
	}
	switch r.place {
	case local:
		f.ends, f.rips = []*lab.Namespace{f.c.Director}, []netip.Addr{netip.MustParseAddr(map[bool]string{false: "127.0.0.1", true: "::1"}[r.v6])}
	case beside:
		f.direct(t, o.OneArm)
	case among:
		f.moveAmong(t)
	case strange:
		strangeGateway(t, f.c)
	}
	f.d = courseDirector(t, f.c, "--shards", shards)
	if source := f.source(); source != "" {
		f.d.ctl("source add " + source)
	}
	return f
}

// source are the addresses from which servers of FULLNAT are asked, of their network.
func (f *forwarding) source() string {
	return map[place]map[bool]string{
		among:   {false: "192.168.0.240-192.168.0.241", true: "2001:db8:0:168::f0/127"},
		strange: {false: "192.168.56.240-192.168.56.241", true: "2001:db8:0:56::f0/127"},
	}[f.place][f.v6]
}

// direct gives the servers the VIP, the tunnel's receiver, and where they are among
// the clients an address there, which is their RIP then.
func (f *forwarding) direct(t *testing.T, among bool) {
	t.Helper()
	if among {
		f.moveAmong(t)
	}
	for _, s := range f.ends {
		must(t, s.Sysctl("net.ipv4.conf.all.arp_ignore", "1"), s.Sysctl("net.ipv4.conf.all.arp_announce", "2"),
			s.AddAddr("lo", netip.PrefixFrom(f.vip, f.vip.BitLen())))
		if f.tunnel != "" {
			f.unwrap(t, s)
		}
	}
}

// moveAmong gives the servers addresses among the clients, which are their RIPs then.
func (f *forwarding) moveAmong(t *testing.T) {
	t.Helper()
	f.rips = nil
	for i, s := range f.ends {
		v4, v6 := netip.MustParsePrefix(fmt.Sprintf("192.168.0.%d/24", 201+i)), netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:168::%d/64", 201+i))
		must(t, s.AddAddr(lab.ServerLink, v4))
		if f.rip6 {
			f.rips = append(f.rips, v6.Addr())
		} else {
			f.rips = append(f.rips, v4.Addr())
		}
		if f.v6 || f.rip6 {
			must(t, s.AddAddr(lab.ServerLink, v6))
		}
	}
}

// unwrap makes the lab take the tunnel's packets apart.
func (f *forwarding) unwrap(t *testing.T, server *lab.Namespace) {
	t.Helper()
	u, err := lab.Unwrap(server, "tun0", f.tunnel, 6080)
	if errors.Is(err, lab.ErrNoTUN) {
		missing(t, err)
	}
	must(t, err)
	t.Cleanup(func() { noError(t, u.Close()) })
	must(t, server.Sysctl("net.ipv4.conf.tun0.rp_filter", "0"))
}

// askedAt is where server i sees a client ask: to answer from there is what makes
// the answer the VIP's.
func (f *forwarding) askedAt(i int, port uint16) netip.AddrPort {
	if f.place == beside || f.place == local {
		return f.at(port)
	}
	return netip.AddrPortFrom(f.rips[i], port)
}

// serve makes a service of the VIP's port over servers.
func (f *forwarding) serve(kind string, port uint16, rips ...netip.Addr) {
	f.d.t.Helper()
	service := fmt.Sprintf("%s %v", kind, f.at(port))
	f.d.ctl("-A " + service + " -s rr")
	for _, rip := range rips {
		f.d.ctl(fmt.Sprintf("-a %s -r %v %s", service, netip.AddrPortFrom(rip, port), f.options))
	}
}

// at is a port of the VIP.
func (f *forwarding) at(port uint16) netip.AddrPort { return netip.AddrPortFrom(f.vip, port) }

// checkTCP fetches pages in turn, and sends much both ways.
func (f *forwarding) checkTCP(t *testing.T) {
	var answers, names []string
	for range 10 {
		answers = append(answers, strings.TrimSpace(curl(t, f.c.Clients[0], fmt.Sprintf("http://%v/", f.at(80)))))
	}
	for i := range f.ends { // rr goes through the newest server first
		names = append(names, f.ends[len(f.ends)-1-i].Name())
	}
	checkTurns(t, answers, names...)
	for line := range strings.Lines(f.d.ctl(fmt.Sprintf("-L -n --stats --exact -t %v", f.at(80)))) {
		// -> server connections packets in, out; answers by themselves are not seen
		if w := strings.Fields(line); f.place == beside && len(w) == 7 && w[0] == "->" && (w[2] != "5" || w[4] != "0") {
			t.Errorf("%q: want 5 connections and no answers", strings.TrimSpace(line))
		}
	}
	if f.place == among {
		f.checkHairpin(t)
	}
	content := randomBytes(5 * mega)
	mirror := netip.MustParseAddrPort(net.JoinHostPort(f.vip.String(), serveMirror(t, f.ends[0], content)))
	f.serve("-t", mirror.Port(), f.rips[0])
	exchange(t, f.c.Clients[0], mirror.String(), content)
}

// checkHairpin has a server ask its own VIP, so that one answer in two is its own.
func (f *forwarding) checkHairpin(t *testing.T) {
	seen := map[string]int{}
	for range 6 {
		seen[strings.TrimSpace(curl(t, f.ends[0], fmt.Sprintf("http://%v/", f.at(80))))]++
	}
	if seen["server-1"] != 3 || seen["server-2"] != 3 {
		t.Errorf("six requests of server-1 itself: %v, want 3 of each", seen)
	}
}

// checkUDP has datagrams of one frame and of several come back.
func (f *forwarding) checkUDP(t *testing.T) {
	for _, size := range []int{0, 1, 1452, 1472, 1473, 8000} {
		payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		answer, err := firstClient(f.c).Echo(within(t, 20*time.Second), f.at(53), payload, 5)
		if _, got, _ := strings.Cut(answer, ":"); err != nil || got != payload {
			t.Errorf("%d bytes came back as %d (%v)", size, len(got), err)
		}
	}
}

// checkUnreachable asks a port where no server listens: the server's error comes
// to the client as one about the VIP.
func (f *forwarding) checkUnreachable(t *testing.T) {
	f.serve("-u", 54, f.rips[0])
	conn, err := f.c.Clients[0].Dial(within(t, 10*time.Second), "udp", netip.AddrPort{}, f.at(54).String())
	must(t, err)
	defer conn.Close()
	if err := ask(t, conn, 5); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port where nobody listens: %v, want %v", err, syscall.ECONNREFUSED)
	}
}

// checkTooBig narrows the way to the server: a client that lets nobody cut its
// datagrams is told, in its own family, by the size that the tunnel leaves, and
// what has this size arrives.
func (f *forwarding) checkTooBig(t *testing.T) {
	const narrow = 1400
	o := f.course
	o.OneArm, o.ServerMTU, o.Servers = false, narrow, 1
	g := forwardingLab(t, f.forwardingRow, o, f.shards)
	serveEcho(t, g.ends[0], g.askedAt(0, 53).String())
	g.serve("-u", 53, g.rips[0])
	fits := narrow - g.overhead
	if g.tunnel != "" {
		fits -= map[bool]int{false: 20, true: 40}[g.rip6]
	}
	header, level, discover, do, mtu := 28, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, unix.IP_MTU
	if g.v6 {
		header, level, discover, do, mtu = 48, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO, unix.IPV6_MTU
	}
	conn, err := g.c.Clients[0].Dial(within(t, 10*time.Second), "udp", netip.AddrPort{}, g.at(53).String())
	must(t, err)
	defer conn.Close()
	setOption(t, conn, level, discover, do)
	if err := ask(t, conn, 1500-header); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("a packet of 1500 bytes to a way of %d: %v, want %v", fits, err, syscall.EMSGSIZE)
	}
	if got := option(t, conn, level, mtu); got != fits {
		t.Errorf("the client has learned a path of %d bytes, want %d", got, fits)
	}
	if err := ask(t, conn, fits-header); err != nil {
		t.Errorf("a packet of %d bytes: %v", fits, err)
	}
	if t.Failed() {
		t.Log(g.d.ctl("-L -n -c"), g.d.ctl("drops"))
	}
}

// ask sends a datagram of so many bytes until something comes of it: an answer, or
// an error other than silence.
func ask(t *testing.T, conn net.Conn, size int) (err error) {
	t.Helper()
	buf := make([]byte, 65535)
	for range 5 {
		if _, err = conn.Write(make([]byte, size)); err == nil {
			must(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			_, err = conn.Read(buf)
		}
		if !isTimeout(err) {
			return err
		}
	}
	return err
}

// option reads a socket option of a connection.
func option(t *testing.T, conn net.Conn, level, option int) (value int) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	must(t, err)
	var optErr error
	err = raw.Control(func(fd uintptr) { value, optErr = unix.GetsockoptInt(int(fd), level, option) })
	must(t, err, optErr)
	return value
}
