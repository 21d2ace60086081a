package sched

import (
	"net/netip"
	"testing"
	"time"

	"natlb/ipvs"
)

// cacheWorld is a service with a cache, of two servers: r1 and r2.
func cacheWorld(t *testing.T, name string) (*world, Expirer) {
	t.Helper()
	w := newWorld(t, name, 0, 1, 1)
	e, ok := w.Scheduler.(Expirer)
	if !ok {
		t.Fatalf("%s is no Expirer", name)
	}
	return w, e
}

// vip returns the n-th of many destination addresses.
func vip(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, byte(n >> 16), byte(n >> 8), byte(n)})
}

// housekeep runs housekeeping every minute for a number of runs and returns
// what it removed, run by run.
func housekeep(e Expirer, now *time.Duration, runs int) []int {
	removed := make([]int, runs)
	for i := range removed {
		*now += time.Minute
		removed[i] = e.Expire(*now)
	}
	return removed
}

func TestCacheExpiration(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		w, e := cacheWorld(t, name)
		w.Scheduler.(Aging).SetExpiration(20 * time.Minute)
		var now time.Duration
		e.Expire(now) // the clock starts
		for i := range 10 {
			w.Schedule(&Flow{VIP: vip(i)}, now)
		}
		removed := housekeep(e, &now, 9)
		w.Schedule(&Flow{VIP: vip(3)}, now)                         // 21 minutes before the full check
		w.Schedule(&Flow{VIP: vip(4)}, now+2*time.Minute)           // 19
		w.Schedule(&Flow{VIP: vip(5)}, now+time.Minute)             // 20
		w.Schedule(&Flow{VIP: vip(6)}, now+time.Minute+time.Second) // just less
		removed = append(removed, housekeep(e, &now, 51)...)
		for i, n := range removed {
			want := 0
			switch i + 1 {
			case 30:
				want = 8
			case 60:
				want = 2
			}
			if n != want {
				t.Errorf("%s: run %d removes %d entries, want %d", name, i+1, n, want)
			}
		}
	}
}

func TestCacheDefaultExpiration(t *testing.T) {
	w, e := cacheWorld(t, "lblc")
	var now time.Duration
	e.Expire(now)
	w.Schedule(&Flow{VIP: vip(1)}, now)
	removed := housekeep(e, &now, 24*60)
	for i, n := range removed {
		if want := i == len(removed)-1; (n == 1) != want {
			t.Errorf("minute %d removes %d entries, want the one after exactly 24 hours", i+1, n)
		}
	}
}

// TestCacheNotDue calls Expire more often than housekeeping runs.
func TestCacheNotDue(t *testing.T) {
	w, e := cacheWorld(t, "lblc")
	w.Scheduler.(Aging).SetExpiration(0)
	e.Expire(5 * time.Second)
	w.Schedule(&Flow{VIP: vip(1)}, 5*time.Second)
	for s := 6; s < 5+30*60; s++ {
		if n := e.Expire(time.Duration(s) * time.Second); n != 0 {
			t.Fatalf("Expire at %d s = %d, want 0 before the thirtieth minute", s, n)
		}
	}
	if n := e.Expire((5 + 30*60) * time.Second); n != 1 {
		t.Errorf("Expire at 1805 s = %d, want 1", n)
	}
}

// TestCacheCrowded fills the cache beyond its capacity.
func TestCacheCrowded(t *testing.T) {
	tests := []struct {
		name    string
		entries int
		goal    int
	}{
		{"just above", cacheCapacity + 30, 40},
		{"far above", 2*cacheCapacity + 1, cacheCapacity / 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLBLC()
			w := &world{Scheduler: l}
			w.add(1)
			l.Expire(0)
			for i := range tt.entries {
				l.Schedule(&Flow{VIP: vip(i)}, time.Second)
			}
			now := time.Duration(0)
			for i, n := range housekeep(l, &now, 6) { // at the sixth, 359 s unused
				if n != 0 {
					t.Fatalf("run %d removes %d entries, want 0", i+1, n)
				}
			}
			if l.rover != 0 {
				t.Fatalf("rover at %d after vain rounds, want 0", l.rover)
			}
			before := bucketSizes(l)
			removed := housekeep(l, &now, 1)[0]
			want, bucket := 0, 0
			for want < tt.goal { // whole buckets, from the first on
				bucket++
				want += before[bucket]
			}
			if removed != want || l.rover != bucket || l.entries != tt.entries-want {
				t.Errorf("removed %d, rover %d, %d left, want %d, %d, %d",
					removed, l.rover, l.entries, want, bucket, tt.entries-want)
			}
			for b, n := range bucketSizes(l) {
				if gone := b >= 1 && b <= bucket; gone != (n == 0) {
					t.Fatalf("bucket %d has %d entries left of %d, rover %d", b, n, before[b], bucket)
				}
			}
			if l.run != 1 {
				t.Errorf("run %d after crowded runs, want 1", l.run)
			}
		})
	}
}

func bucketSizes(l *lblc) (sizes [cacheBuckets]int) {
	for e := range l.all() {
		sizes[bucket(e.addr)]++
	}
	return sizes
}

// TestLBLCIgnoresOverloadFlag: a mapping outlives the flag, not quiescing.
func TestLBLCIgnoresOverloadFlag(t *testing.T) {
	w := newWorld(t, "lblc", 0, 1, 1)
	if got := w.picks(1, bindNothing); got != "2" {
		t.Fatalf("first pick %s, want 2", got)
	}
	overload(w.server(2))
	if got := w.picks(2, bindNothing); got != "2 2" {
		t.Errorf("picks with the mapped server overloaded %s, want 2 2", got)
	}
	w.edit(w.server(2), 0)
	if got := w.picks(2, bindNothing); got != "1 1" {
		t.Errorf("picks with the mapped server quiesced %s, want 1 1", got)
	}
}

// TestLBLCCrowded: active above weight moves the mapping only if somebody has
// less than half of its weight.
func TestLBLCCrowded(t *testing.T) {
	w := newWorld(t, "lblc", 0, 2, 2)
	if got, want := w.picks(8, bindActive), "2 2 2 1 1 1 1 1"; got != want {
		t.Errorf("lblc 2/2 picks %s, want %s", got, want)
	}
}

// TestCacheNobody keeps an entry when there is nobody to pick.
func TestCacheNobody(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		w := newWorld(t, name, 0, 1, 1)
		first := w.picks(1, bindNothing)
		w.edit(w.server(1), 0)
		w.edit(w.server(2), 0)
		nobody := w.picks(1, bindNothing)
		bindActive(w.server(2)) // not the wlc choice any more
		w.edit(w.server(1), 1)
		w.edit(w.server(2), 1)
		if back := w.picks(1, bindNothing); first != "2" || nobody != "-" || back != "2" {
			t.Errorf("%s picks %s, none %s, back %s, want 2, -, 2", name, first, nobody, back)
		}
	}
}

// TestCacheServerComesBack deletes the mapped server and adds it again as a new
// object, as a director does that forgot it: the mapping holds again.
func TestCacheServerComesBack(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		w := newWorld(t, name, 0, 1, 1)
		w.picks(1, bindNothing) // r2
		r1, r2 := w.server(1), w.server(2)
		w.remove(r2)
		again := ipvs.NewRealServer(22, &ipvs.Destination{Addr: r2.Addr, Weight: 1})
		w.enter(again)
		w.remove(r1)
		w.enter(r1) // at the head now: wlc would prefer it
		if got := w.picks(1, bindNothing); got != "22" {
			t.Errorf("%s after the mapped server came back picks %s, want 22", name, got)
		}
	}
}

// TestLBLCRShrinks lets a set grow to two and lose its busiest member.
func TestLBLCRShrinks(t *testing.T) {
	w := newWorld(t, "lblcr", 0, 2, 2)
	w.Scheduler.(Aging).SetExpiration(time.Minute)
	f := &Flow{VIP: vip(1)}
	pick := func(now time.Duration) string { return shown(w.Schedule(f, now)) }
	if got := pick(0); got != "2" {
		t.Fatalf("first pick %s, want 2", got)
	}
	for range 3 {
		bindActive(w.server(2))
	}
	if got := pick(time.Second); got != "1" { // r2 is crowded, r1 joins
		t.Fatalf("pick with r2 crowded %s, want 1", got)
	}
	set := &w.Scheduler.(*lblcr).get(f.VIP, time.Second).value
	pick(61 * time.Second)
	if len(set.members) != 2 {
		t.Fatalf("set of %d members after the expiration exactly, want 2", len(set.members))
	}
	pick(61*time.Second + 1)
	if len(set.members) != 1 || set.members[0] != w.server(1) || set.changed != 61*time.Second+1 {
		t.Errorf("set %v changed at %v, want r1 alone, changed now", set.members, set.changed)
	}
}

// TestLBLCRShrinksLatestOfEquals has a set of two equally loaded servers.
func TestLBLCRShrinksLatestOfEquals(t *testing.T) {
	r1, r2 := newWorld(t, "none", 0, 1).server(1), newWorld(t, "none", 0, 0, 2).server(2)
	set := serverSet{}
	set.insert(r1, 0)
	set.insert(r2, 0)
	set.shrink(time.Second)
	if len(set.members) != 1 || set.members[0] != r1 {
		t.Errorf("set of the idle r1, r2 shrinks to %v, want r1", set.members)
	}
	r1.Configure(&ipvs.Destination{Weight: 0})
	set.shrink(2 * time.Second)
	if len(set.members) != 1 || set.changed != time.Second {
		t.Errorf("set of a quiesced server shrinks to %v at %v, want no change", set.members, set.changed)
	}
}
