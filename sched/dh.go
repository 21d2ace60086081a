package sched

import (
	"fmt"
	"time"

	"natlb/ipvs"
)

// dh is destination hashing: a table of 256 slots is dealt out in list order,
// one slot each whatever the weights, and the address that the packet is sent
// to finds its slot. With one VIP a single server gets everything: dh is for
// firewall-mark services in front of caches. A packet whose server is quiesced
// or overloaded is refused.
//
// Source: ip_vs_dh.c.
type dh struct {
	list
	slots [dhSlots]*ipvs.RealServer
}

// dhBits is the kernel's default table size (CONFIG_IP_VS_DH_TAB_BITS).
const (
	dhBits  = 8
	dhSlots = 1 << dhBits
)

// Schedule looks the destination address up.
func (d *dh) Schedule(f *Flow, _ time.Duration) *ipvs.RealServer {
	s := d.slots[hash32(fold(f.VIP), dhBits)]
	if s == nil || !s.Available() || !s.Eligible() {
		return nil
	}
	return s
}

// Update deals the table when servers come or go.
func (d *dh) Update(servers []*ipvs.RealServer, how UpdateKind, _ *ipvs.RealServer) {
	d.servers = servers
	if how == Edit {
		return
	}
	clear(d.slots[:])
	if len(servers) == 0 {
		return
	}
	for i := range d.slots {
		d.slots[i] = servers[i%len(servers)]
	}
}

// Fork implements [Scheduler].
func (d *dh) Fork(_ *Flow, twin Twins) Scheduler {
	c := &dh{list: d.fork(twin)}
	copy(c.slots[:], twin.All(d.slots[:]))
	return c
}

// Explain implements [Explainer].
func (d *dh) Explain(f *Flow, _ time.Duration) Reasons {
	key := fold(f.VIP)
	slot := hash32(key, dhBits)
	return Reasons{
		Rule:       "the server of the destination address's slot wins",
		Compares:   "look",
		Facts:      []Fact{{"hash key", fmt.Sprintf("%d, of %v", key, f.VIP)}, {"slot", fmt.Sprintf("%d of %d", slot, dhSlots)}},
		Candidates: probed(d.servers, d.slots[:], []uint32{slot}),
	}
}
