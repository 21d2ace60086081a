package hostnet

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"natlb/ipvs"
)

// GuardTable is the one nftables table (family netdev) that natlb owns.
const GuardTable = "natlb"

// applyTries is how often Apply looks the interfaces up again when one of them
// vanishes between the look and the transaction.
const applyTries = 3

// GuardRules says what the host's kernel must not see. Only untagged frames
// that are addressed to the host's own MAC are concerned: bridges keep
// bridging, and broadcast, multicast and ARP reach the host as ever, and so does
// neighbour discovery for its own addresses. Addresses are IPv4 or IPv6, without
// zones; the order of the lists does not matter.
type GuardRules struct {
	// VIPLinks are the names of the interfaces by which clients come, DIPLinks of those
	// by which real servers do; one may be in both.
	VIPLinks, DIPLinks []string
	// OwnedVIPs are VIPs that are on no interface: everything to them is
	// dropped on VIPLinks. Needed only where the host forwards.
	OwnedVIPs []netip.Addr
	// Services are services on addresses of the host: exactly these are
	// dropped on VIPLinks, and fragments of their protocol to their VIP that
	// are not the first.
	Services []GuardService
	// Servers are the real servers: on DIPLinks everything they send that is
	// not for an address in Locals is dropped, of any protocol, fragments too.
	Servers []netip.Addr
	// Locals are the director's own addresses.
	Locals []netip.Addr
}

// GuardService names one virtual service by protocol and VIP:VPort. Port 0
// stands for all ports.
type GuardService struct {
	Proto ipvs.Protocol
	VIP   netip.AddrPort
}

// Guard keeps packets from the host's IP stack, in the namespace of the thread
// that called [NewGuard]. Any goroutine may call its methods.
type Guard struct {
	log *slog.Logger
	ns  *namespace
	err error // why there is no ns

	mu      sync.Mutex
	applied bool // current is in the kernel
	current ruleset
	missing []string // interfaces that did not exist at the last Apply
}

// NewGuard returns a guard for the network namespace of the calling thread. It
// changes nothing yet. A nil log discards.
func NewGuard(log *slog.Logger) *Guard {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ns, err := threadNamespace()
	return &Guard{log: log, ns: ns, err: err}
}

// Apply makes r the rules in force, in one transaction that replaces the whole
// table, a crashed run's too: no packet meets half of them. Rules equal to
// those in force, on interfaces that are still the same ones, cost no
// transaction. An interface that does not exist is logged and left out; call
// Apply again when it appears. When nothing is left to guard, the table is
// removed. On an error the rules in force stay. CAP_NET_ADMIN is needed.
func (g *Guard) Apply(r GuardRules) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return fmt.Errorf("guard: %w", g.err)
	}
	rs, err := newRuleset(r)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return g.ns.do(func() error {
		for try := 1; ; try++ {
			rs.links = g.findLinks(r)
			err := g.install(rs)
			if err == nil || !errors.Is(err, unix.ENOENT) || try == applyTries {
				return err
			}
		}
	})
}

// install puts rs into the kernel unless it is there.
func (g *Guard) install(rs ruleset) error {
	if g.applied && g.current.equal(&rs) {
		return nil
	}
	conn, err := dialNftables()
	if err != nil {
		return err
	}
	clearTable(conn, GuardTable)
	if len(rs.links) > 0 {
		if err := rs.queue(conn, GuardTable); err != nil {
			return fmt.Errorf("guard: %w", err)
		}
	}
	if err := conn.Flush(); err != nil {
		return explain(err)
	}
	g.applied, g.current = true, rs
	return nil
}

// findLinks looks up the interfaces of r and logs those that came to be missing.
func (g *Guard) findLinks(r GuardRules) []guardLink {
	sides := make(map[string]guardLink)
	for _, name := range r.VIPLinks {
		sides[name] = guardLink{name: name, vip: true}
	}
	for _, name := range r.DIPLinks {
		l := sides[name]
		l.name, l.dip = name, true
		sides[name] = l
	}
	var links []guardLink
	var missing []string
	for name, l := range sides {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			missing = append(missing, name)
			continue
		}
		l.index = ifi.Index
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b guardLink) int { return strings.Compare(a.name, b.name) })
	slices.Sort(missing)
	for _, name := range missing {
		if !slices.Contains(g.missing, name) {
			g.log.Warn("interface does not exist, it is not guarded", "link", name)
		}
	}
	g.missing = missing
	return links
}

// Remove takes the rules away, those of a crashed run too. It is no error when
// there is nothing to remove.
func (g *Guard) Remove() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return fmt.Errorf("guard: %w", g.err)
	}
	return g.ns.do(func() error {
		there, err := Leftover()
		if err != nil {
			return err
		}
		if there {
			conn, err := dialNftables()
			if err != nil {
				return err
			}
			clearTable(conn, GuardTable)
			if err := conn.Flush(); err != nil {
				return explain(err)
			}
		}
		g.applied = false
		return nil
	})
}
