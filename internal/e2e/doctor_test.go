package e2e

// The doctor's patients: a director with its host made ill on purpose, one fault
// at a time. natlb doctor has to find each one, and the cure that it prints has
// to help.
//
//	client-1, client-2 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

// finding is one of the doctor's, as its JSON has it.
type finding struct {
	Check, Level, Subject, Text, Cure string
}

// diagnosis is what natlb doctor --json prints.
type diagnosis struct {
	Schema, Faults, Warnings int
	Director                 bool
	Findings                 []finding
}

// examine runs natlb doctor in a namespace; more goes in front of its command
// line. It checks that the exit status is what the findings say.
func examine(t *testing.T, ns *lab.Namespace, socket string, args ...string) (d diagnosis) {
	t.Helper()
	return examineAs(t, ns, nil, append([]string{"--socket", socket}, args...)...)
}

func examineAs(t *testing.T, ns *lab.Namespace, wrapper []string, args ...string) (d diagnosis) {
	t.Helper()
	line := append(append(wrapper, program, "doctor", "--json"), args...)
	cmd := exec.Command(line[0], line[1:]...)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := ns.Run(cmd)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out.String()), &d); err != nil {
		t.Fatalf("natlb doctor printed %q, %q: %v", out.String(), complaint.String(), err)
	}
	if want := min(d.Faults, 1); cmd.ProcessState.ExitCode() != want || d.Schema != 1 {
		t.Errorf("natlb doctor ended with %v and schema %d, want status %d and 1", cmd.ProcessState, d.Schema, want)
	}
	return d
}

// find returns the finding of a check at a level about a subject, and ends the
// test when there is none. An empty subject is any.
func (d *diagnosis) find(t *testing.T, check, level, subject string) finding {
	t.Helper()
	for _, f := range d.Findings {
		if f.Check == check && f.Level == level && (subject == "" || subject == f.Subject) {
			return f
		}
	}
	t.Fatalf("the doctor has no %s about %s %q:\n%s", level, check, subject, d)
	return finding{}
}

// String returns what is not well.
func (d *diagnosis) String() string {
	var lines []string
	for _, f := range d.Findings {
		if f.Level != "ok" {
			lines = append(lines, strings.Join([]string{f.Level, f.Check, f.Subject, f.Text, "cure:", f.Cure}, " "))
		}
	}
	return strings.Join(lines, "\n")
}

// shell runs a line in a namespace, with the director's natlb as natlb.
func shell(t *testing.T, ns *lab.Namespace, socket, line string) {
	t.Helper()
	bin := t.TempDir()
	must(t, os.Symlink(program, filepath.Join(bin, "natlb")))
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+socket, "PATH="+bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := ns.Run(cmd); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// patient is a director that is well: services with traffic, a default route.
func patient(t *testing.T, o lab.CourseOptions, args ...string) (*lab.Course, *director) {
	t.Helper()
	begin(t, "ip", "nft", "ethtool", "sysctl")
	c := newCourse(t, o)
	must(t, c.Director.AddRoute(lab.Route{Via: c.CIPs[0][0]})) // any machine on that side
	servePages(t, c.Servers)
	d := courseDirector(t, c, args...)
	balance(d, c)
	checkBalanced(t, c)
	return c, d
}

// well checks that the doctor finds nothing wrong.
func well(t *testing.T, c *lab.Course, d *director) {
	t.Helper()
	if got := examine(t, c.Director, d.socket); got.Faults != 0 || !got.Director {
		t.Errorf("the doctor finds faults where there are none:\n%s", &got)
	}
}

// A healthy lab has no fault, whoever owns the VIP, and not even a warning.
func TestDoctorHealthy(t *testing.T) {
	for _, o := range []lab.CourseOptions{{}, {HostOwnsVIP: true}, {IPForward: true}, {OneArm: true}, {Servers: 9}} {
		t.Run("", func(t *testing.T) {
			c, d := patient(t, o)
			if got := examine(t, c.Director, d.socket); got.Faults+got.Warnings != 0 || len(got.Findings) < 20 {
				t.Errorf("%+v: %d facts:\n%s", o, len(got.Findings), &got)
			}
		})
	}
}

// ailment is a fault that is seeded, and how it shows.
type ailment struct {
	name           string
	seed           func(*testing.T, *lab.Course, *director)
	check, subject string
	level          string // fault when empty
	says           string // part of the text
	// cured does what the cure says; nil: the cure is a command, for the
	// director's host.
	cured func(*testing.T, *lab.Course, *director, finding)
}

// in returns a seed or cure that is a shell line on the director's host.
func in(line string) func(*testing.T, *lab.Course, *director) {
	return func(t *testing.T, c *lab.Course, d *director) {
		t.Helper()
		shell(t, c.Director, d.socket, line)
	}
}

// by returns a cure that is the line, where what is printed can only say what
// kind of thing helps.
func by(line string) func(*testing.T, *lab.Course, *director, finding) {
	return func(t *testing.T, c *lab.Course, d *director, _ finding) {
		t.Helper()
		shell(t, c.Director, d.socket, line)
	}
}

// onServer runs the command of a cure of the form "on RIP: command" there.
func onServer(t *testing.T, c *lab.Course, d *director, f finding) {
	t.Helper()
	m := regexp.MustCompile(`on ([0-9.]+): (ip [^(;]*)`).FindStringSubmatch(f.Cure)
	if m == nil {
		t.Fatalf("no command in %q", f.Cure)
	}
	for i, rip := range c.RIPs {
		if rip.String() == m[1] {
			shell(t, c.Servers[i], d.socket, m[2])
			return
		}
	}
	t.Fatalf("no server %s", m[1])
}

var ailments = []ailment{
	{name: "interface down", seed: in("ip link set dip0 down"), check: "interface", subject: "dip0", says: "is down"},
	{name: "no carrier", check: "interface", subject: "dip0", says: "no carrier",
		seed: func(t *testing.T, c *lab.Course, _ *director) {
			must(t, c.Host("dip-switch").SetUp("director", false))
		},
		cured: func(t *testing.T, c *lab.Course, _ *director, _ finding) {
			must(t, c.Host("dip-switch").SetUp("director", true))
		}},
	{name: "no address on the DIP side", seed: in("ip addr flush dev dip0"), check: "interface", subject: "dip0", says: "no IPv4 address",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			shell(t, c.Director, d.socket, strings.Replace(f.Cure, "DIP", "192.168.56.102", 1))
		}},
	{name: "port of a bridge", seed: in("ip link add br9 type bridge && ip link set dip0 master br9"), check: "interface", subject: "dip0",
		says: "belongs to br9", cured: by("ip link set dip0 nomaster && ip link del br9")},
	{name: "no segmentation offload", seed: in("ethtool -K dip0 tso off"), check: "offload", subject: "dip0", level: "warning", says: "off: tso"},
	{name: "no checksum offload", seed: in("ethtool -K vip0 tx off"), check: "offload", subject: "vip0", level: "warning", says: "off: tx, tso"},
	{name: "another machine has the VIP", check: "vip", subject: "192.168.0.178", says: "another machine answers ARP",
		seed: func(t *testing.T, c *lab.Course, d *director) {
			shell(t, c.Clients[1], d.socket, "ip addr add 192.168.0.178/32 dev eth0")
		},
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			if mac := macOf(t, c.Clients[1], lab.ClientLink); !strings.Contains(f.Text, mac) {
				t.Errorf("%q names not the MAC address %s", f.Text, mac)
			}
			_, line, _ := strings.Cut(f.Cure, "on that machine: ")
			line, _, _ = strings.Cut(line, ",")
			shell(t, c.Clients[1], d.socket, strings.Replace(line, "IF", "eth0", 1))
		}},
	{name: "strict reverse-path filter", seed: in("sysctl -qw net.ipv4.conf.dip0.rp_filter=1; ip route add 192.168.56.101/32 dev vip0"),
		check: "rp-filter", subject: "dip0", says: "192.168.56.101 leaves by vip0",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			line, _, _ := strings.Cut(f.Cure, ",")
			shell(t, c.Director, d.socket, line)
			got := examine(t, c.Director, d.socket)
			got.find(t, "rp-filter", "ok", "")
			shell(t, c.Director, d.socket, "ip route del 192.168.56.101/32 dev vip0")
		}},
	{name: "server by the VIP side", seed: in("ip route add 192.168.56.101/32 dev vip0"), check: "route", subject: "192.168.56.101", says: "VIP side (vip0)",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			line, _, _ := strings.Cut(f.Cure, ",")
			shell(t, c.Director, d.socket, line)
		}},
	{name: "server by another interface", seed: in("ip link add other9 type veth peer name other8 && ip link set other9 up && ip link set other8 up && ip route add 192.168.56.103/32 dev other9"),
		check: "route", subject: "192.168.56.103", says: "other9, which natlb was not given", cured: by("ip link del other9")},
	{name: "no route to a server", seed: in("ip route del default; natlb -a -t 192.168.0.178:80 -r 10.9.9.9 -m"), check: "route", subject: "10.9.9.9", says: "no route",
		cured: by("natlb -d -t 192.168.0.178:80 -r 10.9.9.9; ip route add default via 192.168.0.11")},
	{name: "server is the director", seed: in("natlb -a -t 192.168.0.178:80 -r 192.168.56.102 -m"), check: "route", subject: "192.168.56.102",
		says: "an address of the director itself", cured: by("natlb -d -t 192.168.0.178:80 -r 192.168.56.102")},
	{name: "default route elsewhere", seed: in("ip link add other9 type veth peer name other8 && ip link set other9 up && ip link set other8 up && ip route replace default dev other9"),
		check: "client-route", level: "warning", says: "leaves by other9",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			shell(t, c.Director, d.socket, strings.Replace(f.Cure, "ROUTER", "192.168.0.11", 1)+"; ip link del other9")
		}},
	{name: "server is not there", seed: in("natlb -a -t 192.168.0.178:80 -r 192.168.56.199 -m"), check: "neighbour", subject: "192.168.56.199",
		says: "does not answer ARP on dip0", cured: by("natlb -d -t 192.168.0.178:80 -r 192.168.56.199")},
	withoutVIP("tcp4", "192.168.0.178", "192.168.56.101", "ip addr del 192.168.0.178/32 dev lo; sysctl -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0"),
	{name: "all quiesced", seed: in("natlb -A -t 192.168.0.178:81 && natlb -a -t 192.168.0.178:81 -r 192.168.56.101 -m -w 0"), check: "service", level: "warning",
		subject: "-t 192.168.0.178:81", says: "quiesced",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			shell(t, c.Director, d.socket, f.Cure)
			got := examine(t, c.Director, d.socket)
			got.find(t, "service", "ok", "-t 192.168.0.178:81")
			shell(t, c.Director, d.socket, "natlb -D -t 192.168.0.178:81")
		}},
	{name: "smaller MTU on the way", check: "mtu", subject: "192.168.56.101", says: "of 1400 they do",
		seed: func(t *testing.T, c *lab.Course, _ *director) { must(t, c.Servers[0].SetMTU(lab.ServerLink, 1400)) }},
	{name: "sides of different MTU", seed: in("ip link set dip0 mtu 1400"), check: "mtu", subject: "dip0", level: "warning", says: "vip0 has 1500",
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			line, _, _ := strings.Cut(f.Cure, ",")
			shell(t, c.Director, d.socket, line)
		}},
	{name: "VIP in the servers' network", seed: in("natlb -A -t 192.168.56.200:80 && natlb -a -t 192.168.56.200:80 -r 192.168.56.101 -m"), check: "near-client",
		level: "warning", subject: "192.168.56.200", says: "192.168.56.0/24", cured: by("natlb -D -t 192.168.56.200:80")},
	{name: "the host redirects the VIP", seed: in("nft 'add table ip foreign; add chain ip foreign pre { type nat hook prerouting priority -100; }; add rule ip foreign pre ip daddr 192.168.0.178 tcp dport 80 redirect to :22'"),
		check: "host-rules", subject: "ip foreign pre", says: "redirect rule for 192.168.0.178", cured: by("nft delete table ip foreign")},
	{name: "iptables translates the VIP",
		seed: func(t *testing.T, c *lab.Course, d *director) {
			if _, err := exec.LookPath("iptables-nft"); err != nil {
				t.Skip(err)
			}
			shell(t, c.Director, d.socket, "iptables-nft -t nat -A PREROUTING -d 192.168.0.0/24 -p tcp --dport 80 -j DNAT --to 192.168.56.101")
		},
		check: "host-rules", subject: "ip nat PREROUTING", says: "dnat rule for 192.168.0.178", cured: by("nft delete table ip nat")},
	{name: "two machines have a server's address", check: "neighbour", subject: "192.168.56.103", says: "2 machines answer ARP",
		seed: func(t *testing.T, c *lab.Course, d *director) {
			shell(t, c.Servers[0], d.socket, "ip addr add 192.168.56.103/32 dev eth0")
		},
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			_, line, _ := strings.Cut(f.Cure, ": ")
			line, _, _ = strings.Cut(line, ",")
			shell(t, c.Servers[0], d.socket, strings.Replace(line, "IF", "eth0", 1))
		}},
}

// cures seeds an ailment and checks that the doctor finds it, and that it is gone after
// its cure.
func cures(t *testing.T, c *lab.Course, d *director, a ailment) {
	t.Helper()
	a.seed(t, c, d)
	level := a.level
	if level == "" {
		level = "fault"
	}
	got := examine(t, c.Director, d.socket)
	f := got.find(t, a.check, level, a.subject)
	if !strings.Contains(f.Text, a.says) || f.Cure == "" {
		t.Errorf("the doctor says %q, cure %q; want %q and a cure", f.Text, f.Cure, a.says)
	}
	if a.cured != nil {
		a.cured(t, c, d, f)
	} else {
		shell(t, c.Director, d.socket, f.Cure)
	}
	got = examine(t, c.Director, d.socket)
	for _, left := range got.Findings {
		if left.Level == "fault" || left.Check == a.check && left.Level == level && left.Subject == a.subject {
			t.Errorf("after the cure %q: %s %s %s", f.Cure, left.Check, left.Subject, left.Text)
		}
	}
}

// withoutVIP is that a server gets packets by direct routing and does not have the VIP;
// leave takes back, on the server, what the cure does.
func withoutVIP(network, vip, rip, leave string) ailment {
	service, server := net.JoinHostPort(vip, "82"), net.JoinHostPort(rip, "82")
	return ailment{name: "direct routing, and the server has no VIP", check: "direct", subject: server, says: "2 of 2 connections half-open",
		seed: func(t *testing.T, c *lab.Course, d *director) {
			shell(t, c.Director, d.socket, fmt.Sprintf("natlb -A -t %[1]s && natlb -a -t %[1]s -r %[2]s -g", service, server))
			for range 2 {
				if _, err := c.Clients[0].Dial(within(t, 300*time.Millisecond), network, netip.AddrPort{}, service); err == nil {
					t.Error("a server without the VIP has answered")
				}
			}
		},
		cured: func(t *testing.T, c *lab.Course, d *director, f finding) {
			servePage(t, c.Servers[0], ":82")
			_, line, _ := strings.Cut(f.Cure, ": ")
			shell(t, c.Servers[0], d.socket, line)
			fetch(t, firstClient(c), "http://"+service+"/", 4)
			got := examine(t, c.Director, d.socket)
			got.find(t, "direct", "ok", server)
			shell(t, c.Director, d.socket, "natlb -D -t "+service)
			shell(t, c.Servers[0], d.socket, leave)
		}}
}

// TestDoctorFinds: every ailment is found, and gone after its cure.
func TestDoctorFinds(t *testing.T) {
	c, d := patient(t, lab.CourseOptions{Clients: 2})
	well(t, c, d)
	for _, a := range ailments {
		t.Run(a.name, func(t *testing.T) { cures(t, c, d, a) })
	}
	checkBalanced(t, c)
}

// TestDoctorGateway: servers that are sent SYNs and answer past the director, or
// not at all.
func TestDoctorGateway(t *testing.T) {
	c, d := patient(t, lab.CourseOptions{})
	for _, tt := range []struct{ name, seed, says, cure string }{
		{"wrong gateway", "ip route del default", "its default gateway is not the director", ""},
		{"firewall on the server", "nft 'add table ip fw; add chain ip fw in { type filter hook input priority 0; }; add rule ip fw in tcp dport 80 drop'",
			"does not answer the director either", "nft delete table ip fw"},
		{"nothing listens, wrong gateway", "ip route del default; nft 'add table ip fw; add chain ip fw in { type filter hook input priority 0; }; add rule ip fw in tcp dport 80 reject with tcp reset'",
			"nothing listens there", "nft delete table ip fw; ip route replace default via 192.168.56.102"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shell(t, c.Servers[0], d.socket, tt.seed)
			d.ctl("-C") // only now: the server may still have been about the end of an earlier connection
			balanceOver(d, "-t 192.168.0.178:80", c.RIPs[0])
			halfOpen(t, c.Clients[0])
			got := examine(t, c.Director, d.socket)
			f := got.find(t, "gateway", "fault", "192.168.56.101:80")
			if !strings.Contains(f.Text, tt.says) {
				t.Errorf("the doctor says %q, want %q", f.Text, tt.says)
			}
			if tt.cure != "" {
				shell(t, c.Servers[0], d.socket, tt.cure)
			} else {
				onServer(t, c, d, f)
			}
			fetch(t, firstClient(c), vipURL, 1)
			well(t, c, d)
		})
	}
}

// halfOpen asks the VIP for a connection that does not come about.
func halfOpen(t *testing.T, from *lab.Namespace) {
	t.Helper()
	client := lab.NewClient(from, netip.Addr{})
	if _, err := client.Get(within(t, 300*time.Millisecond), vipURL); err == nil {
		t.Fatal("the request was answered")
	}
}

// TestDoctorNearClient: a client in the servers' own network.
func TestDoctorNearClient(t *testing.T) {
	c, d := patient(t, lab.CourseOptions{})
	d.ctl("-C")
	balanceOver(d, "-t 192.168.0.178:80", c.RIPs[0])
	halfOpen(t, c.Servers[1])
	got := examine(t, c.Director, d.socket)
	f := got.find(t, "near-client", "fault", "192.168.56.103")
	onServer(t, c, d, f)
	fetch(t, lab.NewClient(c.Servers[1], netip.Addr{}), vipURL, 2)
	well(t, c, d)
}

// TestDoctorGuard: what the guard can suffer.
func TestDoctorGuard(t *testing.T) {
	t.Run("forbidden and needed", func(t *testing.T) {
		c, d := patient(t, lab.CourseOptions{}, "--guard", "none")
		shell(t, c.Director, d.socket, "sysctl -qw net.ipv4.ip_forward=1")
		got := examine(t, c.Director, d.socket)
		f := got.find(t, "guard", "fault", "")
		line, _, _ := strings.Cut(f.Cure, ";")
		shell(t, c.Director, d.socket, line)
		well(t, c, d)
	})
	t.Run("left behind", func(t *testing.T) {
		c, d := patient(t, lab.CourseOptions{HostOwnsVIP: true})
		d.kill()
		args := []string{"--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink}
		got := examine(t, c.Director, d.socket, args...)
		stale := got.find(t, "socket", "warning", d.socket)
		if want := "natlb run --vip-if vip0 --dip-if dip0"; stale.Cure != want {
			t.Errorf("the cure is %q, want %q", stale.Cure, want)
		}
		f := got.find(t, "guard", "fault", "")
		line, _, _ := strings.Cut(f.Cure, ";")
		shell(t, c.Director, d.socket, line)
		if got := examine(t, c.Director, d.socket, args...); got.Faults != 0 {
			t.Errorf("after the cure:\n%s", &got)
		}
	})
	t.Run("flushed by somebody", func(t *testing.T) {
		c, d := patient(t, lab.CourseOptions{HostOwnsVIP: true})
		shell(t, c.Director, d.socket, "nft flush ruleset")
		got := examine(t, c.Director, d.socket)
		got.find(t, "guard", "fault", "")
		d.stop()
		again := courseDirector(t, c) // the cure
		balance(again, c)
		checkBalanced(t, c)
		well(t, c, again)
	})
	t.Run("forwarding since later", func(t *testing.T) {
		c, d := patient(t, lab.CourseOptions{})
		guarded := func() bool { return len(nftTables(t, c.Director)) > 0 }
		shell(t, c.Director, d.socket, "sysctl -qw net.ipv4.ip_forward=1")
		await(t, "the guard is there", 5*time.Second, guarded)
		well(t, c, d)
		shell(t, c.Director, d.socket, "nft delete table netdev natlb")
		got := examine(t, c.Director, d.socket)
		got.find(t, "guard", "fault", "")
		shell(t, c.Director, d.socket, "sysctl -qw net.ipv4.ip_forward=0")
		well(t, c, d)
	})
	t.Run("silent kernel", func(t *testing.T) {
		c, d := patient(t, lab.CourseOptions{})
		shell(t, c.Director, d.socket, "ip addr add 192.168.0.178/32 dev lo; sysctl -qw net.ipv4.conf.all.arp_ignore=1")
		await(t, "the guard is there", 5*time.Second, func() bool { return len(nftTables(t, c.Director)) > 0 })
		got := examine(t, c.Director, d.socket)
		f := got.find(t, "arp-ignore", "fault", "192.168.0.178")
		shell(t, c.Director, d.socket, f.Cure)
		well(t, c, d)
	})
}

// knownNeighbours makes the director's kernel learn the servers: a director
// without CAP_NET_ADMIN cannot ask it to.
func knownNeighbours(t *testing.T, c *lab.Course) {
	t.Helper()
	for _, rip := range append(c.RIPs, c.CIPs[0][0]) {
		if err := lab.NewClient(c.Director, netip.Addr{}).Ping(within(t, 5*time.Second), rip, 3); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDoctorLimits: a full table, a socket that overflows, a missing capability.
func TestDoctorLimits(t *testing.T) {
	begin(t, "setpriv")
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	serveEcho(t, c.Servers[0], ":53")
	socket := socketPath(t)
	wrapped := exec.Command("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin",
		program, "run", "--socket", socket, "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink, "--max-conns", "4", "--ring", "8192")
	d := launchCommand(t, c.Director, socket, wrapped)
	d.awaitReady()
	balance(d, c)
	balanceOver(d, "-u 192.168.0.178:53", c.RIPs[0])
	knownNeighbours(t, c)
	var open []io.Closer
	for range 4 {
		conn, err := c.Clients[0].Dial(within(t, 5*time.Second), "tcp4", netip.AddrPortFrom(c.CIPs[0][0], 0), "192.168.0.178:80")
		must(t, err)
		open = append(open, conn)
	}
	got := examine(t, c.Director, socket)
	got.find(t, "capability", "fault", "director")
	got.find(t, "table", "fault", "")
	got.find(t, "drops", "ok", lab.VIPLink)
	for _, conn := range open {
		noError(t, conn.Close())
	}
	must(t, d.cmd.Process.Signal(syscall.SIGSTOP))
	flood, err := c.Clients[0].Dial(t.Context(), "udp4", netip.AddrPortFrom(c.CIPs[0][0], 0), "192.168.0.178:53")
	must(t, err)
	for range 20000 {
		_, _ = flood.Write(make([]byte, 100))
	}
	noError(t, flood.Close(), d.cmd.Process.Signal(syscall.SIGCONT))
	got = examine(t, c.Director, socket)
	got.find(t, "drops", "fault", lab.VIPLink)
}

// TestDoctorSocket: without a director, without permission, and from another
// network namespace.
func TestDoctorSocket(t *testing.T) {
	c, d := patient(t, lab.CourseOptions{})
	links := []string{"--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink}
	none := filepath.Join(t.TempDir(), "none.sock")

	got := examine(t, c.Director, none)
	got.find(t, "socket", "fault", none)
	got.find(t, "interface", "unknown", "")

	rules := filepath.Join(t.TempDir(), "rules")
	must(t, os.WriteFile(rules, []byte("-A -t 192.168.0.179:80 -s wlc\n-a -t 192.168.0.179:80 -r 192.168.56.101 -g -w 0\n"), 0o600))
	got = examine(t, c.Director, none, append(links, "--rules", rules)...)
	got.find(t, "service", "warning", "-t 192.168.0.179:80")
	got.find(t, "vip", "ok", "192.168.0.179")
	got.find(t, "neighbour", "ok", "192.168.56.101")
	must(t, os.WriteFile(rules, []byte("-A -t 192.168.0.179:80\n-a -Q\n"), 0o600))
	got = examine(t, c.Director, none, append(links, "--rules", rules)...)
	if f := got.find(t, "rules-file", "fault", ""); !strings.Contains(f.Text, "rules:2:") {
		t.Errorf("the doctor says %q of the rules", f.Text)
	}
	must(t, os.WriteFile(rules, []byte(courseLines), 0o600))
	if got = examine(t, c.Director, none, append(links, "--rules", rules)...); got.Faults != 0 {
		t.Errorf("before there is a director:\n%s", &got)
	}
	got = examine(t, c.Director, none, "--vip-if", "nowhere0", "--dip-if", lab.DIPLink)
	got.find(t, "interface", "fault", "nowhere0")

	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	got = examine(t, c.Director, file)
	got.find(t, "socket", "fault", file)

	// From elsewhere the doctor goes to where the director is, if it may.
	if got = examine(t, c.Clients[0], d.socket); got.Faults != 0 {
		t.Errorf("from the client:\n%s", &got)
	}
	got = examineAs(t, c.Clients[0], []string{"setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"}, "--socket", d.socket)
	got.find(t, "namespace", "fault", "")
	nobody := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	got = examineAs(t, c.Director, nobody, "--socket", d.socket)
	got.find(t, "socket", "fault", d.socket)
}

// TestDoctorOwnAnswers: where two of the host's own interfaces hear each other,
// the kernel answers on one for a VIP on another. That is no other machine.
func TestDoctorOwnAnswers(t *testing.T) {
	begin(t, "ip")
	c := newCourse(t, lab.CourseOptions{HostOwnsVIP: true})
	shell(t, c.Director, "", "ip link add x0 type veth peer name x1 && ip link set x0 up && ip link set x1 up")
	rules := filepath.Join(t.TempDir(), "rules")
	must(t, os.WriteFile(rules, []byte(courseLines), 0o600))
	got := examine(t, c.Director, rules+".sock", "--vip-if", "x0", "--dip-if", lab.DIPLink, "--rules", rules)
	got.find(t, "vip", "ok", "192.168.0.178")
}

// TestDoctorText: what people read.
func TestDoctorText(t *testing.T) {
	c, d := patient(t, lab.CourseOptions{})
	must(t, c.Servers[0].SetUp(lab.ServerLink, false))
	d.ctl("-a -t 192.168.0.178:80 -r 192.168.56.199 -m")
	cmd := exec.Command(program, "doctor", "--socket", d.socket)
	out := &logBuffer{}
	cmd.Stdout = out
	err := c.Director.Run(cmd)
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("natlb doctor ended with %v, want status 1", err)
	}
	for _, want := range []string{
		"ok       vip          192.168.0.178: natlb's own; no other machine answers for it\n",
		"fault    neighbour    192.168.56.199: does not answer ARP on dip0\n         cure: ",
		" facts, 2 faults, 0 warnings\n",
	} {
		if !out.contains(want) {
			t.Errorf("natlb doctor printed\n%s\nwant %q in it", out, want)
		}
	}
}
