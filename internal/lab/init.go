package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// complaintFD is where init finds the pipe that startInit gave it.
const complaintFD = 3

// runInit is pid 1 of the lab: it arranges the mounts, starts the program
// proper, reaps whatever is orphaned, and ends with the program. Its end takes
// everything in the pid namespace along.
func runInit() (code int) {
	complaint := os.NewFile(complaintFD, "complaint")
	syscall.CloseOnExec(complaintFD)
	if err := errors.Join(mountPrivate(), mayUnshare()); err != nil {
		fmt.Fprint(complaint, oneLine(err))
		return 1
	}
	cmd := sameProgram(stageInside)
	if err := cmd.Start(); err != nil {
		fmt.Fprint(complaint, oneLine(err))
		return 1
	}
	complaint.Close()
	stop := passSignals(cmd.Process)
	defer stop()
	return reap(cmd.Process.Pid)
}

// reap waits for every child, own or orphaned, until the one with this pid has
// ended, and returns its exit status.
func reap(pid int) int {
	for {
		var ws syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			fmt.Fprintf(os.Stderr, "lab: waiting for the program inside: %v\n", err)
			return 1
		case ended == pid:
			return exitStatus(ws)
		}
	}
}

// mountPrivate cuts the mounts off from the rest of the machine, and mounts the
// /proc of the new pid namespace and an empty /run.
func mountPrivate() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	// Where parts of /proc are masked, as in containers, a user namespace gets
	// no second one. The old one serves: it shows every process of the machine,
	// and its self, thread-self and sys/net are those of whoever asks.
	err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err != nil && err != unix.EPERM {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return mountRun()
}

// mountRun mounts an empty tmpfs on /run. Symbolic links directly in /run are
// set again: on some systems the programs themselves are found through one.
func mountRun() error {
	links := make(map[string]string)
	names, err := filepath.Glob("/run/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil {
			links[name] = target
		}
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	for name, target := range links {
		if err := os.Symlink(target, name); err != nil {
			return err
		}
	}
	return nil
}

// mayUnshare tries what every NewNamespace will do. Some systems give ordinary
// users a user namespace but no capabilities in it.
func mayUnshare() error {
	n, err := NewNamespace("trial")
	if err != nil {
		return err
	}
	return n.Close()
}

// oneLine is the error's text with the lines of a joined error put in a row.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
