package e2e

// What natlb says when it cannot start, in the classroom of the course:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

// refused starts natlb run where it has to refuse: it ends by itself, not with
// 0, says why in one line that contains want, and leaves nothing.
func refused(t *testing.T, n *lab.Namespace, want string, args ...string) {
	t.Helper()
	refusedAt(t, n, socketPath(t), want, args...)
}

func refusedAt(t *testing.T, n *lab.Namespace, socket, want string, args ...string) {
	t.Helper()
	checkRefusal(t, n, exec.Command(program, append([]string{"run", "--socket", socket}, args...)...), want)
}

// checkRefusal runs a command that has to refuse as refused says.
func checkRefusal(t *testing.T, n *lab.Namespace, cmd *exec.Cmd, want string) {
	t.Helper()
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	must(t, n.Start(cmd))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		noError(t, cmd.Process.Kill())
		<-ended
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Exited() || status.ExitStatus() == 0 {
		t.Errorf("%q ended with %v, want an exit status other than 0 by itself:\n%s", cmd.Args, cmd.ProcessState, log)
	}
	var complaints []string
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "level=INFO") && !strings.Contains(line, "level=WARN") && !strings.HasPrefix(line, "hint: ") {
			complaints = append(complaints, strings.TrimSpace(line))
		}
	}
	if len(complaints) != 1 || !strings.Contains(complaints[0], want) {
		t.Errorf("%q said %q, want one line, hints aside, with %q", cmd.Args, complaints, want)
	}
}

func TestRefusals(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	links := []string{"--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink}
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"no interface", "--vip-if", nil},
		{"no inner interface", "--dip-if", []string{"--vip-if", lab.VIPLink}},
		{"unknown interface", `no interface "nowhere0" here; there are: lo, `, []string{"--vip-if", "nowhere0", "--dip-if", lab.DIPLink}},
		{"unknown inner interface", `"nowhere1"`, []string{"--vip-if", lab.VIPLink, "--dip-if", "nowhere1"}},
		{"loopback", "loopback", []string{"--vip-if", "lo", "--dip-if", lab.DIPLink}},
		{"unknown guard", "auto, nft or none", append(links, "--guard", "iptables")},
		{"unknown option", "--fast", append(links, "--fast")},
		{"no rules file", "no/such/file", append(links, "--rules", "/no/such/file")},
		{"socket in no directory", "/no/such/dir", append(links, "--socket", "/no/such/dir/natlb.sock")},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, c.Director, tt.want, tt.args...) })
	}
}

// Without the capability to open packet sockets the message names it.
func TestNoCapability(t *testing.T) {
	begin(t, "setpriv")
	c := newCourse(t, lab.CourseOptions{})
	for _, tt := range []struct{ drop, want string }{
		{"-all", "CAP_NET_RAW"},
		{"-net_raw", "CAP_NET_RAW"},
	} {
		cmd := exec.Command("setpriv", "--bounding-set", tt.drop, "--inh-caps", tt.drop,
			program, "run", "--socket", socketPath(t), "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
		checkRefusal(t, c.Director, cmd, tt.want)
	}
}

// Without CAP_NET_ADMIN the director cannot install the guard: where it needs
// that it refuses.
func TestNoNetAdmin(t *testing.T) {
	begin(t, "setpriv")
	c := newCourse(t, lab.CourseOptions{IPForward: true})
	cmd := exec.Command("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin",
		program, "run", "--socket", socketPath(t), "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
	checkRefusal(t, c.Director, cmd, "CAP_NET_ADMIN")
}

// A second director does not take the first one's socket away.
func TestSecondDirector(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	balance(d, c)
	refusedAt(t, c.Director, d.socket, d.socket, "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
	checkBalanced(t, c)
	if got := d.ctl("-L -n"); !strings.Contains(got, "192.168.0.178:80") {
		t.Errorf("after a second director was refused the first lists:\n%s", got)
	}
}

// A rules file starts the director with its services; one with a fault is
// refused whole, with the place of the fault.
func TestRulesFile(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const good = "-A -t 192.168.0.178:80 -s rr\n" +
		"-a -t 192.168.0.178:80 -r 192.168.56.101:80 -m -w 1\n" +
		"-a -t 192.168.0.178:80 -r 192.168.56.103:80 -m -w 1\n"
	for name, bad := range map[string]string{
		"unknown option":    good + "-A -t 192.168.0.178:81 --fast\n",
		"unknown scheduler": good + "-A -t 192.168.0.178:81 -s fastest\n",
		"bad address":       good + "-A -t 192.168.0.300:81\n",
		"no such service":   good + "-a -t 192.168.0.178:81 -r 192.168.56.101 -m\n",
		"twice":             good + "-A -t 192.168.0.178:80 -s rr\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := write("bad", bad)
			refused(t, c.Director, path+":4:", "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink, "--rules", path)
		})
	}
	d := courseDirector(t, c, "--rules", write("good", good))
	if got := d.ctl("-S -n"); got != good {
		t.Errorf("-S -n of a director started with a rules file:\n%s\nwant:\n%s", got, good)
	}
	checkBalanced(t, c)
}

// Clients that speak to nobody get one line and ipvsadm's exit status.
func TestNoDirector(t *testing.T) {
	begin(t)
	cmd := exec.Command(program, "-L", "-n")
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+socketPath(t))
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Count(string(out), "\n") != 1 {
		t.Errorf("natlb -L without a director = %v, %q, want a failure and one line", err, out)
	}
}
