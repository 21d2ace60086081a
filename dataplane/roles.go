package dataplane

import "natlb/rewrite"

// role is what an address means to the director. Addresses without a role are
// strangers: clients, and the rest of the world.
type role uint8

const (
	roleVIP    role = 1 << iota // a service has it now
	roleOwned                   // natlb stands in for the host: it answers for the address
	roleServer                  // a real server, now or since the director started
	roleSource                  // FULLNAT speaks from it, and natlb answers for it
	roleTurned                  // it became or ceased to be a VIP while there were connections: see suitors
)

// isVIP reports whether the address is one, or natlb still answers for it as for one.
func (r role) isVIP() bool { return r&(roleVIP|roleOwned) != 0 }

// roleTable maps addresses to roles. It is immutable, and every packet asks it
// twice: a small hash table with open addressing for each family, in parts, so that
// a change makes one part anew and not all of it.
type roleTable struct {
	parts  [roleParts]*rolePart[uint32]
	parts6 [roleParts]*rolePart[rewrite.Addr6]
}

const (
	rolePartBits = 6
	roleParts    = 1 << rolePartBits
)

// rolePart is a part of the table for addresses of type A.
type rolePart[A comparable] struct {
	keys  []A
	roles []role
	shift uint
}

// spread hashes an address by Fibonacci's multiplier; addresses with roles are
// the operator's own, so no seed is needed.
func spread(addr uint32) uint32 { return addr * spreadFactor }

const spreadFactor = 0x9e3779b1

// spread6 does so for IPv6. The words count apart: the addresses of a site differ in
// a few bits of either.
func spread6(addr rewrite.Addr6) uint32 {
	x := addr.Hi*0xff51afd7ed558ccd + addr.Lo
	x ^= x >> 32
	return uint32(x * 0x9e3779b97f4a7c15 >> 32)
}

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

// of6 does so for an IPv6 address. The loop stands twice because every packet runs it
// twice: one for both, behind type parameters, took a tenth more of the whole path.
func (t *roleTable) of6(addr rewrite.Addr6) role {
	h := spread6(addr)
	p := t.parts6[h&(roleParts-1)]
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

// answered returns on which sides natlb answers for an address with these roles: on
// that of the clients for a VIP with a service, on that of the servers for a source
// address. What is on one of the host's interfaces the host answers for.
func (r role) answered() (on Side) {
	const vip = roleVIP | roleOwned
	if r&vip == vip {
		on = VIPSide
	}
	if r&roleSource != 0 {
		on |= DIPSide
	}
	return on
}

// newRolePart makes a part of the table of what has roles in it.
func newRolePart[A comparable](m map[A]role, spread func(A) uint32) *rolePart[A] {
	bits := uint(2)
	for 1<<bits < 2*len(m) {
		bits++
	}
	p := &rolePart[A]{make([]A, 1<<bits), make([]role, 1<<bits), 32 - bits}
	for addr, r := range m {
		i := spread(addr) >> p.shift
		for p.roles[i] != 0 {
			i = (i + 1) & uint32(len(p.keys)-1)
		}
		p.keys[i], p.roles[i] = addr, r
	}
	return p
}
