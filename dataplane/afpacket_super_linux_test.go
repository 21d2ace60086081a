package dataplane

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"

	"natlb/rewrite"

	"github.com/vishvananda/netlink"
)

// TestWithoutSuperSCTP: SCTP that is longer than the MTU meets no filter behind,
// everything else does.
func TestWithoutSuperSCTP(t *testing.T) {
	const mtu = 1400
	keep := mustAssemble([]bpf.Instruction{bpf.RetConstant{Val: wholeFrame}})
	program, ok := bpf.Disassemble(withoutSuperSCTP(keep, mtu))
	if !ok {
		t.Fatal("a program that cannot be read back")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	keeps := func(name string, frame []byte, want bool) {
		if n, err := vm.Run(frame); err != nil || (n > 0) != want {
			t.Errorf("%s: kept %d bytes, %v, want some: %v", name, n, err, want)
		}
	}
	for _, tt := range []struct {
		name      string
		etherType uint16
		proto     uint8
		length    int
		want      bool
	}{
		{"SCTP as long as the MTU", etherTypeIPv4, rewrite.ProtoSCTP, 14 + mtu, true},
		{"SCTP longer", etherTypeIPv4, rewrite.ProtoSCTP, 14 + mtu + 1, false},
		{"a super-packet of TCP", etherTypeIPv4, rewrite.ProtoTCP, 60_000, true},
		{"something else with that byte", 0x88cc, rewrite.ProtoSCTP, 60_000, true},
		{"ARP", etherTypeARP, 0, 42, true},
		{"a short frame", etherTypeIPv4, 0, 14, true},
	} {
		frame := make([]byte, tt.length)
		binary.BigEndian.PutUint16(frame[12:], tt.etherType)
		if len(frame) > 23 {
			frame[23] = tt.proto
		}
		keeps(tt.name, frame, tt.want)
	}
	for _, tt := range []struct {
		name    string
		headers []uint8 // the next headers, of 16 bytes each but for the last
		length  int
		want    bool
	}{
		{"SCTP as long as the MTU", []uint8{rewrite.ProtoSCTP}, 14 + mtu, true},
		{"SCTP longer", []uint8{rewrite.ProtoSCTP}, 14 + mtu + 1, false},
		{"SCTP behind options", []uint8{rewrite.ExtHopByHop, rewrite.ProtoSCTP}, 60_000, false},
		{"SCTP behind all there is", []uint8{rewrite.ExtHopByHop, rewrite.ExtDestination, rewrite.ExtRouting, rewrite.ExtDestination, rewrite.ProtoSCTP}, 60_000, false},
		{"a super-packet of TCP", []uint8{rewrite.ProtoTCP}, 60_000, true},
		{"TCP behind options", []uint8{rewrite.ExtHopByHop, rewrite.ExtDestination, rewrite.ProtoTCP}, 60_000, true},
		{"UDP behind options", []uint8{rewrite.ExtDestination, rewrite.ProtoUDP}, 60_000, true},
	} {
		frame := make([]byte, tt.length)
		binary.BigEndian.PutUint16(frame[12:], etherTypeIPv6)
		frame[20] = tt.headers[0]
		for i, next := range tt.headers[1:] {
			frame[54+16*i], frame[54+16*i+1] = next, 1
		}
		keeps(tt.name+", IPv6", frame, tt.want)
	}
}

// testFilterFollowsMTU: what a ring keeps out is what the link's MTU is now.
func testFilterFollowsMTU(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	for _, mtu := range []int{1500, 1280, 9000} {
		l.must(netlink.LinkSetMTU(l.hosts[0].near, mtu))
		l.must(p.KeepFilter())
		if want := min(mtu, mtu*testSlots); p.mtu != want { // 0 without a ring
			t.Errorf("the filter goes by an MTU of %d, want %d", p.mtu, want)
		}
	}
	l.must(p.Close())
	l.must(p.KeepFilter())
}
