package dataplane_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"natlb/dataplane"
	"natlb/internal/packettest"
)

// TestSourcePorts: no two connections with a server have one end, nearly all ports are
// found, and where none is left a verdict says so; another address helps at once.
func TestSourcePorts(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -u 10.10.1.1:53 -s rr\n-a -u 10.10.1.1:53 -r 10.20.0.11:5353 --fullnat\nsource add 10.20.0.240")
	taken, counts := map[uint16]bool{}, map[dataplane.Verdict]int{}
	open := func(i int) dataplane.Verdict {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 4, byte(i >> 14)}), uint16(1024+i&0x3fff))
		f := frame(vipLink, w.from(vipLink, packettest.Packet{Proto: 17, Src: src, Dst: netip.MustParseAddrPort("10.10.1.1:53")}).Frame())
		w.shard.Begin(w.now)
		v := w.shard.Process(&f, w.now)
		for _, out := range w.shard.Output() {
			if d := out.Data; v == dataplane.Forward && d[29] == 240 {
				port := uint16(d[34])<<8 | uint16(d[35])
				if taken[port] || port < 1024 {
					t.Fatalf("connection %d gets port %d", i, port)
				}
				taken[port] = true
			}
		}
		w.shard.End()
		counts[v]++
		return v
	}
	const ports = 1<<16 - 1024
	for i := range ports + 2000 {
		open(i)
	}
	if n := counts[dataplane.Forward]; n < ports*97/100 || n > ports || n != len(taken) || counts[dataplane.DropNoSourcePort] != ports+2000-n {
		t.Errorf("of %d connections %v, with %d ports", ports+2000, counts, len(taken))
	}
	w.mustRules(t, "source add 10.20.0.241")
	for i := range 100 {
		if v := open(ports + 2000 + i); v != dataplane.Forward {
			t.Fatalf("with another address: %v", v)
		}
	}
}

// TestFalseTOA: a client that fills its header with options, one of which names somebody
// else, is not believed: neither where there is no room for the director's option nor
// when that is no longer sent.
func TestFalseTOA(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 --fullnat --toa\nsource add 10.20.0.240")
	client, vip := netip.MustParseAddrPort("10.10.3.6:3001"), netip.MustParseAddrPort("10.10.1.1:80")
	claim := []byte{254, 8, 0, 80, 192, 0, 2, 66}
	full := append(slices.Clone(claim), append([]byte{30, 32}, make([]byte, 30)...)...)
	check := func(options []byte, flags string) {
		t.Helper()
		f := frame(vipLink, w.from(vipLink, packettest.Packet{Proto: 6, Flags: flags, Src: client, Dst: vip, DF: true, TCPOptions: options}).Frame())
		w.shard.Begin(w.now)
		defer w.shard.End()
		if v := w.shard.Process(&f, w.now); v != dataplane.Forward {
			t.Fatal(v)
		}
		if out := w.shard.Output()[0].Data; bytes.Contains(out, claim) {
			t.Errorf("%s with %d bytes of options arrives with the claim:\n% x", flags, len(options), out)
		}
	}
	check(full, "S")
	check(claim, "S")
	check(full, "A")
}
