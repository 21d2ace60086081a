package hostnet

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// minPause is the shortest time between two builds: a burst of events makes at
// most a hundred views a second, the first of them at once.
const minPause = 10 * time.Millisecond

// retryPause follows a dump that failed for another reason than a change under
// its feet.
const retryPause = time.Second

// Config is the configuration of a [Host]. The zero value is usable.
type Config struct {
	// Log takes what goes wrong after Open; nil discards it.
	Log *slog.Logger
}

// Host follows the network of one namespace. Any goroutine may call its
// methods.
type Host struct {
	log      *slog.Logger
	events   *nl.NetlinkSocket
	client   *client // owned by build
	resolver *resolver
	view     atomic.Pointer[View]
	changed  chan struct{}
	hints    hints
	done     chan struct{}
	running  sync.WaitGroup
	closing  sync.Once
}

// Open starts to follow the network namespace of the calling thread and
// returns once the first view is complete. No privilege is needed but for
// [Host.Resolve], which needs CAP_NET_ADMIN. The caller must Close the Host.
func Open(cfg Config) (*Host, error) {
	// The sockets belong to the namespace of the thread that makes them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	h := &Host{log: cfg.Log, changed: make(chan struct{}, 1), done: make(chan struct{})}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.hints.wake = make(chan struct{}, 1)
	h.view.Store(emptyView())
	if err := h.openSockets(); err != nil {
		return nil, err
	}
	// Subscribed before the first dump: nothing can fall between.
	h.hints.all()
	for tries := 0; ; tries++ {
		err := h.refresh(h.hints.take())
		if err == nil {
			break
		}
		if tries == 10 || !errors.Is(err, netlink.ErrDumpInterrupted) {
			h.closeSockets()
			return nil, fmt.Errorf("read the host's network: %w", err)
		}
		h.hints.all()
	}
	h.running.Go(h.follow)
	h.running.Go(h.build)
	h.running.Go(func() { h.resolver.run(h.done) })
	return h, nil
}

func (h *Host) openSockets() (err error) {
	if h.events, err = subscribe(); err != nil {
		return err
	}
	if h.client, err = newClient(); err != nil {
		h.events.Close()
		return err
	}
	if h.resolver, err = newResolver(h.log); err != nil {
		h.events.Close()
		h.client.close()
		return err
	}
	return nil
}

func (h *Host) closeSockets() {
	h.events.Close()
	h.client.close()
	h.resolver.close()
}

// Close stops following and frees the sockets. Views stay usable. It always
// returns nil and may be called again.
func (h *Host) Close() error {
	h.closing.Do(func() {
		close(h.done)
		h.events.Close() // ends follow
		h.running.Wait()
		h.client.close()
		h.resolver.close()
	})
	return nil
}

// View returns the newest view, never nil. It is one atomic load.
func (h *Host) View() *View { return h.view.Load() }

// Changed returns a channel that holds one token after new views appeared since
// the last token was taken. It is for one reader and is never closed.
func (h *Host) Changed() <-chan struct{} { return h.changed }

// Resolve asks the kernel to find the MAC of neighbour ip on the link with that
// interface index, or to confirm it when it is stale; the answer comes with a
// later view. It never blocks: a neighbour asked for within the last second is
// not asked for again, and when too many are waiting the request is dropped.
func (h *Host) Resolve(link int, ip netip.Addr) {
	h.resolver.ask(neighbourKey{link, ip.Unmap().WithZone("")})
}

// build makes new views from what the hints say, until Close.
func (h *Host) build() {
	for {
		select {
		case <-h.hints.wake:
		case <-h.done:
			return
		}
		start := time.Now()
		err := h.refresh(h.hints.take())
		// A host with very many routes pays for its dumps with rarer views,
		// not with its processor.
		pause := max(minPause, 5*time.Since(start))
		if err != nil {
			h.hints.all()
			if !errors.Is(err, netlink.ErrDumpInterrupted) {
				h.log.Warn("cannot read the host's network, trying again", "err", err)
				pause = retryPause
			}
		}
		select {
		case <-time.After(pause):
		case <-h.done:
			return
		}
	}
}

// refresh dumps what p calls for and publishes a view if anything changed.
func (h *Host) refresh(p pending) error {
	old := h.view.Load()
	next := *old
	if p.facts {
		f, err := h.client.dumpFacts(old.facts)
		if err != nil {
			return err
		}
		next.facts = f
	}
	if p.neighbours {
		all, err := h.client.dumpNeighbours()
		if err != nil {
			return err
		}
		next.neighbours = old.neighbours.replace(all)
	} else {
		next.neighbours = old.neighbours.update(p.updates)
	}
	if next == *old {
		return nil
	}
	next.Generation++
	h.view.Store(&next)
	select {
	case h.changed <- struct{}{}:
	default:
	}
	return nil
}

// dumpFacts returns old itself when nothing changed.
func (c *client) dumpFacts(old *facts) (*facts, error) {
	links, err := c.dumpLinks()
	if err != nil {
		return nil, err
	}
	addrs, err := c.dumpAddresses()
	if err != nil {
		return nil, err
	}
	routes, err := c.dumpRoutes()
	if err != nil {
		return nil, err
	}
	if old.same(links, addrs, routes) {
		return old, nil
	}
	return newFacts(links, addrs, routes), nil
}
