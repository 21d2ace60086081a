package sched

import (
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/ipvs"
)

// TestExplainers: all of IPVS's schedulers can say why.
func TestExplainers(t *testing.T) {
	for _, name := range strings.Fields("dh fo lblc lblcr lc mh none nq ovf rr sed sh twos wlc wrr") {
		s, err := New(name, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.(Explainer); !ok {
			t.Errorf("%s does not explain itself", name)
		}
	}
}

// twins keeps the servers of a fork.
type twins map[*ipvs.RealServer]*ipvs.RealServer

func (w twins) of(s *ipvs.RealServer) *ipvs.RealServer {
	if s == nil {
		return nil
	}
	if w[s] == nil {
		w[s] = s.Clone()
	}
	return w[s]
}

// fork schedules connections of one flow on the scheduler and on a fork of it,
// which must go together. What another fork does meanwhile is nobody else's
// business, and the scheduler itself must go on as if nobody had asked: the
// reference knows nothing of forks and explanations.
func (p *play) fork(t *rapid.T) {
	f, both, stray := p.flow(t), twins{}, twins{}
	fork, other := p.sched.Fork(f, both.of), p.sched.Fork(f, stray.of)
	for range rapid.IntRange(1, 20).Draw(t, "picks") {
		p.now += time.Duration(rapid.SampledFrom([]int{0, 1, 101}).Draw(t, "seconds")) * time.Second
		if s := other.Schedule(f, p.now+time.Hour); s != nil {
			bindActive(s)
		}
		reasons, explained := p.explain(f)
		want := p.ref.pick(f, p.now)
		if got := fork.Schedule(f, p.now); got != both.of(want) {
			t.Fatalf("a fork's Schedule(%v) = %s, want %s", *f, shown(got), shown(want))
		}
		if got := p.sched.Schedule(f, p.now); got != want {
			t.Fatalf("Schedule(%v) after a fork = %s, want %s", *f, shown(got), shown(want))
		}
		if got := decided(reasons); explained && got != want {
			t.Fatalf("the reasons for Schedule(%v) decide for %s, want %s: %+v", *f, shown(got), shown(want), reasons)
		}
		for _, s := range p.servers {
			if explained && len(reasons.Candidates) > 0 && !slices.ContainsFunc(reasons.Candidates, func(c Candidate) bool { return c.Server == s }) {
				t.Fatalf("the reasons leave %s out: %+v", shown(s), reasons)
			}
		}
		if want != nil {
			bind := rapid.SampledFrom([]func(*ipvs.RealServer){bindNothing, bindInactive, bindActive}).Draw(t, "bind")
			bind(want)
			bind(both.of(want))
		}
	}
}

func (p *play) explain(f *Flow) (Reasons, bool) {
	if e, ok := p.sched.(Explainer); ok {
		return e.Explain(f, p.now), true
	}
	return Reasons{}, false
}

// decided does what a reader of the reasons does.
func decided(r Reasons) *ipvs.RealServer {
	var best *Candidate
	for i := range r.Candidates {
		c := &r.Candidates[i]
		if c.Out != "" {
			continue
		}
		order := -1
		if best != nil {
			order = big.NewRat(c.Load, c.Per).Cmp(big.NewRat(best.Load, best.Per))
		}
		if order < 0 && (best == nil || !r.Most) || order > 0 && r.Most || best == nil {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	return best.Server
}

// TestReasons shows what a few schedulers say.
func TestReasons(t *testing.T) {
	for _, c := range []struct {
		name    string
		flags   ipvs.ServiceFlags
		prepare func(*world)
		facts   string
		notes   string
	}{
		{"rr", 0, func(w *world) { w.picks(2, bindNothing) }, "the turns go on behind=10.0.0.2:80", "1:quiesced/ 3:/ 2:/"},
		{"wrr", 0, func(w *world) { w.picks(1, bindNothing) }, "the walk goes on behind=10.0.0.3:80, level=1 of 2, in steps of 1",
			"3:/at level 2 2:/at level 1 1:quiesced/"},
		{"nq", 0, func(w *world) { w.picks(1, bindActive) }, "", "3:/ 2:/idle 1:quiesced/"},
		{"dh", 0, nil, "hash key=3325256714, of 198.51.100.10, slot=208 of 256", "3:another's slot/86 slots 2:/85 slots, slot 208 1:quiesced/85 slots"},
		{"lblc", 0, func(w *world) { w.picks(1, bindActive) }, "mapping of 198.51.100.10=10.0.0.3:80", "3:/mapped 2:not mapped/ 1:not mapped/"},
		{"lblcr", 0, func(w *world) { w.picks(1, bindActive) }, "set of 198.51.100.10=10.0.0.3:80", "3:/in the set 2:not in the set/ 1:not in the set/"},
	} {
		w := newWorld(t, c.name, c.flags, 0, 1, 2)
		if c.prepare != nil {
			c.prepare(w)
		}
		p := &play{sched: w.Scheduler}
		reasons, _ := p.explain(&Flow{CIP: vip(1), VIP: netip.MustParseAddr("198.51.100.10")})
		var facts, notes []string
		for _, f := range reasons.Facts {
			facts = append(facts, f.Name+"="+f.Value)
		}
		for _, n := range reasons.Candidates {
			notes = append(notes, shown(n.Server)+":"+n.Out+"/"+n.Note)
		}
		if got := strings.Join(facts, ", "); got != c.facts {
			t.Errorf("%s: facts\n%s, want\n%s", c.name, got, c.facts)
		}
		if got := strings.Join(notes, " "); got != c.notes {
			t.Errorf("%s: candidates\n%s, want\n%s", c.name, got, c.notes)
		}
	}
}
