package sched

import (
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// The kernel's default table (CONFIG_IP_VS_MH_TAB_INDEX 12) and its fixed hash
// keys; directors that agree on them send a client to the same server.
const (
	mhSlots      = 4093 // a prime
	mhWeightBits = 6    // weights are scaled down to this many bits

	mhKey1 = 2654435761 // both words of the key for slots and offsets
	mhKey2 = 2654446892 // both words of the key for skips
)

// mh is Maglev hashing: each server has its own order of preference over a
// table of 4093 slots, and the servers, in list order, take turns at claiming
// their next free one, several at a turn by weight. The client's address finds
// its slot. When a server comes or goes, few clients of the others move.
//
// The latest weight other than 0 shapes the table, so quiescing a server moves
// nobody: its clients are refused, or with mh-fallback (Sched1) tried on other
// slots. With mh-port (Sched2) the client's port counts too. With more servers
// than slots the table stays as it was.
//
// Source: ip_vs_mh.c; Eisenbud et al., "Maglev: A Fast and Reliable Software
// Network Load Balancer", 2016, section 3.4. The hash is that of 64-bit kernels.
type mh struct {
	clientKey
	list
	takers heights // spares the fallback its probes when they cannot find anybody
	slots  [mhSlots]*ipvs.RealServer
}

func newMH(flags ipvs.ServiceFlags) *mh {
	m := &mh{takers: heights{of: oneIf(takes), on: ipvs.Fitness}}
	m.SetFlags(flags)
	return m
}

// Schedule looks the client up.
func (m *mh) Schedule(f *Flow, _ time.Duration) *ipvs.RealServer {
	key := m.of(f)
	slot := mhHash(mhKey1, key) % mhSlots
	if s := m.slots[slot]; s == nil || takes(s) {
		return s
	}
	if !m.fallback || !m.takers.any() {
		return nil
	}
	for offset := range uint32(mhSlots) {
		if s := m.slots[mhProbe(key, slot, offset)]; takes(s) {
			return s
		}
	}
	return nil
}

// mhProbe returns a slot that the fallback looks at for a client of that key and
// slot.
func mhProbe(key, slot, offset uint32) uint32 {
	return mhHash(mhKey1, (offset+slot)%mhSlots+key) % mhSlots
}

// takes reports whether a server found in the table may have the connection. A
// deleted one can be left there only while there are more servers than slots.
func takes(s *ipvs.RealServer) bool { return s.Available() && s.Eligible() }

// Update fills the table anew. When several adds at once made the list too long,
// the table is that of the longest list on the way that was not.
func (m *mh) Update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer) {
	before := len(m.servers)
	m.servers = servers
	m.takers.Update(servers, how, changed)
	if len(servers) > mhSlots {
		if how != Add || before >= mhSlots {
			return
		}
		servers = servers[len(servers)-mhSlots:]
	}
	clear(m.slots[:])
	if claimants := mhClaimants(servers); len(claimants) > 0 {
		m.fill(claimants)
	}
}

// Prepare implements [Preparer].
func (m *mh) Prepare() {
	if m.fallback {
		m.takers.Prepare()
	}
}

// fill lets the claimants take turns until every slot is claimed. A claimant
// searches on from the slot that it claimed last.
func (m *mh) fill(claimants []mhClaimant) {
	for free := mhSlots; ; {
		for i := range claimants {
			c := &claimants[i]
			for range c.turns {
				for m.slots[c.position] != nil {
					c.position = (c.position + c.skip) % mhSlots
				}
				m.slots[c.position] = c.server
				if free--; free == 0 {
					return
				}
			}
		}
	}
}

// mhClaimant is a server while the table is filled. Its preferences are the
// slots offset, offset + skip, offset + 2*skip and so on.
type mhClaimant struct {
	server   *ipvs.RealServer
	position uint32
	skip     uint32
	turns    uint32 // slots that it claims in one round
}

// mhClaimants returns the servers that have ever had a weight, in list order.
// The weights lose their common divisor, and then low bits until the greatest
// fits into mhWeightBits; nobody falls below one slot a round.
func mhClaimants(servers []*ipvs.RealServer) []mhClaimant {
	divisor, highest := 0, 0
	for _, s := range servers {
		weight := int(s.LastWeight())
		divisor = gcd(divisor, weight)
		highest = max(highest, weight)
	}
	if highest == 0 {
		return nil
	}
	shift := max(0, bits.Len(uint(highest/divisor))-mhWeightBits)
	claimants := make([]mhClaimant, 0, len(servers))
	for _, s := range servers {
		weight := int(s.LastWeight())
		if weight == 0 {
			continue
		}
		offset, skip := mhPreference(s.Addr)
		claimants = append(claimants, mhClaimant{
			server:   s,
			position: offset,
			skip:     skip,
			turns:    uint32(max(1, weight/divisor>>shift)),
		})
	}
	return claimants
}

// mhPreference returns a server's first slot and the way from each to the next,
// 1..mhSlots-1.
func mhPreference(a netip.AddrPort) (offset, skip uint32) {
	key := fold(a.Addr()) + uint32(a.Port())
	return mhHash(mhKey1, key) % mhSlots, mhHash(mhKey2, key)%(mhSlots-1) + 1
}

// mhHash is the kernel's hsiphash of a 32-bit number on 64-bit machines: the low
// half of SipHash-1-3, with both key words alike.
func mhHash(key uint64, v uint32) uint32 {
	return uint32(sipHash13(key, key, v))
}

// Fork implements [Scheduler].
func (m *mh) Fork(_ *Flow, twin Twins) Scheduler {
	c := &mh{clientKey: m.clientKey, takers: m.takers.fork(twin), list: m.fork(twin)}
	copy(c.slots[:], twin.All(m.slots[:]))
	return c
}

// Explain implements [Explainer].
func (m *mh) Explain(f *Flow, _ time.Duration) Reasons {
	key := m.of(f)
	slot := mhHash(mhKey1, key) % mhSlots
	probes := []uint32{slot}
	if m.fallback {
		for offset := range uint32(mhSlots) {
			probes = append(probes, mhProbe(key, slot, offset))
		}
	}
	return Reasons{
		Rule:       "the server of the client's slot wins" + m.elseNext(),
		Compares:   "look",
		Facts:      []Fact{m.fact(f), {"slot", fmt.Sprintf("%d of %d", slot, mhSlots)}},
		Candidates: probed(m.servers, m.slots[:], probes),
	}
}
