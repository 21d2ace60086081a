package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/internal/hostnet"
	"natlb/ipvs"
	"natlb/rewrite"
)

// links opens the director's interfaces, and opens them again when they come
// back as new ones.
type links struct {
	d     *daemon
	mu    sync.Mutex
	links []dataplane.Link
	ports [][]*dataplane.AFPacket // of each link, one for each shard

	captured dataplane.Capture // what the filter lets in
	filter   []bpf.RawInstruction
	refused  bool               // a port has another filter: it would not take this one
	steering dataplane.Steering // but for the side of the link
	heard    []hearings         // of each link

	groups *hostnet.Groups // in which neighbours ask for VIPs of IPv6
	backs  *hostnet.Groups // the same of source addresses
	vips   []netip.Addr    // the VIPs of IPv6

	sources []netip.Addr // of FULLNAT, of both families
}

// capture makes the ports catch what concerns the scope, and nothing else of the
// host's traffic. Firewall marks may concern anything.
func (l *links) capture(sc dataplane.Scope) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if vips := vips6(sc); !slices.Equal(vips, l.vips) || !slices.Equal(sc.Sources, l.sources) {
		l.vips, l.sources = vips, sc.Sources
		l.listen()
	}
	captured := captureOf(sc)
	if l.filter != nil && !l.refused && reflect.DeepEqual(captured, l.captured) {
		return nil
	}
	l.captured, l.filter, l.refused = captured, dataplane.Filter(captured), true
	for _, p := range slices.Concat(l.ports...) {
		if err := p.SetFilter(l.filter); err != nil {
			return fmt.Errorf("capture filter: %w", err)
		}
	}
	l.refused = false
	return nil
}

// listen makes the host a member of the groups in which neighbours ask for the
// VIPs and the source addresses. Without them they may ask in vain, and all else works.
func (l *links) listen() {
	on := func(side dataplane.Side) (indices []int) {
		for i, ports := range l.ports {
			if l.links[i].Side&side != 0 {
				indices = append(indices, ports[0].Index())
			}
		}
		return indices
	}
	err := errors.Join(l.groups.Set(on(dataplane.VIPSide), l.vips), l.backs.Set(on(dataplane.DIPSide), l.sources))
	if err != nil && l.d.faults.allow(err.Error()) {
		l.d.cfg.Log.Warn("neighbours may not find VIPs or source addresses of IPv6", "err", err)
	}
}

// steer makes the kernel give each packet to the shard that owns its client. What
// it gives to another is handed over: a program that it does not take costs time
// and nothing else.
func (l *links) steer(sc dataplane.Scope, byAddress bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := dataplane.Steering{ByAddress: byAddress, VIPs: numbers4(sc.Owned, sc.Marked), VIPs6: numbers6(sc.Owned, sc.Marked)}
	if reflect.DeepEqual(st, l.steering) {
		return nil
	}
	before := l.steering
	l.steering = st
	for i, ports := range l.ports {
		if err := ports[0].SetSteering(l.fanoutProgram(i)); err != nil {
			l.steering = before // to be tried again
			return err
		}
	}
	return nil
}

func (l *links) fanoutProgram(i int) []bpf.RawInstruction {
	st := l.steering
	st.Side = l.links[i].Side
	return dataplane.FanoutProgram(st)
}

// captureOf returns what has to be captured for a scope: its addresses, or all of
// a family that has services for marks, or more addresses than a filter names.
func captureOf(sc dataplane.Scope) (c dataplane.Capture) {
	lists := [][]netip.Addr{sc.Owned, sc.Servers, sc.Marked}
	four, six := 0, 0
	for _, list := range lists {
		for _, addr := range list {
			if addr.Is4() {
				four++
			} else {
				six++
			}
		}
	}
	c.All4, c.All6 = four > dataplane.MaxFilterAddrs, six > dataplane.MaxFilterAddrs
	for i := range sc.Services {
		key := &sc.Services[i]
		c.All4 = c.All4 || key.IsMark() && !key.V6
		c.All6 = c.All6 || key.IsMark() && key.V6
	}
	if !c.All4 {
		c.Addrs4 = numbers4(lists...)
	}
	if !c.All6 {
		c.Addrs6 = numbers6(lists...)
	}
	return c
}

// vips6 returns the VIPs of IPv6 that clients know.
func vips6(sc dataplane.Scope) (vips []netip.Addr) {
	for i := range sc.Services {
		if vip := sc.Services[i].VIP.Addr(); vip.Is6() {
			vips = append(vips, vip)
		}
	}
	for _, vip := range sc.Marked {
		if vip.Is6() {
			vips = append(vips, vip)
		}
	}
	return vips
}

// numbers4 returns each of the IPv4 addresses once, sorted.
func numbers4(lists ...[]netip.Addr) (addrs []uint32) {
	for _, list := range lists {
		for _, addr := range list {
			if addr.Is4() {
				addrs = append(addrs, dataplane.Number4(addr))
			}
		}
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}

// numbers6 does so for IPv6.
func numbers6(lists ...[]netip.Addr) (addrs []rewrite.Addr6) {
	for _, list := range lists {
		for _, addr := range list {
			if addr.Is6() {
				addrs = append(addrs, rewrite.Addr6Of(addr))
			}
		}
	}
	slices.SortFunc(addrs, func(a, b rewrite.Addr6) int { return cmp.Or(cmp.Compare(a.Hi, b.Hi), cmp.Compare(a.Lo, b.Lo)) })
	return slices.Compact(addrs)
}

// openLinks opens ports on every link, one for each shard, and notes what each
// link can do.
func (d *daemon) openLinks(ls []dataplane.Link) error {
	d.links.d, d.links.links, d.links.groups, d.links.backs = d, ls, hostnet.NewGroups(), hostnet.NewGroups()
	for i := range ls {
		ports, err := d.links.open(i)
		if err != nil {
			closeAll(slices.Concat(d.links.ports...))
			return err
		}
		ls[i].Caps = ports[0].Caps()
		d.links.ports = append(d.links.ports, ports)
	}
	return nil
}

// open opens link i once for each shard.
func (l *links) open(i int) ([]*dataplane.AFPacket, error) {
	speed := hostnet.Speed(l.links[i].Name)
	cfg := dataplane.AFPacketConfig{
		Interface: l.links[i].Name, Log: l.d.cfg.Log, Filter: l.filter, MergeDatagrams: l.d.cfg.MergeUDP,
		Slots: l.d.ringSlots(speed), RecvBuffer: bufferFor(speed),
	}
	if l.d.cfg.Shards > 1 {
		cfg.Fanout = &dataplane.Fanout{Program: l.fanoutProgram(i)}
	}
	var ports []*dataplane.AFPacket
	for range l.d.cfg.Shards {
		p, err := dataplane.OpenAFPacket(cfg)
		if err != nil {
			closeAll(ports)
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, nil
}

func closeAll(ports []*dataplane.AFPacket) {
	for _, p := range ports {
		p.Close()
	}
}

// ofShard returns the ports of one shard.
func (l *links) ofShard(n int) []dataplane.Port {
	var ports []dataplane.Port
	for _, of := range l.ports {
		ports = append(ports, of[n])
	}
	return ports
}

// follow opens a link again whose interface has come back with another index.
func (l *links) follow(p *picture) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, ports := range l.ports {
		port, index := ports[0], p.interfaceOf(uint8(i))
		deaf := l.deaf(i)
		if index == 0 || index == port.Index() && !port.Gone() && !deaf {
			for _, p := range ports {
				if err := p.KeepFilter(); err != nil && l.d.faults.allow(err.Error()) {
					l.d.cfg.Log.Error("capture filter", "err", err)
				}
			}
			continue
		}
		fresh, err := l.open(i)
		if err != nil {
			if l.d.faults.allow(err.Error()) {
				l.d.cfg.Log.Error("link is back and cannot be opened", "link", port.Name(), "err", err)
			}
			continue
		}
		if fresh[0].Caps() != port.Caps() {
			if l.d.faults.allow("offloads of " + port.Name()) {
				l.d.cfg.Log.Error("link is back with other offloads: restart natlb to use it", "link", port.Name())
			}
			closeAll(fresh)
			continue
		}
		if deaf {
			l.d.cfg.Log.Warn("the kernel has lost frames and given none: link opened again", "link", port.Name())
		} else {
			l.d.cfg.Log.Info("link is back", "link", port.Name(), "index", index)
		}
		l.ports[i] = fresh
		l.listen()
		for n, w := range l.d.workers {
			w.Replace(i, fresh[n])
		}
	}
}

// hearings are what the ports of a link have heard, one for each shard.
type hearings []hearing

// hearing is what a port had received when it was last asked.
type hearing struct {
	stats  dataplane.PortStats
	silent int // times in a row that frames were lost and none came through
}

// deaf reports whether all that comes to a port of link i is lost. A frame whose
// segmentation the kernel cannot express makes a receive ring so, for good.
func (l *links) deaf(i int) bool {
	if l.heard == nil {
		l.heard = make([]hearings, len(l.ports))
	}
	stats := make([]dataplane.PortStats, len(l.ports[i]))
	for n, p := range l.ports[i] {
		stats[n] = p.Stats()
	}
	return l.heard[i].deaf(stats)
}

// stats returns what the ports of link i have received and lost.
func (l *links) stats(i int) (sum dataplane.PortStats) {
	for _, p := range l.ports[i] {
		st := p.Stats()
		sum.Received += st.Received
		sum.Dropped += st.Dropped
	}
	return sum
}

// deaf notes what each port has received by now, and reports whether one is deaf,
// whatever the others hear.
func (hs *hearings) deaf(now []dataplane.PortStats) (deaf bool) {
	if *hs == nil {
		*hs = make(hearings, len(now))
	}
	for n := range now {
		deaf = (*hs)[n].deaf(now[n]) || deaf
	}
	return deaf
}

// deaf notes what has been received by now. It takes three times to be sure, which
// tells a deaf ring from a shard that has not got around to its frames.
func (h *hearing) deaf(now dataplane.PortStats) bool {
	lost, came := now.Dropped > h.stats.Dropped, now.Received-now.Dropped > h.stats.Received-h.stats.Dropped
	h.stats = now
	if h.silent++; !lost || came {
		h.silent = 0
	}
	if h.silent < 3 {
		return false
	}
	*h = hearing{}
	return true
}

// linkCounters returns what the kernel and the outlets have counted.
func (d *daemon) linkCounters() []control.Counter {
	d.links.mu.Lock()
	defer d.links.mu.Unlock()
	var out []control.Counter
	for i := range d.links.ports {
		st := d.links.stats(i)
		var sent, failed uint64
		for _, w := range d.workers {
			ok, refused := w.SendStats(i)
			sent += ok
			failed += refused
		}
		for _, c := range []control.Counter{
			{Name: "received", Count: st.Received}, {Name: "kernel-dropped", Count: st.Dropped},
			{Name: "sent", Count: sent}, {Name: "send-failed", Count: failed},
		} {
			c.Name = fmt.Sprintf("link-%s-%s", d.links.links[i].Name, c.Name)
			out = append(out, c)
		}
	}
	var delivered, refused uint64
	for _, w := range d.workers {
		ok, not := w.HostStats()
		delivered += ok
		refused += not
	}
	return append(out, control.Counter{Name: "host-delivered", Count: delivered}, control.Counter{Name: "host-refused", Count: refused})
}

// hear is the data path's Wake: there are events to take.
func (d *daemon) hear() {
	select {
	case d.news <- struct{}{}:
	default: // the last call has not been heard yet
	}
}

// tell tells the operator what the data path has to say: some of it in the log,
// all of it to those who follow on the control socket.
func (d *daemon) tell(ctx context.Context, server *control.Server) error {
	var events []ipvs.Event
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.news:
		}
		events = d.director.TakeEvents(events[:0])
		for i := range events {
			d.report(&events[i])
		}
		server.Publish(events, time.Now().Add(-d.now()))
	}
}

// report logs what an operator must hear of.
func (d *daemon) report(e *ipvs.Event) {
	log := d.cfg.Log
	switch e.Kind {
	case ipvs.EventLocalServer:
		log.Warn("the real server is this host, which is reached without -m alone, for a VIP that it has: packets are dropped and counted",
			"service", e.Service.String(), "server", e.Server.String(), "method", e.Method.String())
	case ipvs.EventServerUnreachable:
		log.Warn("the real server cannot be reached", "service", e.Service.String(), "server", e.Server.String(), "quiesced", e.Withheld)
	case ipvs.EventServerReachable:
		log.Info("the real server can be reached again", "service", e.Service.String(), "server", e.Server.String())
	case ipvs.EventVIPConflict:
		if d.conflicts.allow(e.VIP.String() + e.Link) {
			log.Error("another machine claims the VIP", "vip", e.VIP.String(), "link", e.Link, "mac", macString(e.MAC))
		}
	case ipvs.EventLink:
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
