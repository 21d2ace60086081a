package dataplane

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"

	"natlb/rewrite"
)

// TestFilterScope runs the program over frames; the machine's two extensions
// read as 0, which stands for a frame to the host without a tag.
func TestFilterScope(t *testing.T) {
	const vip, server, stranger = 0x0a0a0101, 0x0a14000b, 0x0a0a0305
	ip := func(proto uint8, src, dst uint32) []byte {
		b := make([]byte, 60)
		binary.BigEndian.PutUint16(b[12:], etherTypeIPv4)
		b[23] = proto
		binary.BigEndian.PutUint32(b[26:], src)
		binary.BigEndian.PutUint32(b[30:], dst)
		return b
	}
	arp := make([]byte, 60)
	binary.BigEndian.PutUint16(arp[12:], etherTypeARP)
	ip6 := make([]byte, 60)
	binary.BigEndian.PutUint16(ip6[12:], 0x86dd)
	many := make([]uint32, MaxFilterAddrs)
	for i := range many {
		many[i] = 0x0a630000 + uint32(i)
	}
	for _, tt := range []struct {
		name  string
		addrs []uint32
		frame []byte
		want  bool
	}{
		{"ARP", []uint32{vip}, arp, true},
		{"IPv6", []uint32{vip}, ip6, false},
		{"to a VIP", []uint32{server, vip}, ip(rewrite.ProtoTCP, stranger, vip), true},
		{"from a server", []uint32{server, vip}, ip(rewrite.ProtoUDP, server, stranger), true},
		{"to a server", []uint32{server, vip}, ip(rewrite.ProtoUDP, stranger, server), true},
		{"between strangers", []uint32{server, vip}, ip(rewrite.ProtoTCP, stranger, stranger+1), false},
		{"ICMP between strangers", []uint32{server, vip}, ip(rewrite.ProtoICMP, stranger, stranger+1), true},
		{"nothing known", nil, ip(rewrite.ProtoTCP, stranger, stranger+1), false},
		{"as many as are named", many, ip(rewrite.ProtoTCP, stranger, many[len(many)-1]), true},
		{"a stranger to as many", many, ip(rewrite.ProtoTCP, stranger, vip), false},
		{"more than are named", append(many, 1), ip(rewrite.ProtoTCP, stranger, vip), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := accepts(t, FilterScope(tt.addrs), tt.frame); got != tt.want {
				t.Errorf("FilterScope accepts = %v, want %v", got, tt.want)
			}
		})
	}
}

// accepts runs a program without its loads of metadata, which the machine of
// package bpf does not know: they read as 0.
func accepts(t *testing.T, raw []bpf.RawInstruction, frame []byte) bool {
	t.Helper()
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("a program that cannot be read back")
	}
	for i, in := range program {
		if _, is := in.(bpf.LoadExtension); is {
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: 0}
		}
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(frame)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}
