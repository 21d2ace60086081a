package e2e

// natlb demo builds its own lab, inside of which it plays the course:
//
//	this test ─► natlb demo --once ─► its namespaces ─► client, director, server-1, server-2

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The demonstration checks itself and ends with 0; as root and as a user.
func TestDemoOnce(t *testing.T) {
	begin(t, "setpriv")
	for _, tt := range []struct {
		name string
		user []string // a command in front of it
	}{
		{"as this user", nil},
		{"as an ordinary user", []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.user != nil {
				requireOrdinaryUser(t, tt.user)
			}
			checkDemo(t, tt.user)
		})
	}
}

// requireOrdinaryUser skips where root cannot become the user, as in a user
// namespace that knows root alone (then this user is an ordinary one already),
// or where users may not have user namespaces.
func requireOrdinaryUser(t *testing.T, as []string) {
	t.Helper()
	if out, err := exec.Command(as[0], append(as[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("no other user here: %v: %s", err, out)
	}
	if out, err := exec.Command(as[0], append(as[1:], "unshare", "--user", "--net", "--map-root-user", "true")...).CombinedOutput(); err != nil {
		t.Skipf("no user namespaces for ordinary users here: %v: %s", err, out)
	}
}

func checkDemo(t *testing.T, user []string) {
	t.Helper()
	mark, cmd := demoCommand(t, user, "--once")
	out, complaint := &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("natlb demo --once: %v\n%s\n%s", err, complaint, out)
	}
	transcript := out.String()
	for _, want := range []string{
		"-A -t 192.168.0.178:80 -s rr",
		"-a -t 192.168.0.178:80 -r 192.168.56.101:8088 -m",
		"-a -t 192.168.0.178:80 -r 192.168.56.103 -m",
		"server-1 is 8888", "server-2 is 80",
		"  -> 192.168.56.101:8088          Masq    1      0          ",
		"Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes",
		"-L -n -c", "TIME_WAIT", "-S -n", "-C", "-R", "-A -u 192.168.0.178:",
	} {
		if !strings.Contains(transcript, want) {
			t.Errorf("the transcript lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("the transcript:\n%s", transcript)
	}
	checkGone(t, mark)
}

// When its first process is killed, the others of the live demonstration go,
// too.
func TestDemoKilled(t *testing.T) {
	begin(t)
	mark, cmd := demoCommand(t, nil)
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	await(t, "the demonstration has its director", 30*time.Second, func() bool { return len(marked(t, mark)) > 3 })
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("a killed demonstration ended with 0")
	}
	checkGone(t, mark)
}

// demoCommand is natlb demo with a mark in its environment, which all its
// processes inherit.
func demoCommand(t *testing.T, user []string, args ...string) (mark string, cmd *exec.Cmd) {
	t.Helper()
	mark = fmt.Sprintf("NATLB_E2E_MARK=%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
	argv := append(append(user[:len(user):len(user)], program, "demo"), args...)
	cmd = exec.CommandContext(within(t, time.Minute), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), mark, "HOME=/")
	cmd.WaitDelay = 10 * time.Second
	return mark, cmd
}

// checkGone checks that no process with the mark is left.
func checkGone(t *testing.T, mark string) {
	t.Helper()
	await(t, "every process of the demonstration is gone", 5*time.Second, func() bool { return len(marked(t, mark)) == 0 })
}

// marked lists the processes with the mark in their environment.
func marked(t *testing.T, mark string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	for _, name := range files {
		env, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(env, []byte(mark)) {
			continue // ended meanwhile, or a stranger's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		must(t, err)
		pids = append(pids, pid)
	}
	return pids
}
