package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Group is the user group whose members may talk to a director, if the host has
// a group of that name.
const Group = "natlb"

const socketMode = 0o660

// maxPath is the longest path of a socket, in bytes (unix(7): sun_path has 108
// with its zero byte).
const maxPath = 107

// Listen opens the control socket at path with mode 0660, and group [Group]
// where that exists and may be set. The socket of a dead director is replaced;
// a live one is left alone and the error wraps [ErrAlreadyRunning]. Closing the
// listener removes the socket.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("control socket: the path has %d bytes and may have %d: give a shorter --socket", len(path), maxPath)
	}
	awaitDeath(path)
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Linux takes the mode of the new file from the socket's own inode, so
	// nobody can connect before owner and mode are right, whatever the umask.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmod error
		err := c.Control(func(fd uintptr) { chmod = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmod)
	}}
	l, err := private.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if gid, ok := groupID(Group); ok {
		// Refused in a user namespace without that group: the socket then
		// stays with the director's own group, which is stricter.
		_ = os.Chown(path, -1, gid)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// lockDir keeps two directors that start at once from removing each other's
// socket. The lock is on the directory: nothing is left behind.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { d.Close() }, nil
		}
		if time.Now().After(deadline) {
			d.Close()
			return nil, fmt.Errorf("control socket: lock %s: %w", dir, err)
		}
	}
}

// removeStale makes room for a socket at path, unless somebody listens there or
// it is not a socket at all.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("control socket: %s exists and is not a socket", path)
	}
	if !dead(path) {
		return fmt.Errorf("%w (it listens on %s)", ErrAlreadyRunning, path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// awaitDeath waits a moment for a listener at path to go: a director that was
// killed just now answers until the kernel has taken it down.
func awaitDeath(path string) {
	const dying = 500 * time.Millisecond
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return
	}
	for deadline := time.Now().Add(dying); !dead(path) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
}

// dead reports whether nobody listens at path any more: only a dead listener
// refuses.
func dead(path string) bool {
	probe, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		probe.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

func groupID(name string) (int, bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	gid, err := strconv.Atoi(g.Gid)
	return gid, err == nil
}
