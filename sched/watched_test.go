package sched

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"natlb/ipvs"
)

// TestWhileShardsCount changes servers from several goroutines while another one
// picks. Whenever they pause, a pick is that of a fork, which has computed
// everything from what it sees: no change was missed.
func TestWhileShardsCount(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name, fallback)
			for i := range 130 {
				s := w.add(int32(i % 7))
				s.Configure(&ipvs.Destination{Addr: s.Addr, Weight: int32(i % 7), UpperThreshold: uint32(i % 5 * 20)})
			}
			if a, ok := w.Scheduler.(Aging); ok {
				a.SetExpiration(24 * time.Hour)
			}
			for round := range 60 {
				var shards sync.WaitGroup
				for shard := range 3 {
					rng := rand.New(rand.NewPCG(uint64(round), uint64(shard)))
					shards.Go(func() {
						for range 100 {
							serve(w.servers[rng.IntN(len(w.servers))], rng)
						}
					})
				}
				for client := range 100 {
					w.Schedule(&Flow{CIP: vip(client), VIP: vip(client % 9)}, time.Second)
				}
				shards.Wait()
				for client := range 5 {
					f := &Flow{CIP: vip(client), VIP: vip(client % 9)}
					both := twins{}
					fork := w.Fork(f, both.of)
					want := fork.Schedule(f, time.Second)
					if got := w.Schedule(f, time.Second); both.of(got) != want {
						t.Fatalf("round %d: pick %s, want %s", round, shown(got), shown(want))
					}
				}
			}
		})
	}
}

// serve is what a shard does to a server.
func serve(s *ipvs.RealServer, rng *rand.Rand) {
	s.BindInactive()
	if rng.IntN(2) == 0 {
		s.UnbindInactive()
		return
	}
	s.Activate()
	switch rng.IntN(3) {
	case 0:
		s.UnbindActive()
	case 1:
		s.Deactivate()
		s.UnbindInactive()
	}
}

// TestLetsGo: an empty list ends a scheduler's interest in its servers, and a
// list without a server that in it.
func TestLetsGo(t *testing.T) {
	w := newWorld(t, "wlc", 0, 1, 1)
	a, b := w.server(1), w.server(2)
	told := func(watch *ipvs.Watch) (n int) {
		watch.Take(func(int) {})
		bindActive(a)
		bindActive(b)
		watch.Take(func(int) { n++ })
		return n
	}
	w.picks(1, bindNothing)
	both := w.Scheduler.(*wlc).watch
	if n := told(both); n != 2 {
		t.Fatalf("%d servers tell of changes, want 2", n)
	}
	w.remove(a)
	w.picks(1, bindNothing)
	one := w.Scheduler.(*wlc).watch
	if n, m := told(both), told(one); n != 0 || m != 1 {
		t.Errorf("after a delete %d servers tell the old list's watch and %d the new one's, want 0 and 1", n, m)
	}
	w.Update(nil, Init, nil)
	if n := told(one); n != 0 {
		t.Errorf("after an empty list %d servers tell of changes, want 0", n)
	}
}

// TestLongListsDoNotAllocate also where many servers have changed.
func TestLongListsDoNotAllocate(t *testing.T) {
	for _, name := range Names() {
		w := newWorld(t, name, fallback)
		for i := range 130 {
			w.add(int32(i % 3))
		}
		f := &Flow{CIP: vip(1), VIP: vip(2)}
		w.Schedule(f, time.Second)
		if n := testing.AllocsPerRun(200, func() {
			for _, s := range w.servers {
				bindActive(s)
				s.UnbindActive()
			}
			w.Schedule(f, time.Second)
		}); n != 0 {
			t.Errorf("%s: a pick after changes allocates %v times, want 0", name, n)
		}
	}
}
