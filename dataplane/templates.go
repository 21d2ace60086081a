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
	table *conntrack.Table4
}

// invalidPort is what the ports of a template become that no longer may be
// used; it stays listed until its timer ends (ip_vs_check_template).
const invalidPort = 65535

func (t *templates) init(d *Director) {
	t.d = d
	t.table = conntrack.NewTable4(conntrack.Config{
		Seed: d.cfg.Seed, Max: d.cfg.MaxConns,
		Died: func(c *conntrack.Conn4) { d.view.Load().servers[c.Dest].UnbindTemplate() },
	})
}

// expire ends templates that are due.
func (t *templates) expire(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.Expire(now, expireBudget)
}

// release says that a connection under r has died. With drop a template without
// connections goes at once.
func (t *templates) release(r conntrack.Ref, drop bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.table.At(r)
	if c.NControl--; c.NControl == 0 && drop {
		t.table.Remove(r)
	}
}

// assure says that a connection under r got through.
func (t *templates) assure(r conntrack.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.At(r).State = conntrack.TemplateAssured
}

// adopt finds the template of a packet to a persistent service, or makes one
// with the server that the scheduler picks, and puts one connection under it:
// the caller releases it if none comes of it. It returns 0 and no server when
// there is none to be had, and 0 with a server when there is no room.
func (t *templates) adopt(s *Shard, p *rewrite.Packet, svc *serviceView, now time.Duration) (conntrack.Ref, *ipvs.RealServer) {
	key := templateKey(p, svc)
	t.mu.Lock()
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
		if r = t.add(s.view, &key, svc, server, now); r == 0 {
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
func (t *templates) usable(v *view, c *conntrack.Conn4) bool {
	srv := &v.servers[c.Dest]
	return srv.Available() && (v.settings.expireQuiescentTemplate == 0 || srv.Weight() != 0)
}

func (t *templates) add(v *view, key *conntrack.Key4, svc *serviceView, server *ipvs.RealServer, now time.Duration) conntrack.Ref {
	r := t.table.Insert(key, now)
	if r == 0 {
		return 0
	}
	srv := &v.servers[server.ID]
	c := t.table.At(r)
	c.Flags = conntrack.Template | conntrack.Flags(srv.method)
	c.Dest, c.RIP, c.Mark = server.ID, srv.addr, svc.key.Mark
	if key.VPort != 0 {
		c.RPort = srv.port
	}
	c.Timeout = svc.timeout
	server.BindTemplate()
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
