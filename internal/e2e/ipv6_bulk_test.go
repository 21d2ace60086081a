package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
)

var vipURL6 = fmt.Sprintf("http://[%v]/", lab.VIP6)

// Files both ways over IPv6, with every state of the offloads, and with links of two
// MTUs, so that packets are too big for the narrow one.
func TestBulkOfIPv6(t *testing.T) {
	begin(t, "nginx", "curl")
	for _, plan := range []struct {
		name    string
		offload lab.Offload
		size    int
		course  lab.CourseOptions
	}{
		{"offloads on", lab.SuperPackets, 64 * mega, lab.CourseOptions{}},
		{"offloads off", lab.Complete, 8 * mega, lab.CourseOptions{}},
		{"narrow servers' side", lab.SuperPackets, 8 * mega, lab.CourseOptions{ServerMTU: 1300}},
		{"narrow clients' side", lab.SuperPackets, 8 * mega, lab.CourseOptions{ClientMTU: 1300}},
	} {
		t.Run(plan.name, func(t *testing.T) {
			plan.course.IPv6, plan.course.Servers = true, 1
			c := newCourse(t, plan.course)
			must(t, c.SetOffload(plan.offload))
			content, dir := randomBytes(plan.size), t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "big"), content, 0o600))
			startNginx(t, c.Servers[0], 80, dir, "server-1")
			d := courseDirector(t, c)
			for _, line := range course6(c) {
				d.ctl(line)
			}
			out, complaint := &comparer{want: content}, &bytes.Buffer{}
			if err := startCurl(c.Clients[0], out, complaint, vipURL6+"files/big"); err != nil || out.read != len(content) {
				t.Errorf("curl downloaded %d bytes, %v: %s", out.read, err, complaint)
			}
			if err := startCurl(c.Clients[0], io.Discard, complaint, "--upload-file", filepath.Join(dir, "big"), vipURL6+"files/stored"); err != nil {
				t.Errorf("curl --upload-file: %v: %s", err, complaint)
			}
			stored, err := os.ReadFile(filepath.Join(dir, "stored"))
			if err != nil || sha256.Sum256(stored) != sha256.Sum256(content) {
				t.Errorf("the server has stored %d bytes (%v) that differ from the %d sent", len(stored), err, len(content))
			}
			if t.Failed() {
				t.Log(d.ctl("drops"))
			}
		})
	}
}

// Datagrams over IPv6: one frame, two fragments, and the most that UDP can carry.
func TestUDPOfIPv6(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{IPv6: true})
	d := courseDirector(t, c)
	service := netip.AddrPortFrom(lab.VIP6, 53)
	d.ctl(fmt.Sprintf("-A -u %v -s rr", service))
	for i, s := range c.Servers {
		serveEcho(t, s, ":53")
		d.ctl(fmt.Sprintf("-a -u %v -r %v -m", service, netip.AddrPortFrom(c.RIPs6[i], 53)))
	}
	for _, size := range []int{0, 1, 1452, 1453, 8 << 10, 65507 - len("server-1:")} {
		payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		answer, err := firstClient(c).Echo(within(t, 20*time.Second), service, payload, 5)
		if _, got, _ := strings.Cut(answer, ":"); err != nil || got != payload {
			t.Errorf("%d bytes came back as %d (%v)", size, len(got), err)
		}
	}
	if t.Failed() {
		t.Log(d.ctl("drops"))
	}
}

// An IPv6 question of natlb explain is answered as the packets will be.
func TestExplainOfIPv6(t *testing.T) {
	begin(t, "curl")
	c := newCourse(t, lab.CourseOptions{IPv6: true})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	for _, line := range course6(c) {
		d.ctl(line)
	}
	curl(t, c.Clients[0], vipURL6)
	client := netip.AddrPortFrom(c.CIPs6[0][0], 40001)
	said := d.ctl(fmt.Sprintf("explain tcp %v %v", client, netip.AddrPortFrom(lab.VIP6, 80)))
	got := strings.TrimSpace(curl(t, c.Clients[0], "--local-port", "40001", vipURL6))
	for i, rip := range c.RIPs6 {
		if is := strings.Contains(said, fmt.Sprintf("%v > %v", client, netip.AddrPortFrom(rip, 80))); is != (got == c.Servers[i].Name()) {
			t.Errorf("it was %s, explained was:\n%s", got, said)
		}
	}
}
