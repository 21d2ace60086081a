package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestInterruptWhileReading: a command that waits for more of its input ends at the
// first signal.
func TestInterruptWhileReading(t *testing.T) {
	socket, err := startDirector(filepath.Join(t.TempDir(), "natlb.sock"), t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"natlb -R", "natlb apply -", "ipvsadm-restore"} {
		t.Run(name, func(t *testing.T) {
			in, feed, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			defer feed.Close()
			cmd := exec.Command("sh", "-c", "exec "+name)
			cmd.Env, cmd.Stdin = append(os.Environ(), "NATLB_SOCKET="+socket), in
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			feed.WriteString("\n")
			for read := false; !read; time.Sleep(time.Millisecond) { // it has begun when the line is gone
				n, err := unix.IoctlGetInt(int(feed.Fd()), unix.TIOCINQ)
				if err != nil {
					t.Fatal(err)
				}
				read = n == 0
			}
			cmd.Process.Signal(syscall.SIGINT)
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("it ended well")
				}
			case <-time.After(10 * time.Second):
				cmd.Process.Kill()
				t.Error("it reads on after SIGINT")
			}
		})
	}
}
