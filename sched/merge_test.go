package sched

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/ipvs"
)

// TestMerges plays the same changes to two schedulers of each kind, several at a
// time: one is told of all, the other only of the last where it says that this
// is enough. They must go on picking the same servers.
func TestMerges(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := newPlay(t, name)
				twin, err := New(name, 0, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range []Scheduler{p.sched, twin} {
					if r, ok := s.(Reflag); ok {
						r.SetFlags(ipvs.FlagSched1)
					}
					if a, ok := s.(Aging); ok {
						a.SetExpiration(refShrinkAfter)
					}
				}
				p.ref = twinned{twin}
				p.ref.update(slices.Clone(p.servers), Init, nil)
				for range rapid.IntRange(1, 6).Draw(t, "rounds") {
					p.merge(t, twin)
					p.pick(t)
				}
			})
		})
	}
}

// merge makes several changes of one kind and tells the twin as little as it
// wants to hear.
func (p *play) merge(t *rapid.T, twin Scheduler) {
	how := rapid.SampledFrom([]UpdateKind{Add, Edit, Delete, Order}).Draw(t, "kind")
	late := func() {}
	for range rapid.IntRange(1, 5).Draw(t, "changes") {
		if how != Add && len(p.servers) == 0 {
			break
		}
		var changed *ipvs.RealServer
		switch how {
		case Add:
			changed = p.newServer(t)
			if n := len(p.trash) - 1; n >= 0 && rapid.Bool().Draw(t, "again") { // forgotten meanwhile: another object
				changed = ipvs.NewRealServer(p.ids, p.config(t, p.trash[n].Addr))
				p.trash = p.trash[:n]
			}
			p.servers = slices.Insert(p.servers, 0, changed)
		case Edit:
			changed = p.any(t, p.servers)
			changed.Configure(p.config(t, changed.Addr))
		case Delete:
			changed = p.any(t, p.servers)
			changed.Discard()
			p.trash = append(p.trash, changed)
			p.servers = slices.DeleteFunc(p.servers, func(o *ipvs.RealServer) bool { return o == changed })
		case Order:
			p.servers = rapid.Permutation(p.servers).Draw(t, "order")
		}
		list := slices.Clone(p.servers)
		p.sched.Update(list, how, changed)
		if m, ok := twin.(Merger); ok && m.Merges(how) {
			late = func() { twin.Update(list, how, changed) }
		} else {
			twin.Update(list, how, changed)
		}
	}
	late()
}

// TestMergesBeyondTheSlots: mh keeps the table of the last list that had room
// there, also when it never saw that list.
func TestMergesBeyondTheSlots(t *testing.T) {
	var servers []*ipvs.RealServer
	for i := range uint32(mhSlots + 20) {
		servers = append(servers, ipvs.NewRealServer(i, &ipvs.Destination{Addr: serverAddr(i), Weight: 1}))
	}
	each, once := newMH(0), newMH(0)
	for left := 24; left >= 0; left-- {
		each.Update(servers[left:], Add, servers[left])
		if left == 24 {
			once.Update(servers[left:], Add, servers[left])
		}
	}
	once.Update(servers, Add, servers[0])
	if once.slots != each.slots {
		t.Error("the table after adding 24 servers at once is not the one after adding them one by one")
	}
	before := once.slots
	once.Update(servers[:mhSlots+1], Edit, servers[0])
	if once.slots != before {
		t.Error("an edit of a list that is too long has changed the table")
	}
}

// twinned lets a scheduler be the reference of another.
type twinned struct{ Scheduler }

func (s twinned) pick(f *Flow, now time.Duration) *ipvs.RealServer { return s.Schedule(f, now) }

func (s twinned) update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer) {
	s.Update(servers, how, changed)
}
