package dataplane

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"natlb/conntrack"
	"natlb/internal/classify"
	"natlb/ipvs"
	"natlb/rewrite"
	"natlb/sched"
)

// trial is a director of its own with one shard, made of another one to try a
// single packet on: Process does there what it would do with the packet in the
// original. The two share only what nobody writes (the picture of the host, the
// compiled rules for marks, the maps of a view).
//
// What is copied is what the packet can touch: the connections of its client and
// the templates, the scheduler of the service that it is for, the counts of the
// servers. The shards stand still for as long as that takes, which depends on the
// number of servers of that service and not on that of connections.
type trial struct {
	dir   *Director
	shard *Shard
	now   time.Duration

	packet  rewrite.Packet
	frame   Frame
	answer  bool // of a real server
	stood   bool // to a source address, which was found by the client's
	mark    uint32
	service *serviceView      // that the search for the packet finds, or nil
	keys    []ipvs.ServiceKey // of all services, in order of creation
	witness *witness          // of its scheduler
	live    []serverView      // the original's servers; the trial's view has their twins
	strays  map[*ipvs.RealServer]*ipvs.RealServer
	view    *view
}

// trialArena is enough for what one short packet turns into.
const trialArena = 16 << 10

// fork makes a trial for the packet in f. The caller holds d.mu.
func (d *Director) fork(f Frame, p rewrite.Packet, mark *uint32) *trial {
	t := d.emptyTrial(f, p, mark)
	waiting := d.copyTo(t)
	t.shard.waiting = waiting.outline(t.view, t.now)
	for i := range t.live { // those that the packet does not touch
		t.twin(t.live[i].RealServer)
	}
	return t
}

// emptyTrial makes a trial without what changes with packets.
func (d *Director) emptyTrial(f Frame, p rewrite.Packet, mark *uint32) *trial {
	v := *d.view.Load()
	t := &trial{packet: p, frame: f, view: &v, live: v.servers, strays: map[*ipvs.RealServer]*ipvs.RealServer{}}
	v.servers, v.four, v.six = slices.Clone(v.servers), v.four.own(), v.six.own()
	v.sourceLive = cloneSources(v.sourceLive)
	for _, s := range d.services {
		t.keys = append(t.keys, s.key)
	}
	v.steering.shards = 1
	if mark != nil && v.marked() > 0 {
		v.marks = &marks{constantMark(*mark)}
	}
	t.dir = &Director{cfg: d.cfg}
	t.dir.cfg.Wake = nil
	t.dir.templates.d = t.dir
	t.dir.view.Store(&v)
	t.shard = newShard(t.dir, 0, trialArena)
	if t.mark = v.marks.of(&p, d.cfg.Links[f.Link].Name); mark != nil {
		t.mark = *mark // also without a service that asks for marks
	}
	t.service = v.serviceFor(t.mark, &p)
	return t
}

// ownServices returns services without their schedulers, which a trial may not
// use.
func ownServices[K comparable](services map[K]*serviceView) map[K]*serviceView {
	if services == nil {
		return nil
	}
	own := make(map[K]*serviceView, len(services))
	for k, s := range services {
		v := *s
		v.service = &service{id: s.id, key: s.key}
		own[k] = &v
	}
	return own
}

// own is ownServices for all of a family.
func (t services[E]) own() services[E] {
	for i, part := range t.byAddr {
		t.byAddr[i] = ownServices(part)
	}
	t.byMark = ownServices(t.byMark)
	return t
}

// constantMark returns rules that give every packet the same mark.
func constantMark(mark uint32) *classify.Program {
	var rules classify.Ruleset
	for _, family := range []string{"-4", "-6"} {
		var err error
		rules, err = markRules(rules, []string{family, "-A", "PREROUTING", "-j", "MARK", "--set-mark", strconv.FormatUint(uint64(mark), 10)})
		if err != nil {
			panic(fmt.Sprintf("dataplane: a rule for mark %d: %v", mark, err))
		}
	}
	return rules.Compile()
}

// copyTo copies to t what changes with packets, while the shards stand still. It
// returns the frames that wait for neighbours.
func (d *Director) copyTo(t *trial) (waiting neighbours) {
	p := &t.packet
	defer d.freeze()()
	from := d.shardOf(t.view, p, d.cfg.Links[t.frame.Link].Side)
	t.now = from.now
	if d.cfg.Clock != nil {
		t.now = max(t.now, d.cfg.Clock())
	}
	ends := []conntrack.ClientEnd{
		{CIP: p.Src, CIP6: p.Src6, CPort: p.SrcPort, Proto: p.Proto}, {CIP: p.Src, CIP6: p.Src6, Proto: p.Proto},
		{CIP: p.Dst, CIP6: p.Dst6, CPort: p.DstPort, Proto: p.Proto},
	}
	t.shard.lane, t.shard.lanes = from.lane, from.lanes
	ends = append(ends, t.localEnds()...)
	own, _ := from.of(p.V6).Fork(t.shard.died, ends)
	other, _ := from.of(!p.V6).Fork(t.shard.died, nil) // what a packet may push out of a full table
	t.shard.table, t.shard.table6 = own, other
	if p.V6 {
		t.shard.table, t.shard.table6 = other, own
	}
	d.copyTemplates(t)
	if t.service != nil {
		d.copyService(t)
	}
	d.limiter.copyTo(&t.dir.limiter)
	if from.sweep != [2]conntrack.Ref{} {
		t.shard.sweep = [2]conntrack.Ref{1, 1}
	}
	t.dir.defence.counter.Store(d.defence.counter.Load())
	t.dir.ident.Store(d.ident.Load())
	return neighbours{frames: slices.Clone(from.waiting.frames)}
}

// localEnds returns what a new connection of the packet may meet on its search for a
// local end.
func (t *trial) localEnds() (ends []conntrack.ClientEnd) {
	c := t.shard.candidates(t.view, &t.packet)
	for {
		end, ok := c.next(t.shard.lane, t.shard.lanes)
		if !ok {
			return ends
		}
		ends = append(ends, conntrack.ClientEnd{CIP: end.source.fold, CIP6: end.source.addr.Addr6, CPort: end.port, Proto: t.packet.Proto})
	}
}

// shardOf returns the shard that a packet with ports, received on a side, ends up in:
// see Shard.passes.
func (d *Director) shardOf(v *view, p *rewrite.Packet, side Side) *Shard {
	u := v.suitors(d.view.Load().steering, p, side)
	for _, i := range u.list[:u.n] {
		if u.n > 1 && d.shards[i].knows(p) {
			return d.shards[i]
		}
	}
	return d.shards[u.owner]
}

// copyTemplates copies the templates of the client and those of the connections
// in the trial's table, and gives all entries their servers.
func (d *Director) copyTemplates(t *trial) {
	own := &t.dir.templates
	d.templates.mu.Lock()
	defer d.templates.mu.Unlock()
	own.four = t.forkTemplates(d.templates.four, t.shard.table, false)
	own.six = t.forkTemplates(d.templates.six, t.shard.table6, true)
}

// forkTemplates does so for the templates of a family, those of its connections in
// the trial's table conns.
func (t *trial) forkTemplates(from, conns *conntrack.Table, v6 bool) *conntrack.Table {
	var above []conntrack.Ref
	for _, c := range conns.All {
		t.twin(t.live[c.Dest].RealServer)
		if c.Template != 0 {
			above = append(above, c.Template)
		}
	}
	var ends []conntrack.ClientEnd
	if t.service != nil && t.service.flags&ipvs.FlagPersistent != 0 && t.packet.V6 == v6 {
		ends = append(ends, templateEnd(&t.packet, t.service))
	}
	templates, refs := from.Fork(t.dir.templates.died, ends, above...)
	for _, c := range conns.All {
		c.Template = refs[c.Template]
	}
	for _, c := range templates.All {
		t.twin(t.live[c.Dest].RealServer)
	}
	return templates
}

// templateEnd returns what the template of a packet is filed under.
func templateEnd(p *rewrite.Packet, svc *serviceView) conntrack.ClientEnd {
	if p.V6 {
		key := templateKey6(p, svc)
		return conntrack.ClientEnd{CIP6: key.CIP, Proto: key.Proto}
	}
	key := templateKey(p, svc)
	return conntrack.ClientEnd{CIP: key.CIP, Proto: key.Proto}
}

// copyService forks the scheduler of the packet's service.
func (d *Director) copyService(t *trial) {
	s := d.byKey[t.service.key]
	s.mu.Lock()
	defer s.mu.Unlock()
	twins := sched.Twins(t.twin)
	own := t.service.service
	own.cfg, own.servers = s.cfg, twins.All(s.servers)
	flow := flowOf(&t.packet)
	t.witness = &witness{Scheduler: s.sched.Fork(&flow, twins), trial: t}
	own.sched = t.witness
}

// twin returns the trial's stand-in for a server of the original.
func (t *trial) twin(s *ipvs.RealServer) *ipvs.RealServer {
	if s == nil {
		return nil
	}
	if int(s.ID) < len(t.live) && t.live[s.ID].RealServer == s {
		own := &t.view.servers[s.ID]
		if own.RealServer == s {
			own.RealServer = s.Clone()
		}
		return own.RealServer
	}
	// A scheduler may remember a server that has been freed.
	if t.strays[s] == nil {
		t.strays[s] = s.Clone()
	}
	return t.strays[s]
}
