package hostnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"natlb/ipvs"
)

// elementsPerMessage keeps a message of set elements (at most 32 bytes each)
// below the 64 KiB that a netlink attribute can hold.
const elementsPerMessage = 1000

// guardPriority is the priority of the ingress chains. Where else chains hang
// on the same interface does not matter: a packet must pass them all.
const guardPriority = nftables.ChainPriority(0)

// guardLink is an interface that carries a chain.
type guardLink struct {
	name     string
	index    int // tells an interface from a later one of the same name
	vip, dip bool
}

// ruleset is GuardRules in canonical form.
type ruleset struct {
	links     []guardLink
	four, six familySets
}

// familySets are the elements of the sets of one family, each list sorted and
// unique, in the kernel's byte layout.
type familySets struct {
	owned     [][]byte // VIP
	services  [][]byte // VIP . protocol . VPort
	protocols [][]byte // VIP . protocol: services on all ports
	fragments [][]byte // VIP . protocol: of every service
	servers   [][]byte // RIP
	locals    [][]byte // address of the director
}

func newRuleset(r GuardRules) (rs ruleset, err error) {
	for _, list := range []struct {
		set   func(*familySets) *[][]byte
		addrs []netip.Addr
	}{
		{func(s *familySets) *[][]byte { return &s.owned }, r.OwnedVIPs},
		{func(s *familySets) *[][]byte { return &s.servers }, r.Servers},
		{func(s *familySets) *[][]byte { return &s.locals }, r.Locals},
	} {
		for _, ip := range list.addrs {
			sets, key, err := rs.of(ip)
			if err != nil {
				return rs, err
			}
			*list.set(sets) = append(*list.set(sets), key)
		}
	}
	for _, s := range r.Services {
		if s.Proto == ipvs.AnyProtocol {
			return rs, fmt.Errorf("service on %v has no protocol", s.VIP)
		}
		sets, key, err := rs.of(s.VIP.Addr())
		if err != nil {
			return rs, err
		}
		key = append(key, byte(s.Proto), 0, 0, 0)
		sets.fragments = append(sets.fragments, key)
		if port := s.VIP.Port(); port == 0 {
			sets.protocols = append(sets.protocols, key)
		} else {
			sets.services = append(sets.services, append(bytes.Clone(key), byte(port>>8), byte(port), 0, 0))
		}
	}
	for _, set := range append(rs.four.all(), rs.six.all()...) {
		slices.SortFunc(*set, bytes.Compare)
		*set = slices.CompactFunc(*set, bytes.Equal)
	}
	return rs, nil
}

// of returns the sets of an address's family, and the address as their key.
func (rs *ruleset) of(ip netip.Addr) (*familySets, []byte, error) {
	ip = ip.Unmap()
	switch {
	case ip.Is4():
		return &rs.four, ip.AsSlice(), nil
	case ip.Is6() && ip.Zone() == "":
		return &rs.six, ip.AsSlice(), nil
	}
	return nil, nil, fmt.Errorf("%v is no address for the guard", ip)
}

func (s *familySets) all() []*[][]byte {
	return []*[][]byte{&s.owned, &s.services, &s.protocols, &s.fragments, &s.servers, &s.locals}
}

func (s *familySets) equal(o *familySets) bool {
	theirs := o.all()
	for i, set := range s.all() {
		if !slices.EqualFunc(*set, *theirs[i], bytes.Equal) {
			return false
		}
	}
	return true
}

func (rs *ruleset) equal(o *ruleset) bool {
	return rs.four.equal(&o.four) && rs.six.equal(&o.six) && slices.Equal(rs.links, o.links)
}

// queue adds the table called name to conn's next transaction. Sets and chains of
// IPv6 have a 6 behind their names.
//
//	chain vip-side   daddr @owned | daddr.proto.dport @services | daddr.proto @protocols |
//	                 not the first fragment, daddr.proto @fragments          -> drop
//	chain dip-side   saddr @servers, daddr not @locals                       -> drop
//	chain in-IF      not to our MAC -> accept; by untagged type: jump vip-side, jump dip-side
func (rs *ruleset) queue(conn *nftables.Conn, name string) error {
	t := conn.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyNetdev})
	b := &tableBuilder{conn: conn, table: t}
	families := []*family{ipv4, ipv6}
	b.sides(ipv4, &rs.four)
	b.sides(ipv6, &rs.six)
	for _, l := range rs.links {
		priority := guardPriority
		c := conn.AddChain(&nftables.Chain{
			Name: "in-" + l.name, Table: t, Device: l.name, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookIngress, Priority: &priority,
		})
		b.rule(c, notToHost(), accept())
		for _, f := range families {
			if l.vip {
				b.rule(c, untagged(f.etherType), jump(f.vipSide()))
			}
			if l.dip {
				b.rule(c, untagged(f.etherType), jump(f.dipSide()))
			}
		}
	}
	return b.err
}

// sides adds the sets of a family and its two chains.
func (b *tableBuilder) sides(f *family, sets *familySets) {
	addrKey, protoKey, endpointKey := f.keys()
	owned := b.set("owned"+f.suffix, addrKey, sets.owned)
	services := b.set("services"+f.suffix, endpointKey, sets.services)
	protocols := b.set("protocols"+f.suffix, protoKey, sets.protocols)
	fragments := b.set("fragments"+f.suffix, protoKey, sets.fragments)
	servers := b.set("servers"+f.suffix, addrKey, sets.servers)
	locals := b.set("locals"+f.suffix, addrKey, sets.locals)

	vipSide := b.conn.AddChain(&nftables.Chain{Name: f.vipSide(), Table: b.table})
	b.rule(vipSide, f.destination, in(owned), drop())
	b.rule(vipSide, f.destination, f.protocol, f.port, in(services), drop())
	b.rule(vipSide, f.destination, f.protocol, in(protocols), drop())
	b.rule(vipSide, f.notFirst, f.destination, f.protocol, in(fragments), drop())

	dipSide := b.conn.AddChain(&nftables.Chain{Name: f.dipSide(), Table: b.table})
	b.rule(dipSide, f.source, in(servers), f.destination, notIn(locals), drop())
}

// tableBuilder adds sets and rules and keeps the first error.
type tableBuilder struct {
	conn  *nftables.Conn
	table *nftables.Table
	err   error
}

func (b *tableBuilder) set(name string, key nftables.SetDatatype, elements [][]byte) *nftables.Set {
	s := &nftables.Set{Table: b.table, Name: name, KeyType: key, KeyByteOrder: binaryutil.BigEndian}
	if err := b.conn.AddSet(s, nil); err != nil && b.err == nil {
		b.err = err
	}
	for chunk := range slices.Chunk(elements, elementsPerMessage) {
		list := make([]nftables.SetElement, len(chunk))
		for i, e := range chunk {
			list[i].Key = e
		}
		if err := b.conn.SetAddElements(s, list); err != nil && b.err == nil {
			b.err = err
		}
	}
	return s
}

func (b *tableBuilder) rule(c *nftables.Chain, parts ...[]expr.Any) {
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: c, Exprs: slices.Concat(parts...)})
}

func in(s *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg0, SetName: s.Name, SetID: s.ID}}
}

func notIn(s *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg0, SetName: s.Name, SetID: s.ID, Invert: true}}
}

// untagged matches frames of one type. It reads that from the Ethernet header: for
// a frame with a VLAN tag, even one kept in metadata, it is the tag's, and the frame
// is not this interface's but the VLAN's.
func untagged(etherType uint16) []expr.Any {
	return append(load(expr.PayloadBaseLLHeader, 12, 2, reg0),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{byte(etherType >> 8), byte(etherType)}})
}

// notToHost matches what the kernel neither forwards nor takes for its own by
// the frame's MAC: broadcast, multicast, and frames for other hosts.
func notToHost() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: reg0},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: []byte{unix.PACKET_HOST}},
	}
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any   { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}
