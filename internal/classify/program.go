package classify

import (
	"net/netip"
	"slices"
	"strings"
)

// Packet is what rules look at. Addresses and ports are in host byte order.
type Packet struct {
	Src, Dst         uint32 // of IPv4
	Src6, Dst6       Addr6  // of IPv6
	V6               bool
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP; not looked at otherwise
	Proto            uint8  // IANA number
	Link             string // name of the interface that it came in by
	Mark             uint32 // the mark that it has already, 0 if none
}

// Program is a rule set made ready to be run. It is immutable, so any number of
// goroutines may run it; the zero value has no rules.
type Program struct {
	four, six program
	near      map[uint32][]int // in four
	near6     map[Addr6][]int  // in six
}

// program is one chain. Rules for exactly one destination address are found by it, in
// near, rest are all others: their places in tests, ascending. A packet meets both
// lists merged, so in the order of the chain.
type program struct {
	tests []test
	rest  []int
}

// test is a rule made flat.
type test struct {
	src, srcMask, dst, dstMask uint32
	six                        *addresses6 // in their place, of IPv6
	srcNot, dstNot             bool
	proto                      uint8 // 0: any
	protoNot                   bool
	end                        bool // ACCEPT, RETURN
	value, mask                uint32
	link                       string // "": any
	linkNot, linkPrefix        bool
	ports                      []portTest
	marks                      []*markMatch
	destination                network
}

type addresses6 struct{ src, srcMask, dst, dstMask Addr6 }

// portTest is one condition on ports; spans are alternatives.
type portTest struct {
	which portChoice
	not   bool
	spans []span
}

// Compile makes the program of a rule set.
func (s Ruleset) Compile() *Program {
	p := &Program{near: map[uint32][]int{}, near6: map[Addr6][]int{}}
	p.four = s.rules.compile(func(n network, i int) { p.near[n.addr4()] = append(p.near[n.addr4()], i) })
	p.six = s.rules6.compile(func(n network, i int) { p.near6[n.addr] = append(p.near6[n.addr], i) })
	return p
}

// compile makes the program of one chain. It calls near for each rule for one
// destination address.
func (l ruleList) compile(near func(n network, place int)) (p program) {
	p.tests = make([]test, len(l))
	for i, r := range l {
		p.tests[i] = r.test()
		if r.destination.single() {
			near(r.destination, i)
		} else {
			p.rest = append(p.rest, i)
		}
	}
	return p
}

func (r *Rule) test() test {
	src, dst := r.source, r.destination
	t := test{
		srcNot: src.not, dstNot: dst.not, destination: dst,
		proto: r.proto.number, protoNot: r.proto.not,
		linkNot: r.link.not,
		end:     r.target.kind != markTarget,
		value:   r.target.value, mask: r.target.mask,
	}
	if dst.v6 {
		t.six = &addresses6{src.addr, src.mask, dst.addr, dst.mask}
	} else {
		t.src, t.srcMask, t.dst, t.dstMask = src.addr4(), src.mask4(), dst.addr4(), dst.mask4()
	}
	t.link, t.linkPrefix = strings.CutSuffix(r.link.name, "+")
	for _, m := range r.matches {
		m.compile(&t)
	}
	return t
}

func (m *portMatch) compile(t *test) {
	if s := m.source; s != nil {
		t.ports = append(t.ports, portTest{sourcePorts, s.not, []span{s.span}})
	}
	if d := m.destination; d != nil {
		t.ports = append(t.ports, portTest{destinationPorts, d.not, []span{d.span}})
	}
}

func (m *multiport) compile(t *test) {
	t.ports = append(t.ports, portTest{m.which, m.not, m.spans})
}

func (m *markMatch) compile(t *test) { t.marks = append(t.marks, m) }

func (*comment) compile(*test) {}

// Mark walks the rules of the packet's family and returns the mark that the packet leaves PREROUTING
// with. It neither allocates nor keeps pk. Later MARK rules change what earlier ones
// have set; ACCEPT and RETURN end the walk.
func (p *Program) Mark(pk *Packet) uint32 {
	mark := pk.Mark
	c, near := &p.four, []int(nil)
	if pk.V6 {
		c, near = &p.six, p.near6[pk.Dst6]
	} else {
		near = p.near[pk.Dst]
	}
	rest := c.rest
	for len(near) > 0 || len(rest) > 0 {
		var t *test
		if len(rest) == 0 || len(near) > 0 && near[0] < rest[0] {
			t, near = &c.tests[near[0]], near[1:]
		} else {
			t, rest = &c.tests[rest[0]], rest[1:]
		}
		if !t.matches(pk, mark) {
			continue
		}
		if t.end {
			break
		}
		mark = mark&^t.mask ^ t.value
	}
	return mark
}

func (t *test) matches(pk *Packet, mark uint32) bool {
	if t.six != nil {
		if pk.Dst6.within(t.six.dst, t.six.dstMask) == t.dstNot || pk.Src6.within(t.six.src, t.six.srcMask) == t.srcNot {
			return false
		}
	} else if (pk.Dst&t.dstMask == t.dst) == t.dstNot || (pk.Src&t.srcMask == t.src) == t.srcNot {
		return false
	}
	if t.proto != 0 && (pk.Proto == t.proto) == t.protoNot {
		return false
	}
	if t.link != "" && t.ofLink(pk.Link) == t.linkNot {
		return false
	}
	for i := range t.ports {
		if p := &t.ports[i]; p.has(pk) == p.not {
			return false
		}
	}
	for _, m := range t.marks {
		if (mark&m.mask == m.value) == m.not {
			return false
		}
	}
	return true
}

// within reports whether a equals addr under mask.
func (a Addr6) within(addr, mask Addr6) bool {
	return a.Hi&mask.Hi == addr.Hi && a.Lo&mask.Lo == addr.Lo
}

func (t *test) ofLink(name string) bool {
	return name == t.link || t.linkPrefix && strings.HasPrefix(name, t.link)
}

func (p *portTest) has(pk *Packet) bool {
	for _, s := range p.spans {
		if p.which&sourcePorts != 0 && s.low <= pk.SrcPort && pk.SrcPort <= s.high ||
			p.which&destinationPorts != 0 && s.low <= pk.DstPort && pk.DstPort <= s.high {
			return true
		}
	}
	return false
}

// VIPs returns the destinations that MARK rules can apply to, each once, in
// order of address: these are the VIPs that firewall-mark services can stand
// for, those of IPv4 first. A rule for every destination, or for all but some, gives
// 0.0.0.0/0 or ::/0; one with a mask that is no prefix gives the smallest prefix
// around it.
func (p *Program) VIPs() []netip.Prefix {
	return p.destinations(func(*test) bool { return true })
}

// VIPsOf returns the part of [Program.VIPs] that rules can give this very mark:
// the VIPs of the service with that mark. What earlier rules leave in bits that a
// rule does not set is taken to be possible.
func (p *Program) VIPsOf(mark uint32) []netip.Prefix {
	return p.destinations(func(t *test) bool { return (mark^t.value)&t.mask == 0 })
}

func (p *Program) destinations(of func(*test) bool) []netip.Prefix {
	var vips []netip.Prefix
	for t := range p.marking {
		if of(t) {
			vips = append(vips, t.destination.cover())
		}
	}
	slices.SortFunc(vips, netip.Prefix.Compare)
	return slices.Compact(vips)
}

// marking yields the tests of all MARK rules.
func (p *Program) marking(yield func(*test) bool) {
	for _, c := range []*program{&p.four, &p.six} {
		for i := range c.tests {
			if t := &c.tests[i]; !t.end && !yield(t) {
				return
			}
		}
	}
}

// Target is traffic that a rule can give a mark to, seen from its destination.
type Target struct {
	Prefix netip.Prefix
	Proto  uint8       // IANA number, 0: any
	Ports  [][2]uint16 // ranges of destination ports, ends included; nil: all
}

// Targets returns the target of each MARK rule, in the order of the rules, those of
// IPv4 first. What a rule says with a negation, or of sources, does not narrow its
// target. The caller must not change the ranges.
func (p *Program) Targets() []Target {
	var targets []Target
	for t := range p.marking {
		target := Target{Prefix: t.destination.cover()}
		if !t.protoNot {
			target.Proto = t.proto
		}
		for _, ports := range t.ports {
			if ports.which == destinationPorts && !ports.not {
				for _, s := range ports.spans {
					target.Ports = append(target.Ports, [2]uint16{s.low, s.high})
				}
				break
			}
		}
		targets = append(targets, target)
	}
	return targets
}

// Has reports whether a packet of protocol proto to addr:port belongs to the
// target.
func (t *Target) Has(proto uint8, addr netip.Addr, port uint16) bool {
	if t.Proto != 0 && t.Proto != proto || !t.Prefix.Contains(addr) {
		return false
	}
	for _, r := range t.Ports {
		if r[0] <= port && port <= r[1] {
			return true
		}
	}
	return t.Ports == nil
}
