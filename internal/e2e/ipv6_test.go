package e2e

// The course over IPv6:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2: nginx
//	curl       2001:db8:0:168::/64          2001:db8:0:56::/64
//
// Servers have the DIP as default route, clients are on the VIP's network: they find
// the VIP by neighbour discovery.

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

// course6 are the rules of the course, of IPv6.
func course6(c *lab.Course) (lines []string) {
	service := netip.AddrPortFrom(lab.VIP6, 80).String()
	lines = append(lines, "-A -t "+service+" -s rr")
	for _, rip := range c.RIPs6 {
		lines = append(lines, "-a -t "+service+" -r "+netip.AddrPortFrom(rip, 80).String()+" -m")
	}
	return lines
}

func TestCurlOfIPv6(t *testing.T) {
	begin(t, "curl")
	for name, o := range map[string]lab.CourseOptions{
		"natlb owns the VIP":    {IPv6: true},
		"the host owns the VIP": {IPv6: true, HostOwnsVIP: true, IPForward: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCourse(t, o)
			servePages(t, c.Servers)
			d := courseDirector(t, c)
			for _, line := range course6(c) {
				d.ctl(line)
			}
			url := fmt.Sprintf("http://[%v]/", lab.VIP6)
			seen := map[string]int{}
			for range 6 {
				seen[strings.TrimSpace(curl(t, c.Clients[0], url))]++
			}
			if len(seen) != 2 || seen["server-1"] != 3 {
				t.Errorf("six times curl: %v, want three times each server", seen)
			}
			if err := firstClient(c).Ping(within(t, 10*time.Second), lab.VIP6, 5); err != nil {
				t.Errorf("ping of the VIP: %v", err)
			}
			if got := d.ctl("-L -n --stats"); !strings.Contains(got, lab.VIP6.String()) {
				t.Errorf("the service is not listed:\n%s", got)
			}
			if t.Failed() {
				t.Log(d.ctl("-L -n -c"), d.ctl("drops"))
			}
		})
	}
}
