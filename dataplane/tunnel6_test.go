package dataplane_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"natlb/internal/packettest"
)

// TestTunnelErrors6: errors about packets of tunnels in which either of the families
// is IPv6 become errors about the packet inside, in the words of its family.
func TestTunnelErrors6(t *testing.T) {
	ap := netip.MustParseAddrPort
	ends := map[bool]struct{ client, vip, server, dip, router netip.AddrPort }{
		false: {ap("10.10.3.6:2200"), ap("10.10.1.1:80"), ap("10.20.0.11:80"), ap("10.20.0.1:0"), ap("10.20.0.77:0")},
		true:  {ap("[fd10::6]:2200"), ap("[fd10:1::1]:80"), ap("[fd20::11]:80"), ap("[fd20::1]:0"), ap("[fd20::77]:0")},
	}
	for _, families := range []struct{ inner6, outer6 bool }{{true, true}, {true, false}, {false, true}} {
		for _, kind := range tunnelKinds {
			t.Run(fmt.Sprintf("%+v %s", families, kind.name), func(t *testing.T) {
				in, out := ends[families.inner6], ends[families.outer6]
				overhead := kind.overhead
				if families.outer6 {
					overhead += 20
				}
				w := newWorld(nil)
				w.mustRules(t, fmt.Sprintf("-A -t %v -s rr\n-a -t %v -r %v %s", in.vip, in.vip, out.server, kind.options))
				data := packettest.Packet{Proto: 6, DF: true, Flags: "S", Payload: make([]byte, 1000), Src: in.client, Dst: in.vip}
				if v := w.batch(frame(vipLink, w.from(vipLink, data).Frame())); v[0].String() != "forward" {
					t.Fatalf("%v", v)
				}
				outer := slices.Clone(w.shard.Output()[0].Data[14:])
				about := func(kind6, kind4, code uint8, rest uint32) (dataSaid, verdict string) {
					e := packettest.Packet{Proto: 1, Type: kind4, Code: code, Rest: rest, Payload: outer[:overhead+60], Src: out.router, Dst: out.dip}
					if families.outer6 {
						e.Proto, e.Type, e.Code = 58, kind6, 0
					}
					v := w.batch(frame(dipLink, w.from(dipLink, e).Frame()))
					return strings.Join(w.output(), "; "), v[0].String()
				}
				word := func(six, four string) string {
					if families.inner6 {
						return "ICMP6 " + six
					}
					return "ICMP " + four
				}
				unreachable := word("type=1 code=3", "type=3 code=1")
				if families.inner6 && families.outer6 {
					unreachable = "ICMP6 type=1 code=0" // as it came
				}
				for _, step := range []struct {
					name                string
					kind6, kind4, code4 uint8
					rest                uint32
					want                string
				}{
					{"unreachable", 1, 3, 1, 0, unreachable},
					{"time exceeded", 3, 11, 0, 0, word("type=3 code=0", "type=11 code=0")},
					{"unknown protocol", 4, 3, 2, 6, word("type=1 code=3", "type=3 code=1")},
					{"too big", 2, 3, 4, 1400, fmt.Sprintf("%s rest=%08x", word("type=2 code=0", "type=3 code=4"), 1400-overhead)},
				} {
					said, v := about(step.kind6, step.kind4, step.code4, step.rest)
					start := fmt.Sprintf("out vip %v > %v ", in.vip.Addr(), in.client.Addr())
					if v != "forward" || !strings.HasPrefix(said, start) || !strings.Contains(said, step.want) || strings.Contains(said, "BADSUM {") {
						t.Errorf("%s: %s %q, want %q with %q", step.name, v, said, start, step.want)
					}
				}
				// Shorter than the header and 8 bytes of the packet inside: not ours to tell.
				outer = outer[:len(outer)-1000-20]
				e := packettest.Packet{Proto: 1, Type: 3, Code: 1, Payload: outer, Src: out.router, Dst: out.dip}
				if families.outer6 {
					e.Proto, e.Type, e.Code = 58, 1, 0
				}
				if v := w.batch(frame(dipLink, w.from(dipLink, e).Frame())); v[0].String() != "pass-host" {
					t.Errorf("too little quoted: %v", v)
				}
				if err := w.ledger(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
