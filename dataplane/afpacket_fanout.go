package dataplane

import (
	"golang.org/x/net/bpf"

	"natlb/rewrite"
)

// Steering is what [FanoutProgram] needs to know of a director.
type Steering struct {
	Side      Side     // of the link
	ByAddress bool     // as [Director.SteersByAddress] says
	VIPs      []uint32 // host byte order; looked at only on a link with both sides
}

// FanoutProgram returns the program by which the kernel gives each packet that
// comes in by a link to one of the sockets of a fanout group, one for each shard:
// its result, taken modulo their number, is the shard that owns the client. Offsets
// count from the IP header (packet(7), PACKET_FANOUT_CBPF). What it gets wrong is
// handed over by the shards, so it need not know all: pieces of packets go by
// address, and so does everything without ports. The caller owns the program.
func FanoutProgram(st Steering) []bpf.RawInstruction {
	in, out := steerBy(ipSource, portSource, st.ByAddress), steerBy(ipDestination, portDestination, st.ByAddress)
	switch {
	case st.Side == VIPSide:
		return mustAssemble(in)
	case st.Side == DIPSide:
		return mustAssemble(out)
	case len(st.VIPs) > MaxFilterAddrs:
		return mustAssemble(in)
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: ipDestination, Size: 4}}
	for i, vip := range st.VIPs {
		toIn := uint32(2*(len(st.VIPs)-i-1) + len(out))
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: vip, SkipTrue: 1}, bpf.Jump{Skip: toIn})
	}
	return mustAssemble(append(append(program, out...), in...))
}

// Offsets from the IP header, and of the ports behind it.
const (
	ipFragment      = 6
	ipProtocol      = 9
	ipSource        = 12
	ipDestination   = 16
	portSource      = 0
	portDestination = 2
)

// steerBy is [steering.of] for the endpoint at these offsets.
func steerBy(addr, port uint32, byAddress bool) []bpf.Instruction {
	const anyFragment = 0x3fff // offset or "more fragments"
	hash := []bpf.Instruction{
		bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: spreadFactor},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
		bpf.RetA{},
	}
	loadAddr := bpf.LoadAbsolute{Off: addr, Size: 4}
	if byAddress {
		return append([]bpf.Instruction{loadAddr}, hash...)
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
	}, hash...)
}
