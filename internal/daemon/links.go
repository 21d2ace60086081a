package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/net/bpf"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/ipvs"
)

// links opens the director's interfaces, and opens them again when they come
// back as new ones.
type links struct {
	d     *daemon
	mu    sync.Mutex
	ports []*dataplane.AFPacket

	captured []uint32 // addresses that the filter names, sorted; nil: all IPv4
	filter   []bpf.RawInstruction
}

// capture makes the ports catch what concerns the scope, and nothing else of the
// host's traffic. Firewall marks may concern anything.
func (l *links) capture(sc dataplane.Scope) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	addrs := scopeAddrs(sc)
	if l.filter != nil && slices.Equal(addrs, l.captured) && (addrs == nil) == (l.captured == nil) {
		return nil
	}
	l.captured, l.filter = addrs, dataplane.FilterIPv4ARP()
	if addrs != nil {
		l.filter = dataplane.FilterScope(addrs)
	}
	for _, p := range l.ports {
		if err := p.SetFilter(l.filter); err != nil {
			return fmt.Errorf("capture filter: %w", err)
		}
	}
	return nil
}

// scopeAddrs returns the addresses that a filter can name for a scope, sorted, or
// nil when all IPv4 has to be captured.
func scopeAddrs(sc dataplane.Scope) []uint32 {
	all := len(sc.Owned) + len(sc.Servers) + len(sc.Marked)
	if all > dataplane.MaxFilterAddrs || slices.ContainsFunc(sc.Services, ipvs.ServiceKey.IsMark) {
		return nil
	}
	addrs := make([]uint32, 0, all)
	for _, addr := range slices.Concat(sc.Owned, sc.Servers, sc.Marked) {
		addrs = append(addrs, number4(addr))
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}

// openLinks opens a port on every link and notes what each can do.
func (d *daemon) openLinks(ls []dataplane.Link) ([]dataplane.Port, error) {
	d.links.d = d
	var ports []dataplane.Port
	for i := range ls {
		p, err := d.links.open(ls[i].Name)
		if err != nil {
			for _, open := range d.links.ports {
				open.Close()
			}
			return nil, err
		}
		ls[i].Caps = p.Caps()
		d.links.ports = append(d.links.ports, p)
		ports = append(ports, p)
	}
	return ports, nil
}

func (l *links) open(name string) (*dataplane.AFPacket, error) {
	return dataplane.OpenAFPacket(dataplane.AFPacketConfig{Interface: name, Log: l.d.cfg.Log, Filter: l.filter})
}

// follow opens a link again whose interface has come back with another index.
func (l *links) follow(p *picture) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, port := range l.ports {
		index := p.interfaceOf(uint8(i))
		if index == 0 || index == port.Index() && !port.Gone() {
			continue
		}
		fresh, err := l.open(port.Name())
		if err != nil {
			if l.d.faults.allow(err.Error()) {
				l.d.cfg.Log.Error("link is back and cannot be opened", "link", port.Name(), "err", err)
			}
			continue
		}
		if fresh.Caps() != port.Caps() {
			if l.d.faults.allow("offloads of " + port.Name()) {
				l.d.cfg.Log.Error("link is back with other offloads: restart natlb to use it", "link", port.Name())
			}
			fresh.Close()
			continue
		}
		l.d.cfg.Log.Info("link is back", "link", port.Name(), "index", index)
		l.ports[i] = fresh
		l.d.worker.Replace(i, fresh)
	}
}

// linkCounters returns what the kernel and the outlets have counted.
func (d *daemon) linkCounters() []control.Counter {
	d.links.mu.Lock()
	defer d.links.mu.Unlock()
	var out []control.Counter
	for i, p := range d.links.ports {
		st := p.Stats()
		sent, failed := d.worker.SendStats(i)
		for _, c := range []control.Counter{
			{Name: "received", Count: st.Received}, {Name: "kernel-dropped", Count: st.Dropped},
			{Name: "sent", Count: sent}, {Name: "send-failed", Count: failed},
		} {
			c.Name = fmt.Sprintf("link-%s-%s", p.Name(), c.Name)
			out = append(out, c)
		}
	}
	return out
}

// notify is the data path's Notify: it hands an event over to be told, and
// never waits. When telling is slower than the events, some are not told.
func (d *daemon) notify(e dataplane.Event) {
	select {
	case d.events <- e:
	default:
	}
}

// tell tells the operator what the data path has to say.
func (d *daemon) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-d.events:
			d.report(e)
		}
	}
}

func (d *daemon) report(e dataplane.Event) {
	log := d.cfg.Log
	switch e.Kind {
	case dataplane.EventMethod:
		log.Warn("this version forwards by masquerading (-m) only: packets to this server are dropped and counted",
			"service", e.Service.String(), "server", e.Server.String(), "method", e.Method.String())
	case dataplane.EventVIPConflict:
		if d.conflicts.allow(e.VIP.String() + e.Link) {
			log.Error("another machine claims the VIP", "vip", e.VIP.String(), "link", e.Link, "mac", macString(e.MAC))
		}
	case dataplane.EventLink:
		switch {
		case errors.Is(e.Err, dataplane.ErrLinkGone):
			log.Error("link is gone, waiting for it to come back", "link", e.Link)
		case d.faults.allow(e.Link + e.Err.Error()):
			log.Warn("link fault", "link", e.Link, "err", e.Err)
		}
	}
}

func macString(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
