package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"

	"natlb/internal/control"
	"natlb/internal/hostnet"
	"natlb/ipvs"
)

// Options say what to look at.
type Options struct {
	Natlb  string // version of this program
	Socket string // path of the control socket

	// VIPLinks, DIPLinks and Rules stand for a director that does not run yet;
	// where one answers they are not looked at.
	VIPLinks, DIPLinks []string
	Rules              string // rules file, or empty
}

// Look gathers the facts. It takes some seconds, because it waits for answers
// from the network. The error says that the director went away meanwhile, or
// that ctx ended.
func Look(ctx context.Context, o Options) (*Facts, error) {
	client := control.Dial(o.Socket)
	defer client.Close()
	f := &Facts{Natlb: o.Natlb, Socket: Socket{Path: o.Socket}, Memory: readMemory()}
	f.Caps, _ = hostnet.Capabilities() // a thread may always ask about itself
	if err := f.lookAtDirector(ctx, client); err != nil {
		return nil, err
	}
	if f.Director == nil {
		f.expect(&o)
		return f, errors.Join(f.lookAtHost(ctx, nil), ctx.Err())
	}
	var failed error
	f.Elsewhere = inNamespace(f.Director.PID, f.Director.Namespace, func() { failed = f.lookAtHost(ctx, client) })
	if failed != nil {
		return nil, failed
	}
	return f, errors.Join(f.compareCounters(ctx, client), ctx.Err())
}

// lookAtDirector fills in what the director says, if there is one. A socket that
// cannot be used is a fact, not an error.
func (f *Facts) lookAtDirector(ctx context.Context, client *control.Client) error {
	s := &f.Socket
	info, err := os.Lstat(s.Path)
	if err == nil {
		s.Mode = uint32(info.Mode().Perm())
		if info.Mode().Type() != fs.ModeSocket {
			s.State, s.Detail = SocketForeign, info.Mode().String()
			return nil
		}
	}
	d := &Director{}
	if d.Status, err = client.Status(ctx); err == nil {
		d.Setup, err = client.Setup(ctx)
	}
	if err != nil {
		s.State, s.Detail = stateOf(err, s.Mode != 0), err.Error()
		return ctx.Err()
	}
	f.Director = d
	for _, l := range d.Links {
		f.Links = append(f.Links, Link{Name: l.Name, VIP: slices.Contains(l.Sides, "vip"), DIP: slices.Contains(l.Sides, "dip")})
	}
	if f.Services, err = client.Services(ctx); err != nil {
		return err
	}
	counters, err := client.Counters(ctx)
	for _, c := range counters {
		f.Counters = append(f.Counters, Counter{Counter: c})
	}
	return err
}

func stateOf(err error, there bool) SocketState {
	switch {
	case errors.Is(err, ipvs.ErrDirectorNotRunning) && there:
		return SocketStale
	case errors.Is(err, ipvs.ErrDirectorNotRunning):
		return SocketAbsent
	case errors.Is(err, ipvs.ErrPermission):
		return SocketForbidden
	case errors.Is(err, control.ErrSilent):
		return SocketSilent
	}
	return SocketMismatch
}

// compareCounters asks for the counters again and notes which have moved.
func (f *Facts) compareCounters(ctx context.Context, client *control.Client) error {
	now, err := client.Counters(ctx)
	if err != nil {
		return err
	}
	before := map[string]uint64{}
	for i := range f.Counters {
		before[f.Counters[i].Name] = f.Counters[i].Count
	}
	f.Counters = f.Counters[:0]
	for _, c := range now {
		moved := uint64(0)
		if was, known := before[c.Name]; known && c.Count > was {
			moved = c.Count - was
		}
		f.Counters = append(f.Counters, Counter{c, moved})
	}
	return nil
}

// lookAtHost looks at the network namespace of the calling thread; client is nil
// without a director.
func (f *Facts) lookAtHost(ctx context.Context, client *control.Client) error {
	f.readLinks()
	view, err := readView()
	if err != nil {
		return err
	}
	f.KernelHas, f.KernelErr, f.KernelVIP = readKernelIPVS()
	f.Rules = readRules()
	f.placeVIPs(view)
	f.placeServers(view)
	if slices.Contains(f.Caps, "cap_net_raw") {
		f.askNeighbours(ctx)
		f.pingServers(ctx)
	}
	if client != nil {
		if err := f.takeCensus(ctx, client); err != nil {
			return err
		}
	}
	if view, err = readView(); err != nil {
		return err
	}
	f.readNeighbours(view)
	f.readLosses()
	return nil
}

// takeCensus counts half-open connections, tries the servers that owe answers,
// and reads the counters of services again: an answer that was under way has
// come by then.
func (f *Facts) takeCensus(ctx context.Context, client *control.Client) (err error) {
	near := f.serverNetworks()
	if f.Census, err = client.Census(ctx, near[:min(len(near), control.MaxNear)]); err != nil {
		return err
	}
	var suspects []netip.AddrPort
	f.masqServers(func(d *ipvs.DestinationStatus, c control.Census) {
		if c.HalfOpen > 0 && unanswered(d) {
			suspects = append(suspects, d.Addr)
		}
	})
	if len(suspects) == 0 {
		return nil
	}
	f.connect(ctx, suspects)
	f.Services, err = client.Services(ctx)
	return err
}
