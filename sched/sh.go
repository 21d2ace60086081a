package sched

import (
	"fmt"
	"time"

	"natlb/ipvs"
)

// shBits is the kernel's default table size (CONFIG_IP_VS_SH_TAB_BITS).
const (
	shBits  = 8
	shSlots = 1 << shBits
)

// sh is source hashing: a table of 256 slots is dealt out in list order, as
// many slots in a row to each server as its weight says (at least one), round
// and round until it is full; the client's address finds its slot. A client
// whose server is quiesced or overloaded is refused.
//
// With sh-fallback (Sched1) such a client is tried on other slots; with sh-port
// (Sched2) its port counts too, so that one client spreads over the servers.
// Every change of the list deals the table anew, and most clients move.
//
// Source: ip_vs_sh.c.
type sh struct {
	clientKey
	list
	slots [shSlots]*ipvs.RealServer
}

func newSH(flags ipvs.ServiceFlags) *sh {
	s := new(sh)
	s.SetFlags(flags)
	return s
}

// Schedule looks the client up. The probes of the fallback start at twice the
// slot, not behind it, since the kernel adds the slot to the hash that it is.
func (h *sh) Schedule(f *Flow, _ time.Duration) *ipvs.RealServer {
	slot := hash32(h.of(f), shBits)
	s := h.slots[slot]
	if s == nil || s.Eligible() {
		return s
	}
	if !h.fallback {
		return nil
	}
	for offset := range uint32(shSlots) {
		if s := h.slots[shProbe(slot, offset)]; s.Eligible() {
			return s
		}
	}
	return nil
}

// shProbe returns a slot that the fallback looks at for a client of slot.
func shProbe(slot, offset uint32) uint32 { return (2*slot + offset) % shSlots }

// Update deals the table.
func (h *sh) Update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	h.servers = servers
	clear(h.slots[:])
	if len(servers) == 0 {
		return
	}
	next, dealt := 0, int32(0)
	for i := range h.slots {
		s := servers[next]
		h.slots[i] = s
		if dealt++; dealt >= s.Weight() {
			next, dealt = (next+1)%len(servers), 0
		}
	}
}

// Fork implements [Scheduler].
func (h *sh) Fork(_ *Flow, twin Twins) Scheduler {
	c := &sh{clientKey: h.clientKey, list: h.fork(twin)}
	copy(c.slots[:], twin.All(h.slots[:]))
	return c
}

// Explain implements [Explainer].
func (h *sh) Explain(f *Flow, _ time.Duration) Reasons {
	slot := hash32(h.of(f), shBits)
	probes := []uint32{slot}
	if h.fallback {
		for offset := range uint32(shSlots) {
			probes = append(probes, shProbe(slot, offset))
		}
	}
	return Reasons{
		Rule:       "the server of the client's slot wins" + h.elseNext(),
		Compares:   "look",
		Facts:      []Fact{h.fact(f), {"slot", fmt.Sprintf("%d of %d", slot, shSlots)}},
		Candidates: probed(h.servers, h.slots[:], probes),
	}
}
