package e2e

// The lab that tests of IPv6 build on, here without natlb: the director's own kernel
// routes.
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1: nginx
//	curl       2001:db8:0:168::/64          2001:db8:0:56::/64

import (
	"testing"

	"natlb/internal/lab"
	"natlb/internal/lab/labtest"
)

func TestLabOfIPv6(t *testing.T) {
	begin(t, "nginx", "curl")
	c := labtest.Course(t, lab.CourseOptions{IPv6: true, IPForward: true, Servers: 1})
	startNginx(t, c.Servers[0], 80, t.TempDir(), "server-1")
	for _, url := range []string{"http://192.168.56.101/", "http://[2001:db8:0:56::101]/"} {
		if got := curl(t, c.Clients[0], url); got != "server-1\n" {
			t.Errorf("curl %s = %q", url, got)
		}
	}
}
