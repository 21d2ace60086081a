package drain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// Director is what draining needs of a director.
type Director interface {
	Services(ctx context.Context) ([]ipvs.ServiceStatus, error)
	Apply(ctx context.Context, changes []ipvs.Change) error
}

// Config says what to drain, and how.
type Config struct {
	Director Director
	Choose   func(ipvs.ServiceKey, *ipvs.Destination) bool // the servers to drain

	Deadline         time.Duration // how long to wait for the connections; 0: for ever
	Delete           bool          // delete the servers once they are drained
	BreakPersistence bool          // take their persistence templates away
	Poll             time.Duration // how often to look; 0: every half second

	Show func(*Progress) // called at the start and whenever it was looked
}

// Server is one server that is drained, as it was before, and how it is now.
type Server struct {
	Service ipvs.ServiceKey
	Before  ipvs.Destination

	Active, Inactive, PersistConns int32
}

// left returns the connections that are waited for. UDP has no active ones: a
// flow counts as inactive until its time is up.
func (s *Server) left() int32 {
	if s.Service.Proto == ipvs.UDP {
		return s.Active + s.Inactive
	}
	return s.Active
}

// Progress is how far the draining is.
type Progress struct {
	Servers []Server
	Elapsed time.Duration
}

// Left returns how many connections are waited for.
func (p *Progress) Left() (n int) {
	for i := range p.Servers {
		n += int(p.Servers[i].left())
	}
	return n
}

// Templates returns how many persistence templates the servers have.
func (p *Progress) Templates() (n int) {
	for i := range p.Servers {
		n += int(p.Servers[i].PersistConns)
	}
	return n
}

// Outcome is how a draining ended.
type Outcome int

// Outcomes. After all but Drained with Config.Delete the servers are as they are:
// quiesced, unless somebody else has changed them.
const (
	Drained     Outcome = iota // the last connection is gone
	Deadline                   // connections are left, and the time is up
	Interrupted                // ctx has ended
	Changed                    // somebody else has deleted a server, or given it a weight: see the error
)

// ErrNothing says that there is no such server.
var ErrNothing = errors.New("there is no such server")

// Run quiesces the servers in one transaction and waits. It returns the state
// that it has seen last, also with an error; without servers in it nothing was
// changed.
func Run(ctx context.Context, cfg Config) (Outcome, *Progress, error) {
	d := &drain{Config: cfg, begun: time.Now()}
	if d.Poll == 0 {
		d.Poll = time.Second / 2
	}
	if err := d.begin(ctx); err != nil {
		return Changed, &d.progress, err
	}
	outcome, err := d.wait(ctx)
	if outcome == Drained && err == nil && d.Delete {
		err = d.delete(ctx)
	}
	if err != nil {
		outcome = Changed
	}
	return outcome, &d.progress, err
}

type drain struct {
	Config
	begun    time.Time
	progress Progress
}

// begin finds the servers and takes their weight away.
func (d *drain) begin(ctx context.Context) error {
	services, err := d.Director.Services(ctx)
	if err != nil {
		return err
	}
	var found []Server
	var changes []ipvs.Change
	for i := range services {
		s := &services[i]
		for j := range s.Destinations {
			before := s.Destinations[j].Destination
			if !d.Choose(s.Key, &before) {
				continue
			}
			found = append(found, Server{Service: s.Key, Before: before})
			quiesced := before
			quiesced.Weight = 0
			service := ipvs.Service{Key: s.Key}
			changes = append(changes, ipvs.Change{Kind: ipvs.EditDestination, Service: service, Destination: quiesced})
			if d.BreakPersistence {
				changes = append(changes, ipvs.Change{Kind: ipvs.BreakPersistence, Service: service, Destination: quiesced})
			}
		}
	}
	if len(found) == 0 {
		return ErrNothing
	}
	// A signal must not leave it open whether this was done.
	if err := d.Director.Apply(context.WithoutCancel(ctx), changes); err != nil {
		return err
	}
	d.progress.Servers = found
	return nil
}

// wait looks until the connections are gone.
func (d *drain) wait(ctx context.Context) (Outcome, error) {
	tick := time.NewTicker(d.Poll)
	defer tick.Stop()
	for {
		if err := d.look(ctx); err != nil {
			if ctx.Err() != nil {
				return Interrupted, nil
			}
			return Changed, err
		}
		d.progress.Elapsed = time.Since(d.begun)
		d.Show(&d.progress)
		switch {
		case d.progress.Left() == 0:
			return Drained, nil
		case d.Config.Deadline > 0 && d.progress.Elapsed >= d.Config.Deadline:
			return Deadline, nil
		}
		select {
		case <-tick.C:
		case <-d.timeUp():
		case <-ctx.Done():
			return Interrupted, nil
		}
	}
}

// timeUp tells when the deadline is there, so that it is not missed by a poll.
func (d *drain) timeUp() <-chan time.Time {
	if d.Config.Deadline == 0 {
		return nil
	}
	return time.After(d.Config.Deadline - d.progress.Elapsed)
}

// look counts the connections that are left. Servers that somebody else has
// deleted or given a weight are an error.
func (d *drain) look(ctx context.Context) error {
	services, err := d.Director.Services(ctx)
	if err != nil {
		return err
	}
	there := map[ipvs.ServiceKey]map[netip.AddrPort]*ipvs.DestinationStatus{}
	for i := range services {
		servers := map[netip.AddrPort]*ipvs.DestinationStatus{}
		for j := range services[i].Destinations {
			servers[services[i].Destinations[j].Addr] = &services[i].Destinations[j]
		}
		there[services[i].Key] = servers
	}
	for i := range d.progress.Servers {
		s := &d.progress.Servers[i]
		now := there[s.Service][s.Before.Addr]
		switch {
		case now == nil:
			return fmt.Errorf("%v server %v was deleted by somebody else, with %d of its connections left",
				s.Service, s.Before.Addr, s.left())
		case now.Weight != 0:
			return fmt.Errorf("%v server %v was given weight %d by somebody else: it takes new connections again",
				s.Service, s.Before.Addr, now.Weight)
		}
		s.Active, s.Inactive, s.PersistConns = now.Active, now.Inactive, now.PersistConns
	}
	return nil
}

// delete takes the drained servers out of their services, all or none.
func (d *drain) delete(ctx context.Context) error {
	var changes []ipvs.Change
	for i := range d.progress.Servers {
		s := &d.progress.Servers[i]
		changes = append(changes, ipvs.Change{
			Kind: ipvs.DeleteDestination, Service: ipvs.Service{Key: s.Service}, Destination: ipvs.Destination{Addr: s.Before.Addr},
		})
	}
	err := d.Director.Apply(context.WithoutCancel(ctx), changes)
	if err != nil {
		return fmt.Errorf("drained, but not deleted: %w", err)
	}
	return nil
}
