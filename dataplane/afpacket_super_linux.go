package dataplane

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"natlb/rewrite"
)

// A sender of SCTP on the same host hands over super-packets (SKB_GSO_SCTP), which
// virtio's header cannot express. The queue loses such a packet; a ring's slot is
// taken for good, and nothing comes any more (tpacket_rcv's rx_owner_map). So
// a ring's filter keeps out SCTP that is longer than the link's MTU. The sender takes
// that for a loss and sends the chunks again, in packets.

// withoutSuperSCTP returns the program with that in front.
func withoutSuperSCTP(program []bpf.RawInstruction, mtu int) []bpf.RawInstruction {
	const ip = rewrite.EthernetLen
	long := []bpf.Instruction{bpf.LoadAbsolute{Off: 12, Size: 2}}
	long = append(long, ofType(etherTypeIPv4, []bpf.Instruction{
		bpf.LoadAbsolute{Off: ip + ipProtocol, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(rewrite.ProtoSCTP), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: 12, Size: 2},
	})...)
	long = append(long, ofType(etherTypeIPv6, superSCTP6(ip))...)
	guard := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(ip + mtu), SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(long))},
	}
	return append(mustAssemble(append(guard, long...)), program...)
}

// superSCTP6 keeps out SCTP in IPv6, whose header is at ip, also behind extension
// headers: the kernel segments what has some of them.
func superSCTP6(ip uint32) []bpf.Instruction {
	const stepLen = 11
	program := []bpf.Instruction{
		bpf.LoadConstant{Dst: bpf.RegX, Val: ip + ip6Len},
		bpf.LoadAbsolute{Off: ip + ip6NextHeader, Size: 1},
	}
	for step := range maxExtensions {
		toEnd := uint8(stepLen * (maxExtensions - step)) // from the first instruction of the step to those that decide
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: rewrite.ExtHopByHop, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: rewrite.ExtRouting, SkipTrue: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: rewrite.ExtDestination, SkipTrue: toEnd - 3},
			bpf.LoadIndirect{Off: 0, Size: 1},
			bpf.StoreScratch{Src: bpf.RegA, N: scratchNext},
			bpf.LoadIndirect{Off: 1, Size: 1}, // in units of 8 bytes, the first not counted
			bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 3},
			bpf.ALUOpX{Op: bpf.ALUOpAdd},
			bpf.TAX{},
			bpf.LoadScratch{Dst: bpf.RegA, N: scratchNext},
		)
	}
	return append(program,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(rewrite.ProtoSCTP), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	)
}

// linkMTU returns the MTU of the interface of that name in a socket's namespace, in
// bytes; without one the longest that there is, so that nothing is kept out.
func linkMTU(fd int, name string) int {
	const longest = 65535
	r, err := unix.NewIfreq(name)
	if err != nil || unix.IoctlIfreq(fd, unix.SIOCGIFMTU, r) != nil {
		return longest
	}
	return int(min(r.Uint32(), longest))
}

// KeepFilter makes the capture filter fit the link's MTU, on which it depends. Any
// goroutine may call it, now and then.
func (p *AFPacket) KeepFilter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.ring == nil || linkMTU(p.rx, p.name) == p.mtu {
		return nil
	}
	return p.attach(p.program)
}
