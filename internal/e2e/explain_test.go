package e2e

// What natlb explain says of a packet, and what a real curl then gets:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2, server-3

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
	"natlb/ipvs"
)

// explain asks a director in JSON.
func (d *director) explain(words ...string) (x ipvs.Explanation) {
	d.t.Helper()
	out := d.native(append([]string{"explain", "--json"}, words...)...)
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		d.t.Fatalf("natlb explain %q printed %s: %v", words, out, err)
	}
	return x
}

// told asks about the next connection from a client's port to the VIP, checks
// that asking has left no trace, and returns the server's address.
func (d *director) told(client netip.AddrPort) (x ipvs.Explanation) {
	d.t.Helper()
	before := d.quiet() + d.ctl("-L -n --stats")
	x = d.explain("tcp", client.String(), "192.168.0.178:80")
	d.explain("tcp", client.Addr().String(), "192.168.0.178:80")
	if after := d.quiet() + d.ctl("-L -n --stats"); after != before {
		d.t.Errorf("before natlb explain:\n%s\nafter it:\n%s", before, after)
	}
	// The first packet of all finds no MAC address yet.
	if x.Server == nil || x.Verdict != "forward" && x.Verdict != "held-neighbour" {
		d.t.Fatalf("explained for %v is %+v, want a packet that is forwarded", client, x)
	}
	return x
}

// quiet waits until no connection is active any more and no server has one, because a
// curl is gone before its last segments have crossed the director, and the last of all
// changes no state. Clients must close first. It returns the listing.
func (d *director) quiet() (listing string) {
	d.t.Helper()
	await(d.t, "no connection is active", 10*time.Second, func() bool {
		listing = d.ctl("-L -n")
		for line := range strings.Lines(listing) {
			if f := strings.Fields(line); len(f) == 6 && f[0] == "->" && f[1] != "RemoteAddress:Port" && f[4] != "0" {
				return false
			}
		}
		return !slices.ContainsFunc(d.behind, d.connected)
	})
	return listing
}

// connected reports whether a server has a TCP connection, TIME_WAIT aside.
func (d *director) connected(server *lab.Namespace) bool {
	d.t.Helper()
	list, err := tcpSockets(server)
	must(d.t, err)
	for line := range strings.Lines(string(list)) {
		const timeWait, listen = "06", "0A"
		if f := strings.Fields(line); f[0] != "sl" && f[3] != timeWait && f[3] != listen {
			return true
		}
	}
	return false
}

// curlFrom fetches the VIP's page from one port of the client.
func curlFrom(t *testing.T, c *lab.Course, port uint16) string {
	t.Helper()
	return strings.TrimSpace(curl(t, c.Clients[0], "--local-port", fmt.Sprint(port), "http://192.168.0.178/"))
}

// TestExplained: the server that is named is the one whose page comes, with
// every scheduler.
func TestExplained(t *testing.T) {
	begin(t, "curl")
	c := newCourse(t, lab.CourseOptions{Servers: 3})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	page := map[netip.Addr]string{}
	for i, rip := range c.RIPs {
		page[rip] = c.Servers[i].Name()
	}
	d.ctl("-A -t 192.168.0.178:80 -s rr")
	for i, rip := range c.RIPs {
		d.ctl(fmt.Sprintf("-a -t 192.168.0.178:80 -r %v -m -w %d", rip, 1+2*i))
	}
	port := uint16(20000)
	for _, scheduler := range strings.Fields("rr wrr lc wlc sed nq fo ovf sh dh mh lblc lblcr twos") {
		d.ctl("-E -t 192.168.0.178:80 -s " + scheduler + map[bool]string{true: " -b sh-port"}[scheduler == "sh"])
		for range 4 {
			port++
			x := d.told(netip.AddrPortFrom(c.CIPs[0][0], port))
			if got, want := curlFrom(t, c, port), page[x.Server.Addr()]; got != want || x.Pick == nil || x.Pick.Rule == "" {
				t.Errorf("%s: explained was %v, which is %s, to port %d; its curl got %s", scheduler, x.Server, want, port, got)
			}
		}
	}
}

// TestExplainedPersistence: a template that will be made, and then binds the
// client; and what the server's answer goes through.
func TestExplainedPersistence(t *testing.T) {
	begin(t, "curl")
	c := newCourse(t, lab.CourseOptions{Servers: 3})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	d.ctl("-A -t 192.168.0.178:80 -s rr -p 300")
	page := map[netip.Addr]string{}
	for i, rip := range c.RIPs {
		d.ctl("-a -t 192.168.0.178:80 -r " + rip.String() + " -m")
		page[rip] = c.Servers[i].Name()
	}
	client := c.CIPs[0][0]
	for i, outcome := range []string{"made", "found", "found", "found"} {
		port := uint16(20000 + i)
		x := d.told(netip.AddrPortFrom(client, port))
		if x.Template == nil || x.Template.Outcome != outcome || (x.Pick == nil) != (outcome == "found") {
			t.Errorf("explained for connection %d is template %+v and pick %+v, want a template %s", i, x.Template, x.Pick, outcome)
		}
		if got, want := curlFrom(t, c, port), page[x.Server.Addr()]; got != want {
			t.Errorf("connection %d: explained was %s, its curl got %s", i, want, got)
		}
	}
	server := d.explain("tcp", client.String()+":20003", "192.168.0.178:80").Server
	x := d.explain("tcp", client.String()+":20003", "--reply", server.String(), "--flags", "ACK")
	if x.Verdict != "forward" || x.Connection == nil || len(x.Sent) != 1 || x.Sent[0].Src.String() != "192.168.0.178:80" ||
		x.NextHop == nil || x.NextHop.To != client || x.NextHop.MAC == "" || x.NextHop.Link != c.ClientSide {
		t.Errorf("the answer of %v is explained as %+v", server, x)
	}
	if x := d.explain("tcp", client.String()+":9", "--reply", server.String()); x.Verdict != "route" || x.Connection != nil {
		t.Errorf("a segment of no connection is explained as %+v", x)
	}
}
