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

// Keys of the sets, as nft prints them. Each part of a key fills whole words.
var (
	addrKey     = nftables.TypeIPAddr
	protoKey    = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto)
	endpointKey = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
)

// guardLink is an interface that carries a chain.
type guardLink struct {
	name     string
	index    int // tells an interface from a later one of the same name
	vip, dip bool
}

// ruleset is GuardRules in canonical form: the elements of each set sorted and
// unique, in the kernel's byte layout.
type ruleset struct {
	links     []guardLink
	owned     [][]byte // VIP
	services  [][]byte // VIP . protocol . VPort
	protocols [][]byte // VIP . protocol: services on all ports
	fragments [][]byte // VIP . protocol: of every service
	servers   [][]byte // RIP
	locals    [][]byte // address of the director
}

func newRuleset(r GuardRules) (rs ruleset, err error) {
	for _, list := range []struct {
		set   *[][]byte
		addrs []netip.Addr
	}{{&rs.owned, r.OwnedVIPs}, {&rs.servers, r.Servers}, {&rs.locals, r.Locals}} {
		for _, ip := range list.addrs {
			key, err := appendAddr(nil, ip)
			if err != nil {
				return rs, err
			}
			*list.set = append(*list.set, key)
		}
	}
	for _, s := range r.Services {
		if s.Proto == ipvs.AnyProtocol {
			return rs, fmt.Errorf("service on %v has no protocol", s.VIP)
		}
		key, err := appendAddr(nil, s.VIP.Addr())
		if err != nil {
			return rs, err
		}
		key = append(key, byte(s.Proto), 0, 0, 0)
		rs.fragments = append(rs.fragments, key)
		if port := s.VIP.Port(); port == 0 {
			rs.protocols = append(rs.protocols, key)
		} else {
			rs.services = append(rs.services, append(bytes.Clone(key), byte(port>>8), byte(port), 0, 0))
		}
	}
	for _, set := range rs.sets() {
		slices.SortFunc(*set, bytes.Compare)
		*set = slices.CompactFunc(*set, bytes.Equal)
	}
	return rs, nil
}

func appendAddr(key []byte, ip netip.Addr) ([]byte, error) {
	ip = ip.Unmap()
	if !ip.Is4() {
		return nil, fmt.Errorf("address %v is not IPv4", ip)
	}
	b := ip.As4()
	return append(key, b[:]...), nil
}

func (rs *ruleset) sets() []*[][]byte {
	return []*[][]byte{&rs.owned, &rs.services, &rs.protocols, &rs.fragments, &rs.servers, &rs.locals}
}

func (rs *ruleset) equal(o *ruleset) bool {
	theirs := o.sets()
	for i, set := range rs.sets() {
		if !slices.EqualFunc(*set, *theirs[i], bytes.Equal) {
			return false
		}
	}
	return slices.Equal(rs.links, o.links)
}

// queue adds the table called name to conn's next transaction.
//
//	chain vip-side   daddr @owned | daddr.proto.dport @services | daddr.proto @protocols |
//	                 not the first fragment, daddr.proto @fragments          -> drop
//	chain dip-side   saddr @servers, daddr not @locals                       -> drop
//	chain in-IF      not IPv4, tagged, not to our MAC -> accept; jump vip-side, jump dip-side
func (rs *ruleset) queue(conn *nftables.Conn, name string) error {
	t := conn.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyNetdev})
	b := &tableBuilder{conn: conn, table: t}

	owned := b.set("owned", addrKey, rs.owned)
	services := b.set("services", endpointKey, rs.services)
	protocols := b.set("protocols", protoKey, rs.protocols)
	fragments := b.set("fragments", protoKey, rs.fragments)
	servers := b.set("servers", addrKey, rs.servers)
	locals := b.set("locals", addrKey, rs.locals)

	vipSide := conn.AddChain(&nftables.Chain{Name: "vip-side", Table: t})
	b.rule(vipSide, loadDestination(), in(owned), drop())
	b.rule(vipSide, loadDestination(), loadProtocol(), loadPort(), in(services), drop())
	b.rule(vipSide, loadDestination(), loadProtocol(), in(protocols), drop())
	b.rule(vipSide, notFirstFragment(), loadDestination(), loadProtocol(), in(fragments), drop())

	dipSide := conn.AddChain(&nftables.Chain{Name: "dip-side", Table: t})
	b.rule(dipSide, loadSource(), in(servers), loadDestination(), notIn(locals), drop())

	for _, l := range rs.links {
		priority := guardPriority
		c := conn.AddChain(&nftables.Chain{
			Name: "in-" + l.name, Table: t, Device: l.name, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookIngress, Priority: &priority,
		})
		b.rule(c, notUntaggedIPv4(), accept())
		b.rule(c, notToHost(), accept())
		if l.vip {
			b.rule(c, jump(vipSide.Name))
		}
		if l.dip {
			b.rule(c, jump(dipSide.Name))
		}
	}
	return b.err
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

// Registers of 4 bytes. Loads of a key's parts fill consecutive ones.
const (
	reg0 = unix.NFT_REG32_00 + iota
	reg1
	reg2
)

func load(base expr.PayloadBase, offset, length, register uint32) []expr.Any {
	return []expr.Any{&expr.Payload{Base: base, Offset: offset, Len: length, DestRegister: register}}
}

// Offsets into the IPv4 header (RFC 791 section 3.1) and the port words that
// TCP, UDP and SCTP have in common. The port is not there to be loaded in a
// fragment that is not the first: the rule then does not match.
func loadSource() []expr.Any      { return load(expr.PayloadBaseNetworkHeader, 12, 4, reg0) }
func loadDestination() []expr.Any { return load(expr.PayloadBaseNetworkHeader, 16, 4, reg0) }
func loadProtocol() []expr.Any    { return load(expr.PayloadBaseNetworkHeader, 9, 1, reg1) }
func loadPort() []expr.Any        { return load(expr.PayloadBaseTransportHeader, 2, 2, reg2) }

func in(s *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg0, SetName: s.Name, SetID: s.ID}}
}

func notIn(s *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg0, SetName: s.Name, SetID: s.ID, Invert: true}}
}

// notFirstFragment matches a fragment offset other than 0.
func notFirstFragment() []expr.Any {
	return append(load(expr.PayloadBaseNetworkHeader, 6, 2, reg0),
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 2, Mask: []byte{0x1f, 0xff}, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: []byte{0, 0}})
}

// notUntaggedIPv4 reads the type from the Ethernet header: for a frame with a
// VLAN tag, even one kept in metadata, that is the tag's, and the frame is not
// this interface's but the VLAN's.
func notUntaggedIPv4() []expr.Any {
	return append(load(expr.PayloadBaseLLHeader, 12, 2, reg0),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: []byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff}})
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
