package dataplane

import (
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"pgregory.net/rapid"

	"natlb/rewrite"
)

// TestFanoutProgram6 runs the program that the kernel gets over IPv6: whole packets
// go where the shards want them, wherever their ports lie, and those without ports
// and pieces go by the client's address.
func TestFanoutProgram6(t *testing.T) {
	vips := []rewrite.Addr6{{Hi: 0xfd10 << 48, Lo: 1}, {Hi: 0xfd10 << 48, Lo: 2}}
	server := rewrite.Addr6{Hi: 0xfd20 << 48, Lo: 0xb}
	rapid.Check(t, func(t *rapid.T) {
		st := steering{uint32(rapid.IntRange(2, 5).Draw(t, "shards")), rapid.Bool().Draw(t, "by address")}
		client := rewrite.Addr6{Hi: rapid.Uint64().Draw(t, "network"), Lo: rapid.Uint64().Draw(t, "host")}
		port := rapid.Uint16().Draw(t, "port")
		p := drawSteered(t)

		src, dst, side := client, vips[rapid.IntRange(0, 1).Draw(t, "vip")], VIPSide
		p.ports = [2]uint16{port, 80}
		if rapid.Bool().Draw(t, "reply") {
			src, dst, side = server, client, DIPSide
			p.ports = [2]uint16{8080, port}
		}
		if client.Fold() != vips[0].Fold() && client.Fold() != vips[1].Fold() && rapid.Bool().Draw(t, "one arm") {
			side = VIPSide | DIPSide
		}
		counted := port
		if !p.whole {
			counted = 0
		}
		program := FanoutProgram(Steering{Side: side, ByAddress: st.byAddress, VIPs: []uint32{1, 2}, VIPs6: vips})
		got := runProgram(t, program, p.packet(src, dst)) % st.shards
		if want := st.of(client.Fold(), counted); int(got) != want {
			t.Fatalf("%+v from %v to %v goes to shard %d, want %d", p, src, dst, got, want)
		}
	})
}

// steered is an IPv6 packet as a steering program sees it.
type steered struct {
	extensions []byte // their numbers
	lengths    []int  // of their bodies beyond the first 8 bytes, in units of 8
	piece      bool   // the fragment header, if there is one, is of a piece
	proto      uint8
	ports      [2]uint16
	whole      bool // its ports are there to be found
}

func drawSteered(t *rapid.T) (p steered) {
	p.proto = rapid.SampledFrom([]uint8{6, 17, 132, 6, 17, 58, 59}).Draw(t, "proto")
	p.whole = p.proto == 6 || p.proto == 17 || p.proto == 132
	for range rapid.IntRange(0, maxExtensions+1).Draw(t, "extensions") {
		kind := rapid.SampledFrom([]byte{rewrite.ExtHopByHop, rewrite.ExtRouting, rewrite.ExtDestination, rewrite.ExtFragment, 51}).Draw(t, "kind")
		length := 0
		switch kind {
		case rewrite.ExtFragment:
			p.piece = rapid.Bool().Draw(t, "piece")
			p.whole = p.whole && !p.piece
		case 51:
			p.whole = false // authentication: natlb does not look behind
		default:
			length = rapid.IntRange(0, 5).Draw(t, "length")
		}
		p.extensions, p.lengths = append(p.extensions, kind), append(p.lengths, length)
		if kind == rewrite.ExtFragment || kind == 51 {
			break
		}
	}
	p.whole = p.whole && len(p.extensions) <= maxExtensions
	return p
}

// packet returns the packet from its IP header on.
func (p *steered) packet(src, dst rewrite.Addr6) []byte {
	b := make([]byte, 40)
	b[0] = 0x60
	src.Put(b[8:])
	dst.Put(b[24:])
	next := 6 // where the number of the coming header stands
	for i, kind := range p.extensions {
		b[next], next = kind, len(b)
		header := make([]byte, 8+8*p.lengths[i])
		header[1] = byte(p.lengths[i])
		if kind == rewrite.ExtFragment && p.piece {
			header[3] = 1
		}
		b = append(b, header...)
	}
	b[next] = p.proto
	return append(b, byte(p.ports[0]>>8), byte(p.ports[0]), byte(p.ports[1]>>8), byte(p.ports[1]), 0, 0, 0, 0)
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func runProgram(t fataler, raw []bpf.RawInstruction, packet []byte) uint32 {
	t.Helper()
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatalf("the program cannot be disassembled: %v", program)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatalf("%v", err)
	}
	n, err := vm.Run(packet)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return uint32(n)
}

// TestFanoutProgram6OfPieces: a later piece says nothing of ports, and goes where
// the first one goes.
func TestFanoutProgram6OfPieces(t *testing.T) {
	src, dst := rewrite.Addr6Of(netip.MustParseAddr("2001:db8::7")), rewrite.Addr6Of(netip.MustParseAddr("2001:db8:1::1"))
	program := FanoutProgram(Steering{Side: VIPSide})
	first := steered{extensions: []byte{rewrite.ExtFragment}, lengths: []int{0}, piece: true, proto: 17, ports: [2]uint16{4000, 53}}
	later := first
	later.ports = [2]uint16{0xdead, 0xbeef} // payload
	b := later.packet(src, dst)
	b[42] = 5 // its offset
	ping := steered{proto: 58, ports: [2]uint16{0x8000, 7}}
	for what, packet := range map[string][]byte{"first": first.packet(src, dst), "later": b, "ping": ping.packet(src, dst)} {
		if got, want := runProgram(t, program, packet), spread(src.Fold())>>16; got != want {
			t.Errorf("%s: %#x, want %#x", what, got, want)
		}
	}
	if got := runProgram(t, program, first.packet(src, dst)[:43]); got != 0 {
		t.Errorf("a packet cut short: %#x, want 0", got)
	}
}

// TestProgramsFit: with as many VIPs as are named, of both families.
func TestProgramsFit(t *testing.T) {
	st := Steering{Side: VIPSide | DIPSide}
	for i := range MaxFilterAddrs {
		st.VIPs, st.VIPs6 = append(st.VIPs, uint32(i)), append(st.VIPs6, rewrite.Addr6{Lo: uint64(i)})
	}
	if n := len(FanoutProgram(st)); n > 4096 {
		t.Errorf("%d instructions, the kernel takes 4096", n)
	}
}
