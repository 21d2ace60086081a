package dataplane

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"natlb/internal/sources"
	"natlb/ipvs"
	"natlb/rewrite"
)

// sourceView is what packets need to know of a source address: one from which
// FULLNAT speaks to real servers in place of their clients.
type sourceView struct {
	addr Address
	fold uint32 // of addr, as steering counts it
	id   uint32 // of its sourceAddr
}

// sourceAddr is the live object of a source address. One that the operator has
// taken away stays as long as connections have it: natlb answers for it until then.
type sourceAddr struct {
	addr netip.Addr
	id   uint32
	uses atomic.Int64 // connections
}

// sourceBook is the writer's side of the source addresses.
type sourceBook struct {
	set     sources.Set   // what the operator wants
	live    []*sourceAddr // by ID; nil: free
	changed bool          // set has changed since settle
}

// sourceRules returns the set after one command of natlb source.
func sourceRules(set sources.Set, words []string) (sources.Set, error) {
	c, err := sources.Parse(words)
	if err == nil && !c.Changes() {
		err = fmt.Errorf("source %s changes nothing", words[0])
	}
	if err == nil {
		set, err = set.Apply(c)
	}
	if err != nil {
		return set, fmt.Errorf("%w: %w", err, ipvs.ErrInvalid)
	}
	return set, nil
}

// changeSources carries out a command that the plan has found good.
func (d *Director) changeSources(words []string) {
	d.sources.set, _ = sourceRules(d.sources.set, words)
	d.sources.changed = true
}

// settle makes live objects of what is wanted, and lets go of those that are not and
// have no connection. The shards stand still.
func (b *sourceBook) settle() {
	have := map[netip.Addr]bool{}
	for i, a := range b.live {
		switch {
		case a == nil:
		case !b.set.Has(a.addr) && a.uses.Load() == 0:
			b.live[i] = nil
		default:
			have[a.addr] = true
		}
	}
	for _, addr := range b.set.Addrs() {
		if !have[addr] {
			b.add(addr)
		}
	}
	b.changed = false
}

func (b *sourceBook) add(addr netip.Addr) {
	id := slices.Index(b.live, nil)
	if id < 0 {
		id = len(b.live)
		b.live = append(b.live, nil)
	}
	b.live[id] = &sourceAddr{addr: addr, id: uint32(id)}
}

// addrs returns the addresses that natlb answers for.
func (b *sourceBook) addrs() (addrs []netip.Addr) {
	for _, a := range b.live {
		if a != nil {
			addrs = append(addrs, a.addr)
		}
	}
	return addrs
}

// lingers reports whether an address that nobody wants has lost its last connection.
func (b *sourceBook) lingers() bool {
	return slices.ContainsFunc(b.live, func(a *sourceAddr) bool {
		return a != nil && !b.set.Has(a.addr) && a.uses.Load() == 0
	})
}

// keeps reports whether natlb will answer for an address when nobody wants it any
// more: connections have it, or had it a moment ago.
func (b *sourceBook) keeps(addr netip.Addr) bool {
	return slices.ContainsFunc(b.live, func(a *sourceAddr) bool {
		return a != nil && a.addr == addr && (a.uses.Load() > 0 || !b.set.Has(addr))
	})
}

// settleSources makes the addresses that are wanted those that natlb answers for.
func (d *Director) settleSources() {
	d.sources.settle()
	d.roles.setSources(d.sources.addrs())
}

// views returns the addresses that new connections may take, those of IPv4 and those
// of IPv6, and the live objects by ID. An address that the host has got in the
// meantime is the host's.
func (b *sourceBook) views(h Host) (four, six []sourceView, live []*sourceAddr) {
	for _, a := range b.live {
		if a == nil || !b.set.Has(a.addr) || isLocal(h, a.addr) {
			continue
		}
		v := sourceView{addr: AddressOf(a.addr), id: a.id}
		if v.addr.V6 {
			v.fold = v.addr.Fold()
			six = append(six, v)
		} else {
			v.fold = uint32(v.addr.Lo)
			four = append(four, v)
		}
	}
	inOrder := func(a, b sourceView) int {
		return cmp.Or(cmp.Compare(a.addr.Hi, b.addr.Hi), cmp.Compare(a.addr.Lo, b.addr.Lo))
	}
	slices.SortFunc(four, inOrder) // whatever the history of IDs: picks go by the place in the list
	slices.SortFunc(six, inOrder)
	return four, six, slices.Clone(b.live)
}

// cloneSources returns live objects of a trial's own.
func cloneSources(live []*sourceAddr) []*sourceAddr {
	own := make([]*sourceAddr, len(live))
	for i, a := range live {
		if a != nil {
			own[i] = &sourceAddr{addr: a.addr, id: a.id}
			own[i].uses.Store(a.uses.Load())
		}
	}
	return own
}

// Sources returns the source addresses with their connections, in order: those that
// were asked for, and those that were deleted and still have connections.
func (d *Director) Sources() (out []ipvs.SourceStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.sources.live {
		if a != nil {
			out = append(out, ipvs.SourceStatus{
				Addr: a.addr, Conns: a.uses.Load(), Deleted: !d.sources.set.Has(a.addr), Local: isLocal(d.host, a.addr),
			})
		}
	}
	slices.SortFunc(out, func(a, b ipvs.SourceStatus) int { return a.Addr.Compare(b.Addr) })
	return out
}

// sourcesOf returns the addresses that new connections of a packet's family may take.
func (v *view) sourcesOf(p *rewrite.Packet) []sourceView {
	if p.V6 {
		return v.sources6
	}
	return v.sources4
}
