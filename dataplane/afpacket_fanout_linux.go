package dataplane

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Fanout is a group of Ports on one interface, among which the kernel spreads the
// frames (packet(7), PACKET_FANOUT). The Ports that are opened with it are its
// members in the order of opening: result i of the program is the i-th of them.
// All of them are opened by one goroutine.
type Fanout struct {
	Program []bpf.RawInstruction // to start with, see FanoutProgram

	id      int // the kernel's, of this network namespace
	members int
}

// ignoreOutgoing keeps own transmissions out of a group, which does not follow
// its members' PACKET_IGNORE_OUTGOING (linux/if_packet.h,
// PACKET_FANOUT_FLAG_IGNORE_OUTGOING).
const ignoreOutgoing = 0x4000

// join makes the Port, which lets no frame in yet, a member of the group.
func (p *AFPacket) join(f *Fanout) error {
	kind := unix.PACKET_FANOUT_CBPF | ignoreOutgoing
	if f.members == 0 {
		kind |= unix.PACKET_FANOUT_FLAG_UNIQUEID
	}
	err := unix.SetsockoptInt(p.rx, unix.SOL_PACKET, unix.PACKET_FANOUT, kind<<16|f.id)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%s: cannot share its frames among shards: %w (before Linux 6.13 the link must be up)", p.name, err)
	}
	if err != nil {
		return fmt.Errorf("%s: PACKET_FANOUT: %w", p.name, err)
	}
	if f.members == 0 {
		group, err := unix.GetsockoptInt(p.rx, unix.SOL_PACKET, unix.PACKET_FANOUT)
		if err != nil {
			return fmt.Errorf("%s: PACKET_FANOUT: %w", p.name, err)
		}
		f.id = group & 0xffff
	}
	f.members++
	p.fanout = f
	return p.steer(f.Program)
}

// SetSteering replaces the program of the Port's group, for all its members. The
// kernel swaps it atomically: each frame meets the old one or the new one, and
// none is lost. Without a group there is nothing to do. Any goroutine may call it.
func (p *AFPacket) SetSteering(program []bpf.RawInstruction) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return net.ErrClosed
	case p.fanout == nil:
		return nil
	}
	return p.steer(program)
}

func (p *AFPacket) steer(program []bpf.RawInstruction) error {
	code := sockFilter(program)
	err := unix.SetsockoptSockFprog(p.rx, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA,
		&unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
	if err != nil {
		return fmt.Errorf("%s: fanout program of %d instructions: %w", p.name, len(code), err)
	}
	return nil
}
