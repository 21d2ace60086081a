package dataplane

import "natlb/ipvs"

// Shards count in plain arrays of their own, by server and service ID. The
// meters add them up, remember where -Z has put the zero, and estimate rates
// (semantics section 7).
type meters struct {
	servers  []meter
	services []meter
}

type meter struct {
	zero ipvs.Stats // raw counters at the last -Z
	last ipvs.Stats // raw counters at the last estimate
	est  [5]int64   // scaled averages: 2^10 for conns and packets, 2^5 for bytes
}

// counts are the raw counters of one shard, by ID.
type counts struct {
	servers  []ipvs.Stats
	services []ipvs.Stats
	lost     []uint64 // packets for servers that could not be reached
}

// fit makes room for all IDs of v.
func (c *counts) fit(v *view) {
	for len(c.servers) < len(v.servers) {
		c.servers, c.lost = append(c.servers, ipvs.Stats{}), append(c.lost, 0)
	}
	for len(c.services) < v.nservice {
		c.services = append(c.services, ipvs.Stats{})
	}
}

// raw adds up the counters of all shards, which must stand still. The caller
// holds d.mu.
func (d *Director) raw() (sum counts) {
	sum.servers = make([]ipvs.Stats, len(d.servers))
	sum.services = make([]ipvs.Stats, d.nservice)
	for _, s := range d.shards {
		for i := range s.counts.servers {
			sum.servers[i].Add(s.counts.servers[i])
		}
		for i := range s.counts.services {
			sum.services[i].Add(s.counts.services[i])
		}
	}
	for len(d.meters.servers) < len(sum.servers) {
		d.meters.servers = append(d.meters.servers, meter{})
	}
	for len(d.meters.services) < len(sum.services) {
		d.meters.services = append(d.meters.services, meter{})
	}
	return sum
}

// Estimate updates the rates. The owner of the clock calls it every 2 s.
func (d *Director) Estimate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settings.runEstimation == 0 {
		return
	}
	thaw := d.freeze()
	sum := d.raw()
	thaw()
	for i := range sum.servers {
		d.meters.servers[i].estimate(sum.servers[i])
	}
	for i := range sum.services {
		d.meters.services[i].estimate(sum.services[i])
	}
}

// estimate is the exponential average of ip_vs_est.c: weight 1/4, every 2 s.
func (m *meter) estimate(now ipvs.Stats) {
	delta := now.Sub(m.last)
	m.last = now
	for i, rate := range [5]int64{
		int64(delta.Conns) << 9, int64(delta.InPkts) << 9, int64(delta.OutPkts) << 9,
		int64(delta.InBytes) << 4, int64(delta.OutBytes) << 4,
	} {
		m.est[i] += (rate - m.est[i]) >> 2
	}
}

func (m *meter) rates() ipvs.Rates {
	packets := func(i int) uint64 { return uint64(m.est[i]+511) >> 10 }
	bytes := func(i int) uint64 { return uint64(m.est[i]+15) >> 5 }
	return ipvs.Rates{CPS: packets(0), InPPS: packets(1), OutPPS: packets(2), InBPS: bytes(3), OutBPS: bytes(4)}
}

func (m *meter) reset(raw ipvs.Stats) { m.zero, m.last, m.est = raw, raw, [5]int64{} }

// zero is -Z of one service with its servers, or with the zero key of all. The
// shards stand still.
func (d *Director) zero(key ipvs.ServiceKey) {
	sum := d.raw()
	for _, s := range d.services {
		if key != (ipvs.ServiceKey{}) && key != s.key {
			continue
		}
		d.meters.services[s.id].reset(sum.services[s.id])
		for _, r := range s.servers {
			d.meters.servers[r.ID].reset(sum.servers[r.ID])
		}
	}
}

// forgetServer and forgetService clear the counters of an ID that gets a new
// meaning. The shards stand still.
func (d *Director) forgetServer(id uint32) {
	for _, s := range d.shards {
		if int(id) < len(s.counts.servers) {
			s.counts.servers[id], s.counts.lost[id] = ipvs.Stats{}, 0
		}
	}
	if int(id) < len(d.meters.servers) {
		d.meters.servers[id] = meter{}
	}
}

func (d *Director) forgetService(id uint32) {
	for _, s := range d.shards {
		if int(id) < len(s.counts.services) {
			s.counts.services[id] = ipvs.Stats{}
		}
	}
	if int(id) < len(d.meters.services) {
		d.meters.services[id] = meter{}
	}
}
