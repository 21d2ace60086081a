package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHintsAreForPeople: on a terminal a second line helps; a script sees
// ipvsadm's words alone.
func TestHintsAreForPeople(t *testing.T) {
	socket, err := startDirector(filepath.Join(t.TempDir(), "natlb.sock"), t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	const words = "Scheduler or persistence engine not found\n"
	line := []string{"-A", "-t", "192.0.2.1:80", "-s", "wr"}

	cmd := exec.Command("natlb", line...)
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+socket)
	var piped strings.Builder
	cmd.Stderr = &piped
	if cmd.Run(); cmd.ProcessState.ExitCode() != 255 || piped.String() != words {
		t.Errorf("into a pipe: %d, %q, want 255, %q", cmd.ProcessState.ExitCode(), piped.String(), words)
	}

	terminal, user := openTerminal(t)
	cmd = exec.Command("natlb", line...)
	cmd.Env = append(os.Environ(), "NATLB_SOCKET="+socket)
	cmd.Stderr = terminal
	cmd.Run()
	terminal.Close()
	shown, _ := io.ReadAll(user) // ends with an error when nobody has the terminal open
	text := strings.ReplaceAll(string(shown), "\r\n", "\n")
	if cmd.ProcessState.ExitCode() != 255 || !strings.HasPrefix(text, words+"hint: schedulers, the closest first: wrr ") {
		t.Errorf("on a terminal: %d, %q, want 255, %q and a hint", cmd.ProcessState.ExitCode(), text, words)
	}
}

// openTerminal returns both sides of a pseudo-terminal (pty(7)).
func openTerminal(t *testing.T) (terminal, user *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal, user
}
