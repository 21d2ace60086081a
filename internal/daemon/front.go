package daemon

import (
	"net/netip"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/ipvs"
)

// front is the director as the control room sees it: the data path, with the
// guard kept in step with each change.
type front struct {
	*dataplane.Director
	d *daemon
}

var _ control.Director = front{}

// Apply carries out a transaction. The guard covers new services, and the ports
// capture their packets, before the first one can come; old ones are let go
// after their last.
func (f front) Apply(changes []ipvs.Change) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	wider, other := f.reach(changes)
	known := f.vips(changes, other)
	if wider {
		ahead := planned(f.Director.Scope(), changes)
		if err := f.d.guard.keep(ahead, f.d.picture); err != nil {
			return err
		}
		if err := f.d.links.capture(ahead); err != nil {
			f.settle()
			return err
		}
	}
	err := f.Director.Apply(changes)
	if other || wider && err != nil {
		f.settle()
	}
	if other || wider {
		f.steer()
	}
	if err == nil {
		f.d.announce(known, f.vips(changes, other))
		f.d.wake()
	}
	return err
}

// reach says what a transaction does to the scope: it gets wider by what planned
// can foresee, or it changes in other ways. Most transactions do neither, and need
// not look at all services there are.
func (f front) reach(changes []ipvs.Change) (wider, other bool) {
	for i := range changes {
		c := &changes[i]
		switch c.Kind {
		case ipvs.AddService:
			wider, other = true, other || c.Service.Key.IsMark()
		case ipvs.AddDestination:
			wider = wider || !f.Director.IsServer(c.Destination.Addr.Addr())
		case ipvs.DeleteService, ipvs.FlushServices, ipvs.ChangeMarks, ipvs.ChangeSources:
			other = true
		}
	}
	return wider, other
}

// vips returns the addresses that natlb answers for: all of them, or those of
// services that the changes add.
func (f front) vips(changes []ipvs.Change, all bool) map[netip.Addr]bool {
	if all {
		return vips(f.Director.Scope())
	}
	known := map[netip.Addr]bool{}
	for i := range changes {
		if vip := changes[i].Service.Key.VIP.Addr(); changes[i].Kind == ipvs.AddService && f.Director.IsVIP(vip) {
			known[vip] = true
		}
	}
	return known
}

// settle makes guard and ports fit what there is.
func (f front) settle() {
	after := f.Director.Scope()
	if err := f.d.guard.keep(after, f.d.picture); err != nil {
		f.d.cfg.Log.Error("guard", "err", err)
	}
	if err := f.d.links.capture(after); err != nil {
		f.d.cfg.Log.Error("links", "err", err)
	}
}

// steer makes the kernel give each packet to the shard that it belongs to now. One
// shard gets them all.
func (f front) steer() {
	if f.Director.Shards() == 1 {
		return
	}
	if err := f.d.links.steer(f.Director.Scope(), f.Director.SteersByAddress()); err != nil {
		f.d.cfg.Log.Warn("packets are handed over from shard to shard", "err", err)
	}
}

// planned returns the scope that a transaction leads to, as far as it adds
// something that the guard can cover.
func planned(sc dataplane.Scope, changes []ipvs.Change) dataplane.Scope {
	for i := range changes {
		c := &changes[i]
		key, rip := c.Service.Key, c.Destination.Addr.Addr()
		switch {
		case c.Kind == ipvs.AddService && key.IsMark():
			sc.Services = append(sc.Services, key)
		case c.Kind == ipvs.AddService && key.VIP.IsValid():
			sc.Services = append(sc.Services, key)
			sc.Owned = append(sc.Owned, key.VIP.Addr())
		case c.Kind == ipvs.AddDestination && rip.IsValid():
			sc.Servers = append(sc.Servers, rip)
		}
	}
	return sc
}

// Counters implements [control.Director].
func (f front) Counters() []control.Counter {
	var out []control.Counter
	for _, c := range f.Director.Counters() {
		out = append(out, control.Counter{Name: c.Verdict.String(), Count: c.Frames})
	}
	if f.Director.Shards() > 1 {
		out = append(out, control.Counter{Name: "shards-handed-over", Count: f.Director.HandedOver()})
	}
	if n := f.Director.TOALeftOut(); n > 0 {
		out = append(out, control.Counter{Name: "toa-left-out", Count: n})
	}
	return append(out, f.d.linkCounters()...)
}

// Sysctls implements [control.Director].
func (f front) Sysctls() []control.Sysctl {
	var out []control.Sysctl
	for _, s := range f.Director.Sysctls() {
		out = append(out, control.Sysctl(s))
	}
	return out
}
