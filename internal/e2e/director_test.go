package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"natlb/internal/lab"
)

// director is a running `natlb run`.
type director struct {
	t      *testing.T
	ns     *lab.Namespace
	socket string
	cmd    *exec.Cmd
	log    *logBuffer
	ended  chan error       // what Wait said, once
	behind []*lab.Namespace // the course's servers
	gone   bool             // ended has been read
}

// shardsVariable is the environment's say on how many shards directors have.
const shardsVariable = "NATLB_E2E_SHARDS"

// stopPatience is how long a director may take to end after SIGTERM.
const stopPatience = 3 * time.Second

// courseDirector starts a director on the course's links.
func courseDirector(t *testing.T, c *lab.Course, args ...string) *director {
	t.Helper()
	d := startDirector(t, c.Director, append([]string{"--vip-if", c.ClientSide, "--dip-if", c.ServerSide}, args...)...)
	d.behind = c.Servers
	return d
}

// startDirector starts natlb run in the namespace and waits until it says that
// it is ready. When the test ends it is stopped by SIGTERM, has to end cleanly
// and must leave nothing behind.
func startDirector(t *testing.T, ns *lab.Namespace, args ...string) *director {
	t.Helper()
	d := launch(t, ns, socketPath(t), args...)
	d.awaitReady()
	return d
}

// awaitReady waits until the director says that it is ready.
func (d *director) awaitReady() {
	d.t.Helper()
	await(d.t, "the director is ready", 10*time.Second, func() bool {
		return d.log.contains("msg=ready") || d.hasEnded()
	})
	if d.hasEnded() {
		d.t.Fatal("the director has ended before it was ready")
	}
}

// launch starts natlb run without waiting for anything.
func launch(t *testing.T, ns *lab.Namespace, socket string, args ...string) *director {
	t.Helper()
	return launchWith(t, ns, socket, nil, args...)
}

// launchWith is launch with more in the environment.
func launchWith(t *testing.T, ns *lab.Namespace, socket string, env []string, args ...string) *director {
	t.Helper()
	first := []string{"run", "--socket", socket}
	if n := os.Getenv(shardsVariable); n != "" {
		first = append(first, "--shards", n)
	}
	cmd := exec.Command(program, append(first, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return launchCommand(t, ns, socket, cmd)
}

// launchCommand is launch with a command of the caller's, which runs natlb run
// on that socket.
func launchCommand(t *testing.T, ns *lab.Namespace, socket string, cmd *exec.Cmd) *director {
	t.Helper()
	d := &director{t: t, ns: ns, socket: socket, cmd: cmd, log: &logBuffer{}, ended: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := ns.Start(d.cmd); err != nil {
		t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() {
		if !d.gone {
			d.stop()
		}
		if t.Failed() {
			t.Logf("the director's log:\n%s", d.log)
		}
	})
	return d
}

// hasEnded reports whether the director has ended by itself.
func (d *director) hasEnded() bool {
	if !d.gone {
		select {
		case <-d.ended:
			d.gone = true
		default:
		}
	}
	return d.gone
}

// stop ends the director as systemd does and checks how it went.
func (d *director) stop() {
	d.t.Helper()
	if d.hasEnded() {
		d.t.Errorf("the director has ended before it was told to: %v", d.cmd.ProcessState)
		return
	}
	noError(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("the director ended with %v, want exit status 0", err)
		}
	case <-time.After(stopPatience):
		d.t.Errorf("the director is still there %v after SIGTERM", stopPatience)
		noError(d.t, d.cmd.Process.Kill())
		<-d.ended
	}
	d.gone = true
	if tables := nftTables(d.t, d.ns); len(tables) > 0 {
		d.t.Errorf("nftables tables left behind: %v", tables)
	}
	if _, err := os.Lstat(d.socket); !errors.Is(err, os.ErrNotExist) {
		d.t.Errorf("the socket %s is left behind", d.socket)
	}
}

// kill ends the director without a chance to tidy up.
func (d *director) kill() {
	d.t.Helper()
	noError(d.t, d.cmd.Process.Kill())
	<-d.ended
	d.gone = true
}

// ctl gives the director one ipvsadm command line, whose words are separated by
// blanks, and returns what it prints. The command has to succeed.
func (d *director) ctl(line string) string {
	d.t.Helper()
	out, err := d.try(line, "")
	if err != nil {
		d.t.Fatalf("natlb %s: %v\n%s", line, err, out)
	}
	return out
}

// try is ctl for commands that may fail; stdin is what they read.
func (d *director) try(line, stdin string) (output string, err error) {
	cmd := exec.Command(program, strings.Fields(line)...)
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+d.socket)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// connections is how many connections of a kind the listing counts for a real
// server, given as RIP:port: active ones or inactive ones.
func (d *director) connections(server string) (active, inactive string) {
	d.t.Helper()
	for line := range strings.Lines(d.ctl("-L -n")) {
		f := strings.Fields(line)
		if len(f) == 6 && f[0] == "->" && f[1] == server {
			return f[4], f[5]
		}
	}
	d.t.Fatalf("no server %s in\n%s", server, d.ctl("-L -n"))
	return "", ""
}

// socketPath is a fresh path, short enough for a Unix socket's address.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "natlb.sock")
}

// nftTables are the names of the nftables tables in the namespace; none where
// the kernel has no nftables.
func nftTables(t *testing.T, ns *lab.Namespace) (names []string) {
	t.Helper()
	err := ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := conn.ListTables()
		for _, table := range tables {
			names = append(names, table.Name)
		}
		return err
	})
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EPROTONOSUPPORT) && !errors.Is(err, os.ErrClosed) {
		t.Errorf("listing nftables tables: %v", err)
	}
	return names
}

// logBuffer keeps what a program has written so far.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) contains(s string) bool { return strings.Contains(b.String(), s) }

// await waits for a condition, looking every few milliseconds.
func await(t *testing.T, what string, limit time.Duration, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for !condition() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %v, still not so: %s", limit, what)
		}
	}
}
