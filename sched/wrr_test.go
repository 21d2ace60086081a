package sched

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWRRExactShare: over one cycle of sum(weights)/gcd picks each server takes
// exactly weight/gcd connections, whatever the pick at which the count begins.
func TestWRRExactShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Int32Range(0, 50), 1, 8).Draw(t, "weights")
		w := newWRR()
		world := &world{Scheduler: w}
		world.Update(nil, Init, nil)
		total, divisor := 0, 0
		for _, weight := range weights {
			world.add(weight)
			total += int(weight)
			divisor = gcd(divisor, int(weight))
		}
		if total == 0 {
			t.Skip("nobody has weight")
		}
		cycle := total / divisor
		world.picks(rapid.IntRange(0, 2*cycle).Draw(t, "before"), bindNothing)
		got := make(map[uint32]int)
		for range cycle {
			got[w.Schedule(nil, 0).ID]++
		}
		for i, weight := range weights {
			if n := got[uint32(i+1)]; n != int(weight)/divisor {
				t.Fatalf("wrr %v gives r%d %d of %d picks, want %d", weights, i+1, n, cycle, int(weight)/divisor)
			}
		}
	})
}

// TestWRRKeepsItsPlace compares place and level, not only picks, with the
// literal walk, also where a pick finds nobody.
func TestWRRKeepsItsPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, ref := newWRR(), &refWRR{}
		world := &world{Scheduler: w}
		world.Update(nil, Init, nil)
		ref.update(nil, Init, nil)
		weight := rapid.SampledFrom([]int32{0, 1, 2, 4, 6, 9, 30})
		n := rapid.IntRange(1, 4).Draw(t, "servers")
		for range n {
			s := world.add(weight.Draw(t, "weight"))
			ref.update(world.servers, Add, s)
		}
		for range 20 {
			s := world.servers[rapid.IntRange(0, n-1).Draw(t, "server")]
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				overload(s)
			case 2: // back to taking connections, without a word to the scheduler
				for s.Inactive() > 0 {
					s.UnbindInactive()
				}
			case 3:
				world.edit(s, weight.Draw(t, "new weight"))
				ref.update(world.servers, Edit, s)
			default:
				want, got := ref.pick(nil, 0), w.Schedule(nil, 0)
				if got != want {
					t.Fatalf("Schedule = %s, want %s", shown(got), shown(want))
				}
			}
			at := "-"
			if w.at >= 0 {
				at = shown(w.servers[w.at])
			}
			if at != shown(ref.cl) || w.level != ref.cw {
				t.Fatalf("place %s, level %d, want %s, %d", at, w.level, shown(ref.cl), ref.cw)
			}
		}
	})
}

// TestWRRHeavyOverloaded has two thousand million levels that nobody reaches.
func TestWRRHeavyOverloaded(t *testing.T) {
	w := newWorld(t, "wrr", 0, 1, 1<<31-1, 1)
	if got, want := w.picks(5, bindNothing), "3 2 1 2 2"; got != want {
		t.Fatalf("picks %s, want %s", got, want)
	}
	overload(w.server(2))
	start := time.Now()
	if got, want := w.picks(4, bindNothing), "3 1 3 1"; got != want {
		t.Errorf("picks with the heavy server overloaded %s, want %s", got, want)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("four picks took %v, want well below a second", took)
	}
}
