package dataplane_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
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

// TestSourceIsTold: listings, events and explanations say what the server sees in the
// client's place, an answer is found by the client's end as well as by that one, and
// FTP is told that its helper is not there.
func TestSourceIsTold(t *testing.T) {
	for client, ends := range map[string][4]string{ // VIP, real server, source address, another client
		"10.10.3.5:4000": {"10.10.1.1:21", "10.20.0.11:21", "10.20.0.240", "10.10.3.6:4000"},
		"[fd10::5]:4000": {"[fd10:1::1]:21", "[fd20::11]:21", "fd20::f0", "[fd10::6]:4000"},
	} {
		w := newWorld(func(c *dataplane.Config) { c.FTPPorts = []uint16{21} })
		vip, rip := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		all := netip.AddrPortFrom(vip.Addr(), 0).String() // the helper's port is not named: it is not refused
		w.mustRules(t, "-A -t "+all+" -p 50\n-a -t "+all+" -r "+netip.AddrPortFrom(rip.Addr(), 0).String()+" --fullnat\nsource add "+ends[2])
		w.dir.Follow(true)
		syn := packettest.Packet{Src: netip.MustParseAddrPort(client), Dst: vip, Proto: 6, Flags: "S", DF: true}
		w.batch(frame(vipLink, w.from(vipLink, syn).Frame()))

		var source netip.AddrPort
		for _, c := range w.conns() {
			if c.Template != !c.Source.IsValid() {
				t.Errorf("listed is %+v", c)
			}
			if !c.Template {
				source = c.Source
			}
		}
		if source.Addr().String() != ends[2] || source.Port() < 1024 {
			t.Fatalf("the source is %v", source)
		}
		told := 0
		for _, e := range w.dir.TakeEvents(nil) {
			if e.Kind == ipvs.EventBorn && !e.Template {
				told++
				if e.Source != source {
					t.Errorf("born with %v, want %v", e.Source, source)
				}
			}
		}
		if told != 1 {
			t.Errorf("%d connections were born", told)
		}

		const stood, ftp = "does not see the client: it answers ", "without the FTP helper"
		for _, tt := range []struct {
			text, verdict string
			stood         bool
		}{
			{"tcp " + client + " < " + rip.String(), "forward", true},
			{"tcp " + source.String() + " < " + rip.String(), "forward", false},
			{"tcp " + ends[3] + " < " + rip.String(), "route", false}, // of another client
			{"tcp " + client + " < " + netip.AddrPortFrom(rip.Addr(), 22).String(), "route", false},
		} {
			x := w.explain(t, question(tt.text))
			why := strings.Join(x.Why, "\n")
			if x.Verdict != tt.verdict || strings.Contains(why, stood+source.String()) != tt.stood || strings.Contains(why, ftp) != (tt.verdict == "forward") {
				t.Errorf("%s: %s\n%s", tt.text, x.Verdict, why)
			}
			if tt.verdict == "forward" && (x.Received.Dst != source || x.Entry.Source != source || x.Sent[0].Dst.String() != client || x.Sent[0].Src != vip) {
				t.Errorf("%s: received %v, entry %+v, sent %+v", tt.text, x.Received.Dst, x.Entry, x.Sent)
			}
		}
		x := w.explain(t, question("tcp "+ends[3]+" "+ends[0]))
		if x.Entry == nil || x.Entry.Source.Addr().String() != ends[2] || x.Sent[0].Src != x.Entry.Source || !slices.ContainsFunc(x.Why, func(s string) bool { return strings.Contains(s, ftp) }) {
			t.Errorf("a new connection: %+v", x)
		}
	}
}
