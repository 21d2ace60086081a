package demo

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"natlb/internal/lab"
)

// socketPath is natlb's own default; /run is private to the lab.
const socketPath = "/run/natlb.sock"

const (
	readyPatience   = 20 * time.Second // for `natlb run` to forward
	stopPatience    = 10 * time.Second // for `natlb run` to end after SIGTERM
	commandPatience = 10 * time.Second // for one natlb command
)

// errDirectorEnded is why the demo ends when its director is killed or fails.
var errDirectorEnded = errors.New("the director (natlb run) ended")

// natlb is this program as others call it: from the director's namespace, with
// the director's socket.
type natlb struct {
	path string
	ns   *lab.Namespace
}

// command is a process group of its own, so that a Ctrl-C on the terminal is
// for the demo to handle.
func (n natlb) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.path, args...)
	cmd.Args[0] = "natlb"
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+socketPath)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// ask runs one natlb command with stdin and returns what it printed. Any status
// but 0, and any word on stderr, is an error that quotes it.
func (n natlb) ask(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandPatience)
	defer cancel()
	cmd := n.command(ctx, args...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := n.ns.Run(cmd)
	if err == nil && stderr.Len() > 0 {
		err = errors.New("complains")
	}
	if err != nil {
		return "", fmt.Errorf("natlb %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// director is a running `natlb run`.
type director struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it says so
	ended chan struct{} // closed after its end; then err says how, nil if well
	err   error

	mu       sync.Mutex
	said     []string // its last lines on stderr
	stopping bool     // its end is wanted
}

// startDirector starts `natlb run` in the course and waits until it forwards
// and its socket answers. If it ends unasked, fail is called with the reason.
func startDirector(ctx context.Context, n natlb, course *lab.Course, fail context.CancelCauseFunc) (*director, error) {
	// Not bound to ctx: a director is asked to end, not killed.
	cmd := n.command(context.WithoutCancel(ctx), "run",
		"--vip-if", course.ClientSide, "--dip-if", course.ServerSide, "--socket", socketPath)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := n.ns.Start(cmd); err != nil {
		return nil, err
	}
	d := &director{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
	go d.attend(stderr, fail)
	if err := d.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// attend reads what the director says until it ends, and reports the end.
func (d *director) attend(stderr io.Reader, fail context.CancelCauseFunc) {
	const remembered = 20
	ready := d.ready
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the director holds the other end for as long as it lives
		}
		d.mu.Lock()
		d.said = append(d.said[max(0, len(d.said)-remembered+1):], strings.TrimSpace(line))
		d.mu.Unlock()
		if ready != nil && strings.Contains(line, "ready") {
			close(ready)
			ready = nil
		}
	}
	if err := d.cmd.Wait(); err != nil {
		d.err = fmt.Errorf("%w: %w; its last words:\n%s", errDirectorEnded, err, strings.Join(d.said, "\n"))
	}
	close(d.ended)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stopping {
		fail(cmp.Or(d.err, errDirectorEnded))
	}
}

// awaitReady waits for the ready line and for the socket.
func (d *director) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyPatience,
		fmt.Errorf("the director is not ready after %v", readyPatience))
	defer cancel()
	select {
	case <-d.ready:
	case <-ctx.Done():
		return d.notReady(ctx)
	}
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socketPath)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return d.notReady(ctx)
		}
	}
}

// notReady is why waiting was given up, with what the director said meanwhile
// unless the reason holds that already.
func (d *director) notReady(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errDirectorEnded) {
		return cause
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Errorf("%w; it said:\n%s", cause, strings.Join(d.said, "\n"))
}

// stop asks the director to end, as an operator would, and judges how it did.
// A director that has ended already is not judged again.
func (d *director) stop() error {
	d.mu.Lock()
	d.stopping = true
	d.mu.Unlock()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	select {
	case <-d.ended:
	case <-time.After(stopPatience):
		return errors.Join(fmt.Errorf("the director runs on %v after SIGTERM", stopPatience), d.cmd.Process.Kill())
	}
	return d.err
}
