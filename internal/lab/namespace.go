package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// errFunctionLeft is what Do answers when its function left by
// runtime.Goexit, as testing.T.FailNow does.
var errFunctionLeft = errors.New("lab: the function ended its goroutine")

// Namespace is one box of the lab: an anonymous network namespace with its own
// links, addresses, routes and sysctls. It lives as long as something refers to
// it: this value until Close, a process or thread inside, an open socket of it.
//
// All methods may be called from any goroutine. After Close they fail with
// os.ErrClosed.
type Namespace struct {
	name   string
	starts chan func()   // run one by one on the keeper, the thread that was born inside
	closed chan struct{} // ends the keeper
	echoes atomic.Uint32 // ports that its clients' echoes have used

	mu     sync.RWMutex // guards handle: nobody enters while it is being closed
	handle *os.File     // refers to the namespace
}

// NewNamespace makes a network namespace with its loopback up and IPv6 quiet.
// The name is for error messages only. It needs CAP_SYS_ADMIN (see [Enter]).
func NewNamespace(name string) (*Namespace, error) {
	n := &Namespace{name: name, starts: make(chan func()), closed: make(chan struct{})}
	born := make(chan error)
	spendThread(func() { n.keep(born) })
	if err := <-born; err != nil {
		return nil, fmt.Errorf("lab: namespace %s: %w", name, err)
	}
	if err := n.Do(settle); err != nil {
		n.Close()
		return nil, fmt.Errorf("lab: namespace %s: %w", name, err)
	}
	return n, nil
}

// keep is the keeper: it makes the namespace by stepping into it and stays
// until Close. Processes are started from this thread (see Start), because a
// process with a parent-death signal dies with the thread that started it.
func (n *Namespace) keep(born chan<- error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		born <- fmt.Errorf("unshare: %w", err)
		return
	}
	handle, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		born <- err
		return
	}
	n.handle = handle
	born <- nil
	for {
		select {
		case start := <-n.starts:
			start()
		case <-n.closed:
			return
		}
	}
}

// settle brings the loopback up and turns IPv6 off until a setting of the plan
// turns it on: its router solicitations and duplicate-address detection would add
// frames that nobody asked for. A kernel without IPv6 has nothing to turn off.
func settle() error {
	for _, scope := range []string{"all", "default"} {
		err := setSysctl("net.ipv6.conf."+scope+".disable_ipv6", "1")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// Name is the name given at birth.
func (n *Namespace) Name() string { return n.name }

// Do runs f inside the namespace, on a thread of its own that ends with it, and
// returns what f returns. Sockets and processes that f makes stay inside.
// Goroutines that f starts do not run inside.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	spendThread(func() {
		defer close(done)
		if err := n.enter(); err != nil {
			done <- fmt.Errorf("lab: entering %s: %w", n.name, err)
			return
		}
		done <- f()
	})
	err, ok := <-done
	if !ok {
		return errFunctionLeft
	}
	return err
}

// enter moves the calling thread into the namespace.
func (n *Namespace) enter() error {
	return n.withHandle(func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) })
}

// withHandle lends out the descriptor of the namespace for the time of f.
func (n *Namespace) withHandle(f func(fd int) error) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	select {
	case <-n.closed:
		return os.ErrClosed
	default:
		return f(int(n.handle.Fd()))
	}
}

// Close gives the namespace up and kills every process started in it. The
// kernel takes it down once the last socket and process in it are gone. It may
// be called once.
func (n *Namespace) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.closed)
	return n.handle.Close()
}
