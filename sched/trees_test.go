package sched

import (
	"math"
	"math/big"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/ipvs"
)

// ranks is a list of servers as the trees see it: numbers by server ID, which a
// test changes.
type ranks struct {
	servers []*ipvs.RealServer
	load    []int64
	per     []int32
}

// newRanks draws a list, mostly a short one, with numbers as great as any.
func newRanks(t *rapid.T) *ranks {
	n := rapid.OneOf(rapid.IntRange(0, 9), rapid.IntRange(60, 70), rapid.SampledFrom([]int{1023, 1024, 1025})).Draw(t, "servers")
	r := &ranks{load: make([]int64, n), per: make([]int32, n)}
	for i := range n {
		r.servers = append(r.servers, ipvs.NewRealServer(uint32(i), &ipvs.Destination{Addr: serverAddr(uint32(i))}))
	}
	for range min(n, 40) {
		r.change(t)
	}
	return r
}

// change gives a server other numbers, and lets it tell. The products of all stay
// within 64 bits.
func (r *ranks) change(t *rapid.T) {
	i := rapid.IntRange(0, len(r.servers)-1).Draw(t, "server")
	r.load[i] = rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, math.MaxUint32)).Draw(t, "load")
	r.per[i] = rapid.OneOf(rapid.Int32Range(0, 3), rapid.Int32Range(math.MaxInt32-1, math.MaxInt32), rapid.Int32Range(0, math.MaxInt32)).Draw(t, "per")
	r.servers[i].Configure(&ipvs.Destination{Weight: r.per[i]})
}

// play has check after each of some changes.
func (r *ranks) play(t *rapid.T, check func()) {
	for range rapid.IntRange(0, 20).Draw(t, "rounds") {
		check()
		for range min(len(r.servers), rapid.IntRange(0, 5).Draw(t, "changes")) {
			r.change(t)
		}
	}
	check()
}

// TestContest: the winner is the first of those with the least load/per.
func TestContest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRanks(t)
		c := newContest(func(s *ipvs.RealServer) (int64, int32) {
			if r.per[s.ID] == 0 {
				return out()
			}
			return r.load[s.ID], r.per[s.ID]
		})
		c.Update(r.servers, Init, nil)
		r.play(t, func() {
			var want *ipvs.RealServer
			var least *big.Rat
			for i, s := range r.servers {
				if r.per[i] == 0 {
					continue
				}
				if x := big.NewRat(r.load[i], int64(r.per[i])); want == nil || x.Cmp(least) < 0 {
					want, least = s, x
				}
			}
			if got := c.winner(); got != want {
				t.Fatalf("the winner is %s, want %s", shown(got), shown(want))
			}
		})
	})
}

// TestHeights: next is the first one from a place on that is high enough.
func TestHeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRanks(t)
		h := heights{of: (*ipvs.RealServer).Weight, on: ipvs.Fitness}
		h.Update(r.servers, Init, nil)
		r.play(t, func() {
			h.Prepare()
			from, height := rapid.IntRange(0, len(r.servers)+1).Draw(t, "from"), rapid.Int32Range(1, math.MaxInt32).Draw(t, "height")
			if rapid.Bool().Draw(t, "low") {
				height = min(height, 3)
			}
			want, highest := -1, int32(0)
			for i, x := range r.per {
				highest = max(highest, x)
				if want < 0 && i >= from && x >= height {
					want = i
				}
			}
			if got := h.next(from, height); got != want {
				t.Fatalf("next(%d, %d) = %d, want %d", from, height, got, want)
			}
			if got := h.highest(); got != highest || h.any() != (highest > 0) {
				t.Fatalf("highest = %d, any = %t, want %d", got, h.any(), highest)
			}
		})
	})
}

// TestShares: a draw belongs to the first whose share ends at it or behind.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRanks(t)
		var h shares
		h.Update(r.servers, Init, nil)
		r.play(t, func() {
			total := int64(0)
			for _, x := range r.per {
				total += int64(x)
			}
			if got := h.total(); got != total {
				t.Fatalf("total = %d, want %d", got, total)
			}
			if total == 0 {
				return
			}
			draw := rapid.OneOf(rapid.Int64Range(0, total), rapid.Int64Range(0, min(4, total)), rapid.Just(total)).Draw(t, "draw")
			i, end := 0, int64(r.per[0])
			for r.per[i] == 0 || end < draw {
				i++
				end += int64(r.per[i])
			}
			if got := h.drawn(draw); got != r.servers[i] {
				t.Fatalf("drawn(%d) = %s, want %s", draw, shown(got), shown(r.servers[i]))
			}
		})
	})
}

// TestPrepared: after Prepare a pick does not allocate, whatever has happened to
// the list, and is the same as without.
func TestPrepared(t *testing.T) {
	for _, name := range Names() {
		w, plain := newWorld(t, name, fallback), newWorld(t, name, fallback)
		f := &Flow{CIP: vip(1), VIP: vip(2)}
		for _, x := range []*world{w, plain} {
			for i := range 130 {
				x.add(int32(i % 3))
			}
			x.Schedule(f, time.Second) // caches learn the address
		}
		var last uint32 // the ID of the last pick
		for round := range 20 {
			for _, x := range []*world{w, plain} {
				x.add(int32(round % 3))
				x.remove(x.servers[7*round%100])
				switch was := x.server(last); { // mappings and slots must be given up, too
				case was == nil:
				case round%2 == 0:
					for range was.Weight() + 1 {
						bindActive(was)
					}
				default:
					x.edit(was, 0)
				}
			}
			if p, ok := w.Scheduler.(Preparer); ok {
				p.Prepare()
			}
			var got *ipvs.RealServer
			if n := allocations(func() { got = w.Schedule(f, time.Second) }); n > 0 && (name != "lblcr" || n > 1) { // a set of lblcr grows
				t.Errorf("%s: a prepared pick allocates %d times, want 0", name, n)
			}
			if want := plain.Schedule(f, time.Second); shown(got) != shown(want) {
				t.Errorf("%s: a prepared pick is %s, without it is %s", name, shown(got), shown(want))
			}
			if last = 0; got != nil {
				last = got.ID
			}
		}
	}
}

// allocations counts those of a single call; AllocsPerRun would call twice.
func allocations(f func()) uint64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// TestKeepsNobodyAlive: a scheduler that goes on, and servers that go on, hold no
// server that has left, nor the stand-ins of a fork.
func TestKeepsNobodyAlive(t *testing.T) {
	for _, name := range Names() {
		w := newWorld(t, name, fallback, 1, 1, 1)
		if _, ok := w.Scheduler.(Expirer); ok {
			continue // maps addresses to servers, also to those that left
		}
		w.picks(3, bindNothing)
		freed := make(chan string, 9)
		func() {
			gone := w.server(2)
			runtime.AddCleanup(gone, func(who string) { freed <- who }, "the server that left")
			f := &Flow{CIP: vip(1), VIP: vip(2)}
			twin := map[*ipvs.RealServer]*ipvs.RealServer{nil: nil}
			fork := w.Fork(f, func(s *ipvs.RealServer) *ipvs.RealServer {
				if twin[s] == nil && s != nil {
					twin[s] = s.Clone()
					runtime.AddCleanup(twin[s], func(who string) { freed <- who }, "a stand-in")
				}
				return twin[s]
			})
			fork.Schedule(f, time.Second)
			w.remove(gone)
		}()
		want := 4
		if name == "none" {
			want = 1 // its fork has no servers
		}
		for n := range want {
			runtime.GC()
			select {
			case <-freed:
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: %d of %d servers that are gone were freed", name, n, want)
			}
		}
		w.picks(1, bindNothing)
		runtime.KeepAlive(w)
	}
}
