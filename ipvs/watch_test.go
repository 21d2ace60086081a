package ipvs

import (
	"net/netip"
	"slices"
	"testing"
)

func watchedServers(n int) []*RealServer {
	servers := make([]*RealServer, n)
	for i := range servers {
		servers[i] = NewRealServer(uint32(i), &Destination{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1})
	}
	return servers
}

func taken(w *Watch) (places []int) {
	w.Take(func(i int) { places = append(places, i) })
	return places
}

// TestWatchTells says which watches hear of what.
func TestWatchTells(t *testing.T) {
	full := &Destination{Weight: 1, UpperThreshold: 1}
	for _, c := range []struct {
		name            string
		before          func(*RealServer)
		do              func(*RealServer)
		fitness, counts bool
	}{
		{"nothing", nil, func(*RealServer) {}, false, false},
		{"Configure", nil, func(s *RealServer) { s.Configure(&Destination{Weight: 7}) }, true, true},
		{"Restore", nil, func(s *RealServer) { s.Restore(&Destination{Weight: 7}) }, true, true},
		{"Discard", nil, func(s *RealServer) { s.Discard() }, true, true},
		{"BindInactive", nil, func(s *RealServer) { s.BindInactive() }, false, true},
		{"BindInactive, overloads", func(s *RealServer) { s.Configure(full) }, func(s *RealServer) { s.BindInactive() }, true, true},
		{"BindTemplate", nil, func(s *RealServer) { s.BindTemplate() }, false, false},
		{"BindTemplate, overloads", func(s *RealServer) {
			s.BindInactive()
			s.Configure(full)
		}, func(s *RealServer) { s.BindTemplate() }, true, true},
		{"Activate", (*RealServer).bound, func(s *RealServer) { s.Activate() }, false, true},
		{"Deactivate", (*RealServer).activated, func(s *RealServer) { s.Deactivate() }, false, true},
		{"UnbindActive", (*RealServer).activated, func(s *RealServer) { s.UnbindActive() }, false, true},
		{"UnbindInactive", (*RealServer).bound, func(s *RealServer) { s.UnbindInactive() }, false, true},
		{"UnbindInactive, recovers", func(s *RealServer) {
			s.Configure(full)
			s.BindInactive()
		}, func(s *RealServer) { s.UnbindInactive() }, true, true},
		{"UnbindTemplate", func(s *RealServer) { s.BindTemplate() }, func(s *RealServer) { s.UnbindTemplate() }, false, false},
		{"UnbindTemplate, recovers", func(s *RealServer) {
			s.BindTemplate()
			s.set(Overload)
		}, func(s *RealServer) { s.UnbindTemplate() }, true, true},
	} {
		s := watchedServers(1)
		if c.before != nil {
			c.before(s[0])
		}
		fitness, counts := NewWatch(s, Fitness), NewWatch(s, Counts)
		c.do(s[0])
		if f, n := len(taken(fitness)) == 1, len(taken(counts)) == 1; f != c.fitness || n != c.counts {
			t.Errorf("%s: watches of fitness %t, of counts %t, want %t, %t", c.name, f, n, c.fitness, c.counts)
		}
	}
}

// TestWatchOfClone: a clone tells nobody.
func TestWatchOfClone(t *testing.T) {
	servers := watchedServers(1)
	w := NewWatch(servers, Counts)
	c := servers[0].Clone()
	c.activated()
	c.Configure(&Destination{Weight: 2})
	if got := taken(w); got != nil {
		t.Errorf("a change of a clone was told of %v, want of nobody", got)
	}
}

func (s *RealServer) bound() { s.BindInactive() }

func (s *RealServer) activated() {
	s.BindInactive()
	s.Activate()
}

// TestWatchPlaces: places are those of the list, told once in its order.
func TestWatchPlaces(t *testing.T) {
	servers := watchedServers(200)
	w := NewWatch(servers, Counts)
	want := []int{0, 1, 63, 64, 127, 128, 199}
	for _, i := range slices.Backward(want) {
		servers[i].activated()
	}
	if got := taken(w); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if got := taken(w); got != nil {
		t.Errorf("told %v a second time, want nothing", got)
	}
}

// TestWatchClose closes watches of the same server in any order: the others go
// on, and at last nothing is left.
func TestWatchClose(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		servers := watchedServers(3)
		watches := []*Watch{NewWatch(servers, Counts), NewWatch(servers[1:2], Counts), NewWatch(servers, Counts)}
		open := map[int]bool{0: true, 1: true, 2: true}
		for _, k := range order {
			watches[k].Close()
			delete(open, k)
			servers[1].BindInactive()
			for i, w := range watches {
				if told := len(taken(w)) == 1; told != open[i] {
					t.Errorf("order %v, %d closed: watch %d told %t, want %t", order, k, i, told, open[i])
				}
			}
		}
		for i, s := range servers {
			if s.watched.Load() != nil {
				t.Errorf("order %v: server %d is still watched", order, i)
			}
		}
	}
}
