package bench

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"natlb/conntrack"
	"natlb/rewrite"
)

const rip, rport = 0x0a14000b, 8080

// connKey is the key of connection i: 50,000 ports of each client.
func connKey(i int) conntrack.Key4 {
	return conntrack.Key4{CIP: 0x0a0a4000 + uint32(i/50000), CPort: uint16(10000 + i%50000), VIP: 0x0a0a0101, VPort: 80, Proto: 6}
}

// order returns the numbers 0..n-1 in random order, so that caches and
// prefetching do not see one connection follow the other.
func order(n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(i)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// filledTable returns a table with n connections in ESTABLISHED's timeout.
func filledTable(n int) *conntrack.Table {
	t := conntrack.NewTable(conntrack.Config{Seed: 1})
	for i := range n {
		insert(t, i, 0)
	}
	return t
}

func insert(t *conntrack.Table, i int, now time.Duration) {
	key := connKey(i)
	r := t.Insert(&key, now)
	c := t.At(r)
	c.RIP, c.RPort, c.Timeout = rip, rport, 15*time.Minute
	t.Arm(r, c, now)
}

// tableSizes are the numbers of connections to measure with.
func tableSizes() []int {
	if testing.Short() {
		return []int{1000, 100_000}
	}
	return []int{1000, 100_000, 1_000_000, 4_000_000}
}

func forTables(b *testing.B, measure func(b *testing.B, n int)) {
	for _, n := range tableSizes() {
		b.Run(fmt.Sprintf("conns=%s", short(n)), func(b *testing.B) {
			b.ReportAllocs()
			measure(b, n)
		})
	}
}

func short(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}

// BenchmarkTableHit finds connections as packets do, from both sides in turn,
// and re-arms them.
func BenchmarkTableHit(b *testing.B) {
	forTables(b, func(b *testing.B, n int) {
		t, keys := filledTable(n), order(n)
		report := cpu(b)
		i := 0
		for b.Loop() {
			key := connKey(int(keys[i%n]))
			r := t.FindIn(&key)
			if i&1 != 0 {
				r = t.FindOut(6, rip, rport, key.CIP, key.CPort)
			}
			if r == 0 {
				b.Fatalf("connection %d is not found", keys[i%n])
			}
			t.Arm(r, t.At(r), time.Second)
			i++
		}
		report()
	})
}

// connKey6 is connKey for IPv6: clients of one /64 after the other.
func connKey6(i int) conntrack.Key6 {
	return conntrack.Key6{
		CIP: rewrite.Addr6{Hi: 0x20010db8<<32 + uint64(i/50000), Lo: 5}, CPort: uint16(10000 + i%50000),
		VIP: rewrite.Addr6{Hi: 0x20010db8_00010000, Lo: 0x80}, VPort: 80, Proto: 6,
	}
}

var rip6 = rewrite.Addr6{Hi: 0xfd10 << 48, Lo: 11}

// BenchmarkTable6Hit is [BenchmarkTableHit] for IPv6.
func BenchmarkTable6Hit(b *testing.B) {
	forTables(b, func(b *testing.B, n int) {
		t, keys := conntrack.NewTable(conntrack.Config{Seed: 1, V6: true}), order(n)
		for i := range n {
			key := connKey6(i)
			r := t.Insert6(&key, 0)
			c := t.At(r)
			t.Ends6(r).RIP, c.RIP = rip6, rip6.Fold()
			c.RPort, c.Timeout = rport, 15*time.Minute
			t.Arm(r, c, 0)
		}
		report := cpu(b)
		i := 0
		for b.Loop() {
			key := connKey6(int(keys[i%n]))
			r := t.FindIn6(&key)
			if i&1 != 0 {
				r = t.FindOut6(6, rip6, rport, key.CIP, key.CPort)
			}
			if r == 0 {
				b.Fatalf("connection %d is not found", keys[i%n])
			}
			t.Arm(r, t.At(r), time.Second)
			i++
		}
		report()
	})
}

// BenchmarkTableMiss looks for connections of other clients.
func BenchmarkTableMiss(b *testing.B) {
	forTables(b, func(b *testing.B, n int) {
		t, keys := filledTable(n), order(n)
		report := cpu(b)
		i := 0
		for b.Loop() {
			key := connKey(int(keys[i%n]))
			key.CIP += 1 << 16
			if r := t.FindIn(&key); r != 0 {
				b.Fatalf("FindIn(%+v) = %d, want 0", key, r)
			}
			i++
		}
		report()
	})
}

// BenchmarkTableInsert replaces the connections of a full table, one removed
// and one inserted an operation, and reports the memory of an entry with its
// share of index and wheel.
func BenchmarkTableInsert(b *testing.B) {
	forTables(b, func(b *testing.B, n int) {
		before := heap()
		t := filledTable(n)
		perConn := float64(heap()-before) / float64(n)
		keys := order(n)
		report := cpu(b)
		i := 0
		for b.Loop() {
			key := connKey(int(keys[i%n]))
			t.Remove(t.FindIn(&key))
			insert(t, int(keys[i%n]), 0)
			i++
		}
		report()
		b.ReportMetric(perConn, "bytes/conn")
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTableExpire lets connections of 60 s arrive and end at an even rate
// in a table that holds n of them: an operation is one birth and one end.
func BenchmarkTableExpire(b *testing.B) {
	forTables(b, func(b *testing.B, n int) {
		t, keys := conntrack.NewTable(conntrack.Config{Seed: 1}), order(n)
		const life = 60 * time.Second
		now, gap := time.Duration(0), life/time.Duration(n)
		arrive := func(i int) {
			key := connKey(int(keys[i%n]))
			r := t.Insert(&key, now)
			c := t.At(r)
			c.Timeout = life
			t.Arm(r, c, now)
			now += gap
		}
		for i := range n {
			arrive(i)
		}
		report := cpu(b)
		i, ended := 0, 0
		for b.Loop() {
			arrive(i)
			ended += t.Expire(now, 64)
			i++
		}
		report()
		if late := n / 1000 * 2; i > n && (t.Len() > n+n/100+late+64 || ended == 0) {
			b.Errorf("%d connections live after %d arrivals, want about %d", t.Len(), i, n)
		}
	})
}
