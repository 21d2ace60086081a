package conntrack

import (
	"runtime"
	"testing"
)

// filled returns a table with n entries.
func filled(n int) *Table {
	table := NewTable(Config{Seed: 5})
	for i := range n {
		key := keyNumber(i)
		table.Insert(&key, 0)
	}
	return table
}

// TestBytesPerEntry weighs tables between two doublings of the index: all in, an
// entry takes no more than 112 bytes.
func TestBytesPerEntry(t *testing.T) {
	for _, n := range []int{200_000, 250_000, 300_000, 350_000} {
		before := heap()
		table := filled(n)
		got := float64(heap()-before) / float64(n)
		if got > 112 {
			t.Errorf("with %d entries one takes %.1f bytes, want at most 112", n, got)
		}
		t.Logf("with %d entries one takes %.1f bytes", n, got)
		runtime.KeepAlive(table)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHitTouchesOneEntry counts the entries that look-ups read until they have
// the right one, between two doublings of the index.
func TestHitTouchesOneEntry(t *testing.T) {
	for _, n := range []int{200_000, 250_000, 300_000, 350_000} {
		table := filled(n)
		one, all := 0, 0
		for i := range n {
			key := keyNumber(i)
			want, touched := table.FindIn(&key), 0
			found := table.index.find(table.hash(key.Proto, key.CIP, key.CPort))
			for r := found.next(table); ; r = found.next(table) {
				if touched++; r == want {
					break
				}
			}
			all += touched
			if touched == 1 {
				one++
			}
		}
		share, mean := float64(one)/float64(n), float64(all)/float64(n)
		if share < 0.98 || mean > 1.04 {
			t.Errorf("of %d hits %.2f %% read one entry, %.3f on average, want at least 98 %% and at most 1.04", n, 100*share, mean)
		}
		t.Logf("of %d hits %.2f %% read one entry, %.3f on average", n, 100*share, mean)
	}
}

// TestGrowthMovesOneBucket checks what an insertion does to the other entries: it
// splits one bucket at most, and moves at most the few entries that it had.
func TestGrowthMovesOneBucket(t *testing.T) {
	const n, bound = 400_000, 32
	table := NewTable(Config{Seed: 5})
	most, splits := 0, 0
	for i := range n {
		held := 0
		x := &table.index
		for _, r := range x.at(x.split).refs {
			if r != 0 {
				held++
			}
		}
		for r := x.at(x.split).rest; r != 0; r = table.At(r).next {
			held++
		}
		size, segments := x.size(), len(x.segments)
		key := keyNumber(i)
		table.Insert(&key, 0)
		switch grown := x.size() - size; {
		case grown > 1 || len(x.segments) > segments+1:
			t.Fatalf("insertion %d made %d buckets in %d new segments", i, grown, len(x.segments)-segments)
		case grown == 1:
			splits++
			most = max(most, held)
		}
	}
	if most > bound {
		t.Errorf("a split found %d entries to move, want at most %d", most, bound)
	}
	if least := n/4 - segmentSize; splits < least {
		t.Errorf("%d splits for %d entries, want at least %d", splits, n, least)
	}
	t.Logf("%d insertions split %d buckets, of %d entries at most", n, splits, most)
}

// TestFetch checks that the hint needs no entry to be there, and changes none.
func TestFetch(t *testing.T) {
	table := filled(5000)
	before := *table
	var hashes []uint32
	for i := range 10_000 {
		key := keyNumber(i)
		hashes = append(hashes, table.Hash(key.Proto, key.CIP, key.CPort))
	}
	table.Fetch(hashes)
	table.Fetch(nil)
	for i := range 5000 {
		key := keyNumber(i)
		if table.FindIn(&key) == 0 {
			t.Fatalf("entry %d is not found after Fetch", i)
		}
	}
	if table.live != before.live || table.index.size() != before.index.size() {
		t.Errorf("Fetch made of %d entries in %d buckets %d in %d", before.live, before.index.size(), table.live, table.index.size())
	}
	if got := testing.AllocsPerRun(10, func() { table.Fetch(hashes) }); got != 0 {
		t.Errorf("Fetch allocates %v times, want 0", got)
	}
}
