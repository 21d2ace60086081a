package dataplane

import (
	"golang.org/x/net/bpf"

	"natlb/rewrite"
)

// Steering is what [FanoutProgram] needs to know of a director.
type Steering struct {
	Side      Side            // of the link
	ByAddress bool            // as [Director.SteersByAddress] says
	VIPs      []uint32        // host byte order; looked at only on a link with both sides
	VIPs6     []rewrite.Addr6 // the same of IPv6
}

// FanoutProgram returns the program by which the kernel gives each packet that
// comes in by a link to one of the sockets of a fanout group, one for each shard:
// its result, taken modulo their number, is the shard that owns the client. Offsets
// count from the IP header (packet(7), PACKET_FANOUT_CBPF). What it gets wrong is
// handed over by the shards, so it need not know all: pieces of packets go by
// address, and so does everything without ports. The caller owns the program.
func FanoutProgram(st Steering) []bpf.RawInstruction {
	const version6 = 0x60
	four := bySide(st.Side, []bpf.Instruction{bpf.LoadAbsolute{Off: ipDestination, Size: 4}}, st.VIPs,
		steerBy(ipSource, portSource, st.ByAddress), steerBy(ipDestination, portDestination, st.ByAddress))
	six := bySide(st.Side, loadFold(ip6Destination), folds(st.VIPs6),
		steer6By(ip6Source, portSource, st.ByAddress), steer6By(ip6Destination, portDestination, st.ByAddress))
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: version6, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(four))},
	}
	return mustAssemble(append(append(program, four...), six...))
}

// bySide chooses between in and out, which end in a verdict, by the side of the
// link, and on a link with both by whether the destination, as load finds it, is
// among the VIPs. Of IPv6 that is a guess by the folded addresses.
func bySide(side Side, load []bpf.Instruction, vips []uint32, in, out []bpf.Instruction) []bpf.Instruction {
	switch {
	case side == VIPSide:
		return in
	case side == DIPSide:
		return out
	case len(vips) > MaxFilterAddrs:
		return in
	}
	for i, vip := range vips {
		toIn := uint32(2*(len(vips)-i-1) + len(out))
		load = append(load, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: vip, SkipTrue: 1}, bpf.Jump{Skip: toIn})
	}
	return append(append(load, out...), in...)
}

// Offsets from the IPv4 header, and of the ports behind it.
const (
	ipFragment      = 6
	ipProtocol      = 9
	ipSource        = 12
	ipDestination   = 16
	portSource      = 0
	portDestination = 2
)

// Offsets from the IPv6 header, and its length (RFC 8200).
const (
	ip6NextHeader  = 6
	ip6Source      = 8
	ip6Destination = 24
	ip6Len         = 40
)

// steerBy is [steering.of] for the endpoint at these offsets.
func steerBy(addr, port uint32, byAddress bool) []bpf.Instruction {
	const anyFragment = 0x3fff // offset or "more fragments"
	loadAddr := bpf.LoadAbsolute{Off: addr, Size: 4}
	if byAddress {
		return append([]bpf.Instruction{loadAddr}, spreadAndReturn...)
	}
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: ipFragment, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: anyFragment, SkipTrue: 4},
		bpf.LoadAbsolute{Off: ipProtocol, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoTCP), SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoUDP), SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoSCTP), SkipTrue: 2},
		bpf.LoadConstant{Dst: bpf.RegX, Val: 0},
		bpf.Jump{Skip: 3},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: port, Size: 2},
		bpf.TAX{},
		loadAddr,
		bpf.ALUOpX{Op: bpf.ALUOpXor},
	}, spreadAndReturn...)
}

// spreadAndReturn is the part of [steering.of] that the kernel does not do by
// itself.
var spreadAndReturn = []bpf.Instruction{
	bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: spreadFactor},
	bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
	bpf.RetA{},
}

// steer6By is [steering.of] for the IPv6 endpoint at these offsets, whose address
// counts folded.
func steer6By(addr, port uint32, byAddress bool) []bpf.Instruction {
	if byAddress {
		return append(loadFold(addr), spreadAndReturn...)
	}
	program := append(loadPort6(port), loadFold(addr)...)
	program = append(program, bpf.LoadScratch{Dst: bpf.RegX, N: scratchPort}, bpf.ALUOpX{Op: bpf.ALUOpXor})
	return append(program, spreadAndReturn...)
}

// Words of the machine's memory.
const (
	scratchPort = iota // of the client; 0 without one
	scratchNext        // the next header
)

// maxExtensions is how many extension headers the fanout program looks behind:
// RFC 8200 has four that come before a port.
const maxExtensions = 4

// loadPort6 puts the port at this offset of a TCP, UDP or SCTP header into the memory's
// word scratchPort, wherever that header lies; 0 for what has none, and for
// pieces of packets.
func loadPort6(port uint32) []bpf.Instruction {
	const stepLen, checkLen = 17, 3
	program := []bpf.Instruction{
		bpf.LoadConstant{Dst: bpf.RegA, Val: 0},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchPort},
		bpf.LoadConstant{Dst: bpf.RegX, Val: ip6Len},
		bpf.LoadAbsolute{Off: ip6NextHeader, Size: 1},
	}
	for step := range maxExtensions {
		program = append(program, behindExtension(uint8(stepLen*(maxExtensions-step)+checkLen))...)
	}
	return append(program,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoTCP), SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoUDP), SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(rewrite.ProtoSCTP), SkipTrue: 2},
		bpf.LoadIndirect{Off: port, Size: 2},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchPort},
	)
}

// behindExtension steps behind one extension header. A is its number and X where it
// begins, before and after. From the first of its instructions there are toPort
// to those that load a port, where it goes when a header with ports is found, and
// two more to the end, where it goes with everything else.
func behindExtension(toPort uint8) []bpf.Instruction {
	const (
		piece, header = 7, 9   // places of the labels below
		anyFragment   = 0xfff9 // offset or "more fragments"
	)
	toEnd := toPort + 2
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoTCP), SkipTrue: toPort - 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoUDP), SkipTrue: toPort - 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoSCTP), SkipTrue: toPort - 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: rewrite.ExtFragment, SkipTrue: piece - 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: rewrite.ExtHopByHop, SkipTrue: header - 5},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: rewrite.ExtRouting, SkipTrue: header - 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: rewrite.ExtDestination, SkipTrue: header - 7, SkipFalse: toEnd - 7},
		// piece:
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: anyFragment, SkipTrue: toEnd - 9},
		// header:
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchNext},
		bpf.LoadIndirect{Off: 1, Size: 1}, // in units of 8 bytes, the first not counted; reserved, so 0, in a fragment header
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 3},
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.TAX{},
		bpf.LoadScratch{Dst: bpf.RegA, N: scratchNext},
	}
}
