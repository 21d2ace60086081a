package e2e

// A real server's machine goes, and comes back:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]─┬─ server-1
//	curl                                                      └─ server-2: the victim
//
// Its end of the cable goes down, or it loses its address: either way nobody answers
// the director's kernel when it asks for the MAC address.

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

// TestQuiesceUnreachable: with the flag curl keeps working while the server is away,
// and the server has its share again after it has come back.
func TestQuiesceUnreachable(t *testing.T) {
	for _, tt := range []struct {
		name       string
		vip        netip.Addr
		rips       func(*lab.Course) []netip.Addr
		args       []string
		off        string // how the setting is made where there is no flag
		away, back func(*testing.T, *lab.Course)
	}{
		{
			name: "link down, IPv4", vip: lab.VIP, rips: func(c *lab.Course) []netip.Addr { return c.RIPs }, args: []string{"--quiesce-unreachable"},
			away: func(t *testing.T, c *lab.Course) { must(t, c.Servers[1].SetUp(lab.ServerLink, false)) },
			back: func(t *testing.T, c *lab.Course) {
				must(t, c.Servers[1].SetUp(lab.ServerLink, true))
				must(t, c.Servers[1].AddRoute(lab.Route{Via: lab.DIP})) // went with the link
			},
		}, {
			name: "address taken away, IPv6", vip: lab.VIP6, rips: func(c *lab.Course) []netip.Addr { return c.RIPs6 }, off: "sysctl quiesce_unreachable=1",
			away: func(t *testing.T, c *lab.Course) {
				shell(t, c.Servers[1], "", "ip addr del "+c.RIPs6[1].String()+"/64 dev eth0")
			},
			back: func(t *testing.T, c *lab.Course) {
				shell(t, c.Servers[1], "", "ip addr add "+c.RIPs6[1].String()+"/64 dev eth0")
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin(t, "curl", "ip")
			c := newCourse(t, lab.CourseOptions{IPv6: true})
			servePages(t, c.Servers)
			d := courseDirector(t, c, tt.args...)
			if tt.off != "" {
				d.ctl(tt.off)
			}
			service := "-t " + netip.AddrPortFrom(tt.vip, 80).String()
			d.ctl("-A " + service + " -s rr")
			for _, rip := range tt.rips(c) {
				d.ctl("-a " + service + " -r " + netip.AddrPortFrom(rip, 80).String() + " -m")
			}
			victim := netip.AddrPortFrom(tt.rips(c)[1], 80).String()
			url := "http://" + netip.AddrPortFrom(tt.vip, 80).String() + "/"
			six := func() (answers string) {
				for range 6 {
					answers += strings.TrimSpace(curl(t, c.Clients[0], url)) + " "
				}
				return answers
			}
			if got := six(); strings.Count(got, "server-2") != 3 {
				t.Errorf("all is well, and the answers are from %s", got)
			}
			listing, saved := d.ctl("-L -n"), d.ctl("-S -n")
			events := d.begin("events --kind server")

			tt.away(t, c)
			// The kernel need not find out by itself, which takes half a minute.
			shell(t, c.Director, d.socket, "ip neigh flush dev dip0; natlb -Z")
			_, _ = lab.NewClient(c.Clients[0], netip.Addr{}).Get(within(t, 200*time.Millisecond), url)
			_, _ = lab.NewClient(c.Clients[0], netip.Addr{}).Get(within(t, 200*time.Millisecond), url)
			events.shows("server-unreachable")
			events.shows(victim + ", weight 1, quiesced until it can be reached")
			if got := six(); strings.Contains(got, "server-2") {
				t.Errorf("while server-2 is away the answers are from %s", got)
			}
			if got := d.ctl("-S -n"); got != saved {
				t.Errorf("-S has changed:\n%s", got)
			}
			checkShownLost(t, d, c, victim)

			tt.back(t, c)
			events.shows("server-reachable")
			if got := six(); strings.Count(got, "server-2") != 3 {
				t.Errorf("after server-2 has come back the answers are from %s", got)
			}
			if got := d.ctl("-L -n"); len(strings.Split(got, "\n")) != len(strings.Split(listing, "\n")) {
				t.Errorf("-L has changed:\n%s", got)
			}
			if got := examine(t, c.Director, d.socket); got.Faults != 0 {
				t.Errorf("the doctor after all:\n%s", &got)
			}
		})
	}
}

// checkShownLost checks that each of natlb's words shows a server that cannot be
// reached.
func checkShownLost(t *testing.T, d *director, c *lab.Course, victim string) {
	t.Helper()
	if got := d.ctl("watch --once"); !strings.Contains(got, "unreachable") {
		t.Errorf("natlb watch:\n%s", got)
	}
	var table struct {
		Services []struct {
			Destinations []struct {
				Address     string
				Weight      int
				Unreachable bool
				Withheld    bool
				Packets     int `json:"unreachable_packets"`
			}
		}
	}
	must(t, json.Unmarshal([]byte(d.ctl("-L --json")), &table))
	for _, s := range table.Services[0].Destinations {
		if lost := s.Address == victim; s.Unreachable != lost || s.Withheld != lost || s.Weight != 1 || lost && s.Packets == 0 {
			t.Errorf("natlb -L --json: %+v", s)
		}
	}
	if got := d.ctl("drops"); !strings.Contains(got, "1 real server cannot be reached") || !strings.Contains(got, victim) {
		t.Errorf("natlb drops:\n%s", got)
	}
	client := c.CIPs[0][0]
	if strings.HasPrefix(victim, "[") {
		client = c.CIPs6[0][0]
	}
	if got := d.ctl("explain tcp " + client.String() + " " + strings.Fields(d.ctl("-S -n"))[2]); !strings.Contains(got, "out: unreachable") {
		t.Errorf("natlb explain:\n%s", got)
	}
	got := examine(t, c.Director, d.socket)
	f := got.find(t, "neighbour", "fault", netip.MustParseAddrPort(victim).Addr().String())
	if !strings.Contains(f.Text, "no new connections") {
		t.Errorf("the doctor says %q", f.Text)
	}
}
