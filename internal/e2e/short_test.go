package e2e

// Many short connections:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]─┬─ server-1: nginx
//	curl, Go                                                  └─ server-2: nginx

import (
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

// The first and last of 2,000 requests and those between are answered in the
// exact order of the round.
func TestShortRequests(t *testing.T) {
	begin(t, "nginx", "curl")
	c := newCourse(t, lab.CourseOptions{})
	for _, s := range c.Servers {
		startNginx(t, s, 80, t.TempDir(), s.Name())
	}
	d := courseDirector(t, c)
	balance(d, c)

	answers := fetch(t, firstClient(c), vipURL, 1500)
	out := curl(t, c.Clients[0], "--header", "Connection: close", vipURL+"?[1-500]")
	answers = append(answers, strings.Fields(out)...)
	if len(answers) != 2000 {
		t.Fatalf("%d answers, want 2000", len(answers))
	}
	checkTurns(t, answers, "server-2", "server-1")
}

// Clients that ask at the same time are shared out evenly to the last one.
func TestRequestsAtOnce(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{Clients: 2, Servers: 4})
	pages := servePages(t, c.Servers)
	d := courseDirector(t, c)
	balance(d, c)
	loads := []*load{startLoad(t, firstClient(c), 4), startLoad(t, lab.NewClient(c.Clients[1], c.CIPs[1][0]), 4)}
	for _, l := range loads {
		l.more(500)
	}
	for _, l := range loads {
		l.stopClean()
	}
	least, most := pages[0].Served(), pages[0].Served()
	for _, p := range pages {
		least, most = min(least, p.Served()), max(most, p.Served())
	}
	if most-least > 1 {
		t.Errorf("the servers answered between %d and %d requests, want a difference of at most 1", least, most)
	}
	await(t, "every connection is inactive", 5*time.Second, func() bool {
		active, _ := d.connections(c.RIPs[0].String() + ":80")
		return active == "0"
	})
}
