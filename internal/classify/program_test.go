package classify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	tcp  = 6
	udp  = 17
	icmp = 1
)

func ip(s string) uint32 {
	b := netip.MustParseAddr(s).As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// web is a request for 192.0.2.1:80 by TCP from 203.0.113.9:4000, come in by eth0.
func web() Packet {
	return Packet{Src: ip("203.0.113.9"), Dst: ip("192.0.2.1"), SrcPort: 4000, DstPort: 80, Proto: tcp, Link: "eth0"}
}

func with(change func(*Packet)) Packet {
	pk := web()
	change(&pk)
	return pk
}

func TestMarkOneRule(t *testing.T) {
	to := func(addr string) Packet { return with(func(p *Packet) { p.Dst = ip(addr) }) }
	port := func(src, dst uint16) Packet {
		return with(func(p *Packet) { p.SrcPort, p.DstPort = src, dst })
	}
	proto := func(n uint8) Packet { return with(func(p *Packet) { p.Proto, p.SrcPort, p.DstPort = n, 0, 0 }) }
	from := func(link string) Packet { return with(func(p *Packet) { p.Link = link }) }
	marked := func(m uint32) Packet { return with(func(p *Packet) { p.Mark = m }) }
	tests := []struct {
		match string
		yes   []Packet
		no    []Packet
	}{
		{"", []Packet{web(), {}}, nil},
		{"-d 192.0.2.1", []Packet{web()}, []Packet{to("192.0.2.2"), {}}},
		{"! -d 192.0.2.1", []Packet{to("192.0.2.2")}, []Packet{web()}},
		{"-d 192.0.2.77/25", []Packet{web(), to("192.0.2.127")}, []Packet{to("192.0.2.128")}},
		{"! -d 192.0.2.0/25", []Packet{to("192.0.2.128")}, []Packet{web(), to("192.0.2.127")}},
		{"-d 192.0.0.1/255.255.0.255", []Packet{web(), to("192.0.9.1")}, []Packet{to("192.0.2.2"), to("192.1.2.1")}},
		{"-s 203.0.113.9", []Packet{web()}, []Packet{with(func(p *Packet) { p.Src++ })}},
		{"! -s 203.0.113.9", []Packet{with(func(p *Packet) { p.Src++ })}, []Packet{web()}},
		{"! -s 0/0", nil, []Packet{web(), {}}},
		{"-p tcp", []Packet{web()}, []Packet{proto(udp), proto(icmp)}},
		{"! -p tcp", []Packet{proto(udp), proto(icmp)}, []Packet{web()}},
		{"-p 132", []Packet{proto(132)}, []Packet{web()}},
		{"-p tcp --dport 80", []Packet{web()}, []Packet{port(80, 81), proto(udp), with(func(p *Packet) { p.Proto = udp })}},
		{"-p tcp ! --dport 80", []Packet{port(80, 81)}, []Packet{web(), proto(udp)}},
		{"-p tcp --sport 4000:", []Packet{web(), port(65535, 1)}, []Packet{port(3999, 4000)}},
		{"-p tcp ! --sport :4000", []Packet{port(4001, 1)}, []Packet{web(), port(0, 1)}},
		{"-p tcp ! --dport 0:65535", nil, []Packet{web()}},
		{"-p tcp --sport 4000 ! --dport 81", []Packet{web()}, []Packet{port(4000, 81), port(4001, 80)}},
		{"-p tcp -m multiport --dports 80,443,1000:2000", []Packet{web(), port(1, 443), port(1, 1000), port(1, 2000)},
			[]Packet{port(80, 81), port(443, 999), port(1, 2001), with(func(p *Packet) { p.Proto = udp })}},
		{"-p tcp -m multiport ! --dports 80,443,1000:2000", []Packet{port(80, 81), port(1, 2001)},
			[]Packet{web(), port(1, 443), port(1, 1500), with(func(p *Packet) { p.Proto, p.DstPort = udp, 81 })}},
		{"-p tcp -m multiport --sports 80", []Packet{port(80, 81)}, []Packet{web()}},
		{"-p tcp -m multiport --ports 80", []Packet{web(), port(80, 81)}, []Packet{port(81, 81)}},
		{"-p tcp -m multiport ! --ports 80", []Packet{port(81, 81)}, []Packet{web(), port(80, 81)}},
		{"-p tcp -m multiport --dports 80:90 -m multiport ! --dports 85", []Packet{web()}, []Packet{port(1, 85)}},
		{"-i eth0", []Packet{web()}, []Packet{from("eth1"), from("eth00"), from("eth"), from("")}},
		{"! -i eth0", []Packet{from("eth1"), from("eth00"), from("")}, []Packet{web()}},
		{"-i eth+", []Packet{web(), from("eth"), from("eth0.7")}, []Packet{from("et"), from("veth0")}},
		{"! -i eth+", []Packet{from("et"), from("veth0")}, []Packet{web(), from("eth")}},
		{"-m mark --mark 0", []Packet{web()}, []Packet{marked(1)}},
		{"-m mark --mark 0x10/0xf0", []Packet{marked(0x1f)}, []Packet{web(), marked(0x20)}},
		{"-m mark ! --mark 0x10/0xf0", []Packet{web(), marked(0x20)}, []Packet{marked(0x1f)}},
		{"-m mark --mark 0x10/0xf", nil, []Packet{web(), marked(0x10)}},
		{"-m comment --comment any", []Packet{web()}, nil},
	}
	for _, tt := range tests {
		p := apply(t, Ruleset{}, "-A PREROUTING "+tt.match+" -j MARK --set-mark 7").Compile()
		for _, pk := range tt.yes {
			if got := p.Mark(&pk); got != 7 {
				t.Errorf("%s: Mark(%+v) = %d, want 7", tt.match, pk, got)
			}
		}
		for _, pk := range tt.no {
			if got := p.Mark(&pk); got != pk.Mark {
				t.Errorf("%s: Mark(%+v) = %d, want %d untouched", tt.match, pk, got, pk.Mark)
			}
		}
	}
}

func TestMarkTargets(t *testing.T) {
	tests := []struct {
		set        string
		mark, want uint32
	}{
		{"--set-mark 5", 0xffff, 5},
		{"--set-mark 0x5/0xf", 0xab, 0xa5},
		{"--set-mark 0x15/0xf", 0xfff, 0xff5}, // bits beyond the mask are set too
		{"--set-mark 0x10/0xf", 0x00a, 0x010},
		{"--set-xmark 0x5/0xf", 0xab, 0xa5},
		{"--set-xmark 0x15/0xf", 0x1b, 0x05}, // bits beyond the mask are flipped
		{"--and-mark 0xf0", 0xabc, 0xb0},
		{"--or-mark 0x3", 0x5, 0x7},
		{"--xor-mark 0x3", 0x5, 0x6},
	}
	for _, tt := range tests {
		p := apply(t, Ruleset{}, "-A PREROUTING -j MARK "+tt.set).Compile()
		if got := p.Mark(&Packet{Mark: tt.mark}); got != tt.want {
			t.Errorf("%s: Mark of a packet with %#x = %#x, want %#x", tt.set, tt.mark, got, tt.want)
		}
	}
}

func TestMarkWalk(t *testing.T) {
	tests := []struct {
		name  string
		rules []string
		want  uint32
	}{
		{"no rules", nil, 0},
		{"the last MARK wins", []string{"-j MARK --set-mark 1", "-d 192.0.2.1 -j MARK --set-mark 2"}, 2},
		{"order beats exactness", []string{"-d 192.0.2.1 -j MARK --set-mark 2", "-d 192.0.2.0/24 -j MARK --set-mark 1"}, 1},
		{"bits add up", []string{"-d 192.0.2.1 -j MARK --or-mark 1", "-j MARK --or-mark 2", "-d 192.0.2.1 -j MARK --or-mark 4"}, 7},
		{"ACCEPT ends", []string{"-j MARK --set-mark 1", "-d 192.0.2.1 -j ACCEPT", "-j MARK --set-mark 2"}, 1},
		{"RETURN ends", []string{"-j RETURN", "-d 192.0.2.1 -j MARK --set-mark 2"}, 0},
		{"an ACCEPT for others does not", []string{"-d 192.0.2.9 -j ACCEPT", "-j MARK --set-mark 2"}, 2},
		{"a rule sees earlier marks", []string{"-j MARK --set-mark 1", "-m mark --mark 1 -j MARK --set-mark 9"}, 9},
	}
	for _, tt := range tests {
		var s Ruleset
		for _, r := range tt.rules {
			s = apply(t, s, "-A PREROUTING "+r)
		}
		pk := web()
		if got := s.Compile().Mark(&pk); got != tt.want {
			t.Errorf("%s: Mark = %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := new(Program).Mark(&Packet{Mark: 3}); got != 3 {
		t.Errorf("the zero Program marks %d, want 3 untouched", got)
	}
}

func TestVIPs(t *testing.T) {
	s := apply(t, Ruleset{},
		"-A PREROUTING -d 192.0.2.9,192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 1",
		"-A PREROUTING -d 192.0.2.1 -p tcp --dport 443 -j MARK --set-mark 2",
		"-A PREROUTING -d 10.10.1.7/24 -j MARK --set-mark 3/0xf",
		"-A PREROUTING -d 10.20.0.1/255.255.0.255 -j MARK --set-mark 1",
		"-A PREROUTING -d 172.16.0.1 -j ACCEPT")
	tests := []struct {
		of   func(*Program) []netip.Prefix
		want []string
	}{
		{(*Program).VIPs, []string{"10.10.1.0/24", "10.20.0.0/16", "192.0.2.1/32", "192.0.2.9/32"}},
		{func(p *Program) []netip.Prefix { return p.VIPsOf(1) }, []string{"10.20.0.0/16", "192.0.2.1/32", "192.0.2.9/32"}},
		{func(p *Program) []netip.Prefix { return p.VIPsOf(2) }, []string{"192.0.2.1/32"}},
		{func(p *Program) []netip.Prefix { return p.VIPsOf(0x73) }, []string{"10.10.1.0/24"}},
		{func(p *Program) []netip.Prefix { return p.VIPsOf(8) }, nil},
	}
	for i, tt := range tests {
		var got []string
		for _, vip := range tt.of(s.Compile()) {
			got = append(got, vip.String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("case %d (-want +got)\n%s", i, diff)
		}
	}
	for _, line := range []string{"-A PREROUTING -j MARK --set-mark 1", "-A PREROUTING ! -d 192.0.2.1 -j MARK --set-mark 1"} {
		got := apply(t, Ruleset{}, line).Compile().VIPs()
		if want := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}; !cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) {
			t.Errorf("%s: VIPs() = %v, want %v", line, got, want)
		}
	}
}

// Whatever gets a mark is in VIPsOf that mark, unless it had it before.
func TestVIPsOfCoversEveryMark(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rulesets.Draw(t, "rules").Compile()
		pk := packets.Draw(t, "packet")
		mark := p.Mark(&pk)
		if mark == pk.Mark {
			return
		}
		for _, vip := range p.VIPsOf(mark) {
			if vip.Contains(destinationOf(&pk)) {
				return
			}
		}
		t.Fatalf("packet %+v gets mark %#x, but VIPsOf it = %v", pk, mark, p.VIPsOf(mark))
	})
}

func TestMarkDoesNotAllocate(t *testing.T) {
	p := benchRules(t, 100)
	pk := web()
	if n := testing.AllocsPerRun(1000, func() { p.Mark(&pk) }); n != 0 {
		t.Errorf("Mark allocates %v times per packet, want 0", n)
	}
}

// benchRules is a chain of n rules, each for ports of another VIP, but for every
// tenth, which is for a network.
func benchRules(t testing.TB, n int) *Program {
	var s Ruleset
	for i := range n {
		dst := fmt.Sprintf("192.0.%d.%d", 2+i/250, 1+i%250)
		if i%10 == 9 {
			dst = fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)
		}
		s = apply(t, s, fmt.Sprintf("-A PREROUTING -d %s -p tcp -m multiport --dports 80,443 -j MARK --set-mark %d", dst, i+1))
	}
	return s.Compile()
}

func BenchmarkMark(b *testing.B) {
	hit, miss := web(), with(func(p *Packet) { p.Dst = ip("198.51.100.1") })
	for _, n := range []int{1, 10, 100, 1000} {
		p := benchRules(b, n)
		for _, c := range []struct {
			name string
			pk   *Packet
			want uint32
		}{{"hit", &hit, 1}, {"miss", &miss, 0}} {
			b.Run(fmt.Sprintf("rules=%d/packet=%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if got := p.Mark(c.pk); got != c.want {
						b.Fatalf("Mark = %d, want %d", got, c.want)
					}
				}
			})
		}
	}
}

func TestTargets(t *testing.T) {
	for rule, want := range map[string]Target{
		"-d 10.0.0.0/8 -p tcp --dport 80":                     {netip.MustParsePrefix("10.0.0.0/8"), 6, [][2]uint16{{80, 80}}},
		"-d 10.0.0.1 -p udp -m multiport --dports 53,100:200": {netip.MustParsePrefix("10.0.0.1/32"), 17, [][2]uint16{{53, 53}, {100, 200}}},
		"-d 10.0.0.1":                                {netip.MustParsePrefix("10.0.0.1/32"), 0, nil},
		"-s 10.0.0.1 -p tcp --sport 80":              {netip.MustParsePrefix("0.0.0.0/0"), 6, nil},
		"! -d 10.0.0.1 ! -p tcp":                     {netip.MustParsePrefix("0.0.0.0/0"), 0, nil},
		"-d 10.0.0.1 -p tcp ! --dport 80":            {netip.MustParsePrefix("10.0.0.1/32"), 6, nil},
		"-d 10.0.0.1 -p tcp -m multiport --ports 80": {netip.MustParsePrefix("10.0.0.1/32"), 6, nil},
	} {
		c, err := Parse(append(append([]string{"-A", "PREROUTING"}, strings.Fields(rule)...), "-j", "MARK", "--set-mark", "1"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Ruleset{}.Apply(c)
		if err != nil {
			t.Fatal(err)
		}
		got := s.Compile().Targets()
		if len(got) != 1 || got[0].Prefix != want.Prefix || got[0].Proto != want.Proto || !slices.Equal(got[0].Ports, want.Ports) {
			t.Errorf("Targets of %q = %+v, want %+v", rule, got, want)
		}
	}
	target := Target{netip.MustParsePrefix("10.0.0.0/8"), 6, [][2]uint16{{80, 81}}}
	for _, tt := range []struct {
		proto uint8
		addr  string
		port  uint16
		want  bool
	}{{6, "10.1.1.1", 80, true}, {6, "10.1.1.1", 81, true}, {6, "10.1.1.1", 82, false}, {17, "10.1.1.1", 80, false}, {6, "11.1.1.1", 80, false}} {
		if got := target.Has(tt.proto, netip.MustParseAddr(tt.addr), tt.port); got != tt.want {
			t.Errorf("Has(%d, %s, %d) = %v, want %v", tt.proto, tt.addr, tt.port, got, tt.want)
		}
	}
}
