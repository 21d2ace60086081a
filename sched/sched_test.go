package sched

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/ipvs"
)

func TestNew(t *testing.T) {
	want := []string{"dh", "fo", "lblc", "lblcr", "lc", "mh", "none", "nq", "ovf", "rr", "sed", "sh", "twos", "wlc", "wrr"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %v, want %v", got, want)
	}
	if !slices.Contains(Names(), ipvs.DefaultScheduler) {
		t.Errorf("Names() lacks the default %q", ipvs.DefaultScheduler)
	}
	for _, name := range []string{"", "RR", "dynamic", "wlc "} {
		s, err := New(name, 0, nil)
		if s != nil || !errors.Is(err, ipvs.ErrUnknownScheduler) {
			t.Errorf("New(%q) = %v, %v, want nil, ErrUnknownScheduler", name, s, err)
			continue
		}
		for _, known := range Names() {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("New(%q) error %q does not name %q", name, err, known)
			}
		}
	}
}

// TestOptionalInterfaces says who must be told of flags, time and sysctls.
func TestOptionalInterfaces(t *testing.T) {
	for _, name := range Names() {
		s, err := New(name, 0, nil)
		if err != nil {
			t.Fatalf("New(%q) = %v, want no error", name, err)
		}
		_, reflag := s.(Reflag)
		_, expirer := s.(Expirer)
		_, aging := s.(Aging)
		hashes, caches := name == "sh" || name == "mh", name == "lblc" || name == "lblcr"
		if reflag != hashes || expirer != caches || aging != caches {
			t.Errorf("%s: Reflag %t, Expirer %t, Aging %t, want %t, %t, %t",
				name, reflag, expirer, aging, hashes, caches, caches)
		}
	}
}

// TestEmpty schedules before any list and on lists without servers.
func TestEmpty(t *testing.T) {
	for _, name := range Names() {
		s, err := New(name, fallback|port, nil)
		if err != nil {
			t.Fatalf("New(%q) = %v, want no error", name, err)
		}
		for _, f := range []*Flow{{}, {CIP: vip(1), VIP: vip(2)}} {
			if got := s.Schedule(f, 0); got != nil {
				t.Errorf("%s before the first list picks %s, want nil", name, shown(got))
			}
			w := &world{Scheduler: s}
			w.Update(nil, Init, nil)
			w.add(1)
			w.remove(w.servers[0])
			if got := s.Schedule(f, 0); got != nil {
				t.Errorf("%s after the last delete picks %s, want nil", name, shown(got))
			}
		}
	}
}

func TestScheduleDoesNotAllocate(t *testing.T) {
	for _, name := range Names() {
		for _, flags := range []ipvs.ServiceFlags{0, fallback | port} {
			w := newWorld(t, name, flags, 3, 0, 1, 5, 2, 2, 9)
			overload(w.server(4))
			flows := make([]Flow, 64)
			for i := range flows {
				flows[i] = Flow{CIP: vip(i), VIP: vip(i % 8), CPort: uint16(i), Proto: ipvs.UDP}
			}
			i := 0
			run := func() {
				w.Schedule(&flows[i%len(flows)], time.Duration(i))
				i++
			}
			for range flows {
				run() // caches learn the addresses
			}
			if n := testing.AllocsPerRun(1000, run); n != 0 {
				t.Errorf("%s, flags %#x: Schedule allocates %v times, want 0", name, flags, n)
			}
		}
	}
}

func TestSipHash13(t *testing.T) {
	// The reference gives the published value of SipHash-2-4 (its paper,
	// appendix A), so it can be trusted with 1-3.
	message := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}
	if got := refSipHash(0x0706050403020100, 0x0f0e0d0c0b0a0908, message, 2, 4); got != 0xa129ca6149be45e5 {
		t.Fatalf("reference SipHash-2-4 = %#x, want 0xa129ca6149be45e5", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		k0, k1, m := rapid.Uint64().Draw(t, "k0"), rapid.Uint64().Draw(t, "k1"), rapid.Uint32().Draw(t, "m")
		bytes := []byte{byte(m), byte(m >> 8), byte(m >> 16), byte(m >> 24)}
		if got, want := sipHash13(k0, k1, m), refSipHash(k0, k1, bytes, 1, 3); got != want {
			t.Fatalf("sipHash13(%#x, %#x, %#x) = %#x, want %#x", k0, k1, m, got, want)
		}
	})
}

// TestHashIsFunctionOfSource: whatever else a connection is, and whatever was
// scheduled before, the client alone decides; with the port flag, client and
// port.
func TestHashIsFunctionOfSource(t *testing.T) {
	for _, name := range []string{"sh", "mh"} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				flags := rapid.SampledFrom([]ipvs.ServiceFlags{0, port, fallback, port | fallback}).Draw(t, "flags")
				s, err := New(name, flags, nil)
				if err != nil {
					t.Fatalf("New(%q) = %v, want no error", name, err)
				}
				w := &world{Scheduler: s}
				for _, weight := range rapid.SliceOfN(rapid.Int32Range(0, 9), 1, 6).Draw(t, "weights") {
					w.add(weight)
				}
				seen := make(map[netip.AddrPort]*ipvs.RealServer)
				for range 200 {
					f := Flow{
						CIP:   vip(rapid.IntRange(0, 9).Draw(t, "client")),
						VIP:   vip(rapid.IntRange(0, 99).Draw(t, "vip")),
						CPort: rapid.Uint16Range(1, 4).Draw(t, "cport"),
						VPort: rapid.Uint16().Draw(t, "vport"),
					}
					source := netip.AddrPortFrom(f.CIP, 0)
					if flags&port != 0 {
						source = netip.AddrPortFrom(f.CIP, f.CPort)
					}
					got := w.Schedule(&f, 0)
					if before, ok := seen[source]; ok && got != before {
						t.Fatalf("Schedule(%v) = %s, want %s as before", f, shown(got), shown(before))
					}
					seen[source] = got
				}
			})
		})
	}
}

// TestTwosDraws counts the draws: with a total weight of T, the first in the
// list is drawn with (weight+1)/(T+1), the others with weight/(T+1).
func TestTwosDraws(t *testing.T) {
	w := newWorld(t, "twos", 0, 1, 0, 3, 2) // the list is 2, 3, 0, 1
	const draws = 70000
	w.Scheduler.(*twos).total() // lays the shares out
	got := make(map[uint32]int)
	for range draws {
		got[w.Scheduler.(*twos).drawn(int64(w.Scheduler.(*twos).rng.IntN(7))).ID]++
	}
	for id, weight := range map[uint32]float64{4: 3, 3: 3, 1: 1} {
		p := weight / 7
		mean, deviation := draws*p, math.Sqrt(draws*p*(1-p))
		if math.Abs(float64(got[id])-mean) > 5*deviation {
			t.Errorf("r%d drawn %d times of %d, want %.0f ± %.0f", id, got[id], draws, mean, 5*deviation)
		}
	}
	if got[2] != 0 {
		t.Errorf("quiesced server drawn %d times, want 0", got[2])
	}
}

// TestTwosSource: equal sources give equal picks, nil among them; others do
// not.
func TestTwosSource(t *testing.T) {
	play := func(random *rand.PCG) string {
		s, err := New("twos", 0, random)
		if err != nil {
			t.Fatalf("New(twos) = %v, want no error", err)
		}
		w := &world{Scheduler: s}
		for range 4 {
			w.add(1)
		}
		return w.picks(50, bindNothing)
	}
	if got, want := play(nil), play(rand.NewPCG(1, 2)); got != want {
		t.Errorf("picks with a nil source %s, want %s", got, want)
	}
	if a, b := play(rand.NewPCG(3, 4)), play(rand.NewPCG(5, 6)); a == b {
		t.Errorf("two sources give the same 50 picks %s", a)
	}
}

// TestTwosPrefersTheLighter: two servers, one busy: the idle one takes all but
// the connections for which the busy one is drawn twice.
func TestTwosPrefersTheLighter(t *testing.T) {
	w := newWorld(t, "twos", 0, 1, 1)
	bindActive(w.server(2))
	twice := 0
	for _, id := range strings.Fields(w.picks(9000, bindNothing)) {
		if id == fmt.Sprint(2) {
			twice++
		}
	}
	if want := 4000; math.Abs(float64(twice-want)) > 5*math.Sqrt(9000*4./9*5/9) { // (2/3)^2
		t.Errorf("busy server picked %d times of 9000, want about %d", twice, want)
	}
}
