package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
	"natlb/internal/lab/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// newServer starts the course's page on one of its servers.
func newServer(t *testing.T, n *lab.Namespace, address, text string) *lab.HTTPServer {
	t.Helper()
	s, err := lab.ServeHTTP(n, address, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	return s
}

// newEcho starts a UDP server on one of the course's servers.
func newEcho(t *testing.T, n *lab.Namespace, address, prefix string) {
	t.Helper()
	s, err := lab.ServeEcho(n, address, prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the echo server: %v", err)
		}
	})
}

// shortly is a context for what should take no time.
func shortly(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// With ip_forward=1 the director's own kernel routes, so the whole course can
// be walked without natlb: both bridges, both sides, and the way back by the
// servers' default gateway.
func TestCourseCarriesTraffic(t *testing.T) {
	tests := []struct {
		name    string
		options lab.CourseOptions
	}{
		{"course", lab.CourseOptions{IPForward: true}},
		{"one arm", lab.CourseOptions{IPForward: true, OneArm: true}},
		{"two NICs", lab.CourseOptions{IPForward: true, TwoNICs: true}},
		{"more of everything", lab.CourseOptions{IPForward: true, Clients: 2, ClientAddrs: 3, Servers: 4, ClientMTU: 1400, ServerMTU: 9000}},
		{"IPv6", lab.CourseOptions{IPForward: true, IPv6: true}},
		{"IPv6, one arm", lab.CourseOptions{IPForward: true, IPv6: true, OneArm: true}},
		{"IPv6, two NICs", lab.CourseOptions{IPForward: true, IPv6: true, TwoNICs: true}},
		{"IPv6, more of everything", lab.CourseOptions{IPForward: true, IPv6: true, Clients: 2, ClientAddrs: 3, Servers: 4, ClientMTU: 1280, ServerMTU: 9000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := labtest.Course(t, tt.options)
			for i, s := range c.Servers {
				newServer(t, s, ":80", s.Name())
				newEcho(t, s, netip.AddrPortFrom(c.RIPs[i], 7).String(), "")
				if tt.options.IPv6 {
					newEcho(t, s, netip.AddrPortFrom(c.RIPs6[i], 7).String(), "")
				}
				for j := range c.Clients {
					last := len(c.CIPs[j]) - 1
					reach(t, c.Clients[j], c.CIPs[j][last], c.RIPs[i], s.Name())
					if tt.options.IPv6 {
						reach(t, c.Clients[j], c.CIPs6[j][last], c.RIPs6[i], s.Name())
					}
				}
			}
		})
	}
}

// reach pings a server, gets its page and has it echo, from one address and from
// whichever the kernel chooses.
func reach(t *testing.T, n *lab.Namespace, from, to netip.Addr, text string) {
	t.Helper()
	for _, from := range []netip.Addr{from, {}} {
		client := lab.NewClient(n, from)
		if err := client.Ping(shortly(t, 5*time.Second), to, 3); err != nil {
			t.Errorf("from %v: %v", from, err)
		}
		got, err := client.Get(shortly(t, 5*time.Second), "http://"+netip.AddrPortFrom(to, 80).String()+"/")
		if err != nil || got != text {
			t.Errorf("Get from %v of %v = %q, %v, want %q", from, to, got, err, text)
		}
		if got, err := client.Echo(shortly(t, 5*time.Second), netip.AddrPortFrom(to, 7), "hello", 3); err != nil || got != "hello" {
			t.Errorf("Echo from %v of %v = %q, %v", from, to, got, err)
		}
	}
}

// TestCourseOfIPv6 is about its addresses, and who has the VIP.
func TestCourseOfIPv6(t *testing.T) {
	for _, owns := range []bool{false, true} {
		c := labtest.Course(t, lab.CourseOptions{IPv6: true, HostOwnsVIP: owns, Clients: 2, Servers: 2, ClientAddrs: 2})
		want := "[2001:db8:0:56::101 2001:db8:0:56::103] [[2001:db8:0:168::11 2001:db8:0:168::12] [2001:db8:0:168::13 2001:db8:0:168::14]]"
		if got := fmt.Sprint(c.RIPs6, c.CIPs6); got != want {
			t.Errorf("addresses %s, want %s", got, want)
		}
		client := lab.NewClient(c.Clients[0], netip.Addr{})
		if err := client.Ping(shortly(t, 5*time.Second), lab.Outer6, 3); err != nil {
			t.Errorf("the director: %v", err)
		}
		if err := client.Ping(shortly(t, 5*time.Second), lab.VIP6, 1); (err == nil) != owns {
			t.Errorf("host owns the VIP = %v, ping of it: %v", owns, err)
		}
		if err := client.Ping(shortly(t, 5*time.Second), c.RIPs6[0], 1); err == nil {
			t.Error("a server can be reached though the director does not forward")
		}
	}
}

func TestCourseAddresses(t *testing.T) {
	c := labtest.Course(t, lab.CourseOptions{Clients: 2, ClientAddrs: 2, Servers: 3})
	want := map[string]string{
		"server-1": "192.168.56.101", "server-2": "192.168.56.103", "server-3": "192.168.56.104",
		"client-1": "192.168.0.11 192.168.0.12", "client-2": "192.168.0.13 192.168.0.14",
	}
	for i, s := range c.Servers {
		if got := c.RIPs[i].String(); got != want[s.Name()] {
			t.Errorf("address of %s = %s, want %s", s.Name(), got, want[s.Name()])
		}
	}
	for i, n := range c.Clients {
		var got []string
		for _, a := range c.CIPs[i] {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != want[n.Name()] {
			t.Errorf("addresses of %s = %v, want %s", n.Name(), got, want[n.Name()])
		}
	}
}

// Without ip_forward and without natlb nothing crosses the director.
func TestDirectorForwardsOnlyWhenTold(t *testing.T) {
	c := labtest.Course(t, lab.CourseOptions{})
	newServer(t, c.Servers[0], ":80", "leaked")
	if got, err := lab.NewClient(c.Clients[0], netip.Addr{}).Get(shortly(t, 300*time.Millisecond), "http://192.168.56.101/"); err == nil {
		t.Errorf("Get through a director with ip_forward=0 = %q, want an error", got)
	}
}

// The VIP is on an interface only if the host owns it.
func TestHostOwnsVIP(t *testing.T) {
	for _, owns := range []bool{false, true} {
		c := labtest.Course(t, lab.CourseOptions{HostOwnsVIP: owns})
		err := lab.NewClient(c.Clients[0], netip.Addr{}).Ping(shortly(t, 5*time.Second), lab.VIP, 1)
		if (err == nil) != owns {
			t.Errorf("HostOwnsVIP %v: ping of the VIP: %v", owns, err)
		}
	}
}

// A server with two NICs answers through the director because of the rule
// alone: without it the answer goes to the other router, where it is lost.
func TestTwoNICsNeedTheRule(t *testing.T) {
	c := labtest.Course(t, lab.CourseOptions{IPForward: true, TwoNICs: true, Servers: 1})
	client := lab.NewClient(c.Clients[0], netip.Addr{})
	rule := lab.Rule{From: c.RIPs[0], Table: lab.InsideTable}
	if err := c.Servers[0].DelRule(rule); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(shortly(t, 5*time.Second), c.RIPs[0], 1); err == nil {
		t.Error("a server without table inside answered through the director")
	}
	if err := c.Servers[0].AddRule(rule); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(shortly(t, 5*time.Second), c.RIPs[0], 3); err != nil {
		t.Errorf("with table inside: %v", err)
	}
}

func TestEcho(t *testing.T) {
	c := labtest.Course(t, lab.CourseOptions{IPForward: true})
	s, err := lab.ServeEcho(c.Servers[0], ":7", "server-1: ")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client, to := lab.NewClient(c.Clients[0], netip.Addr{}), netip.AddrPortFrom(c.RIPs[0], 7)
	if got, err := client.Echo(shortly(t, 5*time.Second), to, "hello", 3); err != nil || got != "server-1: hello" {
		t.Errorf("Echo(hello) = %q, %v, want %q", got, err, "server-1: hello")
	}
	large := strings.Repeat("x", 8000) // in fragments
	if got, err := client.Echo(shortly(t, 5*time.Second), to, large, 3); err != nil || got != "server-1: "+large {
		t.Errorf("Echo(8000 bytes) = %d bytes, %v, want %d", len(got), err, len("server-1: ")+8000)
	}
	nobody := netip.AddrPortFrom(c.RIPs[1], 7)
	if got, err := client.Echo(shortly(t, 5*time.Second), nobody, "hello", 2); err == nil {
		t.Errorf("Echo where nobody listens = %q, want an error", got)
	}
}

// A page of 1 MiB arrives whole under every offload setting and with an MTU
// that is smaller behind the director.
func TestOffloads(t *testing.T) {
	page := strings.Repeat("0123456789abcdef", 1<<16)
	for name, o := range map[string]lab.Offload{"super-packets": lab.SuperPackets, "segments": lab.Segments, "complete": lab.Complete} {
		t.Run(name, func(t *testing.T) {
			c := labtest.Course(t, lab.CourseOptions{IPForward: true, Servers: 1})
			if err := c.SetOffload(o); err != nil {
				t.Fatal(err)
			}
			s := newServer(t, c.Servers[0], ":80", page)
			got, err := lab.NewClient(c.Clients[0], netip.Addr{}).Get(shortly(t, 20*time.Second), "http://192.168.56.101/")
			if err != nil || got != page {
				t.Errorf("Get = %d bytes, %v, want %d", len(got), err, len(page))
			}
			if s.Served() != 1 {
				t.Errorf("Served() = %d, want 1", s.Served())
			}
			if mean, limit := meanFrame(t, c.Director), 1514; o.TSO == (mean <= limit) {
				t.Errorf("mean frame at the director = %d bytes with TSO %v, want that to be above %d only with TSO", mean, o.TSO, limit)
			}
		})
	}
}

func TestLinksChange(t *testing.T) {
	c := labtest.Course(t, lab.CourseOptions{IPForward: true})
	client := lab.NewClient(c.Clients[0], netip.Addr{})
	if err := c.Director.SetUp(lab.DIPLink, false); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(shortly(t, 5*time.Second), c.RIPs[0], 1); err == nil {
		t.Error("the server answered through a link that is down")
	}
	if err := errors.Join(c.Director.SetUp(lab.DIPLink, true), c.Director.SetMTU(lab.DIPLink, 1300)); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(shortly(t, 10*time.Second), c.RIPs[0], 5); err != nil {
		t.Errorf("after the link came back: %v", err)
	}
	again := netip.PrefixFrom(lab.DIP, 24)
	if err := errors.Join(c.Director.DelAddr(lab.DIPLink, again), c.Director.AddAddr(lab.DIPLink, again)); err != nil {
		t.Error(err)
	}
	if mac, err := c.Director.HardwareAddr(lab.VIPLink); err != nil || len(mac) != 6 {
		t.Errorf("HardwareAddr(%s) = %v, %v, want 6 bytes", lab.VIPLink, mac, err)
	}
	if err := c.Director.DelLink(lab.DIPLink); err != nil {
		t.Error(err)
	}
	if err := c.Director.SetUp(lab.DIPLink, true); err == nil {
		t.Error("SetUp of a deleted link succeeded")
	}
}

func TestErrorsSayWhere(t *testing.T) {
	labtest.Require(t)
	n, err := lab.NewNamespace("classroom")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.SetOffload("nowhere0", lab.Complete); err == nil || !strings.Contains(err.Error(), "nowhere0") {
		t.Errorf("SetOffload(nowhere0) = %v, want an error that names the link", err)
	}
	if err := n.Sysctl("net.ipv4.no_such_setting", "1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Sysctl of an unknown setting = %v, want os.ErrNotExist", err)
	}
	if _, err := n.Dial(t.Context(), "tcp4", netip.AddrPort{}, "localhost:80"); err == nil {
		t.Error("Dial of a host name succeeded, want an error")
	}
	if err := n.Do(func() error { return os.ErrPermission }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Do = %v, want the function's own error", err)
	}
	for name, p := range map[string]lab.Plan{
		"two of a name":    {Hosts: []lab.Host{{Name: "a"}, {Name: "a"}}},
		"cable to nowhere": {Hosts: []lab.Host{{Name: "a"}}, Cables: []lab.Cable{{{Host: "a", Link: "x"}, {Host: "b", Link: "y"}}}},
	} {
		if l, err := lab.Build(p); err == nil {
			l.Close()
			t.Errorf("Build of a plan with %s succeeded", name)
		}
	}
	if _, err := lab.NewCourse(lab.CourseOptions{Servers: 200}); err == nil {
		t.Error("NewCourse with 200 servers succeeded")
	}
}

// A program started inside is inside, and ends with its namespace.
func TestStart(t *testing.T) {
	labtest.Require(t)
	n, err := lab.NewNamespace("classroom")
	if err != nil {
		t.Fatal(err)
	}
	out, err := output(n, exec.Command("cat", "/proc/self/net/dev"))
	if err != nil || strings.Count(out, ":") != 1 || !strings.Contains(out, "lo:") {
		t.Errorf("interfaces inside = %q, %v, want lo alone", out, err)
	}
	sleeper := exec.Command("sleep", "1000")
	if err := n.Start(sleeper); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	err = sleeper.Wait()
	if err := n.Start(exec.Command("true")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Start after Close = %v, want os.ErrClosed", err)
	}
	if err := n.Do(func() error { return nil }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Do after Close = %v, want os.ErrClosed", err)
	}
	if ws, ok := sleeper.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("after Close the program ended with %v, want SIGKILL", err)
	}
}

func output(n *lab.Namespace, cmd *exec.Cmd) (string, error) {
	var b strings.Builder
	cmd.Stdout = &b
	err := n.Run(cmd)
	return b.String(), err
}
