package e2e

// The doctor's patients of IPv6: see doctor_test.go.
//
//	client-1, client-2 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2
//	2001:db8:0:168::/64                                        2001:db8:0:56::/64

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

const (
	vipText6   = "2001:db8:0:168::178"
	firstRIP6  = "2001:db8:0:56::101"
	secondRIP6 = "2001:db8:0:56::103"
)

// patient6 is a director of IPv6 that is well.
func patient6(t *testing.T, o lab.CourseOptions, args ...string) (*lab.Course, *director) {
	t.Helper()
	begin(t, "ip", "nft", "sysctl")
	o.IPv6 = true
	c := newCourse(t, o)
	must(t, c.Director.AddRoute(lab.Route{Via: c.CIPs6[0][0]})) // any machine on that side
	servePages(t, c.Servers)
	d := courseDirector(t, c, args...)
	for _, line := range course6(c) {
		d.ctl(line)
	}
	fetch(t, firstClient(c), vipURL6, 4)
	return c, d
}

// A healthy lab of IPv6 has no fault and no warning, whoever owns the VIP.
func TestDoctorHealthyIPv6(t *testing.T) {
	for _, o := range []lab.CourseOptions{{}, {HostOwnsVIP: true}, {IPForward: true}, {OneArm: true}, {Servers: 9}} {
		t.Run("", func(t *testing.T) {
			c, d := patient6(t, o)
			got := examine(t, c.Director, d.socket)
			if got.Faults+got.Warnings != 0 || len(got.Findings) < 20 {
				t.Errorf("%+v: %d facts:\n%s", o, len(got.Findings), &got)
			}
			got.find(t, "ipv6", "ok", c.ServerSide)
			got.find(t, "vip", "ok", vipText6)
			if o.Servers == 0 { // of many the doctor shows the first ones
				got.find(t, "neighbour", "ok", secondRIP6)
			}
			full := false
			for _, f := range got.Findings {
				full = full || f.Check == "mtu" && strings.Contains(f.Text, "packets of full size reach")
			}
			if !full {
				t.Errorf("no ping of full size has come back:\n%+v", got.Findings)
			}
		})
	}
}

var ailments6 = []ailment{
	{name: "another machine has the VIP", check: "vip", subject: vipText6, says: "another machine answers neighbour discovery",
		seed: func(t *testing.T, c *lab.Course, d *director) {
			shell(t, c.Clients[1], d.socket, "ip addr add 2001:db8:0:168::178/128 dev eth0 nodad")
		},
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			if mac := macOf(t, c.Clients[1], lab.ClientLink); !strings.Contains(f.Text, mac) {
				t.Errorf("%q names not the MAC address %s", f.Text, mac)
			}
			_, line, _ := strings.Cut(f.Cure, "on that machine: ")
			line, _, _ = strings.Cut(line, ",")
			shell(t, c.Clients[1], d.socket, strings.Replace(line, "IF", "eth0", 1))
		}},
	{name: "another machine has the director's address", check: "ipv6", subject: "dip0", says: "another machine has its address 2001:db8:0:56::77",
		seed: func(t *testing.T, c *lab.Course, d *director) {
			shell(t, c.Servers[0], d.socket, "ip addr add 2001:db8:0:56::77/64 dev eth0 nodad")
			shell(t, c.Director, d.socket, "sysctl -qw net.ipv6.conf.dip0.accept_dad=1 net.ipv6.conf.dip0.dad_transmits=1; ip addr add 2001:db8:0:56::77/64 dev dip0")
			await(t, "the kernel has found the other one", 10*time.Second, func() bool {
				out := &logBuffer{}
				cmd := exec.Command("ip", "-6", "addr", "show", "dev", "dip0")
				cmd.Stdout = out
				return c.Director.Run(cmd) == nil && out.contains("dadfailed")
			})
		},
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			shell(t, c.Servers[0], d.socket, "ip addr del 2001:db8:0:56::77/64 dev eth0")
			shell(t, c.Director, d.socket, "ip addr del 2001:db8:0:56::77/64 dev dip0; sysctl -qw net.ipv6.conf.dip0.accept_dad=0 net.ipv6.conf.dip0.dad_transmits=0")
		}},
	{name: "no IPv6 on the interface", seed: in("sysctl -qw net.ipv6.conf.vip0.disable_ipv6=1"), check: "ipv6", subject: "vip0", says: "disable_ipv6 is 1",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			line, _, _ := strings.Cut(f.Cure, ",")
			shell(t, c.Director, d.socket, line+"; ip addr add 2001:db8:0:168::1/64 dev vip0; ip -6 route replace default via 2001:db8:0:168::11")
		}},
	{name: "no route to a server", seed: in("ip -6 route del default; natlb -a -t [2001:db8:0:168::178]:80 -r [2001:db8:9::9]:80 -m"), check: "route", subject: "2001:db8:9::9", says: "no route",
		cured: by("natlb -d -t [2001:db8:0:168::178]:80 -r [2001:db8:9::9]:80; ip -6 route add default via 2001:db8:0:168::11")},
	{name: "server by the VIP side", seed: in("ip route add 2001:db8:0:56::101/128 dev vip0"), check: "route", subject: firstRIP6, says: "VIP side (vip0)",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			line, _, _ := strings.Cut(f.Cure, ",")
			shell(t, c.Director, d.socket, line+"; ip route del 2001:db8:0:56::101/128")
		}},
	{name: "no default route", seed: in("ip -6 route del default"), check: "client-route", level: "warning", says: "no default route of IPv6",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			shell(t, c.Director, d.socket, strings.Replace(f.Cure, "ROUTER", "2001:db8:0:168::11", 1))
		}},
	{name: "server is not there", seed: in("natlb -a -t [2001:db8:0:168::178]:80 -r [2001:db8:0:56::199]:80 -m"), check: "neighbour", subject: "2001:db8:0:56::199",
		says: "does not answer neighbour discovery on dip0", cured: by("natlb -d -t [2001:db8:0:168::178]:80 -r [2001:db8:0:56::199]:80")},
	{name: "smaller MTU on the way", check: "mtu", subject: firstRIP6, says: "of 1400 they do",
		seed: func(t *testing.T, c *lab.Course, _ *director) { must(t, c.Servers[0].SetMTU(lab.ServerLink, 1400)) },
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			shell(t, c.Director, d.socket, f.Cure)
			got := examine(t, c.Director, d.socket)
			if got.Faults > 0 {
				t.Errorf("after the cure:\n%s", &got)
			}
			must(t, c.Servers[0].SetMTU(lab.ServerLink, 1500))
			shell(t, c.Director, d.socket, "ip route del 2001:db8:0:56::101/128 dev dip0")
		}},
	withoutVIP("tcp6", "2001:db8:0:168::178", "2001:db8:0:56::101", "ip addr del 2001:db8:0:168::178/128 dev lo"),
	{name: "the host redirects the VIP", seed: in("nft 'add table ip6 foreign; add chain ip6 foreign pre { type nat hook prerouting priority -100; }; add rule ip6 foreign pre ip6 daddr 2001:db8:0:168::178 tcp dport 80 redirect to :22'"),
		check: "host-rules", subject: "ip6 foreign pre", says: "redirect rule for 2001:db8:0:168::178", cured: by("nft delete table ip6 foreign")},
}

// TestDoctorFindsIPv6: every ailment is found, and gone after its cure.
func TestDoctorFindsIPv6(t *testing.T) {
	c, d := patient6(t, lab.CourseOptions{Clients: 2})
	well(t, c, d)
	for _, a := range ailments6 {
		t.Run(a.name, func(t *testing.T) { cures(t, c, d, a) })
	}
	fetch(t, firstClient(c), vipURL6, 4)
}

// TestDoctorGatewayIPv6: a server whose default gateway is not the director.
func TestDoctorGatewayIPv6(t *testing.T) {
	c, d := patient6(t, lab.CourseOptions{Servers: 1})
	d.ctl("-C")
	for _, line := range course6(c) {
		d.ctl(line)
	}
	shell(t, c.Servers[0], d.socket, "ip -6 route del default")
	if _, err := lab.NewClient(c.Clients[0], netip.Addr{}).Get(within(t, 300*time.Millisecond), vipURL6); err == nil {
		t.Fatal("the request was answered")
	}
	got := examine(t, c.Director, d.socket)
	f := got.find(t, "gateway", "fault", netip.AddrPortFrom(c.RIPs6[0], 80).String())
	_, line, _ := strings.Cut(f.Cure, ": ")
	line, _, _ = strings.Cut(line, " (")
	shell(t, c.Servers[0], d.socket, line)
	fetch(t, firstClient(c), vipURL6, 1)
	well(t, c, d)
}

// TestDoctorVIPOnLoopback: a VIP of IPv6 that the host has on lo is asked for in vain.
func TestDoctorVIPOnLoopback(t *testing.T) {
	c, d := patient6(t, lab.CourseOptions{})
	shell(t, c.Director, d.socket, "ip addr add 2001:db8:0:168::178/128 dev lo")
	await(t, "the guard is there", 5*time.Second, func() bool { return len(nftTables(t, c.Director)) > 0 })
	got := examine(t, c.Director, d.socket)
	f := got.find(t, "vip", "fault", vipText6)
	shell(t, c.Director, d.socket, f.Cure+"; ip addr del 2001:db8:0:168::178/128 dev lo")
	well(t, c, d)
	shell(t, c.Clients[0], "", "ip -6 neigh flush dev eth0")
	fetch(t, firstClient(c), vipURL6, 2)
}

// TestDoctorVIPOnServer: a server with -g that has the VIP on the network's interface
// takes it away from the director; on lo it does not.
func TestDoctorVIPOnServer(t *testing.T) {
	c, d := patient6(t, lab.CourseOptions{OneArm: true})
	d.ctl("-A -t [2001:db8:0:168::178]:82")
	d.ctl("-a -t [2001:db8:0:168::178]:82 -r [2001:db8:0:56::101]:82 -g")
	shell(t, c.Servers[0], "", "ip addr add 2001:db8:0:168::178/128 dev eth0 nodad")
	got := examine(t, c.Director, d.socket)
	f := got.find(t, "vip", "fault", vipText6)
	on, line, _ := strings.Cut(f.Cure, "must keep it to itself: ")
	if !strings.Contains(on, "on "+firstRIP6) {
		t.Fatalf("the cure is %q", f.Cure)
	}
	shell(t, c.Servers[0], "", strings.Replace(line, "IF", "eth0", 1))
	got = examine(t, c.Director, d.socket)
	got.find(t, "vip", "ok", vipText6)
}

// TestDoctorBeforeIPv6: before there is a director.
func TestDoctorBeforeIPv6(t *testing.T) {
	begin(t, "ip")
	c := newCourse(t, lab.CourseOptions{IPv6: true})
	must(t, c.Director.AddRoute(lab.Route{Via: c.CIPs6[0][0]}))
	await(t, "the links have their link-local addresses", 10*time.Second, func() bool {
		out := &logBuffer{}
		cmd := exec.Command("ip", "-6", "addr", "show", "scope", "link")
		cmd.Stdout = out
		return c.Director.Run(cmd) == nil && strings.Count(out.String(), "fe80::") == 2
	})
	none := filepath.Join(t.TempDir(), "none.sock")
	rules := filepath.Join(t.TempDir(), "rules")
	must(t, os.WriteFile(rules, []byte(strings.Join(course6(c), "\n")+"\n"), 0o600))
	got := examine(t, c.Director, none, "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink, "--rules", rules)
	if got.Faults != 0 {
		t.Errorf("before there is a director:\n%s", &got)
	}
	got.find(t, "vip", "ok", vipText6)
	got.find(t, "neighbour", "ok", firstRIP6)
}
