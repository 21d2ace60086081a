package e2e

// A rules file becomes the running state, by natlb apply and by SIGHUP:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

// run gives the director's words a command line and what to read; it returns what
// the command says and its exit status.
func (d *director) run(stdin string, words ...string) (stdout, stderr string, status int) {
	d.t.Helper()
	var out, complaints bytes.Buffer
	cmd := exec.Command(program, words...)
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+d.socket)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &complaints
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}

// courseRules are the rules of the course, and a service that goes on whatever
// changes around it.
func courseRules(c *lab.Course, mirror string) string {
	return fmt.Sprintf(`-A -t 192.168.0.178:80 -s rr
-a -t 192.168.0.178:80 -r %[1]v -m
-a -t 192.168.0.178:80 -r %[2]v -m
-A -t 192.168.0.178:%[3]s -s wlc
-a -t 192.168.0.178:%[3]s -r %[1]v -m
`, c.RIPs[0], c.RIPs[1], mirror)
}

// SIGHUP applies a file that has changed: what goes on through the director goes
// on, and a file with a fault changes nothing.
func TestReload(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	content := randomBytes(200 * mega)
	mirror := serveMirror(t, c.Servers[0], content)
	path := filepath.Join(t.TempDir(), "natlb.rules")
	rules := courseRules(c, mirror)
	must(t, os.WriteFile(path, []byte(rules), 0o600))
	d := courseDirector(t, c, "--rules", path)
	reload := func(text, says string) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o600))
		before := strings.Count(d.log.String(), says)
		noError(t, d.cmd.Process.Signal(syscall.SIGHUP))
		await(t, "the director says "+says, 10*time.Second, func() bool { return strings.Count(d.log.String(), says) > before })
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		exchange(t, c.Clients[0], "192.168.0.178:"+mirror, content)
	}()
	await(t, "the connection is under way", 10*time.Second, func() bool { return strings.Contains(d.ctl("-L -n -c"), "ESTABLISHED") })
	load := startLoad(t, firstClient(c), 4)
	load.more(20)
	reload(rules, "are the running state already")
	lines := strings.SplitAfter(rules, "\n")
	changed := "--set 600 60 30\nsysctl net.ipv4.vs.expire_nodest_conn=1\n-A -u 192.168.0.178:53\n" +
		lines[0] + lines[2] + lines[1] + strings.TrimSuffix(lines[3], "\n") + " -p 60\n" + strings.TrimSuffix(lines[4], "\n") + " -w 7 -x 100\n"
	reload(changed, "the rules are applied")
	saved := d.native("save")
	reload(rules, "the rules are applied")
	load.more(20)
	reload(changed, "the rules are applied")
	if again := d.native("save"); again != saved {
		t.Errorf("the same file makes\n%s and then\n%s", saved, again)
	}
	select {
	case <-done:
		t.Error("the connection is over: it has to be longer to be a test")
	default:
	}
	load.more(20)
	load.stopClean()

	reload(strings.Replace(changed, "-s rr", "-s rrr", 1)+"bogus\n", "the running state is as it was")
	for _, want := range []string{path + ":4:27: unknown scheduler", path + ":9:1: ", "faults=2"} {
		if !d.log.contains(want) {
			t.Errorf("the log does not name the fault %s", want)
		}
	}
	must(t, os.Remove(path))
	before := strings.Count(d.log.String(), "the running state is as it was")
	noError(t, d.cmd.Process.Signal(syscall.SIGHUP))
	await(t, "the director says that the file is gone", 5*time.Second, func() bool {
		return strings.Count(d.log.String(), "the running state is as it was") > before
	})
	if again := d.native("save"); again != saved {
		t.Errorf("files with faults have changed\n%s into\n%s", saved, again)
	}
	<-done
	checkBalanced(t, c)
}

// natlb apply shows what it does, and its exit status tells how it went.
func TestApplyCommand(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	rules := courseRules(c, "81")
	for _, tt := range []struct {
		name, stdin, words string
		out, complaint     string // what is said contains this; nothing for ""
		status             int
	}{
		{"check", rules, "apply - --check", "stdin: good, services 2, servers 3, marks 0; the running director would take it", "", 0},
		{"diff", rules, "apply - --diff", "+ -A -t 192.168.0.178:80 -s rr\n+ -a -t 192.168.0.178:80 -r " + c.RIPs[0].String() + ":80 -m -w 1\n", "", 3},
		{"apply", rules, "apply -", "+ -A -t 192.168.0.178:80 -s rr\n", "", 0},
		{"again", rules, "apply -", "", "", 0},
		{"no difference", rules, "apply - --diff", "", "", 0},
		{"as JSON", rules, "apply - --diff --json", `{"schema":1,"applied":false,"steps":[],"changes":[]}`, "", 0},
		{"its own save", "", "apply -", "", "", 0},
		{"fault", rules + "\n-a -t 192.168.0.178:80 -r " + c.RIPs[0].String() + " -m\n", "apply -", "",
			"stdin:7:27: destination already exists\nhint: ", 1},
		{"refused by the host alone", rules + "-a -t 192.168.0.178:80 -r 192.168.56.255 -m\n", "apply -", "+ -a -t 192.168.0.178:80 -r 192.168.56.255:80 -m -w 1\n",
			"stdin:6:27: real server address 192.168.56.255 is the broadcast address", 1},
		{"refused by the host alone, asked before", rules + "-a -t 192.168.0.178:80 -r 192.168.56.255 -m\n", "apply - --check", "",
			"stdin:6:27: real server address 192.168.56.255 is the broadcast address", 1},
		{"no file", "", "apply /no/such", "", "hint: ", 1},
		{"no director", rules, "apply - --socket /no/such", "", "hint: ", 2},
		{"check without a director", rules, "apply - --check --socket /no/such", "no director is running to ask", "", 0},
		{"set", "", "set tcp 10m conn_reuse_mode=0 lblc_expiration 1d", "", "", 0},
		{"set is whole", "", "set udp 10s no_such=1", "", "unknown sysctl: net.ipv4.vs.no_such\nhint: ", 1},
		{"set shows", "", "set tcp", "tcp  10m*  (default 15m)", "", 0},
		{"set has changed", "", "save", "--set 600 120 300\nsysctl net.ipv4.vs.conn_reuse_mode=0\n-A", "", 0},
	} {
		if tt.name == "its own save" {
			tt.stdin = d.native("save")
		}
		out, complaint, status := d.run(tt.stdin, strings.Fields(tt.words)...)
		if status != tt.status || !strings.Contains(out, tt.out) || tt.out == "" && out != "" ||
			!strings.Contains(complaint, tt.complaint) || tt.complaint == "" && complaint != "" {
			t.Errorf("%s: natlb %s says\n%s%s and ends with %d, want %q, %q and %d", tt.name, tt.words, out, complaint, status, tt.out, tt.complaint, tt.status)
		}
	}
	checkBalanced(t, c)
}
