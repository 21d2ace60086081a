package hostnet

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NeighbourState says what the kernel knows of a neighbour's address. It folds
// the kernel's NUD states (linux/neighbour.h) into what a sender must decide.
type NeighbourState uint8

// The states of a neighbour.
const (
	NeighbourNone       NeighbourState = iota // the kernel has no entry: ask with [Host.Resolve]
	NeighbourIncomplete                       // being asked for, no MAC yet
	NeighbourUsable                           // REACHABLE, STALE, DELAY, PROBE, PERMANENT or NOARP: send
	NeighbourFailed                           // did not answer, or has no Ethernet address
)

// String returns the state in lower case, for messages.
func (s NeighbourState) String() string {
	switch s {
	case NeighbourNone:
		return "none"
	case NeighbourIncomplete:
		return "incomplete"
	case NeighbourUsable:
		return "usable"
	case NeighbourFailed:
		return "failed"
	}
	return fmt.Sprintf("NeighbourState(%d)", uint8(s))
}

// Neighbour is one entry of the kernel's neighbour tables. It is a plain value.
type Neighbour struct {
	MAC   [6]byte // meaningful when State is NeighbourUsable
	State NeighbourState
	Stale bool // usable, but not confirmed lately: call [Host.Resolve] when using it
}

// neighbourKey names a neighbour: an address means nothing without its link.
type neighbourKey struct {
	link int
	ip   netip.Addr
}

// neighbourShards is how many maps the neighbours are spread over: a change
// copies one of them, not all.
const neighbourShards = 64

// neighbourTable is immutable: update and replace return another one that
// shares the untouched shards.
type neighbourTable struct {
	shards [neighbourShards]map[neighbourKey]Neighbour
}

func (k neighbourKey) shard() int {
	b := k.ip.As16()
	return int(b[15]^b[14]) % neighbourShards
}

func (t *neighbourTable) get(k neighbourKey) Neighbour {
	return t.shards[k.shard()][k]
}

// neighbourUpdate sets a neighbour; State NeighbourNone removes it.
type neighbourUpdate struct {
	key neighbourKey
	now Neighbour
}

// update applies us in order. It returns t itself when they change nothing.
func (t *neighbourTable) update(us []neighbourUpdate) *neighbourTable {
	next := t
	var copied [neighbourShards]bool
	for _, u := range us {
		if next.get(u.key) == u.now {
			continue
		}
		if next == t {
			c := *t
			next = &c
		}
		s := u.key.shard()
		if !copied[s] {
			copied[s] = true
			m := make(map[neighbourKey]Neighbour, len(t.shards[s])+1)
			maps.Copy(m, t.shards[s])
			next.shards[s] = m
		}
		if u.now.State == NeighbourNone {
			delete(next.shards[s], u.key)
		} else {
			next.shards[s][u.key] = u.now
		}
	}
	return next
}

// replace makes all the whole truth. It returns t itself when it already was.
func (t *neighbourTable) replace(all []neighbourUpdate) *neighbourTable {
	fresh := new(neighbourTable).update(all)
	for s := range fresh.shards {
		if !maps.Equal(fresh.shards[s], t.shards[s]) {
			return fresh
		}
	}
	return t
}

// newNeighbourUpdate translates a kernel entry; ok is false for entries that
// are not IP neighbours (bridge forwarding entries, proxy entries).
func newNeighbourUpdate(n *netlink.Neigh) (u neighbourUpdate, ok bool) {
	ip, valid := netip.AddrFromSlice(n.IP)
	isIP := n.Family == unix.AF_INET || n.Family == unix.AF_INET6
	if !valid || !isIP || n.Flags&unix.NTF_PROXY != 0 {
		return neighbourUpdate{}, false
	}
	u.key = neighbourKey{n.LinkIndex, ip}
	const usable = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE |
		unix.NUD_PERMANENT | unix.NUD_NOARP
	switch {
	case n.State&usable != 0 && len(n.HardwareAddr) == len(u.now.MAC):
		u.now.State = NeighbourUsable
		u.now.Stale = n.State&unix.NUD_STALE != 0
		copy(u.now.MAC[:], n.HardwareAddr)
	case n.State&unix.NUD_INCOMPLETE != 0:
		u.now.State = NeighbourIncomplete
	case n.State == unix.NUD_NONE:
		u.now.State = NeighbourNone
	default:
		u.now.State = NeighbourFailed
	}
	return u, true
}

// dumpNeighbours asks for all IP neighbours.
func (c *client) dumpNeighbours() ([]neighbourUpdate, error) {
	dumped, err := c.handle.NeighListExecute(netlink.Ndmsg{})
	if err != nil {
		return nil, fmt.Errorf("dump neighbours: %w", err)
	}
	all := make([]neighbourUpdate, 0, len(dumped))
	for i := range dumped {
		if u, ok := newNeighbourUpdate(&dumped[i]); ok {
			all = append(all, u)
		}
	}
	return all, nil
}
