package daemon

import (
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
	before := f.Director.Scope()
	ahead := planned(before, changes)
	if err := f.d.guard.keep(ahead, f.d.picture); err != nil {
		return err
	}
	if err := f.d.links.capture(ahead); err != nil {
		return err
	}
	err := f.Director.Apply(changes)
	after := f.Director.Scope()
	if guardErr := f.d.guard.keep(after, f.d.picture); guardErr != nil {
		f.d.cfg.Log.Error("guard", "err", guardErr)
	}
	if err := f.d.links.capture(after); err != nil {
		f.d.cfg.Log.Error("links", "err", err)
	}
	if err := f.d.links.steer(after, f.Director.SteersByAddress()); err != nil {
		f.d.cfg.Log.Warn("packets are handed over from shard to shard", "err", err)
	}
	if err == nil {
		f.d.announce(vips(before), vips(after))
		f.d.wake()
	}
	return err
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
		case c.Kind == ipvs.AddService && key.VIP.Addr().Is4():
			sc.Services = append(sc.Services, key)
			sc.Owned = append(sc.Owned, key.VIP.Addr())
		case c.Kind == ipvs.AddDestination && rip.Is4():
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
