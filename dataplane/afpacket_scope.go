package dataplane

import (
	"slices"

	"golang.org/x/net/bpf"

	"natlb/rewrite"
)

// MaxFilterAddrs is the number of addresses up to which FilterScope names them: its
// program compares each, and the kernel's limit is 4096 instructions.
const MaxFilterAddrs = 200

// FilterScope returns the capture filter for a director whose VIPs and real
// servers are addrs (IPv4, host byte order): ARP, ICMP, and IPv4 from or to one
// of them. The host's other traffic then costs natlb nothing. With more addresses
// than a program should compare it is [FilterIPv4ARP]. The caller owns the
// program.
func FilterScope(addrs []uint32) []bpf.RawInstruction {
	if len(addrs) > MaxFilterAddrs {
		return FilterIPv4ARP()
	}
	addrs = slices.Clone(addrs)
	slices.Sort(addrs)
	const ethernet = rewrite.EthernetLen
	program := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(Multicast), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeARP, SkipTrue: 1},
		bpf.RetConstant{Val: wholeFrame},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeIPv4, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: ethernet + ipProtocol, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(rewrite.ProtoICMP), SkipTrue: 1},
		bpf.RetConstant{Val: wholeFrame},
	}
	for _, field := range []uint32{ethernet + ipDestination, ethernet + ipSource} {
		program = append(program, bpf.LoadAbsolute{Off: field, Size: 4})
		for _, addr := range addrs {
			program = append(program,
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: addr, SkipTrue: 1},
				bpf.RetConstant{Val: wholeFrame})
		}
	}
	return mustAssemble(append(program, bpf.RetConstant{Val: 0}))
}
