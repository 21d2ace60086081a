package dataplane

import "golang.org/x/net/bpf"

// wholeFrame is a filter's verdict to keep every byte; 0 drops the frame.
const wholeFrame = 0xffffffff

// etherTypes that the director understands (IEEE 802 numbers).
const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
)

// FilterIPv4ARP returns the default capture filter: IPv4 and ARP to this host, by
// unicast, multicast or broadcast, whole. It drops in the kernel, before they
// cost a wake-up, frames to other MACs (bridges flood), own outgoing frames and
// everything tagged for a VLAN: a frame of any VLAN also reaches the socket of
// the base interface. The caller owns the program.
func FilterIPv4ARP() []bpf.RawInstruction {
	return mustAssemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(Multicast), SkipTrue: 6},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 4},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeIPv4, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeARP, SkipTrue: 1},
		bpf.RetConstant{Val: wholeFrame},
		bpf.RetConstant{Val: 0},
	})
}

// filterNothing keeps every frame out while a socket is being set up.
func filterNothing() []bpf.RawInstruction {
	return mustAssemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
}

// mustAssemble encodes one of this file's constant programs, whose instructions
// are all encodable.
func mustAssemble(program []bpf.Instruction) []bpf.RawInstruction {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic("dataplane: constant filter: " + err.Error())
	}
	return raw
}
