package classify

import (
	"net/netip"
	"slices"
	"strings"
)

// Packet is what rules look at. Addresses and ports are in host byte order.
type Packet struct {
	Src, Dst         uint32
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP; not looked at otherwise
	Proto            uint8  // IANA number
	Link             string // name of the interface that it came in by
	Mark             uint32 // the mark that it has already, 0 if none
}

// Program is a rule set made ready to be run. It is immutable, so any number of
// goroutines may run it; the zero value has no rules.
type Program struct {
	tests []test
	// near are the rules for exactly one destination address, rest all others: their
	// places in tests, ascending. A packet meets both lists merged, so in the order
	// of the chain.
	near map[uint32][]int
	rest []int
}

// test is a rule made flat.
type test struct {
	src, srcMask, dst, dstMask uint32
	srcNot, dstNot             bool
	proto                      uint8 // 0: any
	protoNot                   bool
	end                        bool // ACCEPT, RETURN
	value, mask                uint32
	link                       string // "": any
	linkNot, linkPrefix        bool
	ports                      []portTest
	marks                      []*markMatch
}

// portTest is one condition on ports; spans are alternatives.
type portTest struct {
	which portChoice
	not   bool
	spans []span
}

// Compile makes the program of a rule set.
func (s Ruleset) Compile() *Program {
	p := &Program{tests: make([]test, len(s.rules)), near: map[uint32][]int{}}
	for i, r := range s.rules {
		p.tests[i] = r.test()
		if d := r.destination; d.mask == 0xffffffff && !d.not {
			p.near[d.addr] = append(p.near[d.addr], i)
		} else {
			p.rest = append(p.rest, i)
		}
	}
	return p
}

func (r *Rule) test() test {
	t := test{
		src: r.source.addr, srcMask: r.source.mask, srcNot: r.source.not,
		dst: r.destination.addr, dstMask: r.destination.mask, dstNot: r.destination.not,
		proto: r.proto.number, protoNot: r.proto.not,
		linkNot: r.link.not,
		end:     r.target.kind != markTarget,
		value:   r.target.value, mask: r.target.mask,
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

// Mark walks the rules and returns the mark that the packet leaves PREROUTING
// with. It neither allocates nor keeps pk. Later MARK rules change what earlier ones
// have set; ACCEPT and RETURN end the walk.
func (p *Program) Mark(pk *Packet) uint32 {
	mark := pk.Mark
	near, rest := p.near[pk.Dst], p.rest
	for len(near) > 0 || len(rest) > 0 {
		var t *test
		if len(rest) == 0 || len(near) > 0 && near[0] < rest[0] {
			t, near = &p.tests[near[0]], near[1:]
		} else {
			t, rest = &p.tests[rest[0]], rest[1:]
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
	if (pk.Dst&t.dstMask == t.dst) == t.dstNot || (pk.Src&t.srcMask == t.src) == t.srcNot {
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
// for. A rule for every destination, or for all but some, gives 0.0.0.0/0; one with
// a mask that is no prefix gives the smallest prefix around it.
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
	for i := range p.tests {
		if t := &p.tests[i]; !t.end && of(t) {
			vips = append(vips, network{t.dst, t.dstMask, t.dstNot}.cover())
		}
	}
	slices.SortFunc(vips, netip.Prefix.Compare)
	return slices.Compact(vips)
}

// Target is traffic that a rule can give a mark to, seen from its destination.
type Target struct {
	Prefix netip.Prefix
	Proto  uint8       // IANA number, 0: any
	Ports  [][2]uint16 // ranges of destination ports, ends included; nil: all
}

// Targets returns the target of each MARK rule, in the order of the rules. What a
// rule says with a negation, or of sources, does not narrow its target. The
// caller must not change the ranges.
func (p *Program) Targets() []Target {
	var targets []Target
	for i := range p.tests {
		t := &p.tests[i]
		if t.end {
			continue
		}
		target := Target{Prefix: network{t.dst, t.dstMask, t.dstNot}.cover()}
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
