package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/internal/hostnet"
	"natlb/internal/rules"
)

// daemon is a running director.
type daemon struct {
	cfg      Config
	started  time.Time
	host     *hostnet.Host
	director *dataplane.Director
	workers  []*dataplane.Worker // one for each shard
	links    links
	guard    *guard

	conflicts, faults seldom
	announcements     announcer
	news              chan struct{} // the data path has events to take

	mu      sync.Mutex // orders changes of the configuration and of the picture
	picture *picture
}

// Run runs a director until ctx ends. It returns nil after a clean end, and what
// kept it from starting or going on otherwise. Nothing that it has installed on
// the host outlives it.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return err
	}
	cfg.Shards = cfg.shards()
	var file *rules.File
	if cfg.Rules != "" {
		var err error
		if file, err = readRules(ctx, cfg.Rules); err != nil {
			return err
		}
	}
	d := &daemon{cfg: cfg, started: time.Now(), news: make(chan struct{}, 1)}
	d.conflicts.every, d.faults.every = time.Minute, time.Minute
	socket, err := control.Listen(cfg.Socket)
	if err != nil {
		return err
	}
	defer socket.Close()
	defer d.close()
	if err := d.open(); err != nil {
		return err
	}
	if file != nil {
		if err := (front{d.director, d}).Apply(file.Changes); err != nil {
			return file.Locate(err)
		}
	}
	return d.run(ctx, socket)
}

// close gives back what open has taken, however far it came.
func (d *daemon) close() {
	if d.guard != nil {
		d.guard.remove()
	}
	if d.host != nil {
		d.host.Close()
	}
	if d.links.groups != nil {
		d.links.groups.Close()
		d.links.backs.Close()
	}
}

// open makes everything that a director needs, and starts nothing.
func (d *daemon) open() (err error) {
	links := d.cfg.links()
	if err := d.openLinks(links); err != nil {
		return err
	}
	if d.host, err = hostnet.Open(hostnet.Config{Log: d.cfg.Log}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	d.director = dataplane.NewDirector(dataplane.Config{
		Links:    links,
		Shards:   d.cfg.Shards,
		Seed:     rand.Uint64(),
		Rand:     rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		MaxConns: d.shardConns(),
		NoRoute:  d.cfg.NoRoute,
		Quiesce:  d.cfg.Quiesce,
		FTPPorts: d.cfg.ftpPorts(),
		ICMP:     readICMPLimits(),
		Wake:     d.hear,
		Clock:    d.now,
	})
	d.picture = newPicture(d.host.View(), links)
	d.director.SetHost(d.picture)
	if d.guard, err = newGuard(d.cfg.Guard, links, d.cfg.ftpPorts(), d.cfg.Log); err != nil {
		return err
	}
	if err := d.guard.keep(dataplane.Scope{}, d.picture); err != nil {
		return err
	}
	d.workers, err = dataplane.NewWorkers(d.director, d.links.ofShard, d.cfg.Polling, d.now, d.resolve)
	return err
}

// wake makes all shards run a batch now.
func (d *daemon) wake() {
	for _, w := range d.workers {
		w.Wake()
	}
}

// now is the clock of the director.
func (d *daemon) now() time.Duration { return time.Since(d.started) }

// lastCommands is how long commands under way have to end after a stop signal.
const lastCommands = time.Second

// run serves until ctx ends or a part of it fails.
func (d *daemon) run(ctx context.Context, socket net.Listener) error {
	server := control.NewServer(front{d.director, d}, d.cfg.Version, d.cfg.Log)
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range d.workers {
		group.Go(func() error { return w.Run(ctx) })
	}
	group.Go(func() error { return d.follow(ctx) })
	group.Go(func() error { return d.tell(ctx, server) })
	group.Go(func() error { return d.keepTime(ctx) })
	group.Go(func() error { return server.Serve(socket) })
	group.Go(func() error { return d.reload(ctx, server) })
	group.Go(func() error {
		<-ctx.Done()
		tellSystemd(sdnotify.SdNotifyStopping)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCommands)
		defer cancel()
		err := server.Shutdown(end)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil // clients that stalled have been cut off: no fault of the director's
		}
		return err
	})
	d.cfg.Log.Info("ready", "vip-if", d.cfg.VIPLinks, "dip-if", d.cfg.DIPLinks, "socket", d.cfg.Socket, "shards", d.cfg.Shards,
		"services", len(d.director.Services()))
	tellSystemd(sdnotify.SdNotifyReady)
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	d.announcements.stop()
	d.cfg.Log.Info("stopped")
	return nil
}

// tellSystemd says, if systemd is there, how far the director is.
func tellSystemd(state string) { sdnotify.SdNotify(false, state) }

// follow keeps the picture of the host, the guard and the ports up to date.
func (d *daemon) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.host.Changed():
		}
		d.mu.Lock()
		before := d.picture
		d.picture = newPicture(d.host.View(), d.cfg.links())
		d.director.SetHost(d.picture)
		d.wake()
		if !d.picture.view.SameFacts(before.view) { // not only a neighbour
			d.adapt(before)
		}
		d.mu.Unlock()
	}
}

// adapt makes guard, ports and announcements fit a host that has changed. The
// caller holds d.mu.
func (d *daemon) adapt(before *picture) {
	scope := d.director.Scope()
	if err := d.guard.keep(scope, d.picture); err != nil && d.faults.allow(err.Error()) {
		d.cfg.Log.Error("the host's kernel interferes", "err", err)
	}
	d.links.follow(d.picture)
	if appeared(before, d.picture) {
		d.announce(nil, vips(scope))
	}
}

// keepTime runs what happens by the clock and not by packets.
func (d *daemon) keepTime(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for seconds := 1; ; seconds++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if seconds%2 == 0 { // semantics section 7
			d.director.Estimate()
		}
		if d.director.Housekeep(d.now()) {
			d.mu.Lock()
			front{d.director, d}.settle()
			d.mu.Unlock()
		}
		d.resolve(d.director.Reach(d.now()))
		d.director.Defend(freePages(), d.now())
		d.mu.Lock()
		d.links.follow(d.picture) // what could not be opened again at once
		d.mu.Unlock()
	}
}

// resolve passes the data path's questions about neighbours to the host.
func (d *daemon) resolve(ask []dataplane.Resolve) {
	view := d.host.View()
	for _, r := range ask {
		dst := dataplane.Addr4(r.Dst)
		if r.Dst == 0 {
			dst = r.Dst6.Addr()
		}
		if route := view.Route(dst); route.Kind == hostnet.Unicast {
			d.host.Resolve(route.Link, route.NextHop)
		}
	}
}
