package hostnet

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	resolveInterval = time.Second // between two requests for the same neighbour
	resolveQueue    = 256         // requests that wait for the kernel
	maxAsked        = 4096        // neighbours remembered as asked for
)

// resolver asks the kernel for neighbours, each at most once a second.
type resolver struct {
	log    *slog.Logger
	handle *netlink.Handle
	queue  chan neighbourKey

	mu    sync.Mutex
	asked map[neighbourKey]time.Time
	swept time.Time // when asked was last rid of old entries
}

// newResolver opens its socket in the calling thread's namespace.
func newResolver(log *slog.Logger) (*resolver, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &resolver{
		log:    log,
		handle: handle,
		queue:  make(chan neighbourKey, resolveQueue),
		asked:  make(map[neighbourKey]time.Time),
	}, nil
}

func (r *resolver) close() { r.handle.Close() }

// ask queues a request unless k was asked for lately or too much is waiting.
func (r *resolver) ask(k neighbourKey) {
	if k.link <= 0 || !k.ip.IsValid() {
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.asked[k]; ok && now.Sub(last) < resolveInterval {
		return
	}
	if len(r.asked) >= maxAsked {
		if now.Sub(r.swept) < resolveInterval {
			return
		}
		r.swept = now
		maps.DeleteFunc(r.asked, func(_ neighbourKey, last time.Time) bool {
			return now.Sub(last) >= resolveInterval
		})
		if len(r.asked) >= maxAsked {
			return
		}
	}
	select {
	case r.queue <- k:
		r.asked[k] = now
	default:
	}
}

// run sends the queued requests, until done.
func (r *resolver) run(done <-chan struct{}) {
	warned := false
	for {
		select {
		case <-done:
			return
		case k := <-r.queue:
			err := r.use(k)
			switch {
			case errors.Is(err, unix.EPERM) && !warned:
				warned = true
				r.log.Warn("cannot ask the kernel for neighbours: CAP_NET_ADMIN is missing", "err", err)
			case err != nil:
				r.log.Debug("cannot ask the kernel for a neighbour", "link", k.link, "ip", k.ip, "err", err)
			}
		}
	}
}

// use tells the kernel that k is about to be sent to, without sending: a new or
// failed entry is asked for by ARP or neighbour discovery, a stale one goes
// through DELAY and PROBE (NTF_USE, linux/neighbour.h).
func (r *resolver) use(k neighbourKey) error {
	return r.handle.NeighSet(&netlink.Neigh{
		LinkIndex: k.link,
		IP:        net.IP(k.ip.AsSlice()),
		State:     unix.NUD_NONE,
		Flags:     unix.NTF_USE,
	})
}
