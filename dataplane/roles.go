package dataplane

import "net/netip"

// role is what an address means to the director. Addresses without a role are
// strangers: clients, and the rest of the world.
type role uint8

const (
	roleVIP    role = 1 << iota // a service has it now
	roleOwned                   // natlb stands in for the host: it answers for the address
	roleServer                  // a real server, now or since the director started
)

// roleTable maps addresses to roles. It is immutable, and every packet asks it
// twice: a small hash table with open addressing, in parts, so that a change
// makes one part anew and not all of it.
type roleTable struct{ parts [roleParts]*rolePart }

const (
	rolePartBits = 6
	roleParts    = 1 << rolePartBits
)

type rolePart struct {
	keys  []uint32
	roles []role
	shift uint
}

// spread hashes an address by Fibonacci's multiplier; addresses with roles are
// the operator's own, so no seed is needed.
func spread(addr uint32) uint32 { return addr * spreadFactor }

const spreadFactor = 0x9e3779b1

func partOf(addr uint32) uint32 { return spread(addr) & (roleParts - 1) }

// of returns the roles of addr, 0 for a stranger.
func (t *roleTable) of(addr uint32) role {
	h := spread(addr)
	p := t.parts[h&(roleParts-1)]
	if p == nil {
		return 0
	}
	mask := uint32(len(p.keys) - 1)
	for i := h >> p.shift; ; i = (i + 1) & mask {
		if r := p.roles[i]; r == 0 || p.keys[i] == addr {
			return r
		}
	}
}

func newRolePart(m map[uint32]role) *rolePart {
	bits := uint(2)
	for 1<<bits < 2*len(m) {
		bits++
	}
	p := &rolePart{make([]uint32, 1<<bits), make([]role, 1<<bits), 32 - bits}
	for addr, r := range m {
		i := spread(addr) >> p.shift
		for p.roles[i] != 0 {
			i = (i + 1) & uint32(len(p.keys)-1)
		}
		p.keys[i], p.roles[i] = addr, r
	}
	return p
}

// roleBook is the writer's side of a roleTable: it knows why addresses have
// their roles, and which have changed.
type roleBook struct {
	sticky map[uint32]role // roleOwned and roleServer: once given, they stay
	vips   map[uint32]int  // services of each VIP
	marked map[uint32]bool
	dirty  map[uint32]bool // addresses whose roles may have changed
	final  [roleParts]map[uint32]role
	table  roleTable

	owned, servers []netip.Addr // the sticky ones, in order of appearance; only appended to
}

func newRoleBook() roleBook {
	return roleBook{
		sticky: map[uint32]role{}, vips: map[uint32]int{}, marked: map[uint32]bool{}, dirty: map[uint32]bool{},
	}
}

// addService and dropService follow the services of a VIP.
func (b *roleBook) addService(vip uint32) {
	b.vips[vip]++
	b.stick(vip, roleOwned, &b.owned)
}

func (b *roleBook) dropService(vip uint32) {
	if b.vips[vip]--; b.vips[vip] == 0 {
		delete(b.vips, vip)
	}
	b.dirty[vip] = true
}

func (b *roleBook) addServer(rip uint32) { b.stick(rip, roleServer, &b.servers) }

func (b *roleBook) stick(addr uint32, r role, list *[]netip.Addr) {
	if b.sticky[addr]&r == 0 {
		b.sticky[addr] |= r
		*list = append(*list, Addr4(addr))
	}
	b.dirty[addr] = true
}

// setMarked says which VIPs firewall marks lead to.
func (b *roleBook) setMarked(vips []netip.Addr) {
	for addr := range b.marked {
		b.dirty[addr] = true
	}
	clear(b.marked)
	for _, vip := range vips {
		b.marked[Number4(vip)] = true
		b.dirty[Number4(vip)] = true
	}
}

// hostChanged says that addresses may have become the host's or have ceased to
// be.
func (b *roleBook) hostChanged() {
	for _, vip := range b.owned {
		b.dirty[Number4(vip)] = true
	}
	for addr := range b.marked {
		b.dirty[addr] = true
	}
}

// current brings the table up to date and returns it.
func (b *roleBook) current(h Host) roleTable {
	changed := map[uint32]bool{}
	for addr := range b.dirty {
		n := partOf(addr)
		if b.final[n] == nil {
			b.final[n] = map[uint32]role{}
		}
		was := b.final[n][addr]
		switch is := b.roleOf(addr, h); {
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
		b.table.parts[n] = newRolePart(b.final[n])
	}
	return b.table
}

func (b *roleBook) roleOf(addr uint32, h Host) role {
	r := b.sticky[addr]
	if b.vips[addr] > 0 {
		r |= roleVIP
	}
	if b.marked[addr] {
		r |= roleVIP | roleOwned
	}
	if r&roleOwned != 0 && h.IsLocal(addr) {
		r &^= roleOwned
	}
	return r
}
