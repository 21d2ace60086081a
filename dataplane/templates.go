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
	d     *Director
	mu    sync.Mutex
	table *conntrack.Table

	by     *Shard      // who holds the lock: it writes down what happens
	ending ipvs.Reason // why a template that ends now does
}

// invalidPort is what the ports of a template become that no longer may be
// used; it stays listed until its timer ends (ip_vs_check_template).
const invalidPort = 65535

func (t *templates) init(d *Director) {
	t.d = d
	t.table = conntrack.NewTable(conntrack.Config{
		Seed: d.cfg.Seed, Max: d.cfg.MaxConns,
		Died: t.died,
	})
}

// hold locks the templates for a shard, which is held itself; why is for the
// templates that end meanwhile.
func (t *templates) hold(s *Shard, why ipvs.Reason) {
	t.mu.Lock()
	t.by, t.ending = s, why
}

// died is the table's callback.
func (t *templates) died(_ conntrack.Ref, c *conntrack.Conn) {
	recovered := t.d.view.Load().servers[c.Dest].UnbindTemplate()
	if !t.by.journal.follow {
		return
	}
	t.by.tellConn(ipvs.EventDied, c, c.State, t.ending, false)
	if recovered {
		t.by.tellServer(ipvs.EventServerRecovered, c.Dest)
	}
}

// expire ends templates that are due.
func (t *templates) expire(s *Shard, now time.Duration) {
	t.hold(s, ipvs.Expired)
	defer t.mu.Unlock()
	t.table.Expire(now, expireBudget)
}

// nextExpiry returns how long after now expire may have something to do.
func (t *templates) nextExpiry(now time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.table.NextExpiry(now)
}

// release says that a connection under r has died. With drop a template without
// connections goes at once.
func (t *templates) release(s *Shard, r conntrack.Ref, drop bool) {
	t.hold(s, ipvs.ServerGone)
	defer t.mu.Unlock()
	c := t.table.At(r)
	if c.NControl--; c.NControl == 0 && drop {
		t.table.Remove(r)
	}
}

// assure says that a connection under r got through.
func (t *templates) assure(s *Shard, r conntrack.Ref) {
	t.hold(s, ipvs.NoReason)
	defer t.mu.Unlock()
	c := t.table.At(r)
	before := c.State
	c.State = conntrack.TemplateAssured
	if s.journal.follow && before != c.State {
		s.tellConn(ipvs.EventState, c, before, ipvs.Answered, false)
	}
}

// breakFor takes the templates of a server away, so that their clients are
// scheduled anew. One whose connections live is left to its timer, and brings no
// more of them. Shards are held only for a slice of the table at a time.
func (t *templates) breakFor(id uint32) {
	const slice = 4096
	s := t.d.shards[0]
	of := func(c *conntrack.Conn) bool { return c.Dest == id }
	for next := conntrack.Ref(1); next != 0; {
		s.mu.Lock()
		t.hold(s, ipvs.Broken)
		t.table.Range(next, slice, func(_ conntrack.Ref, c *conntrack.Conn) bool {
			if of(c) {
				c.VPort, c.RPort = invalidPort, invalidPort
			}
			return true
		})
		next = t.table.Sweep(next, slice, of)
		t.mu.Unlock()
		s.mu.Unlock()
	}
}

// adopt finds the template of a packet to a persistent service, or makes one
// with the server that the scheduler picks, and puts one connection under it:
// the caller releases it if none comes of it. It returns 0 and no server when
// there is none to be had, and 0 with a server when there is no room.
func (t *templates) adopt(s *Shard, p *rewrite.Packet, svc *serviceView, now time.Duration) (conntrack.Ref, *ipvs.RealServer) {
	key := templateKey(p, svc)
	t.hold(s, ipvs.NoReason)
	defer t.mu.Unlock()
	r := t.table.FindTemplate(&key)
	if r != 0 && !t.usable(s.view, t.table.At(r)) {
		old := t.table.At(r)
		old.VPort, old.RPort = invalidPort, invalidPort
		r = 0
	}
	if r == 0 {
		server := s.schedulePick(p, svc, now)
		if server == nil {
			return 0, nil
		}
		if r = t.add(s, &key, svc, server, now); r == 0 {
			return 0, server
		}
	}
	c := t.table.At(r)
	c.NControl++
	t.table.Arm(r, c, now)
	return r, s.view.servers[c.Dest].RealServer
}

// usable reports whether new connections may still go through c. Neither an
// overloaded nor, by default, a quiesced server prevents it.
func (t *templates) usable(v *view, c *conntrack.Conn) bool {
	srv := &v.servers[c.Dest]
	return srv.Available() && (v.settings.expireQuiescentTemplate == 0 || srv.Weight() != 0)
}

func (t *templates) add(s *Shard, key *conntrack.Key4, svc *serviceView, server *ipvs.RealServer, now time.Duration) conntrack.Ref {
	r := t.table.Insert(key, now)
	if r == 0 {
		return 0
	}
	srv := &s.view.servers[server.ID]
	c := t.table.At(r)
	c.Flags |= conntrack.Template | conntrack.Flags(srv.method)
	c.Dest, c.RIP, c.Mark = server.ID, srv.addr, svc.key.Mark
	if key.VPort != 0 {
		c.RPort = srv.port
	}
	c.Timeout = svc.timeout
	overloaded := server.BindTemplate()
	if s.journal.follow {
		s.tellConn(ipvs.EventBorn, c, c.State, ipvs.NoReason, false)
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
	switch {
	case svc.key.IsMark():
		key.VIP = svc.key.Mark
	case svc.port != 0 && svc.port != ftpPort && svc.port == p.DstPort:
		key.Proto, key.VIP, key.VPort = p.Proto, p.Dst, svc.port
	default:
		key.Proto, key.VIP = p.Proto, p.Dst
	}
	return key
}
