package hostnet

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// family is how the guard's rules read packets of one address family. Each load
// fills the registers of one part of a key, which are behind one another.
type family struct {
	suffix    string // of the names of sets and chains
	etherType uint16
	addrType  nftables.SetDatatype

	source, destination, protocol, port []expr.Any
	notFirst                            []expr.Any // matches a fragment offset other than 0
}

// Registers of 4 bytes. An address starts at the first one.
const (
	reg0     = unix.NFT_REG32_00
	reg1     = reg0 + 1
	reg2     = reg0 + 2
	behindV6 = reg0 + 4
)

// Offsets into the IPv4 header (RFC 791 section 3.1).
var ipv4 = &family{
	etherType: unix.ETH_P_IP, addrType: nftables.TypeIPAddr,
	source:      load(expr.PayloadBaseNetworkHeader, 12, 4, reg0),
	destination: load(expr.PayloadBaseNetworkHeader, 16, 4, reg0),
	protocol:    load(expr.PayloadBaseNetworkHeader, 9, 1, reg1),
	port:        loadPort(reg2),
	notFirst:    notZero(load(expr.PayloadBaseNetworkHeader, 6, 2, reg0), []byte{0x1f, 0xff}),
}

// Offsets into the IPv6 header (RFC 8200 section 3). The kernel looks for the
// protocol behind the extension headers, those of a later fragment, too.
var ipv6 = &family{
	suffix: "6", etherType: unix.ETH_P_IPV6, addrType: nftables.TypeIP6Addr,
	source:      load(expr.PayloadBaseNetworkHeader, 8, 16, reg0),
	destination: load(expr.PayloadBaseNetworkHeader, 24, 16, reg0),
	protocol:    []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: behindV6}},
	port:        loadPort(behindV6 + 1),
	notFirst: notZero([]expr.Any{
		&expr.Exthdr{Op: expr.ExthdrOpIpv6, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, DestRegister: reg0},
	}, []byte{0xff, 0xf8}),
}

func (f *family) vipSide() string { return "vip-side" + f.suffix }
func (f *family) dipSide() string { return "dip-side" + f.suffix }

// keys returns the keys of the sets, as nft prints them: an address, with a
// protocol, with a port. Each part fills whole words.
func (f *family) keys() (addr, proto, endpoint nftables.SetDatatype) {
	return f.addrType, nftables.MustConcatSetType(f.addrType, nftables.TypeInetProto),
		nftables.MustConcatSetType(f.addrType, nftables.TypeInetProto, nftables.TypeInetService)
}

func load(base expr.PayloadBase, offset, length, register uint32) []expr.Any {
	return []expr.Any{&expr.Payload{Base: base, Offset: offset, Len: length, DestRegister: register}}
}

// loadPort loads the destination port of TCP, UDP and SCTP. It is not there in a
// fragment that is not the first: the rule then does not match.
func loadPort(register uint32) []expr.Any {
	return load(expr.PayloadBaseTransportHeader, 2, 2, register)
}

// notZero matches when of the two bytes that were loaded into the first register a
// bit of mask is set.
func notZero(loaded []expr.Any, mask []byte) []expr.Any {
	return slices.Concat(loaded, []expr.Any{
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 2, Mask: mask, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: []byte{0, 0}},
	})
}
