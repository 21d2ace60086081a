package dataplane

// role is what an address means to the director. Addresses without a role are
// strangers: clients, and the rest of the world.
type role uint8

const (
	roleVIP    role = 1 << iota // a service has it now
	roleOwned                   // natlb stands in for the host: it answers for the address
	roleServer                  // a real server, now or since the director started
	roleMarked                  // a VIP by firewall marks: all its TCP and UDP is natlb's
)

// roleTable maps addresses to roles: a small immutable hash table with open
// addressing, because every packet asks it twice.
type roleTable struct {
	keys  []uint32
	roles []role
	shift uint
}

func newRoleTable(m map[uint32]role) roleTable {
	bits := uint(4)
	for 1<<bits < 2*len(m) {
		bits++
	}
	t := roleTable{make([]uint32, 1<<bits), make([]role, 1<<bits), 32 - bits}
	for addr, r := range m {
		i := t.slot(addr)
		for t.roles[i] != 0 {
			i = (i + 1) & uint32(len(t.keys)-1)
		}
		t.keys[i], t.roles[i] = addr, r
	}
	return t
}

// slot spreads addresses by Fibonacci hashing; they are the operator's own, so
// no seed is needed.
func (t *roleTable) slot(addr uint32) uint32 { return addr * 0x9e3779b1 >> t.shift }

// of returns the roles of addr, 0 for a stranger.
func (t *roleTable) of(addr uint32) role {
	mask := uint32(len(t.keys) - 1)
	for i := t.slot(addr); ; i = (i + 1) & mask {
		if r := t.roles[i]; r == 0 || t.keys[i] == addr {
			return r
		}
	}
}
