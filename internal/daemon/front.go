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

// Apply carries out a transaction. The guard covers new services before their
// first packet can come, and lets go of old ones after their last.
func (f front) Apply(changes []ipvs.Change) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	known := f.d.vips()
	cover := append(planned(changes), f.Director.Services()...)
	if err := f.d.guard.keep(cover, f.Director.MarkVIPs(), f.d.picture); err != nil {
		return err
	}
	err := f.Director.Apply(changes)
	if guardErr := f.d.guard.keep(f.Director.Services(), f.Director.MarkVIPs(), f.d.picture); guardErr != nil {
		f.d.cfg.Log.Error("guard", "err", guardErr)
	}
	if err == nil {
		f.d.announce(known)
		f.d.worker.Wake()
	}
	return err
}

// planned returns what a transaction adds, as far as the guard cares.
func planned(changes []ipvs.Change) []ipvs.ServiceStatus {
	var add []ipvs.ServiceStatus
	for i := range changes {
		switch c := &changes[i]; c.Kind {
		case ipvs.AddService:
			add = append(add, ipvs.ServiceStatus{Service: c.Service})
		case ipvs.AddDestination:
			add = append(add, ipvs.ServiceStatus{
				Service:      c.Service,
				Destinations: []ipvs.DestinationStatus{{Destination: c.Destination}},
			})
		}
	}
	return add
}

// Counters implements [control.Director].
func (f front) Counters() []control.Counter {
	var out []control.Counter
	for _, c := range f.Director.Counters() {
		out = append(out, control.Counter{Name: c.Verdict.String(), Count: c.Frames})
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
