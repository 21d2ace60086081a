package e2e

// What of direct routing and of the local node forwarding_test.go does not have:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2
//	                       VIP on vip0, or on no interface      VIP on lo, arp_ignore 1

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

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
