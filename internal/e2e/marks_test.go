package e2e

// Firewall marks, persistence and the rules file, in the classroom:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"natlb/internal/lab"
)

// native runs one of natlb's own words against d's director.
func (d *director) native(words ...string) string {
	d.t.Helper()
	cmd := exec.Command(program, words...)
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+d.socket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("natlb %s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// TestMarkedService reaches a service through a firewall mark alone, and binds
// the client to one server.
func TestMarkedService(t *testing.T) {
	for _, owns := range []bool{false, true} {
		t.Run(map[bool]string{false: "natlb owns the VIP", true: "the host owns the VIP"}[owns], func(t *testing.T) {
			begin(t)
			c := newCourse(t, lab.CourseOptions{HostOwnsVIP: owns, IPForward: owns})
			servePages(t, c.Servers)
			d := courseDirector(t, c)
			d.native("mark", "-A", "PREROUTING", "-d", "192.168.0.178/32", "-p", "tcp", "-m", "multiport", "--dports", "80,443",
				"-j", "MARK", "--set-mark", "1")
			balanceOver(d, "-f 1", c.RIPs...)
			checkBalanced(t, c)
			if got, want := d.native("mark", "-S"), "-P PREROUTING ACCEPT\n"+
				"-A PREROUTING -d 192.168.0.178/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x1/0xffffffff\n"; got != want {
				t.Errorf("mark -S printed\n%swant\n%s", got, want)
			}
			d.ctl("-E -f 1 -s rr -p 60")
			answers := fetch(t, firstClient(c), vipURL, 6)
			for _, a := range answers {
				if a != answers[0] {
					t.Errorf("a persistent service answered %q, want one server", answers)
					break
				}
			}
			if got := d.ctl("-L -n -c"); !strings.Contains(got, "0.0.0.1:0") {
				t.Errorf("no template in the listing:\n%s", got)
			}
			d.native("mark", "-F")
		})
	}
}

// TestSavedRules saves everything, and starts another director with it.
func TestSavedRules(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	balance(d, c)
	d.ctl("-a -t 192.168.0.178:80 -r 192.168.56.99:80 -m -w 0 -x 10 -y 5")
	d.ctl("--set 600 60 30")
	d.native("sysctl", "net.ipv4.vs.conn_reuse_mode=0")
	d.native("mark", "-A", "PREROUTING", "-d", "192.168.0.179", "-j", "MARK", "--set-mark", "7")
	saved := d.native("save")
	file := filepath.Join(t.TempDir(), "rules")
	must(t, os.WriteFile(file, []byte(saved), 0o600))
	d.stop()

	again := courseDirector(t, c, "--rules", file)
	if got := again.native("save"); got != saved {
		t.Errorf("saved rules, restarted and saved again:\n%swant\n%s", got, saved)
	}
	forget(t, c.Clients[0])
	checkBalanced(t, c)
}
