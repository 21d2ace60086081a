package e2e

// Words that go on while something happens: events, watch, drain.
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"natlb/internal/lab"
)

// job is a natlb command that goes on.
type job struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err logBuffer
	ended    chan struct{}
}

// begin starts a natlb command line, whose words are separated by blanks.
func (d *director) begin(line string) *job {
	d.t.Helper()
	j := &job{t: d.t, ended: make(chan struct{})}
	j.cmd = exec.Command(program, strings.Fields(line)...)
	j.cmd.Env = append(os.Environ(), "NATLB_SOCKET="+d.socket)
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.err
	j.start()
	return j
}

func (j *job) start() {
	j.t.Helper()
	must(j.t, j.cmd.Start())
	go func() {
		_ = j.cmd.Wait() // its status is in ProcessState
		close(j.ended)
	}()
	j.t.Cleanup(func() {
		_ = j.cmd.Process.Kill()
		<-j.ended
	})
}

// shows waits until the output has something.
func (j *job) shows(what string) {
	j.t.Helper()
	await(j.t, fmt.Sprintf("%q shows %q", j.cmd.Args, what), 20*time.Second, func() bool {
		select {
		case <-j.ended:
			if !j.out.contains(what) {
				j.t.Fatalf("%q has ended without %q:\n%s%s", j.cmd.Args, what, &j.out, &j.err)
			}
		default:
		}
		return j.out.contains(what)
	})
}

// ends waits until the command ends, with that exit status.
func (j *job) ends(status int) {
	j.t.Helper()
	select {
	case <-j.ended:
	case <-time.After(20 * time.Second):
		j.t.Fatalf("%q does not end:\n%s%s", j.cmd.Args, &j.out, &j.err)
	}
	if got := j.cmd.ProcessState.ExitCode(); got != status {
		j.t.Errorf("%q ended with status %d, want %d:\n%s%s", j.cmd.Args, got, status, &j.out, &j.err)
	}
}

// hold opens a connection through the VIP and keeps it.
func hold(t *testing.T, c *lab.Course) net.Conn {
	t.Helper()
	conn, err := c.Clients[0].Dial(within(t, 20*time.Second), "tcp4", netip.AddrPort{}, "192.168.0.178:80")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// holdOf opens connections until one is with that server, and returns it.
func holdOf(t *testing.T, c *lab.Course, d *director, server string) net.Conn {
	t.Helper()
	for range len(c.Servers) {
		conn := hold(t, c)
		await(t, "the connection is counted", 10*time.Second, func() bool {
			return strings.Contains(d.ctl("conns --state ESTABLISHED"), conn.LocalAddr().String())
		})
		if strings.Contains(d.ctl("conns --server "+server), conn.LocalAddr().String()) {
			return conn
		}
		conn.Close()
		await(t, "the other server's connection is gone", 10*time.Second, func() bool {
			return !strings.Contains(d.ctl("conns --state ESTABLISHED"), conn.LocalAddr().String())
		})
	}
	t.Fatalf("no connection came to %s", server)
	return nil
}

func TestEventsOfARequest(t *testing.T) {
	begin(t, "curl")
	c, d := running(t, lab.CourseOptions{})
	all := d.begin("events")
	ends := d.begin("events --json --kind state -t 192.168.0.178:80 --client " + c.CIPs[0][0].String() + " --count 2")
	others := d.begin("events --kind conn --client 10.9.9.9")
	changes := d.begin("events --kind config,server")
	await(t, "all four follow", 10*time.Second, func() bool {
		d.ctl("--set 901 0 0") // something to see
		return all.out.contains("config set") && changes.out.contains("config set")
	})
	// The other two see nothing of that: they have begun when they see the request.
	await(t, "the request is seen", 20*time.Second, func() bool {
		curl(t, c.Clients[0], "192.168.0.178")
		select {
		case <-ends.ended:
			return true
		default:
			return false
		}
	})
	ends.ends(0)
	var first struct {
		Schema                      int
		Kind, State, Reason, Client string
		Before                      string `json:"state_before"`
	}
	lines := strings.SplitAfter(ends.out.String(), "\n")
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 3 || first.Schema != 1 || first.Kind != "state" ||
		!strings.HasPrefix(first.Client, c.CIPs[0][0].String()+":") {
		t.Errorf("as JSON: %v\n%s", err, &ends.out)
	}
	all.shows("born   TCP " + c.CIPs[0][0].String())
	all.shows("NONE > SYN_RECV, client's syn")
	all.shows("SYN_RECV > ESTABLISHED, client's ack")
	d.ctl("-e -t 192.168.0.178:80 -r 192.168.56.101 -m -w 0")
	changes.shows("server-quiesced TCP 192.168.0.178:80 server 192.168.56.101:80, weight 1 > 0")
	if got := others.out.String() + others.err.String(); got != "" {
		t.Errorf("told of another client: %s", got)
	}
	noError(t, all.cmd.Process.Signal(syscall.SIGINT))
	all.ends(0)
	d.stop()
	changes.ends(2)
	others.ends(2)
}

func TestDrain(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	conn := holdOf(t, c, d, "192.168.56.101")
	j := d.begin("drain -t 192.168.0.178:80 -r 192.168.56.101")
	j.shows("weight 1 > 0\n1 active, ")
	for _, answer := range fetch(t, firstClient(c), vipURL, 5) {
		if answer != c.Servers[1].Name() {
			t.Errorf("%s answered while server-1 was drained", answer)
		}
	}
	conn.Close()
	j.shows("0 active, ")
	j.ends(0)
	j.shows("drained after ")
	undo(t, d, j, "-e -t 192.168.0.178:80 -r 192.168.56.101:80 -m -w 1")
	checkBalanced(t, c)
}

// undo runs the line that a drain has printed.
func undo(t *testing.T, d *director, j *job, want string) {
	t.Helper()
	_, line, _ := strings.Cut(j.out.String(), "To give it back:\n  natlb ")
	line, _, _ = strings.Cut(line, "\n")
	if line != want {
		t.Errorf("to undo it: %q, want %q\n%s", line, want, &j.out)
	}
	d.ctl(line)
}

func TestDrainDeadline(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	d.ctl("-e -t 192.168.0.178:80 -r 192.168.56.101 -m -w 7 -x 1000 -y 500")
	holdOf(t, c, d, "192.168.56.101")
	j := d.begin("drain -t 192.168.0.178:80 -r 192.168.56.101:80 --deadline 300ms")
	j.ends(3)
	j.shows("1 connection is left; weight 0 stays")
	undo(t, d, j, "-e -t 192.168.0.178:80 -r 192.168.56.101:80 -m -w 7 -x 1000 -y 500")

	interrupted := d.begin("drain --all-services -r 192.168.56.101 --then delete --json")
	interrupted.shows(`"state":"draining"`)
	noError(t, interrupted.cmd.Process.Signal(syscall.SIGINT))
	interrupted.ends(130)
	interrupted.shows(`"state":"interrupted"`)

	deleted := d.begin("drain -t 192.168.0.178:80 -r 192.168.56.101:80 --then delete")
	deleted.shows("1 active")
	d.ctl("-d -t 192.168.0.178:80 -r 192.168.56.101:80")
	deleted.ends(1)
	if !deleted.err.contains("was deleted by somebody else, with 1 of its connections left") {
		t.Errorf("somebody else deleted the server: %s", &deleted.err)
	}
	idle := d.begin("drain -t 192.168.0.178:80 -r 192.168.56.103 --then delete")
	idle.ends(0)
	idle.shows("and deleted")
	if out := d.ctl("-S -n"); strings.Contains(out, "-r") {
		t.Errorf("after both servers were deleted:\n%s", out)
	}
	none := d.begin("drain -t 192.168.0.178:80 -r 192.168.56.103")
	none.ends(1)
	if !none.err.contains("there is no such server 192.168.56.103 in that service") {
		t.Errorf("draining a server that is not there: %s", &none.err)
	}
}

// A drained server with persistent clients: they stay by default, and leave when
// their templates are taken away.
func TestDrainBreaksPersistence(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	d.ctl("-E -t 192.168.0.178:80 -s rr -p 300")
	server := fetch(t, firstClient(c), vipURL, 1)[0]
	rip := c.RIPs[0]
	if server != c.Servers[0].Name() {
		rip = c.RIPs[1]
	}
	j := d.begin("drain -t 192.168.0.178:80 -r " + rip.String())
	j.ends(0)
	if !j.err.contains("1 persistence templates go on bringing their clients") {
		t.Errorf("no hint about the template: %s", &j.err)
	}
	if got := fetch(t, firstClient(c), vipURL, 1)[0]; got != server {
		t.Errorf("persistence was not respected: %s answered after %s", got, server)
	}
	d.begin("drain -t 192.168.0.178:80 --break-persistence -r " + rip.String()).ends(0)
	if got := fetch(t, firstClient(c), vipURL, 1)[0]; got == server {
		t.Errorf("%s still answers, without a template and with weight 0", got)
	}
}

func TestConns(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	conn := hold(t, c)
	client := conn.LocalAddr().String()
	await(t, "the connection is established", 10*time.Second, func() bool {
		return strings.Contains(d.ctl("conns --state established"), client)
	})
	for words, want := range map[string]int{
		"--client " + c.CIPs[0][0].String():           1,
		"--client 192.168.0.0/16 -t 192.168.0.178:80": 1,
		"--client 10.0.0.0/8":                         0,
		"-t 192.168.0.178:81":                         0,
		"--server 192.168.56.9":                       0,
		"--server 192.168.56.101:81":                  0,
		"--limit 1":                                   1,
	} {
		if got := strings.Count(d.ctl("conns --json --state ESTABLISHED "+words), "\n"); got != want {
			t.Errorf("conns %s lists %d connections, want %d", words, got, want)
		}
	}
	if got := strings.Count(d.ctl("conns --limit 3"), "\n"); got != 1+3 {
		t.Errorf("conns --limit 3 prints %d lines, want a header and 3", got)
	}
	for _, by := range []string{"server", "client", "state", "service"} {
		if out := d.ctl("conns --state ESTABLISHED --count-by " + by); !regexp.MustCompile(`(?m)^ +1 +0  \(total\)$`).MatchString(out) {
			t.Errorf("conns --count-by %s:\n%s", by, out)
		}
	}
	for _, bad := range []string{"conns --count-by shoe", "conns --client x", "conns -t 1.2.3.4:80 -u 1.2.3.4:80", "conns --server :80", "events --kind shoe", "watch --sort shoe", "watch --interval 0s"} {
		if out, err := d.try(bad, ""); err == nil || !strings.HasPrefix(out, "natlb: ") {
			t.Errorf("%s: %v %q", bad, err, out)
		}
	}
}

func TestWatchIntoAPipe(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	load := startLoad(t, firstClient(c), 2)
	load.more(10)
	j := d.begin("watch --interval 200ms --sort conns")
	row := regexp.MustCompile(`(?m)^  192\.168\.56\.10[13]:80 +1 up +\d+ +\d+ +0 +[1-9][\d.]* +[1-9]\d* +[1-9]\d* +[1-9]\d* +[1-9]\d*$`)
	await(t, "rates of both servers, twice", 20*time.Second, func() bool { return len(row.FindAllString(j.out.String(), -1)) >= 4 })
	noError(t, j.cmd.Process.Signal(syscall.SIGINT))
	j.ends(0)
	if strings.Contains(j.out.String(), "\x1b") {
		t.Error("terminal sequences in a pipe")
	}
	once := d.ctl("watch --once --json --interval 100ms")
	var table struct {
		Schema   int
		Services []struct {
			Destinations []struct {
				State     string
				PerSecond map[string]float64 `json:"per_second"`
			}
		}
	}
	if err := json.Unmarshal([]byte(once), &table); err != nil || table.Schema != 1 || len(table.Services) != 1 ||
		len(table.Services[0].Destinations) != 2 || len(table.Services[0].Destinations[0].PerSecond) != 5 {
		t.Errorf("as JSON: %v\n%s", err, once)
	}
	load.stopClean()
	last := d.begin("watch --interval 100ms")
	last.shows("SERVICE")
	d.stop()
	last.ends(2)
}

func TestWatchOnATerminal(t *testing.T) {
	begin(t)
	_, d := running(t, lab.CourseOptions{})
	terminal, user := openTerminal(t)
	size := &unix.Winsize{Row: 24, Col: 80}
	must(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, size))
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	must(t, err)

	j := &job{t: t, ended: make(chan struct{})}
	j.cmd = exec.Command(program, "watch", "--interval", "100ms")
	j.cmd.Env = append(os.Environ(), "NATLB_SOCKET="+d.socket)
	j.cmd.Stdin, j.cmd.Stdout, j.cmd.Stderr = terminal, terminal, terminal
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go func() { // what the user sees
		buf := make([]byte, 4096)
		for {
			n, err := user.Read(buf)
			j.out.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	j.start()
	j.shows("\x1b[?1049h")
	j.shows("sorted by name")
	j.shows("192.168.56.101:80")
	for line := range strings.SplitSeq(j.out.String(), "\r\n") {
		if text := regexp.MustCompile(`\x1b\[[?0-9]*[a-zA-Z]`).ReplaceAllString(line, ""); len(text) > 80 {
			t.Errorf("a line of %d columns: %q", len(text), text)
		}
	}
	press := func(key string) {
		_, err := user.WriteString(key)
		must(t, err)
	}
	press("s")
	j.shows("sorted by conns")
	size.Row = 6
	must(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, size))
	j.shows("... and ")
	press("q")
	j.ends(0)
	await(t, "the old screen comes back", 10*time.Second, func() bool { return strings.HasSuffix(j.out.String(), "\x1b[?25h\x1b[?1049l") })
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	must(t, err)
	if *after != *before {
		t.Errorf("the terminal was left in another mode: %+v, was %+v", after, before)
	}
}

// openTerminal returns both sides of a pseudo-terminal (pty(7)).
func openTerminal(t *testing.T) (terminal, user *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(func() { user.Close() })
	must(t, unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal, user
}
