package sched

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/ipvs"
)

func TestHashVectors(t *testing.T) {
	tests := []struct {
		addr          string
		port          uint16
		hash8, hash10 uint32
		sip           uint32
		mhSlot        uint32
	}{
		{"192.0.2.1", 0, 50, 203, 0x92889c88, 2891},
		{"192.0.2.2", 0, 148, 594, 0xf919356d, 746},
		{"192.0.2.3", 0, 246, 985, 0x2741364b, 998},
		{"198.51.100.7", 0, 171, 684, 0xadb98ab6, 924},
		{"203.0.113.9", 0, 64, 257, 0xcbf7eefc, 1189},
		{"10.1.2.3", 0, 2, 10, 0x2b298ba1, 1263},
		{"192.0.2.1", 40000, 214, 859, 0xcb245051, 3651},
		{"255.255.255.255", 1, 0, 0, 0x1d5a77c2, 2495},
	}
	for _, tt := range tests {
		withPort := clientKey{port: true}
		key := withPort.of(&Flow{CIP: netip.MustParseAddr(tt.addr), CPort: tt.port})
		if got := hash32(key, 8); got != tt.hash8 {
			t.Errorf("hash32(%s+%d, 8) = %d, want %d", tt.addr, tt.port, got, tt.hash8)
		}
		if got := hash32(key, 10); got != tt.hash10 {
			t.Errorf("hash32(%s+%d, 10) = %d, want %d", tt.addr, tt.port, got, tt.hash10)
		}
		got := mhHash(mhKey1, key)
		if got != tt.sip || got%mhSlots != tt.mhSlot {
			t.Errorf("mhHash(%s+%d) = %#x, slot %d, want %#x, slot %d", tt.addr, tt.port, got, got%mhSlots, tt.sip, tt.mhSlot)
		}
	}
}

func TestFold(t *testing.T) {
	tests := map[string]uint32{
		"192.0.2.1":               0xc0000201,
		"2001:db8::1":             0x20010db8 ^ 1,
		"fd10:10:1:2:3:4:5:6":     0xfd100010 ^ 0x00010002 ^ 0x00030004 ^ 0x00050006,
		"ffff:ffff:ffff:ffff::":   0,
		"1234:5678:9abc:def0::12": 0x12345678 ^ 0x9abcdef0 ^ 0x12,
	}
	for in, want := range tests {
		if got := fold(netip.MustParseAddr(in)); got != want {
			t.Errorf("fold(%s) = %#x, want %#x", in, got, want)
		}
	}
}

func TestMHPreference(t *testing.T) {
	tests := []struct {
		server       string
		offset, skip uint32
	}{
		{"10.0.0.1:80", 3167, 700},
		{"10.0.0.2:80", 1231, 3544},
		{"10.0.0.3:80", 1631, 3453},
	}
	for _, tt := range tests {
		offset, skip := mhPreference(netip.MustParseAddrPort(tt.server))
		if offset != tt.offset || skip != tt.skip {
			t.Errorf("mhPreference(%s) = %d, %d, want %d, %d", tt.server, offset, skip, tt.offset, tt.skip)
		}
	}
}

var tenClients = []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.10", "192.0.2.100",
	"192.0.2.200", "198.51.100.7", "203.0.113.9", "10.1.2.3", "172.16.5.4"}

// clientPicks schedules one connection of each of the ten clients.
func clientPicks(s Scheduler) string {
	var got []string
	for i, c := range tenClients {
		f := &Flow{CIP: netip.MustParseAddr(c), CPort: uint16(40000 + i), Proto: ipvs.TCP}
		got = append(got, shown(s.Schedule(f, 0)))
	}
	return strings.Join(got, " ")
}

const (
	fallback = ipvs.FlagSched1
	port     = ipvs.FlagSched2
)

func TestSourceHashPicks(t *testing.T) {
	w111, w312, w101, w1011 := []int32{1, 1, 1}, []int32{3, 1, 2}, []int32{1, 0, 1}, []int32{10, 1, 1}
	tests := []struct {
		weights []int32
		flags   ipvs.ServiceFlags
		sh, mh  string
	}{
		{w111, 0, "1 2 3 3 3 1 3 2 1 3", "3 2 2 2 2 3 1 2 1 1"},
		{w111, port, "2 2 3 3 2 1 3 3 3 1", "3 2 3 2 1 3 2 3 3 3"},
		{w312, 0, "2 1 3 3 1 1 1 1 2 3", "3 2 1 2 2 3 1 1 1 1"},
		{w312, port, "1 1 1 3 1 2 1 3 3 2", "3 1 3 1 1 3 2 3 1 1"},
		{w101, 0, "1 - 3 3 3 1 3 - 1 3", "3 3 1 3 3 3 1 1 1 1"},
		{w101, fallback, "1 1 3 3 3 1 3 1 1 3", "3 3 1 3 3 3 1 1 1 1"},
		{w101, port | fallback, "1 1 3 3 1 1 3 3 3 1", "3 1 3 1 1 3 3 3 3 3"},
		{w1011, 0, "1 1 1 1 1 1 1 1 1 1", "1 2 1 2 1 1 1 1 1 1"},
		{w1011, port, "1 1 1 3 1 1 1 3 3 1", "1 1 3 1 1 3 2 1 1 1"},
	}
	for _, tt := range tests {
		for name, want := range map[string]string{"sh": tt.sh, "mh": tt.mh} {
			w := newWorld(t, name, tt.flags, tt.weights...)
			if got := clientPicks(w); got != want {
				t.Errorf("%s %v flags %#x picks %s, want %s", name, tt.weights, tt.flags, got, want)
			}
		}
	}
}

// TestSetFlags edits the flags under a filled table.
func TestSetFlags(t *testing.T) {
	for _, name := range []string{"sh", "mh"} {
		for _, flags := range []ipvs.ServiceFlags{0, port, fallback, port | fallback} {
			w := newWorld(t, name, 0, 3, 1, 2)
			w.edit(w.server(1), 0)
			w.Scheduler.(Reflag).SetFlags(flags)
			fresh := newWorld(t, name, flags, 3, 1, 2)
			fresh.edit(fresh.server(1), 0)
			if got, want := clientPicks(w), clientPicks(fresh); got != want {
				t.Errorf("%s after SetFlags(%#x) picks %s, want %s", name, flags, got, want)
			}
		}
	}
}

func TestDestinationHashPicks(t *testing.T) {
	w := newWorld(t, "dh", 0, 1, 1, 1)
	tests := map[string]string{"192.0.2.1": "1", "192.0.2.2": "2", "198.51.100.1": "3", "203.0.113.9": "2", "10.1.2.3": "1"}
	pick := func(vip string) string { return shown(w.Schedule(&Flow{VIP: netip.MustParseAddr(vip)}, 0)) }
	for vip, want := range tests {
		if got := pick(vip); got != want {
			t.Errorf("dh for %s picks %s, want %s", vip, got, want)
		}
	}
	w.edit(w.server(2), 0)
	if got := pick("192.0.2.2"); got != "-" {
		t.Errorf("dh for 192.0.2.2 with its server quiesced picks %s, want -", got)
	}
	w.edit(w.server(2), 9)
	w.server(2).Discard() // on its way out, the table not yet dealt
	if got := pick("192.0.2.2"); got != "-" {
		t.Errorf("dh for 192.0.2.2 with its server deleted picks %s, want -", got)
	}
	w.server(2).Restore(&ipvs.Destination{Weight: 9})
	overload(w.server(2))
	if got := pick("192.0.2.2"); got != "-" {
		t.Errorf("dh for 192.0.2.2 with its server overloaded picks %s, want -", got)
	}
}

// count returns how many slots each server has.
func count(slots []*ipvs.RealServer) map[string]int {
	n := make(map[string]int)
	for _, s := range slots {
		n[shown(s)]++
	}
	return n
}

func TestMHTable(t *testing.T) {
	tests := []struct {
		weights []int32
		first   string // owners of the first slots
		count   map[string]int
	}{
		{[]int32{1, 1, 1}, "1 2 2 3 3 1 2 3 3 1 1 2", map[string]int{"1": 1364, "2": 1364, "3": 1365}},
		{[]int32{3, 1, 2}, "1 1 3 3 1 1 2 3 3 1 1 2", map[string]int{"1": 2046, "2": 682, "3": 1365}},
		{[]int32{100, 1, 50}, "", map[string]int{"1": 2689, "2": 54, "3": 1350}},
		{[]int32{64, 1, 1}, "", map[string]int{"1": 3851, "2": 121, "3": 121}},
		{[]int32{0, 0, 0}, "", map[string]int{"-": mhSlots}},
		{nil, "", map[string]int{"-": mhSlots}},
	}
	for _, tt := range tests {
		m := newWorld(t, "mh", 0, tt.weights...).Scheduler.(*mh)
		if diff := cmp.Diff(tt.count, count(m.slots[:])); diff != "" {
			t.Errorf("mh %v slots per server (-want +got):\n%s", tt.weights, diff)
		}
		var first []string
		for _, s := range m.slots[:len(strings.Fields(tt.first))] {
			first = append(first, shown(s))
		}
		if got := strings.Join(first, " "); got != tt.first {
			t.Errorf("mh %v begins %s, want %s", tt.weights, got, tt.first)
		}
	}
}

// TestMHDisruption quiesces a server and deletes it: the first moves nothing,
// the second little else than its own slots.
func TestMHDisruption(t *testing.T) {
	w := newWorld(t, "mh", 0, 1, 1, 1)
	m, r2 := w.Scheduler.(*mh), w.server(2)
	before := m.slots
	w.edit(r2, 0)
	if m.slots != before {
		t.Errorf("quiescing r2 changes the table, want no change")
	}
	w.remove(r2)
	changed, others := 0, 0
	for i, s := range m.slots {
		if s != before[i] {
			changed++
			if before[i] != r2 {
				others++
			}
		}
	}
	if changed != 1368 || others != 4 {
		t.Errorf("deleting r2 changes %d slots, %d of them of others, want 1368 and 4", changed, others)
	}
}

// TestMHTooManyServers keeps the last good table when there are more servers
// than slots, and never sends anybody to a deleted one.
func TestMHTooManyServers(t *testing.T) {
	var servers []*ipvs.RealServer
	for i := range uint32(mhSlots + 1) {
		servers = append(servers, ipvs.NewRealServer(i, &ipvs.Destination{Addr: serverAddr(i), Weight: 1}))
	}
	m := newMH(0)
	m.Update(servers[1:], Init, nil)
	table := m.slots
	if n := len(count(table[:])); n != mhSlots {
		t.Fatalf("mh with %d servers gives slots to %d, want all", mhSlots, n)
	}
	m.Update(servers, Add, servers[0])
	if m.slots != table {
		t.Errorf("mh with %d servers changes its table, want it kept", mhSlots+1)
	}
	f := &Flow{CIP: netip.MustParseAddr("192.0.2.1")}
	m.slots[2891].Discard()
	if got := m.Schedule(f, 0); got != nil {
		t.Errorf("Schedule with the slot's server deleted = %s, want nil", shown(got))
	}
}

// TestFallbackProbes leaves two light servers: most clients need many probes,
// round the end of the table too.
func TestFallbackProbes(t *testing.T) {
	for _, name := range []string{"sh", "mh"} {
		w := newWorld(t, name, fallback|port, 60, 1, 60, 1)
		w.edit(w.server(1), 0)
		w.edit(w.server(3), 0)
		ref := newReference(name, fallback|port)
		ref.update(w.servers, Edit, w.server(3))
		for i := range 300 {
			f := &Flow{CIP: vip(i), CPort: uint16(i * 7)}
			if got, want := w.Schedule(f, 0), ref.pick(f, 0); got != want || want == nil {
				t.Fatalf("%s for %v:%d picks %s, want %s", name, f.CIP, f.CPort, shown(got), shown(want))
			}
		}
	}
}

// TestMHFallbackNobody has a full table of servers that take nothing.
func TestMHFallbackNobody(t *testing.T) {
	w := newWorld(t, "mh", fallback, 1, 1, 1)
	for _, s := range w.servers {
		w.edit(s, 0)
	}
	if got := w.picks(1, bindNothing); got != "-" {
		t.Errorf("mh with fallback, all quiesced: picks %s, want -", got)
	}
}

func TestSpread(t *testing.T) {
	want := map[string][]int{"sh": {21761, 21765, 22010}, "mh": {21772, 21787, 21977}}
	for name, want := range want {
		w := newWorld(t, name, 0, 1, 1, 1)
		got := make([]int, 3)
		for i := range 65536 {
			f := Flow{CIP: netip.AddrFrom4([4]byte{10, 5, byte(i >> 8), byte(i)})}
			got[w.Schedule(&f, time.Second).ID-1]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s over 65536 clients (-want +got):\n%s", name, diff)
		}
	}
}
