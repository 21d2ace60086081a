package conntrack

import (
	"testing"
	"time"
	"unsafe"

	"natlb/rewrite"
)

// six returns the IPv6 address that stands for one of IPv4 in the model. All of them
// have the same fold.
func six(addr uint32) rewrite.Addr6 {
	return rewrite.Addr6{Hi: uint64(addr), Lo: uint64(addr)}
}

func six6(k Key4) Key6 {
	return Key6{CIP: six(k.CIP), VIP: six(k.VIP), CPort: k.CPort, VPort: k.VPort, Proto: k.Proto}
}

// The model knows addresses of IPv4; these ask tables of either width.

func (m *model) insertInto(t *Table, k Key4, portless bool) Ref {
	six := six6(k)
	switch {
	case m.v6 && portless:
		return t.InsertPortless6(&six, m.now)
	case m.v6:
		return t.Insert6(&six, m.now)
	case portless:
		return t.InsertPortless(&k, m.now)
	}
	return t.Insert(&k, m.now)
}

func (m *model) findIn(t *Table, k Key4) Ref {
	if six := six6(k); m.v6 {
		return t.FindIn6(&six)
	}
	return t.FindIn(&k)
}

func (m *model) findTemplate(t *Table, k Key4) Ref {
	if six := six6(k); m.v6 {
		return t.FindTemplate6(&six)
	}
	return t.FindTemplate(&k)
}

func (m *model) findOut(t *Table, proto uint8, sip uint32, sport uint16, cip uint32, cport uint16) Ref {
	if m.v6 {
		return t.FindOut6(proto, six(sip), sport, six(cip), cport)
	}
	return t.FindOut(proto, sip, sport, cip, cport)
}

// TestWholeAddressCounts: one bit anywhere in an address makes another key, and
// another hash.
func TestWholeAddressCounts(t *testing.T) {
	table := NewTable(Config{Seed: 9, V6: true})
	key := Key6{CIP: rewrite.Addr6{Hi: 0x20010db8, Lo: 5}, VIP: rewrite.Addr6{Hi: 1, Lo: 80}, CPort: 4000, VPort: 80, Proto: 6}
	rip := rewrite.Addr6{Hi: 7, Lo: 8}
	r := table.Insert6(&key, 0)
	setRIP6(table, r, rip)
	table.At(r).RPort = 8080
	if table.FindIn6(&key) != r || table.FindOut6(6, rip, 8080, key.CIP, 4000) != r || table.At(r).RIP != rip.Fold() {
		t.Fatal("the entry is not found")
	}
	if c := table.At(r); c.CIP != key.CIP.Fold() || c.VIP != key.VIP.Fold() {
		t.Errorf("the entry has %#x and %#x for addresses, want their folds", c.CIP, c.VIP)
	}
	hashes := map[uint32]bool{table.Hash6(6, key.CIP, 4000): true}
	for bit := range 128 {
		flip := func(a rewrite.Addr6) rewrite.Addr6 {
			if bit < 64 {
				return rewrite.Addr6{Hi: a.Hi ^ 1<<bit, Lo: a.Lo}
			}
			return rewrite.Addr6{Hi: a.Hi, Lo: a.Lo ^ 1<<(bit-64)}
		}
		client, vip := key, key
		client.CIP, vip.VIP = flip(key.CIP), flip(key.VIP)
		if table.FindIn6(&client) != 0 || table.FindIn6(&vip) != 0 || table.FindOut6(6, flip(rip), 8080, key.CIP, 4000) != 0 ||
			table.FindOut6(6, rip, 8080, client.CIP, 4000) != 0 {
			t.Errorf("with bit %d changed the entry is found", bit)
		}
		hashes[table.Hash6(6, client.CIP, 4000)] = true
	}
	if len(hashes) != 129 {
		t.Errorf("129 addresses have %d hashes", len(hashes))
	}
	other := NewTable(Config{Seed: 10, V6: true})
	if table.Hash6(6, key.CIP, 4000) == other.Hash6(6, key.CIP, 4000) || table.Hash6(6, key.CIP, 1) == table.Hash6(17, key.CIP, 1) ||
		table.Hash6(6, key.CIP, 1) == table.Hash6(6, key.CIP, 2) {
		t.Error("the hash does not depend on seed, protocol or port")
	}
}

// TestTemplates6: a template is found for all clients of its network, by every
// prefix length, and for no other.
func TestTemplates6(t *testing.T) {
	client := rewrite.Addr6{Hi: 0x20010db8_aaaa5555, Lo: 0xaaaa5555_aaaa5555}
	for bits := 1; bits <= 128; bits++ {
		table := NewTable(Config{Seed: 9, V6: true})
		key := func(a rewrite.Addr6) *Key6 {
			return &Key6{CIP: a.Masked(bits), VIP: MarkVIP6(3)}
		}
		r := table.Insert6(key(client), 0)
		table.At(r).Flags |= Template
		inside, outside := client, client
		if bits < 128 {
			inside.Lo ^= 1
		}
		if bits <= 64 {
			outside.Hi ^= 1 << (64 - bits)
		} else {
			outside.Lo ^= 1 << (128 - bits)
		}
		if table.FindTemplate6(key(inside)) != r || table.FindTemplate6(key(outside)) != 0 {
			t.Errorf("/%d: FindTemplate6 = %d inside, %d outside, want %d and 0", bits, table.FindTemplate6(key(inside)), table.FindTemplate6(key(outside)), r)
		}
		if got := table.Key6(r); got != *key(client) {
			t.Errorf("/%d: Key6 = %+v, want %+v", bits, got, *key(client))
		}
		if table.FindIn6(key(client)) != 0 || table.FindOut6(0, MarkVIP6(3), 0, client.Masked(bits), 0) != 0 {
			t.Errorf("/%d: the template is taken for a connection", bits)
		}
	}
	if got := MarkVIP6(0x10003).Addr().String(); got != "1:3::" {
		t.Errorf("MarkVIP6 = %s, want 1:3::", got)
	}
}

// TestWideEntries: what is kept beside the entries of a table of IPv6, and beside
// those of IPv4: nothing.
func TestWideEntries(t *testing.T) {
	if got := unsafe.Sizeof(Ends6{}); got != 48 {
		t.Errorf("Ends6 is %d bytes, want 48", got)
	}
	if table := filled(10_000); table.wide != nil {
		t.Error("a table of IPv4 keeps addresses of IPv6")
	}
	for _, n := range []int{200_000, 250_000, 300_000, 350_000} {
		before := heap()
		table := filled6(n)
		got := float64(heap()-before) / float64(n)
		if got > MostEntryBytes {
			t.Errorf("with %d entries one takes %.1f bytes, want at most %d", n, got, MostEntryBytes)
		}
		t.Logf("with %d entries one takes %.1f bytes", n, got)
		for i := range n {
			key := six6(keyNumber(i))
			if r := table.FindIn6(&key); r == 0 || table.Key6(r) != key {
				t.Fatalf("entry %d is not found", i)
			}
		}
	}
}

// filled6 returns a table of IPv6 with n entries.
func filled6(n int) *Table {
	table := NewTable(Config{Seed: 5, V6: true})
	for i := range n {
		key := six6(keyNumber(i))
		table.Insert6(&key, 0)
	}
	return table
}

func TestHits6DoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	table, rip := filled6(5000), six(0x0a020001)
	var hashes []uint32
	for i := range 5000 {
		key := six6(keyNumber(i))
		r := table.FindIn6(&key)
		c := table.At(r)
		setRIP6(table, r, rip)
		c.RPort, c.Timeout = 8080, time.Minute
		table.Arm(r, c, 0)
		hashes = append(hashes, table.Hash6(6, key.CIP, key.CPort))
	}
	i := 0
	got := testing.AllocsPerRun(5000, func() {
		key := six6(keyNumber(i % 5000))
		table.Fetch(hashes[i%4000 : i%4000+64])
		i++
		r := table.FindIn6(&key)
		if table.FindOut6(6, rip, 8080, key.CIP, key.CPort) != r || r == 0 {
			t.Fatal("a connection is not found from both sides")
		}
		table.Remove(r)
		setRIP6(table, table.Insert6(&key, 0), rip)
		r = table.FindIn6(&key)
		table.At(r).RPort = 8080
	})
	if got != 0 {
		t.Errorf("hits and insertions in a steady table allocate %v times, want 0", got)
	}
}

// setRIP6 sets the real server's address of entry r, as its owner does.
func setRIP6(t *Table, r Ref, rip rewrite.Addr6) {
	t.Ends6(r).RIP, t.At(r).RIP = rip, rip.Fold()
}
