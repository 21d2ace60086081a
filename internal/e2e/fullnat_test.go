package e2e

// FULLNAT: servers that see no client but a source address of the director's, where
// NAT cannot work. All in one network:
//
//	client-1 ──[ switch ]── server-1, server-2     .201, .202; no way by the director
//	               └─────── vip0  director         VIP, source addresses .240 and .241
//
// A gateway of their own, which is not the director and does not exist here:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2: default route .99
//
// And the long way of the tests of the path MTU, behind which the server's kernel has a
// route to the source addresses like to any.

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

// fullOver makes a service over servers that are reached by FULLNAT.
func fullOver(d *director, service string, rips ...netip.Addr) {
	d.t.Helper()
	d.ctl("-A " + service + " -s rr")
	for _, rip := range rips {
		d.ctl("-a " + service + " -r " + rip.String() + " --fullnat")
	}
}

// flatServers gives each server an address among the clients and takes away the way
// by the director.
func flatServers(t *testing.T, c *lab.Course) (rips []netip.Addr) {
	t.Helper()
	for i, s := range c.Servers {
		rip := netip.AddrFrom4([4]byte{192, 168, 0, byte(201 + i)})
		rips = append(rips, rip)
		must(t, s.AddAddr(lab.ServerLink, netip.PrefixFrom(rip, 24)))
		shell(t, s, "", "ip route del default; ip addr del "+c.RIPs[i].String()+"/24 dev "+lab.ServerLink)
	}
	return rips
}

// strangeGateway gives each server a default gateway that is not the director, and
// that nobody is.
func strangeGateway(t *testing.T, c *lab.Course) {
	t.Helper()
	for _, s := range c.Servers {
		line := "ip route replace default via 192.168.56.99"
		if c.RIPs6 != nil {
			line += "; ip -6 route replace default via 2001:db8:0:56::99"
		}
		shell(t, s, "", line)
	}
}

// askWhoAsks serves, on port 81, the address from which the server sees the request.
func askWhoAsks(t *testing.T, n *lab.Namespace) {
	t.Helper()
	l, err := n.Listen("tcp", ":81")
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })}
	go server.Serve(l)
	t.Cleanup(func() { noError(t, server.Close()) })
}

// checkFull sends all kinds of traffic to the VIP, whose servers are at rips.
func checkFull(t *testing.T, c *lab.Course, d *director, rips []netip.Addr, sources string) {
	t.Helper()
	d.ctl("source add " + sources)
	servePages(t, c.Servers)
	for _, s := range c.Servers {
		serveEcho(t, s, ":53")
		askWhoAsks(t, s)
	}
	for _, service := range []string{"-t 192.168.0.178:80", "-t 192.168.0.178:81", "-u 192.168.0.178:53"} {
		fullOver(d, service, rips...)
	}
	checkBalanced(t, c)
	var answers []string
	for range 10 {
		answers = append(answers, strings.TrimSpace(curl(t, c.Clients[0], vipURL)))
	}
	checkTurns(t, answers, "server-2", "server-1")
	who := curl(t, c.Clients[0], "http://192.168.0.178:81/")
	from, err := netip.ParseAddrPort(who)
	if first, last, _ := strings.Cut(sources, "-"); err != nil || from.Addr().Less(netip.MustParseAddr(first)) || netip.MustParseAddr(last).Less(from.Addr()) {
		t.Errorf("the server sees %q, %v, want an address of %s", who, err, sources)
	}
	for _, size := range []int{5, 1472, 8000, 20000} {
		checkEcho(t, firstClient(c), size)
	}
	content := randomBytes(10 * mega)
	port := serveMirror(t, c.Servers[0], content)
	fullOver(d, "-t 192.168.0.178:"+port, rips[0])
	exchange(t, c.Clients[0], "192.168.0.178:"+port, content)

	// A real server is a client of its own service, and one answer in two is its own.
	seen := map[string]int{}
	for range 10 {
		seen[strings.TrimSpace(curl(t, c.Servers[0], vipURL))]++
	}
	if seen["server-1"] != 5 || seen["server-2"] != 5 {
		t.Errorf("ten requests of server-1 itself: %v, want 5 of each", seen)
	}
	checkSourceTold(t, d)
	if out := d.ctl("-L -n"); strings.Count(out, " FullNat ") != 7 {
		t.Errorf("listed is\n%s", out)
	}
	if t.Failed() {
		t.Log(d.ctl("-L -n -c"), d.ctl("drops"), d.ctl("counters"))
	}
}

// checkSourceTold: a connection is listed with what its server sees in the client's
// place, and natlb explain finds its server's answer by the client's end, whichever
// shard has it.
func checkSourceTold(t *testing.T, d *director) {
	t.Helper()
	var conn struct{ Client, Dest, Source netip.AddrPort }
	lines := strings.Split(strings.TrimSpace(d.ctl("conns -t 192.168.0.178:80 --limit 3 --json")), "\n")
	for _, line := range lines {
		must(t, json.Unmarshal([]byte(line), &conn))
		text := d.ctl(fmt.Sprintf("conns -t 192.168.0.178:80 --client %v", conn.Client.Addr()))
		if want := fmt.Sprintf(" %v from %v\n", conn.Dest, conn.Source); !conn.Source.IsValid() || !strings.Contains(text, want) {
			t.Errorf("natlb conns has no %q:\n%s", want, text)
		}
		said := strings.Join(strings.Fields(d.ctl(fmt.Sprintf("explain tcp %v --reply %v", conn.Client, conn.Dest))), " ")
		for _, want := range []string{"verdict forward:", "it answers " + conn.Source.String(), " > " + conn.Client.String() + " TCP"} {
			if !strings.Contains(said, want) {
				t.Errorf("natlb explain does not say %q of %s:\n%s", want, line, said)
			}
		}
	}
}

// fullShards are numbers of shards with which FULLNAT is tried: the way back meets
// the right one by the port that was chosen.
var fullShards = []int{1, 3}

func TestFullNATInOneNetwork(t *testing.T) {
	begin(t, "curl", "ip")
	for name, o := range map[string]lab.CourseOptions{
		"natlb owns the VIP":         {OneArm: true},
		"the host owns the VIP":      {OneArm: true, HostOwnsVIP: true},
		"the director also forwards": {OneArm: true, IPForward: true},
	} {
		for _, shards := range fullShards {
			t.Run(fmt.Sprintf("%s, shards %d", name, shards), func(t *testing.T) {
				c := newCourse(t, o)
				rips := flatServers(t, c)
				d := courseDirector(t, c, "--shards", strconv.Itoa(shards))
				checkFull(t, c, d, rips, "192.168.0.240-192.168.0.241")
			})
		}
	}
}

func TestFullNATStrangeGateway(t *testing.T) {
	begin(t, "curl", "ip")
	for name, o := range map[string]lab.CourseOptions{
		"natlb owns the VIP":         {},
		"the director also forwards": {IPForward: true, HostOwnsVIP: true},
	} {
		for _, shards := range fullShards {
			t.Run(fmt.Sprintf("%s, shards %d", name, shards), func(t *testing.T) {
				c := newCourse(t, o)
				strangeGateway(t, c)
				d := courseDirector(t, c, "--shards", strconv.Itoa(shards))
				if shards > 1 {
					before := handedOver(t, d)
					defer func() {
						t.Logf("%d packets were handed over", handedOver(t, d)-before)
					}()
				}
				// The servers have a way to the VIP's network by nobody: theirs is this one.
				for _, s := range c.Servers {
					shell(t, s, "", "ip route add 192.168.0.178/32 via 192.168.56.102")
				}
				checkFull(t, c, d, c.RIPs, "192.168.56.240-192.168.56.243")
			})
		}
	}
}

// handedOver returns how many packets came to another shard than theirs.
func handedOver(t *testing.T, d *director) (n uint64) {
	t.Helper()
	for line := range strings.Lines(d.ctl("counters")) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "shards-handed-over" {
			n, _ = strconv.ParseUint(f[1], 10, 64)
		}
	}
	return n
}

func TestFullNATOfIPv6(t *testing.T) {
	begin(t, "curl", "ip")
	for _, shards := range fullShards {
		t.Run(fmt.Sprintf("shards %d", shards), func(t *testing.T) {
			c := newCourse(t, lab.CourseOptions{IPv6: true})
			strangeGateway(t, c)
			servePages(t, c.Servers)
			d := courseDirector(t, c, "--shards", strconv.Itoa(shards))
			d.ctl("source add 2001:db8:0:56::f0/126")
			fullOver(d, "-t "+netip.AddrPortFrom(lab.VIP6, 80).String(), c.RIPs6...)
			seen := map[string]int{}
			for range 6 {
				seen[strings.TrimSpace(curl(t, c.Clients[0], fmt.Sprintf("http://[%v]/", lab.VIP6)))]++
			}
			if seen["server-1"] != 3 || seen["server-2"] != 3 {
				t.Errorf("six times curl: %v, want three times each server", seen)
			}
			big := serveBytes(t, c.Servers[0], 20*mega)
			fullOver(d, "-t "+netip.AddrPortFrom(lab.VIP6, big).String(), c.RIPs6[0])
			if got := len(curl(t, c.Clients[0], fmt.Sprintf("http://[%v]:%d/", lab.VIP6, big))); got != 20*mega {
				t.Errorf("%d bytes came, want %d", got, 20*mega)
			}
			if t.Failed() {
				t.Log(d.ctl("-L -n -c"), d.ctl("drops"), d.ctl("source list"))
			}
		})
	}
}

// serveBytes serves so many bytes to whoever asks, and returns the port.
func serveBytes(t *testing.T, n *lab.Namespace, size int) uint16 {
	t.Helper()
	l, err := n.Listen("tcp", ":0")
	must(t, err)
	content := randomBytes(size)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(content) })}
	go server.Serve(l)
	t.Cleanup(func() { noError(t, server.Close()) })
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

func TestFullNATPathMTU(t *testing.T) {
	begin(t)
	for _, tt := range []struct {
		name   string
		narrow int
		mtu    int
	}{
		{"director's inner link 1400", 3, 1400},
		{"behind a router on the servers' side", 4, 1300},
		{"behind a router on the clients' side", 1, 1300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWay(t, tt.narrow, tt.mtu)
			d := startDirector(t, w.Host("director"), "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
			d.ctl("source add 192.168.56.240")
			fullOver(d, "-u 192.168.0.178:53", serverFar)
			checkCutDatagrams(t, w)
			content := randomBytes(10 * mega)
			port := serveMirror(t, w.server, content)
			fullOver(d, "-t 192.168.0.178:"+port, serverFar)
			exchange(t, w.client, "192.168.0.178:"+port, content)
			for _, n := range []*lab.Namespace{w.client, w.server} {
				if snmp(t, n, "Icmp", "InDestUnreachs") == 0 {
					t.Errorf("frag-needed has not reached the %s", n.Name())
				}
			}
			if t.Failed() {
				t.Log(d.ctl("-L -n -c"), d.ctl("drops"))
			}
		})
	}
}

func TestFullNATIperf(t *testing.T) {
	begin(t, "iperf3", "ip")
	c := newCourse(t, lab.CourseOptions{Servers: 1})
	strangeGateway(t, c)
	startIperf(t, c.Servers[0])
	d := courseDirector(t, c)
	d.ctl("source add 192.168.56.240")
	fullOver(d, "-t 192.168.0.178:5201", c.RIPs...)
	for _, reverse := range []bool{false, true} {
		args := []string{"--client", lab.VIP.String(), "--json", "--bytes", strconv.Itoa(256 * mega), "--connect-timeout", "5000"}
		if reverse {
			args = append(args, "--reverse")
		}
		if received := iperf(t, c.Clients[0], args...); received < 200*mega {
			t.Errorf("iperf3 received %.0f bytes (reverse: %v)", received, reverse)
		}
	}
}

// TestFullNATWithoutSources: one line says what is missing, where it is missed and
// where it is looked for; then it works without another change.
func TestFullNATWithoutSources(t *testing.T) {
	begin(t, "curl", "ip")
	c := newCourse(t, lab.CourseOptions{})
	strangeGateway(t, c)
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	fullOver(d, "-t 192.168.0.178:80", c.RIPs...)
	halfOpen(t, c.Clients[0])
	if out := d.ctl("drops"); !strings.Contains(out, "drop-no-source-address") || !strings.Contains(out, "natlb source add") {
		t.Errorf("natlb drops says\n%s", out)
	}
	out, err := d.try("-S -n", "")
	if want := "left out, since ipvsadm could not read them: real servers with --fullnat (2); natlb save has them\n"; err != nil || !strings.Contains(out, want) || strings.Contains(out, "-a ") {
		t.Errorf("-S: %v\n%s", err, out)
	}
	if _, err := d.try("source add 192.168.56.102", ""); err == nil {
		t.Error("an address of the director was taken for a source")
	}
	d.ctl("source add 192.168.56.240")
	checkBalanced(t, c)
	saved := d.ctl("save")
	if !strings.Contains(saved, "source add 192.168.56.240\n") || strings.Count(saved, " --fullnat ") != 2 {
		t.Errorf("natlb save prints\n%s", saved)
	}
	d.ctl("source delete 192.168.56.240")
	if out := d.ctl("source list"); !strings.Contains(out, "192.168.56.240") || !strings.Contains(out, "deleted, until they end") {
		t.Errorf("natlb source list says\n%s", out)
	}
}

// TestFullNATSourceOfTheHost: a source address that the host is given is the host's
// then: the guard of a director that forwards does not keep anybody from it.
func TestFullNATSourceOfTheHost(t *testing.T) {
	begin(t, "ip")
	c := newCourse(t, lab.CourseOptions{IPForward: true})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	d.ctl("source add 192.168.56.240-192.168.56.241")
	fullOver(d, "-t 192.168.0.178:80", c.RIPs...)
	checkBalanced(t, c)
	shell(t, c.Director, "", "ip addr add 192.168.56.240/24 dev "+lab.DIPLink)
	await(t, "the host has the address", 10*time.Second, func() bool {
		return strings.Contains(d.ctl("source list"), "not in use: an address of this host")
	})
	servePage(t, c.Director, "192.168.56.240:22")
	fetch(t, lab.NewClient(c.Servers[0], netip.Addr{}), "http://192.168.56.240:22/", 1)
	checkBalanced(t, c)
}

// TestFullNATSourceLetGo: a source address that was deleted, and whose connections have
// ended, can be another machine's: a director that forwards passes on what is for it.
func TestFullNATSourceLetGo(t *testing.T) {
	begin(t, "ip")
	c := newCourse(t, lab.CourseOptions{IPForward: true})
	for _, s := range c.Servers {
		serveEcho(t, s, ":53")
	}
	d := courseDirector(t, c)
	d.ctl("--set 0 0 1")
	d.ctl("source add 192.168.56.240")
	fullOver(d, "-u 192.168.0.178:53", c.RIPs...)
	checkEcho(t, firstClient(c), 10)
	d.ctl("source delete 192.168.56.240")
	await(t, "nobody has the address", 20*time.Second, func() bool { return !strings.Contains(d.ctl("source list"), "192.168.56.240") })
	must(t, c.Servers[0].AddAddr(lab.ServerLink, netip.MustParsePrefix("192.168.56.240/24")))
	shell(t, c.Clients[0], "", "ip route replace 192.168.56.240/32 via 192.168.0.1")
	servePage(t, c.Servers[0], "192.168.56.240:22")
	fetch(t, firstClient(c), "http://192.168.56.240:22/", 1)
}
