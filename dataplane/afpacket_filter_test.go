package dataplane

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"

	"natlb/rewrite"
)

// TestFilter runs the program over frames; the machine's two extensions read as 0,
// which stands for a frame to the host without a tag.
func TestFilter(t *testing.T) {
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
	vip6, server6 := rewrite.Addr6{Hi: 0xfd10 << 48, Lo: 0x101}, rewrite.Addr6{Hi: 0xfd10<<48 + 1, Lo: 0xb}
	stranger6 := rewrite.Addr6{Hi: 0xfd10<<48 + 2, Lo: 5}
	ip6 := func(next uint8, src, dst rewrite.Addr6) []byte {
		b := make([]byte, 60)
		binary.BigEndian.PutUint16(b[12:], etherTypeIPv6)
		b[20] = next
		src.Put(b[22:])
		dst.Put(b[38:])
		return b
	}
	many, many6 := make([]uint32, MaxFilterAddrs), make([]rewrite.Addr6, MaxFilterAddrs)
	for i := range many {
		many[i], many6[i] = 0x0a630000+uint32(i), rewrite.Addr6{Hi: 7, Lo: 0xabc0000 + uint64(i)}
	}
	all4, all6 := Capture{All4: true}, Capture{All6: true}
	four := func(addrs ...uint32) Capture { return Capture{Addrs4: addrs} }
	six := func(addrs ...rewrite.Addr6) Capture { return Capture{Addrs6: addrs} }
	group := rewrite.Addr6{Hi: 0xff02 << 48, Lo: 0x1ff000101}
	for _, tt := range []struct {
		name  string
		c     Capture
		frame []byte
		want  bool
	}{
		{"ARP", four(vip), arp, true},
		{"ARP, of IPv6 alone", all6, arp, true},
		{"to a VIP", four(server, vip), ip(rewrite.ProtoTCP, stranger, vip), true},
		{"from a server", four(server, vip), ip(rewrite.ProtoUDP, server, stranger), true},
		{"to a server", four(server, vip), ip(rewrite.ProtoUDP, stranger, server), true},
		{"between strangers", four(server, vip), ip(rewrite.ProtoTCP, stranger, stranger+1), false},
		{"ICMP between strangers", four(server, vip), ip(rewrite.ProtoICMP, stranger, stranger+1), true},
		{"nothing known", Capture{}, ip(rewrite.ProtoTCP, stranger, stranger+1), false},
		{"as many as are named", four(many...), ip(rewrite.ProtoTCP, stranger, many[len(many)-1]), true},
		{"a stranger to as many", four(many...), ip(rewrite.ProtoTCP, stranger, vip), false},
		{"more than are named", four(append(many, 1)...), ip(rewrite.ProtoTCP, stranger, vip), true},
		{"all of IPv4", all4, ip(rewrite.ProtoTCP, stranger, stranger+1), true},
		{"IPv4 where all of IPv6 is asked for", all6, ip(rewrite.ProtoTCP, stranger, stranger+1), false},

		{"IPv6 where all of IPv4 is asked for", all4, ip6(rewrite.ProtoICMPv6, stranger6, vip6), false},
		{"IPv6 where nothing of it is known", four(vip), ip6(rewrite.ProtoICMPv6, stranger6, vip6), false},
		{"to a VIP of IPv6", six(server6, vip6), ip6(6, stranger6, vip6), true},
		{"behind an extension header", six(server6, vip6), ip6(rewrite.ExtDestination, stranger6, vip6), true},
		{"from a server of IPv6", six(server6, vip6), ip6(17, server6, stranger6), true},
		{"between strangers of IPv6", six(server6, vip6), ip6(6, stranger6, rewrite.Addr6{Lo: 1}), false},
		{"ICMPv6 between strangers", six(server6, vip6), ip6(rewrite.ProtoICMPv6, stranger6, rewrite.Addr6{Lo: 1}), true},
		{"a solicitation to the VIP's group", six(vip6), ip6(rewrite.ProtoICMPv6, stranger6, group), true},
		{"other multicast of IPv6", six(vip6), ip6(rewrite.ExtHopByHop, stranger6, group), false},
		{"all of IPv6", all6, ip6(6, stranger6, rewrite.Addr6{Lo: 1}), true},
		{"as many of IPv6 as are named", six(many6...), ip6(6, stranger6, many6[len(many6)-1]), true},
		{"a stranger of IPv6 to as many", six(many6...), ip6(6, stranger6, vip6), false},
		{"more of IPv6 than are named", six(append(many6, vip6)...), ip6(6, stranger6, rewrite.Addr6{Lo: 1}), true},
		{"both families, to a VIP", Capture{Addrs4: many, Addrs6: many6}, ip(6, stranger, many[7]), true},
		{"both families, to a VIP of IPv6", Capture{Addrs4: many, Addrs6: many6}, ip6(6, stranger6, many6[7]), true},
		{"both families, between strangers", Capture{Addrs4: many, Addrs6: many6}, ip6(6, stranger6, vip6), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			program := Filter(tt.c)
			if len(program) > 4096 {
				t.Errorf("%d instructions, the kernel takes 4096", len(program))
			}
			if got := accepts(t, program, tt.frame); got != tt.want {
				t.Errorf("Filter accepts = %v, want %v", got, tt.want)
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
