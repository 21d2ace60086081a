package dataplane

import (
	"sync"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// templates are the persistence templates of all shards (semantics 6.1): they
// group clients by network, so the connections under one of them may be in any
// shard. They are touched only when a connection is born or dies, or first gets
// through.
type templates struct {
	d    *Director
	mu   sync.Mutex
	four *conntrack.Table
	six  *conntrack.Table

	by     *Shard      // who holds the lock: it writes down what happens
	ending ipvs.Reason // why a template that ends now does
}

// invalidPort is what the ports of a template become that no longer may be
// used; it stays listed until its timer ends (ip_vs_check_template).
const invalidPort = 65535

func (t *templates) init(d *Director) {
	t.d = d
	t.four, t.six = newTables(d, t.died)
}

// of returns the table of a family.
func (t *templates) of(v6 bool) *conntrack.Table {
	if v6 {
		return t.six
	}
	return t.four
}

// endsOf returns the addresses of template c, which is r, if it is of IPv6.
func (t *templates) endsOf(c *conntrack.Conn, r conntrack.Ref) *conntrack.Ends6 {
	if !c.Is(conntrack.V6) {
		return nil
	}
	return t.six.Ends6(r)
}

// tables returns the tables of both families.
func (t *templates) tables() [2]*conntrack.Table { return [2]*conntrack.Table{t.four, t.six} }

// entries returns how many templates there are.
func (t *templates) entries() int { return t.four.Len() + t.six.Len() }

// hold locks the templates for a shard, which is held itself; why is for the
// templates that end meanwhile.
func (t *templates) hold(s *Shard, why ipvs.Reason) {
	t.mu.Lock()
	t.by, t.ending = s, why
}

// died is the table's callback.
func (t *templates) died(r conntrack.Ref, c *conntrack.Conn) {
	recovered := t.d.view.Load().servers[c.Dest].UnbindTemplate()
	if !t.by.journal.follow {
		return
	}
	t.by.tellConn(ipvs.EventDied, c, t.endsOf(c, r), c.State, t.ending, false)
	if recovered {
		t.by.tellServer(ipvs.EventServerRecovered, c.Dest)
	}
}

// expire ends templates that are due.
func (t *templates) expire(s *Shard, now time.Duration) {
	t.hold(s, ipvs.Expired)
	defer t.mu.Unlock()
	t.four.Expire(now, expireBudget)
	t.six.Expire(now, expireBudget)
}

// nextExpiry returns how long after now expire may have something to do.
func (t *templates) nextExpiry(now time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return min(t.four.NextExpiry(now), t.six.NextExpiry(now))
}

// release says that a connection under template r of a family has died. With drop a
// template without connections goes at once.
func (t *templates) release(s *Shard, v6 bool, r conntrack.Ref, drop bool) {
	t.hold(s, ipvs.ServerGone)
	defer t.mu.Unlock()
	table := t.of(v6)
	c := table.At(r)
	if c.NControl--; c.NControl == 0 && drop {
		table.Remove(r)
	}
}

// assure says that a connection under template r of a family got through.
func (t *templates) assure(s *Shard, v6 bool, r conntrack.Ref) {
	t.hold(s, ipvs.NoReason)
	defer t.mu.Unlock()
	c := t.of(v6).At(r)
	before := c.State
	c.State = conntrack.TemplateAssured
	if s.journal.follow && before != c.State {
		s.tellConn(ipvs.EventState, c, t.endsOf(c, r), before, ipvs.Answered, false)
	}
}

// breakFor takes the templates of a server away, so that their clients are
// scheduled anew. One whose connections live is left to its timer, and brings no
// more of them. Shards are held only for a slice of the table at a time.
func (t *templates) breakFor(id uint32) {
	const slice = 4096
	s := t.d.shards[0]
	of := func(c *conntrack.Conn) bool { return c.Dest == id }
	for _, table := range t.tables() {
		for next := conntrack.Ref(1); next != 0; {
			s.mu.Lock()
			t.hold(s, ipvs.Broken)
			table.Range(next, slice, func(_ conntrack.Ref, c *conntrack.Conn) bool {
				if of(c) {
					c.VPort, c.RPort = invalidPort, invalidPort
				}
				return true
			})
			next = table.Sweep(next, slice, of)
			t.mu.Unlock()
			s.mu.Unlock()
		}
	}
}

// adopt finds the template of a packet to a persistent service, or makes one
// with the server that the scheduler picks, and puts one connection under it:
// the caller releases it if none comes of it. It returns 0 and no server when
// there is none to be had, and 0 with a server when there is no room.
func (t *templates) adopt(s *Shard, p *rewrite.Packet, svc *serviceView, now time.Duration) (conntrack.Ref, *ipvs.RealServer) {
	t.hold(s, ipvs.NoReason)
	defer t.mu.Unlock()
	table := t.of(p.V6)
	r := t.find(p, svc)
	if r != 0 && !t.usable(s.view, table.At(r)) {
		old := table.At(r)
		old.VPort, old.RPort = invalidPort, invalidPort
		r = 0
	}
	if r == 0 {
		server := s.schedulePick(p, svc, now)
		if server == nil {
			return 0, nil
		}
		if r = t.add(s, p, svc, server, now); r == 0 {
			return 0, server
		}
	}
	c := table.At(r)
	c.NControl++
	table.Arm(r, c, now)
	return r, s.view.servers[c.Dest].RealServer
}

// usable reports whether new connections may still go through c. Neither an
// overloaded nor, by default, a quiesced server prevents it.
func (t *templates) usable(v *view, c *conntrack.Conn) bool {
	srv := &v.servers[c.Dest]
	return srv.Available() && (v.settings.expireQuiescentTemplate == 0 || srv.Weight() != 0)
}

// find returns the template of a packet, or 0.
func (t *templates) find(p *rewrite.Packet, svc *serviceView) conntrack.Ref {
	if p.V6 {
		key := templateKey6(p, svc)
		return t.six.FindTemplate6(&key)
	}
	key := templateKey(p, svc)
	return t.four.FindTemplate(&key)
}

// add makes the template of a packet with a server, or returns 0.
func (t *templates) add(s *Shard, p *rewrite.Packet, svc *serviceView, server *ipvs.RealServer, now time.Duration) (r conntrack.Ref) {
	srv := &s.view.servers[server.ID]
	if p.V6 {
		key := templateKey6(p, svc)
		if r = t.six.Insert6(&key, now); r != 0 {
			t.six.Ends6(r).RIP = srv.addr6
		}
	} else {
		key := templateKey(p, svc)
		r = t.four.Insert(&key, now)
	}
	if r == 0 {
		return 0
	}
	c := t.of(p.V6).At(r)
	c.Flags |= conntrack.Template | conntrack.Flags(srv.method)
	c.Dest, c.RIP, c.Mark = server.ID, srv.addr, svc.key.Mark
	if c.VPort != 0 {
		c.RPort = srv.port
	}
	c.Timeout = svc.timeout
	overloaded := server.BindTemplate()
	if s.journal.follow {
		s.tellConn(ipvs.EventBorn, c, t.endsOf(c, r), c.State, ipvs.NoReason, false)
		if overloaded {
			s.tellServer(ipvs.EventServerOverloaded, server.ID)
		}
	}
	return r
}

// templateKey returns the identity of the template for a packet: per service
// port, or for all ports where a service takes more than its own.
func templateKey(p *rewrite.Packet, svc *serviceView) conntrack.Key4 {
	key := conntrack.Key4{CIP: p.Src &^ svc.wildcard}
	if svc.key.IsMark() {
		key.VIP = svc.key.Mark
		return key
	}
	key.Proto, key.VIP, key.VPort = p.Proto, p.Dst, svc.templatePort(p)
	return key
}

// templateKey6 does so for IPv6.
func templateKey6(p *rewrite.Packet, svc *serviceView) conntrack.Key6 {
	key := conntrack.Key6{CIP: p.Src6.Masked(svc.prefix)}
	if svc.key.IsMark() {
		key.VIP = conntrack.MarkVIP6(svc.key.Mark)
		return key
	}
	key.Proto, key.VIP, key.VPort = p.Proto, p.Dst6, svc.templatePort(p)
	return key
}

// templatePort returns the port that the template of a packet is for, 0 for all.
func (svc *serviceView) templatePort(p *rewrite.Packet) uint16 {
	if svc.port != ftpPort && svc.port == p.DstPort {
		return svc.port
	}
	return 0
}
