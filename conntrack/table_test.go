package conntrack

import (
	"testing"
	"time"
)

func keyNumber(i int) Key4 {
	return Key4{CIP: 0x0a000000 + uint32(i/50000), CPort: uint16(1 + i%50000), VIP: 0x0a010001, VPort: 80, Proto: 6}
}

// TestGrowthKeepsOrder lets the index split many times over three generations
// of the same keys: the newest must be found first all the way.
func TestGrowthKeepsOrder(t *testing.T) {
	const n = 30000
	table := NewTable(Config{Seed: 3})
	var newest [n]Ref
	for generation := range 3 {
		for i := range n {
			key := keyNumber(i)
			newest[i] = table.Insert(&key, 0)
			table.At(newest[i]).RIP = uint32(generation)
		}
		for i := range n {
			key := keyNumber(i)
			if got := table.FindIn(&key); got != newest[i] {
				t.Fatalf("generation %d: FindIn(key %d) = entry of generation %d, want the newest", generation, i, table.At(got).RIP)
			}
		}
	}
	if got, least := table.index.size(), 3*n*2/7; got < least {
		t.Errorf("the index has %d buckets for %d entries, want at least %d", got, table.Len(), least)
	}
	for generation := 2; generation >= 0; generation-- {
		for i := range n {
			key := keyNumber(i)
			r := table.FindIn(&key)
			if r == 0 || table.At(r).RIP != uint32(generation) {
				t.Fatalf("with %d generations left FindIn(key %d) = %d", generation+1, i, r)
			}
			table.Remove(r)
		}
	}
	if table.Len() != 0 {
		t.Errorf("Len() = %d after all were removed, want 0", table.Len())
	}
}

// TestSlotsAreReused checks that a table which has been full once does not grow.
func TestSlotsAreReused(t *testing.T) {
	table := NewTable(Config{Max: 10000})
	for round := range 5 {
		now := time.Duration(round) * time.Hour
		for i := range 10000 {
			key := keyNumber(i)
			if table.Insert(&key, now) == 0 {
				t.Fatalf("round %d: Insert %d = 0 below the cap", round, i)
			}
		}
		key := keyNumber(10000)
		if r := table.Insert(&key, now); r != 0 {
			t.Fatalf("round %d: Insert above the cap = %d, want 0", round, r)
		}
		if got := table.Expire(now+InitialTimeout+tick, 1<<30); got != 10000 {
			t.Fatalf("round %d: Expire = %d, want 10000", round, got)
		}
	}
	if len(table.slabs) != (10000+slabSize-1)/slabSize {
		t.Errorf("%d slabs after five rounds of 10000 entries", len(table.slabs))
	}
}

// TestExpireBudget checks that mass expiry goes on, budget by budget, without
// waiting in between.
func TestExpireBudget(t *testing.T) {
	table := NewTable(Config{})
	for i := range 1000 {
		key := keyNumber(i)
		table.Insert(&key, 0)
	}
	now := InitialTimeout + tick
	for rounds := 1; ; rounds++ {
		got := table.Expire(now, 100)
		if table.Len() == 0 {
			if rounds != 10 {
				t.Errorf("1000 entries ended in %d rounds of 100, want 10", rounds)
			}
			return
		}
		if wait := table.NextExpiry(now); got != 100 || wait != 0 {
			t.Fatalf("round %d: Expire = %d, NextExpiry = %v, want 100 and 0", rounds, got, wait)
		}
	}
}

// TestTouchedEntryStays checks that packets prolong an entry without end, at
// every phase of the wheel.
func TestTouchedEntryStays(t *testing.T) {
	table := NewTable(Config{})
	key := keyNumber(0)
	r := table.Insert(&key, 0)
	c := table.At(r)
	c.Timeout = time.Minute
	now := time.Duration(0)
	for range 20000 {
		table.Arm(r, c, now)
		now += 59*time.Second + 7*time.Millisecond
		if table.Expire(now, 1<<30) != 0 {
			t.Fatalf("the entry ended at %v, %v before its time", now, c.Deadline-now)
		}
	}
	if now += time.Second + tick; table.Expire(now, 1<<30) != 1 {
		t.Error("the entry did not end")
	}
}

func TestHitsDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	table := NewTable(Config{})
	for i := range 5000 {
		key := keyNumber(i)
		r := table.Insert(&key, 0)
		c := table.At(r)
		c.RIP, c.RPort, c.Timeout = 0x0a020001, 8080, time.Minute
		table.Arm(r, c, 0)
	}
	now := time.Duration(0)
	i := 0
	got := testing.AllocsPerRun(5000, func() {
		key := keyNumber(i % 5000)
		i++
		r := table.FindIn(&key)
		if table.FindOut(6, 0x0a020001, 8080, key.CIP, key.CPort) != r || r == 0 {
			t.Fatal("a connection is not found from both sides")
		}
		now += time.Millisecond
		table.Arm(r, table.At(r), now)
		table.Expire(now, 64)
	})
	if got != 0 {
		t.Errorf("a hit allocates %v times, want 0", got)
	}
	steady := testing.AllocsPerRun(5000, func() {
		key := keyNumber(i % 5000)
		i++
		table.Remove(table.FindIn(&key))
		table.Insert(&key, now)
	})
	if steady != 0 {
		t.Errorf("an insertion in a steady table allocates %v times, want 0", steady)
	}
}

// TestLongestTimeout crosses all levels of the wheel once.
func TestLongestTimeout(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("walks 160 million ticks")
	}
	table := NewTable(Config{})
	key := keyNumber(0)
	r := table.Insert(&key, 0)
	c := table.At(r)
	c.Timeout = 31 * 24 * time.Hour
	table.Arm(r, c, 0)
	if table.Expire(c.Timeout-1, 1<<30) != 0 {
		t.Error("the entry ended before its time")
	}
	if table.Expire(c.Timeout+tick, 1<<30) != 1 {
		t.Error("the entry did not end in time")
	}
}
