package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// binDir, in the lab's private /run, is where the shell finds natlb by that
// name, whatever its file is called.
const binDir = "/run/natlb-demo"

const banner = `
This is a shell on the client, 192.168.0.11. The director runs; natlb reaches it from here too.
  curl http://192.168.0.178/                                          ask the service
  natlb -L -n                                                         look at it
  natlb -e -t 192.168.0.178:80 -r 192.168.56.101:8088 -m -w 3         change a weight (rr ignores it)
  natlb -E -t 192.168.0.178:80 -s wrr                                 now it counts
  natlb -S -n                                                         the rules; those of the course: natlb -R < /run/course.rules
exit ends the demo; nothing of it is left then.

`

// shell brings the course's service back and opens the user's shell on the
// client. It ends with the shell, whatever the status of that, and with SIGTERM.
// A Ctrl-C is the shell's.
func (d *demo) shell(ctx context.Context) error {
	if err := d.runAll(ctx, "-C", "-R < "+rulesFile); err != nil {
		return err
	}
	if err := d.linkBinary(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	d.answer(banner)
	cmd := exec.CommandContext(ctx, cmp.Or(os.Getenv("SHELL"), "/bin/sh"))
	cmd.Env = append(os.Environ(),
		"PATH="+binDir+":"+os.Getenv("PATH"), "NATLB_SOCKET="+socketPath, "PS1=client$ ")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := d.course.Clients[0].Run(cmd)
	var status *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.As(err, &status) && status.Sys().(syscall.WaitStatus).Exited():
		return nil // the status of the last command typed
	case err != nil:
		return fmt.Errorf("the shell: %w", err)
	}
	return nil
}

// linkBinary makes this program known as natlb. Its file may be out of sight
// in here; the running program is not.
func (d *demo) linkBinary() error {
	path := d.natlb.path
	if path == "/proc/self/exe" {
		path = fmt.Sprintf("/proc/%d/exe", os.Getpid())
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := os.Mkdir(binDir, 0o755); err != nil {
		return err
	}
	return os.Symlink(path, filepath.Join(binDir, "natlb"))
}
