package e2e

// Forwarding without translation. One switch, so that servers can answer clients
// themselves; the VIP is on everybody's lo, and only the director says so by ARP:
//
//	client-1 ──[ switch ]── server-1, server-2     .201, .202, VIP on lo, arp_ignore 1
//	               └─────── vip0  director         VIP on vip0, or on no interface
//
// What is at the other end of a tunnel is a receiver of the lab: this kernel may
// have no tunnel devices.

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

// directServers gives each server the VIP and an address among the clients, which
// are its RIPs here.
func directServers(t *testing.T, c *lab.Course) (rips []netip.Addr) {
	t.Helper()
	for i, s := range c.Servers {
		rip := netip.AddrFrom4([4]byte{192, 168, 0, byte(201 + i)})
		rips = append(rips, rip)
		must(t, s.Sysctl("net.ipv4.conf.all.arp_ignore", "1"), s.Sysctl("net.ipv4.conf.all.arp_announce", "2"),
			s.AddAddr(lab.ServerLink, netip.PrefixFrom(rip, 24)), s.AddAddr("lo", netip.PrefixFrom(lab.VIP, 32)))
		serveEcho(t, s, "192.168.0.178:53") // answers as the VIP
	}
	servePages(t, c.Servers)
	return rips
}

// serve makes a service of port 80 and of port 53 of the VIP over rips.
func serve(d *director, options string, rips ...netip.Addr) {
	d.t.Helper()
	for _, service := range []string{"-t 192.168.0.178:80", "-u 192.168.0.178:53"} {
		d.ctl("-A " + service + " -s rr")
		for _, rip := range rips {
			d.ctl(fmt.Sprintf("-a %s -r %s %s", service, rip, options))
		}
	}
}

// checkMethod sends all kinds of traffic and checks that the answers do not pass
// the director.
func checkMethod(t *testing.T, c *lab.Course, d *director, options string, rips []netip.Addr) {
	t.Helper()
	var answers []string
	for range 10 {
		answers = append(answers, strings.TrimSpace(curl(t, c.Clients[0], vipURL)))
	}
	checkTurns(t, answers, "server-2", "server-1")
	for _, size := range []int{5, 1472, 8000} {
		checkEcho(t, firstClient(c), size)
	}
	content := randomBytes(5 * mega)
	port := serveMirror(t, c.Servers[0], content)
	d.ctl("-A -t 192.168.0.178:" + port)
	d.ctl("-a -t 192.168.0.178:" + port + " -r " + rips[0].String() + " " + options)
	exchange(t, c.Clients[0], "192.168.0.178:"+port, content)
	for line := range strings.Lines(d.ctl("-L -n --stats --exact -t 192.168.0.178:80")) {
		if f := strings.Fields(line); strings.Contains(line, "-> 192.168.0.2") && (f[2] != "5" || f[4] != "0") {
			t.Errorf("%q: want 5 connections and no answers", strings.TrimSpace(line))
		}
	}
}

func TestDirectRouting(t *testing.T) {
	begin(t, "curl")
	for name, o := range map[string]lab.CourseOptions{
		"natlb owns the VIP":         {OneArm: true},
		"the director also forwards": {OneArm: true, IPForward: true},
		"the host owns the VIP":      {OneArm: true, HostOwnsVIP: true, IPForward: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCourse(t, o)
			rips := directServers(t, c)
			d := courseDirector(t, c)
			serve(d, "-g", rips...)
			quietly(t, c, func() { checkMethod(t, c, d, "-g", rips) })
		})
	}
}

// The servers' gateway is the director: their answers come back to it, with the
// VIP as their source, and it sends them on.
func TestDirectRoutingByGateway(t *testing.T) {
	begin(t)
	for _, forward := range []bool{false, true} {
		c := newCourse(t, lab.CourseOptions{IPForward: forward})
		for _, s := range c.Servers {
			must(t, s.AddAddr("lo", netip.PrefixFrom(lab.VIP, 32)), s.Sysctl("net.ipv4.conf.all.arp_ignore", "1"), s.Sysctl("net.ipv4.conf.all.arp_announce", "2"))
		}
		servePages(t, c.Servers)
		d := courseDirector(t, c)
		d.ctl("-A -t 192.168.0.178:80 -s rr")
		for _, rip := range c.RIPs {
			d.ctl("-a -t 192.168.0.178:80 -r " + rip.String() + " -g")
		}
		quietly(t, c, func() { checkBalanced(t, c) })
		content := randomBytes(5 * mega)
		port := serveMirror(t, c.Servers[0], content)
		d.ctl("-A -t 192.168.0.178:" + port)
		d.ctl("-a -t 192.168.0.178:" + port + " -r " + c.RIPs[0].String() + " -g")
		exchange(t, c.Clients[0], "192.168.0.178:"+port, content)
	}
}

func TestTunnels(t *testing.T) {
	begin(t, "curl")
	for _, tt := range []struct {
		kind    lab.TunnelKind
		options string
	}{
		{lab.IPIP, "-i"},
		{lab.GRE, "-i --tun-type gre"},
		{lab.GREChecksum, "-i --tun-type gre --tun-csum"},
		{lab.GUE, "-i --tun-type gue --tun-port 6080"},
		{lab.GUE, "-i --tun-type gue --tun-port 6080 --tun-csum"},
	} {
		t.Run(tt.options, func(t *testing.T) {
			c := newCourse(t, lab.CourseOptions{OneArm: true})
			rips := directServers(t, c)
			for _, s := range c.Servers {
				u, err := lab.Unwrap(s, "tun0", tt.kind, 6080)
				if errors.Is(err, lab.ErrNoTUN) {
					missing(t, err)
				}
				must(t, err)
				t.Cleanup(func() { noError(t, u.Close()) })
				must(t, s.Sysctl("net.ipv4.conf.tun0.rp_filter", "0"))
			}
			d := courseDirector(t, c)
			serve(d, tt.options, rips...)
			quietly(t, c, func() { checkMethod(t, c, d, tt.options, rips) })
		})
	}
}

// The director is one of its own real servers, beside one that is translated.
func TestLocalNode(t *testing.T) {
	begin(t, "curl")
	c := newCourse(t, lab.CourseOptions{HostOwnsVIP: true, Servers: 1})
	servePages(t, c.Servers)
	servePage(t, c.Director, ":80")
	serveEcho(t, c.Director, "192.168.0.178:53")
	d := courseDirector(t, c)
	d.ctl("-A -t 192.168.0.178:80 -s rr")
	d.ctl("-a -t 192.168.0.178:80 -r 192.168.56.101 -m")
	d.ctl("-a -t 192.168.0.178:80 -r 127.0.0.1 -g")
	d.ctl("-A -u 192.168.0.178:53")
	d.ctl("-a -u 192.168.0.178:53 -r 192.168.56.102 -g")
	var answers []string
	for range 10 {
		answers = append(answers, strings.TrimSpace(curl(t, c.Clients[0], vipURL)))
	}
	checkTurns(t, answers, "director", "server-1")
	for _, size := range []int{5, 8000} {
		checkEcho(t, firstClient(c), size)
	}
	content := randomBytes(5 * mega)
	port := serveMirror(t, c.Director, content)
	d.ctl("-A -t 192.168.0.178:" + port)
	d.ctl("-a -t 192.168.0.178:" + port + " -r 192.168.0.1 -g")
	exchange(t, c.Clients[0], "192.168.0.178:"+port, content)

	file := filepath.Join(t.TempDir(), "x.pcapng")
	end := d.capturing(file, "-u 192.168.0.178:53")
	checkEcho(t, firstClient(c), 5)
	await(t, "the capture has the datagram", 10*time.Second, func() bool {
		text, err := os.ReadFile(file)
		return err == nil && bytes.Contains(text, []byte("forward: UDP "))
	})
	if said := end(); said.Received != said.Sent || said.Sent == 0 {
		t.Errorf("%+v was captured, want what came and what the host got", said)
	}

	// What does not work is said.
	d.ctl("-a -t 192.168.0.178:" + port + " -r 192.168.0.1:8080 -m")
	await(t, "the log warns of a local server", 5*time.Second, func() bool { return d.log.contains("the real server is this host") })
}
