package classify

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// The generators draw from few values, so that rules and packets meet.
var (
	someAddr  = rapid.SampledFrom([]uint32{0, 0x0a000001, 0x0a000002, 0x0a000101, 0x0a010001, 0xc0000201, 0xffffffff})
	someMask  = rapid.SampledFrom([]uint32{0xffffffff, 0xffffffff, 0xffffff00, 0xffff00ff, 0xff000000, 0x80000000, 0})
	somePort  = rapid.SampledFrom([]uint16{0, 1, 79, 80, 81, 443, 1000, 65535})
	someMark  = rapid.SampledFrom([]uint32{0, 1, 2, 3, 0xf, 0x10, 0xff, 0xfffffffe, 0xffffffff})
	someLink  = rapid.SampledFrom([]string{"", "eth0", "eth1", "eth10", "eth", "veth0"})
	someProto = rapid.SampledFrom([]uint8{1, 6, 17, 132, 47, 200})
)

// wide makes an IPv6 address of an IPv4 one, with its bits in both halves.
func wide(a uint32) Addr6 { return Addr6{uint64(a)<<32 | uint64(a), uint64(a)<<32 | uint64(a)} }

func drawNetwork(t *rapid.T, v6 bool, label string) network {
	mask := someMask.Draw(t, label+" mask")
	n := network4(someAddr.Draw(t, label)&mask, mask, rapid.Bool().Draw(t, label+" not"))
	if v6 {
		n.v6, n.addr, n.mask = true, wide(n.addr4()), wide(n.mask4())
		if rapid.Bool().Draw(t, label+" by its high half") {
			n.addr.Lo, n.mask.Lo = 0, 0
		}
	}
	return n
}

var spans = rapid.Custom(func(t *rapid.T) span {
	a, b := somePort.Draw(t, "a"), somePort.Draw(t, "b")
	return span{min(a, b), max(a, b)}
})

func drawSide(t *rapid.T, module, label string) *portSide {
	if !rapid.Bool().Draw(t, label) {
		return nil
	}
	s := portSide{spans.Draw(t, label+" ports"), rapid.Bool().Draw(t, label+" not")}
	if s.span == allPorts && !s.not && module != "sctp" {
		return nil
	}
	return &s
}

func drawMatch(t *rapid.T, proto protocol) match {
	not := rapid.Bool().Draw(t, "not")
	kind := rapid.IntRange(0, 3).Draw(t, "kind")
	switch module := proto.ported(); {
	case kind == 0 && module != "":
		return &portMatch{module, drawSide(t, module, "source"), drawSide(t, module, "destination")}
	case kind == 1 && module != "":
		which := rapid.SampledFrom([]portChoice{sourcePorts, destinationPorts, eitherPorts}).Draw(t, "which")
		return &multiport{which, rapid.SliceOfN(spans, 1, 7).Draw(t, "list"), not}
	case kind == 2:
		return &markMatch{someMark.Draw(t, "value"), someMark.Draw(t, "mask"), true, not}
	}
	text := rapid.StringOfN(rapid.RuneFrom([]rune(`ab -!"'\$é#/*`)), 0, 40, commentMax).Draw(t, "text")
	return &comment{text, true}
}

var rules, rules6 = rapid.Custom(drawRule(false)), rapid.Custom(drawRule(true))

func drawRule(v6 bool) func(*rapid.T) *Rule {
	return func(t *rapid.T) *Rule {
		r := &Rule{source: network{v6: v6}, destination: network{v6: v6}}
		if rapid.Bool().Draw(t, "from") {
			r.source = drawNetwork(t, v6, "source")
		}
		if rapid.Bool().Draw(t, "to") {
			r.destination = drawNetwork(t, v6, "destination")
		}
		drawRest(t, r)
		return r
	}
}

func drawRest(t *rapid.T, r *Rule) {
	if name := rapid.SampledFrom([]string{"", "", "eth0", "eth+", "eth1+", "x"}).Draw(t, "link"); name != "" {
		r.link = link{name, rapid.Bool().Draw(t, "not link")}
	}
	if rapid.Bool().Draw(t, "protocol") {
		r.proto = protocol{someProto.Draw(t, "proto"), rapid.IntRange(0, 3).Draw(t, "not proto") == 0}
	}
	for range rapid.IntRange(0, 3).Draw(t, "matches") {
		r.matches = append(r.matches, drawMatch(t, r.proto))
	}
	r.target = target{kind: rapid.SampledFrom([]targetKind{markTarget, markTarget, acceptTarget, returnTarget}).Draw(t, "target")}
	if r.target.kind == markTarget {
		r.target = target{markTarget, someMark.Draw(t, "value"), someMark.Draw(t, "mask"), true}
	}
}

var rulesets = rapid.Custom(func(t *rapid.T) Ruleset {
	return Ruleset{rapid.SliceOfN(rules, 0, 12).Draw(t, "rules"), rapid.SliceOfN(rules6, 0, 12).Draw(t, "rules of IPv6")}
})

var packets = rapid.Custom(func(t *rapid.T) Packet {
	pk := Packet{
		SrcPort: somePort.Draw(t, "sport"), DstPort: somePort.Draw(t, "dport"),
		Proto: someProto.Draw(t, "proto"), Link: someLink.Draw(t, "link"), Mark: someMark.Draw(t, "mark"),
	}
	src, dst := someAddr.Draw(t, "src"), someAddr.Draw(t, "dst")
	if pk.V6 = rapid.Bool().Draw(t, "IPv6"); pk.V6 {
		pk.Src6, pk.Dst6 = wide(src), wide(dst)
		pk.Dst6.Lo += uint64(rapid.IntRange(0, 1).Draw(t, "next to it"))
	} else {
		pk.Src, pk.Dst = src, dst
	}
	return pk
})

// sourceOf and destinationOf return a packet's addresses.
func sourceOf(pk *Packet) netip.Addr {
	if pk.V6 {
		return address6(pk.Src6)
	}
	return address(pk.Src)
}

func destinationOf(pk *Packet) netip.Addr {
	if pk.V6 {
		return address6(pk.Dst6)
	}
	return address(pk.Dst)
}

func TestPrintedRulesAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rulesets.Draw(t, "rules")
		var got Ruleset
		for _, line := range want.Lines() {
			words, err := Split(line)
			if err != nil {
				t.Fatalf("Split(%q): %v", line, err)
			}
			c, err := Parse(words[1:])
			if err != nil {
				t.Fatalf("Parse(%q): %v", line, err)
			}
			if got, err = got.Apply(c); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		if diff := cmp.Diff(want, got, unexported, cmp.AllowUnexported(Ruleset{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("rules that were printed and read back (-want +got)\n%s", diff)
		}
	})
}

// Mark against an interpreter of the printed words, rule by rule.
func TestMarkMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, pk := rulesets.Draw(t, "rules"), packets.Draw(t, "packet")
		if got, want := s.Compile().Mark(&pk), slowMark(t, s, pk); got != want {
			t.Fatalf("Mark(%+v) = %#x, want %#x by\n%s", pk, got, want, strings.Join(s.Lines(), "\n"))
		}
	})
}

func slowMark(t *rapid.T, s Ruleset, pk Packet) uint32 {
	for _, r := range s.chain(pk.V6) {
		words, err := Split(r.String())
		if err != nil {
			t.Fatal(err)
		}
		matched, not := true, false
		for len(words) > 0 {
			if words[0] == "!" {
				not, words = true, words[1:]
			}
			name, value := words[0], words[1]
			words = words[2:]
			switch name {
			case "-m", "--comment":
				continue
			case "-j":
				if !matched {
					words = nil
				} else if value != "MARK" {
					return pk.Mark
				}
				continue
			case "--set-xmark":
				v, m := slowMasked(value)
				pk.Mark = pk.Mark&^m ^ v
				continue
			}
			if slowCondition(t, name, value, pk) == not {
				matched = false
			}
			not = false
		}
	}
	return pk.Mark
}

func slowCondition(t *rapid.T, name, value string, pk Packet) bool {
	switch name {
	case "-s":
		return slowWithin(value, sourceOf(&pk))
	case "-d":
		return slowWithin(value, destinationOf(&pk))
	case "-i":
		prefix, wild := strings.CutSuffix(value, "+")
		return wild && strings.HasPrefix(pk.Link, prefix) || value == pk.Link
	case "-p":
		numbers := map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "sctp": 132, "200": 200}
		return numbers[value] == pk.Proto
	case "--sport", "--sports":
		return slowAmong(value, pk.SrcPort)
	case "--dport", "--dports":
		return slowAmong(value, pk.DstPort)
	case "--ports":
		return slowAmong(value, pk.SrcPort) || slowAmong(value, pk.DstPort)
	case "--mark":
		v, m := slowMasked(value)
		return pk.Mark&m == v
	}
	t.Fatalf("unexpected word %q", name)
	return false
}

func slowWithin(text string, addr netip.Addr) bool {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Contains(addr)
	}
	base, maskText, _ := strings.Cut(text, "/")
	b, want, mask := addr.AsSlice(), netip.MustParseAddr(base).AsSlice(), netip.MustParseAddr(maskText).AsSlice()
	for i := range b {
		if b[i]&mask[i] != want[i] {
			return false
		}
	}
	return true
}

func slowAmong(list string, port uint16) bool {
	for one := range strings.SplitSeq(list, ",") {
		low, high, ranged := strings.Cut(one, ":")
		if !ranged {
			high = low
		}
		a, _ := strconv.Atoi(low)
		b, _ := strconv.Atoi(high)
		if a <= int(port) && int(port) <= b {
			return true
		}
	}
	return false
}

func slowMasked(text string) (value, mask uint32) {
	first, second, masked := strings.Cut(text, "/")
	v, _ := strconv.ParseUint(first, 0, 32)
	m := uint64(0xffffffff)
	if masked {
		m, _ = strconv.ParseUint(second, 0, 32)
	}
	return uint32(v), uint32(m)
}

// Random changes against a plain slice of printed rules.
func TestRulesetMatchesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.SliceOfN(rules, 1, 4).Draw(t, "rules")
		var s ruleList
		var model []string
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			r := rapid.SampledFrom(few).Draw(t, "rule")
			n := rapid.IntRange(-1, 6).Draw(t, "number")
			var err error
			wantErr := false
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				s, err = s.apply(Command{Verb: Append, Rules: []*Rule{r}})
				model = append(model, r.String())
			case 1:
				s, err = s.insert(n, []*Rule{r})
				if wantErr = n < 1 || n > len(model)+1; !wantErr {
					model = append(model, "")
					copy(model[n:], model[n-1:])
					model[n-1] = r.String()
				}
			case 2:
				s, err = s.deleteNumber(n)
				if wantErr = n < 1 || n > len(model); !wantErr {
					model = append(model[:n-1], model[n:]...)
				}
			case 3:
				s, err = s.delete([]*Rule{r})
				wantErr = true
				for i, text := range model {
					if text == r.String() {
						model, wantErr = append(model[:i], model[i+1:]...), false
						break
					}
				}
			}
			if (err != nil) != wantErr {
				t.Fatalf("error %v, want one: %v", err, wantErr)
			}
		}
		want := "-P PREROUTING ACCEPT\n"
		for _, text := range model {
			want += "-A PREROUTING " + text + "\n"
		}
		if got := (Ruleset{rules: s}).Text(Command{Verb: ListRules}); got != want {
			t.Fatalf("chain =\n%swant\n%s", got, want)
		}
	})
}
