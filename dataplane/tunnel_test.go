package dataplane_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/rewrite"
)

// tunnelKinds are the options of -i.
var tunnelKinds = []struct {
	name, options string
	overhead      int
}{
	{"ipip", "-i", 20},
	{"gre", "-i --tun-type gre", 24},
	{"gre-csum", "-i --tun-type gre --tun-csum", 28},
	{"gue", "-i --tun-type gue --tun-port 6080", 32},
	{"gue-csum", "-i --tun-type gue --tun-port 6080 --tun-csum", 32},
}

// tunnelled opens a connection through a tunnel and returns the outer packet that
// carries n bytes of it.
func tunnelled(t *testing.T, options string, n int) (*world, []byte) {
	t.Helper()
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 "+options)
	p := packettest.Packet{
		Proto: 6, DF: true, Flags: "S", Seq: 1000,
		Src: netip.MustParseAddrPort("10.10.3.6:2200"), Dst: netip.MustParseAddrPort("10.10.1.1:80"),
	}
	w.batch(frame(vipLink, w.from(vipLink, p).Frame()))
	p.Flags, p.Payload = "A", make([]byte, n)
	if v := w.batch(frame(vipLink, w.from(vipLink, p).Frame())); v[0] != dataplane.Forward || len(w.shard.Output()) != 1 {
		t.Fatalf("verdict %v, %d frames, want one that is forwarded", v, len(w.shard.Output()))
	}
	return w, slices.Clone(w.shard.Output()[0].Data[14:])
}

// TestTunnelErrors: an error about an outer packet is one about the inner packet
// for the client, and the path's MTU is remembered.
func TestTunnelErrors(t *testing.T) {
	for _, kind := range tunnelKinds {
		t.Run(kind.name, func(t *testing.T) {
			w, outer := tunnelled(t, kind.options, 1000)
			about := func(icmpType, code uint8, rest uint32, quoted int) []string {
				e := packettest.Packet{
					Proto: 1, Type: icmpType, Code: code, Rest: rest, Payload: outer[:quoted],
					Src: netip.MustParseAddrPort("10.20.0.77:0"), Dst: netip.MustParseAddrPort("10.20.0.1:0"),
				}
				v := w.batch(frame(dipLink, w.from(dipLink, e).Frame()))
				return append(w.output(), v[0].String())
			}
			data := func(n int) []string { // a segment with n bytes
				p := packettest.Packet{
					Proto: 6, DF: true, Flags: "A", Seq: 1000, Payload: make([]byte, n),
					Src: netip.MustParseAddrPort("10.10.3.6:2200"), Dst: netip.MustParseAddrPort("10.10.1.1:80"),
				}
				return []string{w.batch(frame(vipLink, w.from(vipLink, p).Frame()))[0].String()}
			}
			const toClient = "out vip 10.10.1.1 > 10.10.3.6 ttl=64 ICMP type="
			const inner = "{ 10.10.3.6 > 10.10.1.1 ttl=63 DF TCP 2200>80 A (truncated) }"
			whole := kind.overhead + 40
			tooBig := func(mtu int) []string {
				return []string{fmt.Sprintf("%s3 code=4 rest=%08x %s", toClient, mtu-kind.overhead, inner), "forward"}
			}
			for _, step := range []struct {
				name string
				got  []string
				want []string
			}{
				{"host unreachable", about(3, 1, 0, whole), []string{toClient + "3 code=1 rest=00000000 " + inner, "forward"}},
				{"time exceeded", about(11, 0, 0, whole), []string{toClient + "11 code=0 rest=00000000 " + inner, "forward"}},
				{"as much as it takes", about(3, 3, 0, kind.overhead+28),
					[]string{toClient + "3 code=3 rest=00000000 { 10.10.3.6 > 10.10.1.1 ttl=63 DF proto=6 len=8 }", "forward"}},
				{"too little", about(3, 1, 0, kind.overhead+27), []string{"pass-host"}},
				{"too big, by an old router", about(3, 4, 0, whole), tooBig(1500)},
				{"too big", about(3, 4, 1400, whole), tooBig(1400)},
				{"too big for less than there is", about(3, 4, 9000, whole), tooBig(1500)},
				{"too big for a lie", about(3, 4, 100, whole), tooBig(552)},
				{"1300 again", about(3, 4, 1300, whole), tooBig(1300)},
				{"what still fits", data(1300 - kind.overhead - 40), []string{"forward"}},
				{"what does not fit any more", data(1300 - kind.overhead - 39), []string{"answer-too-big"}},
			} {
				if diff := cmp.Diff(step.want, step.got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", step.name, diff)
				}
			}
			st := w.dir.Services()[0].Stats
			if st.OutPkts != 9 {
				t.Errorf("%d packets of the server, want the 8 errors that were passed on and the one that was made", st.OutPkts)
			}
			w.now += 11 * time.Minute
			if got := data(1300 - kind.overhead - 39); got[0] != "forward" {
				t.Errorf("eleven minutes later: %s, want forward", got[1])
			}
			if err := w.ledger(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestForeignTunnelErrors: errors that are not about what the director has sent
// are the host's.
func TestForeignTunnelErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(outer []byte)
	}{
		{"another server", func(b []byte) { b[19]++ }},
		{"from another machine", func(b []byte) { b[15]++ }},
		{"another connection", func(b []byte) { b[41]++ }},
		{"another tunnel", func(b []byte) { b[9] = 47 }},
	} {
		w, outer := tunnelled(t, "-i", 100)
		w.mustRules(t, "-a -t 10.10.1.1:80 -r 10.20.0.12 -i")
		tt.change(outer)
		e := packettest.Packet{
			Proto: 1, Type: 3, Code: 1, Payload: outer[:60],
			Src: netip.MustParseAddrPort("10.20.0.77:0"), Dst: netip.MustParseAddrPort("10.20.0.1:0"),
		}
		if v := w.batch(frame(dipLink, w.from(dipLink, e).Frame())); v[0] != dataplane.PassHost || len(w.shard.Output()) != 0 {
			t.Errorf("%s: %v, %v, want it passed to the host", tt.name, v[0], w.output())
		}
	}
	w, outer := tunnelled(t, "-i", 100)
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.11 -i --tun-type gre")
	e := packettest.Packet{
		Proto: 1, Type: 3, Code: 1, Payload: outer[:60],
		Src: netip.MustParseAddrPort("10.20.0.77:0"), Dst: netip.MustParseAddrPort("10.20.0.1:0"),
	}
	if v := w.batch(frame(dipLink, w.from(dipLink, e).Frame())); v[0] != dataplane.PassHost {
		t.Errorf("of a tunnel that has become another: %v, want %v", v[0], dataplane.PassHost)
	}

	w, outer = tunnelled(t, "-i", 100)
	e = packettest.Packet{
		Proto: 1, Type: 3, Code: 1, Payload: outer[:60], BadSum: true,
		Src: netip.MustParseAddrPort("10.20.0.77:0"), Dst: netip.MustParseAddrPort("10.20.0.1:0"),
	}
	if v := w.batch(frame(dipLink, w.from(dipLink, e).Frame())); v[0] != dataplane.DropICMPChecksum {
		t.Errorf("a wrong checksum: %v, want %v", v[0], dataplane.DropICMPChecksum)
	}
}

// TestTunnelInPlace: with room in front of the frame the outer packet is made there,
// and the ledger knows of it as of one made elsewhere.
func TestTunnelInPlace(t *testing.T) {
	for _, kind := range tunnelKinds {
		for _, room := range []int{rewrite.MaxTunnelOverhead, kind.overhead, kind.overhead - 1, 0} {
			w := newWorld(nil)
			w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 "+kind.options)
			p := packettest.Packet{Proto: 6, Flags: "S", Src: netip.MustParseAddrPort("10.10.3.6:2200"), Dst: netip.MustParseAddrPort("10.10.1.1:80")}
			send := func() (memory []byte) {
				memory = slices.Concat(make([]byte, room), w.from(vipLink, p).Frame(), []byte{0, 0}) // and padding
				f := frame(vipLink, memory[room:])
				f.Head = memory[:room]
				w.batch(f)
				return memory
			}
			memory := send()
			out := w.shard.Output()
			if n := 14 + kind.overhead + 40; len(out) != 1 || len(out[0].Data) != n {
				t.Fatalf("%s, %d bytes of room: sent %v, want one frame of %d bytes", kind.name, room, w.output(), n)
			}
			if room >= kind.overhead != (&out[0].Data[0] == &memory[max(room-kind.overhead, 0)]) {
				t.Errorf("%s, %d bytes of room: made in the wrong place", kind.name, room)
			}

			w.setHost(func(h *packettest.Host) { h.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Unresolved })
			send()
			last := w.dir.Ledger().Entries[dataplane.HeldNeighbour].Last
			if last == nil || last.Dst.Addr() != netip.MustParseAddr("10.20.0.11") || last.Length != 14+kind.overhead+40 {
				t.Errorf("%s, %d bytes of room: the ledger has %+v, want the outer packet", kind.name, room, last)
			}
			w.setHost(func(h *packettest.Host) { h.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Failed })
			w.batch()
			const unreachable = "out vip 10.10.1.1 > 10.10.3.6 ttl=64 ICMP type=3 code=1 rest=00000000 { 10.10.3.6 > 10.10.1.1 ttl=63 TCP 2200>80 S seq=0 ack=0 len=0 }"
			if diff := cmp.Diff([]string{unreachable}, w.output()); diff != "" {
				t.Errorf("%s, %d bytes of room: the server does not answer (-want +got):\n%s", kind.name, room, diff)
			}
			last = w.dir.Ledger().Entries[dataplane.AnswerUnreachable].Last
			if last == nil || last.Dst.Addr() != netip.MustParseAddr("10.20.0.11") {
				t.Errorf("%s, %d bytes of room: the ledger has %+v, want the outer packet", kind.name, room, last)
			}
		}
	}
}

// TestTunnelPieces: a packet that was cut for a server that does not answer is lost
// without a word. A later piece begins with what the client likes, with a packet
// from somebody else, say, and nobody gets an error about that.
func TestTunnelPieces(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -i")
	w.setHost(func(h *packettest.Host) { h.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Unresolved })
	forged := packettest.Packet{Proto: 17, Src: netip.MustParseAddrPort("10.10.3.99:1"), Dst: netip.MustParseAddrPort("10.10.1.1:80")}
	payload := append(make([]byte, 1440), forged.Frame()[14:]...)
	p := packettest.Packet{Proto: 6, Flags: "S", Payload: payload, Src: netip.MustParseAddrPort("10.10.3.6:2200"), Dst: netip.MustParseAddrPort("10.10.1.1:80")}
	if v := w.batch(frame(vipLink, w.from(vipLink, p).Frame())); v[0] != dataplane.HeldNeighbour {
		t.Fatalf("verdict %v, want %v", v[0], dataplane.HeldNeighbour)
	}
	w.setHost(func(h *packettest.Host) { h.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Failed })
	w.batch()
	if n := w.dir.Counters()[dataplane.DropNeighbourFailed].Frames; n != 1 || len(w.shard.Output()) != 0 {
		t.Errorf("%d frames were dropped for a server that does not answer, want 1, and nothing sent:\n%v", n, w.output())
	}
}

// TestTunnelWithoutSource: a director without an address on the way cannot say
// where its packets come from.
func TestTunnelWithoutSource(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -i")
	w.setHost(func(h *packettest.Host) { h.Links[dipLink].Addr = 0 })
	p := packettest.Packet{Proto: 6, Flags: "S", Src: netip.MustParseAddrPort("10.10.3.6:2200"), Dst: netip.MustParseAddrPort("10.10.1.1:80")}
	if v := w.batch(frame(vipLink, w.from(vipLink, p).Frame())); v[0] != dataplane.DropNoSource {
		t.Errorf("verdict %v, want %v", v[0], dataplane.DropNoSource)
	}
}
