package replay

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/internal/pcapfile"
	"natlb/ipvs"
)

// TestPlace: which packets of a capture were the recorded director's own, and by
// which side the others came.
func TestPlace(t *testing.T) {
	vip, server, other := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("10.20.0.11"), netip.MustParseAddr("10.20.0.12")
	client, dip := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("10.20.0.1")
	j := newJudge(dataplane.Scope{Owned: []netip.Addr{vip}, Servers: []netip.Addr{server, other}})
	packet := func(src, dst netip.Addr) []byte {
		return packettest.Packet{Proto: 17, Src: netip.AddrPortFrom(src, 1), Dst: netip.AddrPortFrom(dst, 2)}.Frame()
	}
	arp := func(who, target netip.Addr) []byte { return packettest.ARPRequest([6]byte{2}, who, target) }
	const own = 9
	for _, tt := range []struct {
		what           string
		frame          []byte
		vip, dip, both int // the link that it came by, or own
	}{
		{"a client's request", packet(client, vip), VIPLink, DIPLink, VIPLink},
		{"what becomes of it", packet(client, server), VIPLink, own, own},
		{"a server's reply", packet(server, client), own, DIPLink, DIPLink},
		{"what becomes of it", packet(vip, client), own, DIPLink, own},
		{"a server that is a client", packet(server, vip), own, DIPLink, DIPLink},
		{"servers among themselves", packet(server, other), own, own, own},
		{"an answer to a server, routed", packet(client, other), VIPLink, own, own},
		{"strangers", packet(client, dip), VIPLink, DIPLink, VIPLink},
		{"who has the VIP", arp(client, vip), VIPLink, DIPLink, VIPLink},
		{"the VIP announced", arp(vip, vip), own, DIPLink, own},
		{"the director asks for a server", arp(dip, server), VIPLink, own, own},
		{"a server asks for the director", arp(server, dip), own, DIPLink, DIPLink},
		{"a server asks for another", arp(server, other), own, DIPLink, DIPLink},
		{"no packet", []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x86\xdd"), VIPLink, DIPLink, VIPLink},
	} {
		for side, want := range []int{VIPSide: tt.vip, DIPSide: tt.dip, BothSides: tt.both} {
			c := &captured{Frame: dataplane.Frame{Data: tt.frame}}
			link, isOwn := j.place(Side(side), c, false)
			if got := int(link); isOwn && want != own || !isOwn && got != want {
				t.Errorf("%s, in a capture of %v: link %d, own is %v, want %d", tt.what, Side(side), got, isOwn, want)
			}
		}
	}
}

// TestFill: what stands in for the rest of a packet is zeros, whatever was in the
// memory before, and never more than the packet has.
func TestFill(t *testing.T) {
	fr := framer{vlan: AnyVLAN}
	frame := packettest.Packet{Proto: 17, Src: ap("198.51.100.1:1"), Dst: ap("192.0.2.10:2"), Payload: bytes.Repeat([]byte{0xff}, 1000)}.Frame()
	raw := func(n int, wire uint32) *captured {
		c := new(captured)
		fr.frame(&pcapfile.Packet{Data: bytes.Clone(frame[:n]), WireLen: wire, LinkType: pcapfile.Ethernet}, c)
		return c
	}
	for range 2 { // the second one finds the first one's memory
		for _, tt := range []struct{ captured, wire, length int }{
			{len(frame), len(frame), len(frame)},
			{200, len(frame), len(frame)},
			{42, len(frame) + 900, len(frame)}, // an Ethernet trailer
			{42, 4_000_000_000, len(frame)},
			{42, len(frame) - 1, 42}, // its IP header claims more than there was
			{41, len(frame), 41},     // half a UDP header
		} {
			c := raw(tt.captured, uint32(tt.wire))
			if len(c.Data) != tt.length || !bytes.Equal(c.Data[:tt.captured], frame[:tt.captured]) || bytes.Contains(c.Data[tt.captured:], []byte{0xff}) {
				t.Errorf("%d of %d bytes: %d bytes, want %d, zeros behind the captured ones", tt.captured, tt.wire, len(c.Data), tt.length)
			}
			if whole := tt.length == len(frame); whole != (c.WireLen == uint32(len(c.Data))) || c.padded != (whole && tt.captured < tt.length) {
				t.Errorf("%d of %d bytes: length on the wire %d, padded %v", tt.captured, tt.wire, c.WireLen, c.padded)
			}
			// leave something behind
			for i := range cap(fr.scratch) {
				fr.scratch[:cap(fr.scratch)][i] = 0xff
			}
		}
	}
}

// TestPartialIsExact: only a whole TCP or UDP packet whose checksum is the sum of
// its pseudo header is taken as one that was left to the network card.
func TestPartialIsExact(t *testing.T) {
	p := packettest.Packet{Proto: 17, Src: ap("198.51.100.1:1"), Dst: ap("192.0.2.10:2"), Payload: make([]byte, 64)}
	left := packettest.Partial(p.Frame(), 0).Data
	off := bytes.Clone(left)
	off[41]++
	pieces := packettest.Fragments(left, 48)
	for _, tt := range []struct {
		what  string
		frame []byte
		want  bool
	}{
		{"left to the card", left, true}, {"complete", p.Frame(), false}, {"off by one", off, false},
		{"a first fragment", packettest.Partial(pieces[0], 0).Data, false}, {"a last fragment", packettest.Partial(pieces[1], 0).Data, false}, {"nothing", nil, false},
		{"an IP header alone", left[:34], false},
	} {
		c := &captured{Frame: dataplane.Frame{Data: tt.frame}}
		partial(c)
		if c.Offload.Partial() != tt.want {
			t.Errorf("%s: partial is %v, want %v", tt.what, !tt.want, tt.want)
		}
	}
}

// TestMerge: the oldest packet first; of equals the first on the command line.
func TestMerge(t *testing.T) {
	file := func(name string, times ...int64) *Input {
		var b bytes.Buffer
		w := pcapfile.NewWriter(&b, pcapfile.Ethernet)
		for _, at := range times {
			w.Write(&pcapfile.Packet{Time: at})
		}
		w.Flush()
		in, err := NewInput(name, VIPSide, &b)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	m := merge{file("a", 5, 7, 7), file("b", 5, 6, 7), file("c"), file("d", 1)}
	got := ""
	for in := m.next(); in != nil; in = m.next() {
		got += in.Name
		if err := in.advance(); err != nil {
			t.Fatal(err)
		}
	}
	if want := "dabbaab"; got != want {
		t.Errorf("the order is %s, want %s", got, want)
	}
}

// TestBookDoubles: of two connections of the same name the newer one counts, and
// when it ends the older one again.
func TestBookDoubles(t *testing.T) {
	b := newBook(10)
	e := ipvs.Event{Kind: ipvs.EventBorn, At: epoch, Proto: ipvs.TCP, Client: ap("198.51.100.1:1"), Virtual: ap("192.0.2.10:80"), Server: ap("10.20.0.11:80")}
	reply := packettest.Packet{Proto: 6, Flags: "A", Src: e.Virtual, Dst: e.Client}.Frame()
	request := packettest.Packet{Proto: 6, Flags: "A", Src: e.Client, Dst: e.Server}.Frame()
	both := func(events ...ipvs.Event) (up, down *Conn) {
		b.events = append(b.events, events...)
		up = b.batch(dataplane.Forward, []dataplane.Frame{{Data: request, Link: DIPLink}})
		return up, b.batch(dataplane.Forward, []dataplane.Frame{{Data: reply, Link: VIPLink}})
	}
	first, again := both(e)
	second, _ := both(e)
	if first == nil || first != again || second == nil || first == second {
		t.Fatal("two births are not two connections")
	}
	died := e
	died.Kind, died.Reason, died.At = ipvs.EventDied, ipvs.Evicted, epoch+time.Second
	both(died)
	if up, down := both(); up != first || down != first || second.Ended != "evicted" || second.End != time.Second {
		t.Errorf("after the newer one's end packets are of %v and %v, want %v; it ended %q", up, down, first, second.Ended)
	}
	both(died)
	if up, down := both(); up != nil || down != nil || len(b.live) != 0 {
		t.Errorf("after both ends packets are of %v and %v; %d are alive", up, down, len(b.live))
	}
}

// TestExpectTime: a packet at another time is another packet.
func TestExpectTime(t *testing.T) {
	s := shapes[0].perform(t)
	for i := range s.side[VIPSide] {
		s.side[VIPSide][i].Time++
	}
	path := filepath.Join(t.TempDir(), "vip.pcap")
	if err := os.WriteFile(path, s.file(VIPSide), 0o666); err != nil {
		t.Fatal(err)
	}
	c := commandFor("testdata/http")
	c.VIP, c.Expect = []string{path}, "testdata/http/expect"
	if out, err := c.playText(t); !errors.Is(err, ErrDiffers) || !bytes.Contains([]byte(out), []byte("* frame.time")) && !bytes.Contains([]byte(out), []byte("*   frame.time")) {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestKeep: a result names the first connections, whenever they end, and counts
// the others.
func TestKeep(t *testing.T) {
	c := &shapes[0]
	s := c.perform(t)
	all, _ := runFiles(t, c, s.file(VIPSide), s.file(DIPSide), nil)
	for keep := 1; keep <= 4; keep++ {
		r, _ := runFiles(t, c, s.file(VIPSide), s.file(DIPSide), func(cfg *Config) { cfg.Keep = keep })
		if len(r.Connections) != keep || r.Left != uint64(4-keep) || r.Total != 4 || r.Connections[keep-1].Client != all.Connections[keep-1].Client {
			t.Errorf("of 4 connections %d are kept, %d left out, the total is %d; want %d", len(r.Connections), r.Left, r.Total, keep)
		}
	}
}

// TestBrokenClocks: times that no clock shows are played as the earliest and the
// latest that there are, and time goes on.
func TestBrokenClocks(t *testing.T) {
	c := &corners[2]
	s := c.perform(t)
	for i := range s.side[VIPSide] {
		s.side[VIPSide][i].Time = []int64{0, math.MaxInt64, math.MinInt64}[i%3]
	}
	var b bytes.Buffer
	w := pcapfile.NewNGWriter(&b, pcapfile.Ethernet, "eth0")
	for i := range s.side[VIPSide] {
		w.Write(&s.side[VIPSide][i])
	}
	w.Flush()
	r, _ := runFiles(t, c, b.Bytes(), s.file(DIPSide), nil)
	if err := balance(r); err != nil || r.Duration != lastTime || r.Packets.Late == 0 {
		t.Errorf("%v; the replay takes %v, %d packets are late", err, r.Duration, r.Packets.Late)
	}
}
