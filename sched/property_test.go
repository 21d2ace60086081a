package sched

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/ipvs"
)

// TestAgainstReference plays random services: connections are scheduled, bound
// and released while servers are added, edited, deleted, added again and driven
// over their thresholds. Every pick must be the reference's.
func TestAgainstReference(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { newPlay(t, name).run(t) })
		})
	}
}

// TestAgainstReferenceLong does it with long lists, some of more than a word of
// marks.
func TestAgainstReferenceLong(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				sizes := []int{15, 16, 17, 33, 63, 64, 65, 130}
				if name == "mh" {
					sizes = sizes[:4] // its reference is slower than others with any
				}
				newPlayOf(t, name, rapid.SampledFrom(sizes).Draw(t, "servers")).run(t)
			})
		})
	}
}

// play is one random service.
type play struct {
	sched   Scheduler
	ref     reference
	servers []*ipvs.RealServer // newest first
	trash   []*ipvs.RealServer
	ids     uint32
	most    int // servers at which no more are added
	now     time.Duration
	v6      bool
}

func newPlay(t *rapid.T, name string) *play {
	return newPlayOf(t, name, rapid.IntRange(0, 4).Draw(t, "servers before"))
}

func newPlayOf(t *rapid.T, name string, servers int) *play {
	flags := ipvs.ServiceFlags(rapid.IntRange(0, 3).Draw(t, "flags")) * ipvs.FlagSched1
	s, err := New(name, flags, nil)
	if err != nil {
		t.Fatalf("New(%q) = %v, want no error", name, err)
	}
	if a, ok := s.(Aging); ok {
		a.SetExpiration(refShrinkAfter)
	}
	p := &play{sched: s, ref: newReference(name, flags), most: max(8, servers+3), v6: rapid.Bool().Draw(t, "v6")}
	for range servers {
		p.servers = append(p.servers, p.newServer(t))
	}
	p.tell(Init, nil)
	return p
}

func (p *play) run(t *rapid.T) {
	t.Repeat(map[string]func(*rapid.T){
		"pick":    p.pick,
		"pick2":   p.pick, // picks are the point: as likely as all else together
		"pick3":   p.pick,
		"pick4":   p.pick,
		"add":     p.add,
		"edit":    p.edit,
		"delete":  p.delete,
		"order":   p.order,
		"readd":   p.readd,
		"load":    p.load,
		"release": p.release,
		"fork":    p.fork,
	})
}

// tell hands both sides a list of their own.
func (p *play) tell(how UpdateKind, changed *ipvs.RealServer) {
	p.sched.Update(slices.Clone(p.servers), how, changed)
	p.ref.update(slices.Clone(p.servers), how, changed)
}

func (p *play) pick(t *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(t, "picks") {
		p.now += time.Duration(rapid.SampledFrom([]int{0, 1, 40, 101}).Draw(t, "seconds")) * time.Second
		f := p.flow(t)
		want := p.ref.pick(f, p.now)
		if got := p.sched.Schedule(f, p.now); got != want {
			t.Fatalf("Schedule(%v) = %s, want %s", *f, shown(got), shown(want))
		}
		if want != nil {
			rapid.SampledFrom([]func(*ipvs.RealServer){bindNothing, bindInactive, bindActive}).Draw(t, "bind")(want)
		}
	}
}

func (p *play) flow(t *rapid.T) *Flow {
	n := rapid.Uint8().Draw(t, "client")
	f := &Flow{
		CIP:   netip.AddrFrom4([4]byte{192, 0, 2, n}),
		VIP:   netip.AddrFrom4([4]byte{198, 51, 100, n % 5}),
		CPort: rapid.Uint16().Draw(t, "cport"), VPort: 80, Proto: ipvs.TCP,
	}
	if p.v6 {
		f.CIP = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, n, 7, 7, 15: n ^ 0x55})
		f.VIP = netip.AddrFrom16([16]byte{0xfd, 16, 9: n % 5, 15: 3})
	}
	return f
}

func (p *play) newServer(t *rapid.T) *ipvs.RealServer {
	p.ids++
	addr := serverAddr(p.ids)
	if p.v6 {
		addr = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 0x20, 14: byte(p.ids >> 8), 15: byte(p.ids)}), 80)
	}
	return ipvs.NewRealServer(p.ids, p.config(t, addr))
}

func (p *play) config(t *rapid.T, addr netip.AddrPort) *ipvs.Destination {
	weight := rapid.SampledFrom([]int32{0, 1, 1, 2, 3, 4, 6, 12, 30, 60}).Draw(t, "weight")
	upper := rapid.SampledFrom([]uint32{0, 0, 1, 3, 10}).Draw(t, "upper")
	return &ipvs.Destination{Addr: addr, Weight: weight, UpperThreshold: upper, LowerThreshold: upper / 2}
}

func (p *play) any(t *rapid.T, from []*ipvs.RealServer) *ipvs.RealServer {
	if len(from) == 0 {
		t.Skip("nobody there")
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, "server")]
}

func (p *play) add(t *rapid.T) {
	if len(p.servers) > p.most {
		t.Skip("enough servers")
	}
	p.enter(p.newServer(t))
}

func (p *play) readd(t *rapid.T) {
	s := p.any(t, p.trash)
	p.trash = slices.DeleteFunc(p.trash, func(o *ipvs.RealServer) bool { return o == s })
	s.Restore(p.config(t, s.Addr))
	p.enter(s)
}

func (p *play) enter(s *ipvs.RealServer) {
	p.servers = slices.Insert(p.servers, 0, s)
	p.tell(Add, s)
}

func (p *play) edit(t *rapid.T) {
	s := p.any(t, p.servers)
	s.Configure(p.config(t, s.Addr))
	p.tell(Edit, s)
}

func (p *play) delete(t *rapid.T) {
	s := p.any(t, p.servers)
	s.Discard()
	p.trash = append(p.trash, s)
	p.servers = slices.DeleteFunc(p.servers, func(o *ipvs.RealServer) bool { return o == s })
	p.tell(Delete, s)
}

func (p *play) order(t *rapid.T) {
	p.servers = rapid.Permutation(p.servers).Draw(t, "order")
	p.tell(Order, nil)
}

// load binds connections that come from elsewhere, as by persistence.
func (p *play) load(t *rapid.T) {
	s := p.any(t, p.servers)
	for range rapid.IntRange(1, 300).Draw(t, "inactive") {
		s.BindInactive()
	}
	for range rapid.IntRange(0, min(70, int(s.Inactive()))).Draw(t, "active") {
		s.Activate()
	}
}

func (p *play) release(t *rapid.T) {
	s := p.any(t, p.servers)
	for range rapid.IntRange(0, int(s.Inactive())).Draw(t, "inactive") {
		s.UnbindInactive()
	}
	for range rapid.IntRange(0, int(s.Active())).Draw(t, "active") {
		s.UnbindActive()
	}
}
