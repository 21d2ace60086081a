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
	guard := mustAssemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(rewrite.EthernetLen + mtu), SkipTrue: 5},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeIPv4, SkipTrue: 3},
		bpf.LoadAbsolute{Off: rewrite.EthernetLen + ipProtocol, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(rewrite.ProtoSCTP), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	})
	return append(guard, program...)
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
