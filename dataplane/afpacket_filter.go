package dataplane

import (
	"slices"

	"golang.org/x/net/bpf"

	"natlb/rewrite"
)

// wholeFrame is a filter's verdict to keep every byte; 0 drops the frame.
const wholeFrame = 0xffffffff

// etherTypes that the director understands (IEEE 802 numbers).
const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd
)

// FilterIPv4ARP returns the default capture filter: all IPv4, and ARP. See
// [Filter].
func FilterIPv4ARP() []bpf.RawInstruction { return Filter(Capture{All4: true}) }

// filterNothing keeps every frame out while a socket is being set up.
func filterNothing() []bpf.RawInstruction {
	return mustAssemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
}

// MaxFilterAddrs is the number of addresses of one family up to which a filter
// names them: its program compares each, and the kernel's limit is 4096
// instructions.
const MaxFilterAddrs = 200

// Capture says what a director wants to see of the traffic on its links.
type Capture struct {
	// All4 and All6 ask for everything of a family.
	All4, All6 bool
	// Addrs4 (host byte order) and Addrs6 are the VIPs and the real servers.
	Addrs4 []uint32
	Addrs6 []rewrite.Addr6
}

// Filter returns the program that lets in, whole, the frames to this host, by
// unicast, multicast or broadcast, that are ARP or of what c says: with addresses,
// packets from or to one of them, and ICMP from and to everybody; more than
// MaxFilterAddrs of them are the whole family. Without All6 and addresses of
// IPv6 nothing of it comes in. The host's other traffic then costs natlb nothing:
// frames are dropped in the kernel, before they cost a wake-up, and with them those
// to other MACs (bridges flood), own outgoing ones and everything tagged for a
// VLAN: a frame of any VLAN also reaches the socket of the base interface. The
// caller owns the program.
func Filter(c Capture) []bpf.RawInstruction {
	program := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(Multicast), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: 12, Size: 2},
	}
	program = append(program, ofType(etherTypeARP, []bpf.Instruction{bpf.RetConstant{Val: wholeFrame}})...)
	program = append(program, ofType(etherTypeIPv4, capture4(c))...)
	program = append(program, ofType(etherTypeIPv6, capture6(c))...)
	return mustAssemble(append(program, bpf.RetConstant{Val: 0}))
}

// ofType lets body, which ends in a verdict, decide about frames of one type, which
// is in the accumulator and stays there for others.
func ofType(etherType uint32, body []bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherType, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(body))},
	}, body...)
}

// capture4 decides about IPv4.
func capture4(c Capture) []bpf.Instruction {
	if c.All4 || len(c.Addrs4) > MaxFilterAddrs {
		return []bpf.Instruction{bpf.RetConstant{Val: wholeFrame}}
	}
	addrs := slices.Clone(c.Addrs4)
	slices.Sort(addrs)
	const ip = rewrite.EthernetLen
	body := among([]bpf.Instruction{bpf.LoadAbsolute{Off: ip + ipProtocol, Size: 1}}, []uint32{uint32(rewrite.ProtoICMP)})
	for _, field := range []uint32{ip + ipDestination, ip + ipSource} {
		body = append(body, among([]bpf.Instruction{bpf.LoadAbsolute{Off: field, Size: 4}}, addrs)...)
	}
	return append(body, bpf.RetConstant{Val: 0})
}

// capture6 decides about IPv6. It compares addresses folded to one word: a
// stranger's packet that slips through so costs its copy and nothing else.
func capture6(c Capture) []bpf.Instruction {
	if c.All6 || len(c.Addrs6) > MaxFilterAddrs {
		return []bpf.Instruction{bpf.RetConstant{Val: wholeFrame}}
	}
	if len(c.Addrs6) == 0 {
		return []bpf.Instruction{bpf.RetConstant{Val: 0}}
	}
	const ip = rewrite.EthernetLen
	addrs := folds(c.Addrs6)
	body := among([]bpf.Instruction{bpf.LoadAbsolute{Off: ip + ip6NextHeader, Size: 1}}, []uint32{uint32(rewrite.ProtoICMPv6)})
	for _, field := range []uint32{ip + ip6Destination, ip + ip6Source} {
		body = append(body, among(loadFold(field), addrs)...)
	}
	return append(body, bpf.RetConstant{Val: 0})
}

// among lets in the frames of which load finds one of values.
func among(load []bpf.Instruction, values []uint32) []bpf.Instruction {
	for _, v := range values {
		load = append(load, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, bpf.RetConstant{Val: wholeFrame})
	}
	return load
}

// folds returns the folded addresses, each once, sorted.
func folds(addrs []rewrite.Addr6) []uint32 {
	out := make([]uint32, len(addrs))
	for i, a := range addrs {
		out[i] = a.Fold()
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// loadFold is [rewrite.Addr6.Fold] of the address at an offset.
func loadFold(offset uint32) []bpf.Instruction {
	load := []bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: 4}}
	for word := uint32(4); word < 16; word += 4 {
		load = append(load, bpf.TAX{}, bpf.LoadAbsolute{Off: offset + word, Size: 4}, bpf.ALUOpX{Op: bpf.ALUOpXor})
	}
	return load
}

// mustAssemble encodes one of this room's programs, whose instructions are all
// encodable.
func mustAssemble(program []bpf.Instruction) []bpf.RawInstruction {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic("dataplane: constant filter: " + err.Error())
	}
	return raw
}
