package dataplane

import (
	"net/netip"

	"natlb/rewrite"
)

// roleBook is the writer's side of a roleTable: it knows why addresses have their
// roles, and which have changed.
type roleBook struct {
	four familyBook[uint32]
	six  familyBook[rewrite.Addr6]

	owned, servers []netip.Addr // the sticky ones, in order of appearance; only appended to
}

// list is a list of addresses that comes and goes as a whole.
type list uint8

const (
	listMarked list = iota // VIPs that firewall marks lead to
	listSource             // addresses that FULLNAT speaks from
	lists
)

// familyBook is the part of a roleBook that is about one family.
type familyBook[A comparable] struct {
	spread func(A) uint32

	sticky map[A]role // roleOwned, roleServer and roleTurned: once given, they stay
	owned  []A        // those with roleOwned
	vips   map[A]int  // services of each VIP
	lists  [lists]map[A]bool
	dirty  map[A]bool // addresses whose roles may have changed
	final  [roleParts]map[A]role
	parts  [roleParts]*rolePart[A] // of the table
}

func newRoleBook() roleBook {
	return roleBook{four: newFamilyBook(spread), six: newFamilyBook(spread6)}
}

func newFamilyBook[A comparable](spread func(A) uint32) familyBook[A] {
	return familyBook[A]{
		spread: spread, sticky: map[A]role{}, vips: map[A]int{}, lists: [lists]map[A]bool{{}, {}}, dirty: map[A]bool{},
	}
}

// addService and dropService follow the services of a VIP.
func (b *roleBook) addService(vip netip.Addr) {
	fresh := false
	if vip.Is4() {
		fresh = b.four.addService(Number4(vip))
	} else {
		fresh = b.six.addService(rewrite.Addr6Of(vip))
	}
	if fresh {
		b.owned = append(b.owned, vip)
	}
}

func (b *roleBook) dropService(vip netip.Addr) {
	if vip.Is4() {
		b.four.dropService(Number4(vip))
	} else {
		b.six.dropService(rewrite.Addr6Of(vip))
	}
}

func (b *roleBook) addServer(rip netip.Addr) {
	fresh := false
	if rip.Is4() {
		fresh = b.four.stick(Number4(rip), roleServer)
	} else {
		fresh = b.six.stick(rewrite.Addr6Of(rip), roleServer)
	}
	if fresh {
		b.servers = append(b.servers, rip)
	}
}

// setMarked says which VIPs firewall marks lead to.
func (b *roleBook) setMarked(vips []netip.Addr) { b.enlist(listMarked, vips) }

// setSources says which addresses FULLNAT speaks from.
func (b *roleBook) setSources(addrs []netip.Addr) { b.enlist(listSource, addrs) }

// enlist makes these addresses the ones on a list.
func (b *roleBook) enlist(l list, addrs []netip.Addr) {
	b.four.clear(l)
	b.six.clear(l)
	for _, a := range addrs {
		if a.Is4() {
			b.four.enlist(l, Number4(a))
		} else {
			b.six.enlist(l, rewrite.Addr6Of(a))
		}
	}
}

// hostChanged says that addresses may have become the host's or have ceased to
// be.
func (b *roleBook) hostChanged() {
	b.four.hostChanged()
	b.six.hostChanged()
}

// current brings the table up to date and returns it. What turns into a VIP, or from
// one, is marked as such when the director is in use.
func (b *roleBook) current(h Host, used func() bool) roleTable {
	b.four.update(h.IsLocal, used)
	b.six.update(h.IsLocal6, used)
	return roleTable{b.four.parts, b.six.parts}
}

// addService reports whether the VIP is one for the first time.
func (b *familyBook[A]) addService(vip A) (fresh bool) {
	b.vips[vip]++
	if fresh = b.stick(vip, roleOwned); fresh {
		b.owned = append(b.owned, vip)
	}
	return fresh
}

func (b *familyBook[A]) dropService(vip A) {
	if b.vips[vip]--; b.vips[vip] == 0 {
		delete(b.vips, vip)
	}
	b.dirty[vip] = true
}

// stick gives an address a role for good, and reports whether it is new to it.
func (b *familyBook[A]) stick(addr A, r role) (fresh bool) {
	fresh = b.sticky[addr]&r == 0
	b.sticky[addr] |= r
	b.dirty[addr] = true
	return fresh
}

func (b *familyBook[A]) clear(l list) {
	b.changed(l)
	clear(b.lists[l])
}

func (b *familyBook[A]) enlist(l list, addr A) { b.lists[l][addr], b.dirty[addr] = true, true }

// changed says that the roles of all on a list may have changed.
func (b *familyBook[A]) changed(l list) {
	for addr := range b.lists[l] {
		b.dirty[addr] = true
	}
}

func (b *familyBook[A]) hostChanged() {
	for _, vip := range b.owned {
		b.dirty[vip] = true
	}
	for l := range lists {
		b.changed(l)
	}
}

// update makes anew the parts of the table in which a role has changed.
func (b *familyBook[A]) update(isLocal func(A) bool, used func() bool) {
	changed := map[uint32]bool{}
	for addr := range b.dirty {
		n := b.spread(addr) & (roleParts - 1)
		if b.final[n] == nil {
			b.final[n] = map[A]role{}
		}
		was := b.final[n][addr]
		is := b.roleOf(addr, isLocal)
		if is.isVIP() != was.isVIP() && used() {
			b.sticky[addr] |= roleTurned
			is |= roleTurned
		}
		switch {
		case is == was:
			continue
		case is == 0:
			delete(b.final[n], addr)
		default:
			b.final[n][addr] = is
		}
		changed[n] = true
	}
	clear(b.dirty)
	for n := range changed {
		b.parts[n] = newRolePart(b.final[n], b.spread)
	}
}

func (b *familyBook[A]) roleOf(addr A, isLocal func(A) bool) role {
	r := b.sticky[addr]
	if b.vips[addr] > 0 {
		r |= roleVIP
	}
	if b.lists[listMarked][addr] {
		r |= roleVIP | roleOwned
	}
	if b.lists[listSource][addr] {
		r |= roleSource
	}
	if r&(roleOwned|roleSource) != 0 && isLocal(addr) {
		r &^= roleOwned | roleSource
	}
	return r
}
