package dataplane_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
)

// TestDropEntry lets drop_entry end what it may: half-open connections at once,
// established ones only when they have been idle for a minute, finished ones
// never.
func TestDropEntry(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, oneServer)
	tcp := func(client, flags string) {
		p := packettest.Packet{Proto: 6, Src: netip.MustParseAddrPort(client), Dst: netip.MustParseAddrPort("10.10.1.1:80"), Flags: flags}
		w.batch(frame(vipLink, w.from(vipLink, p).Frame()))
	}
	for _, client := range []string{"10.10.3.5:1", "10.10.3.5:2", "10.10.3.5:3"} {
		tcp(client, "S")
	}
	tcp("10.10.3.5:2", "A")
	tcp("10.10.3.5:3", "A")
	tcp("10.10.3.5:3", "FA")
	defend := func(available int) {
		for range 2000 { // each looks at a random part of the table
			w.dir.Defend(available, w.now)
		}
	}
	states := func() (s []string) {
		for c := range w.dir.Connections {
			s = append(s, c.State)
		}
		return s
	}
	set := func(mode string) {
		if err := w.dir.Apply([]ipvs.Change{{Kind: ipvs.SetSysctl, Name: "drop_entry", Value: mode}}); err != nil {
			t.Fatal(err)
		}
	}

	const plenty, short = 1 << 30, 100
	for _, step := range []struct {
		mode      string
		available int
		advance   time.Duration
		want      int
	}{
		{"0", short, 0, 3},
		{"1", plenty, 0, 3}, // automatic, and there is memory
		{"1", short, 0, 2},  // the half-open one goes
		{"3", plenty, 0, 2}, // the established one is not idle
		{"3", plenty, 59 * time.Second, 2},
		{"3", plenty, 2 * time.Second, 0}, // idle, and the closing one has timed out
	} {
		set(step.mode)
		w.now += step.advance
		w.batch()
		defend(step.available)
		if got := states(); len(got) != step.want {
			t.Errorf("drop_entry %s with %d pages free, %v later: entries %v, want %d", step.mode, step.available, step.advance, got, step.want)
		}
	}
}

// TestDropEntrySCTP: an association of which there is only an INIT ends at once,
// an established one when it has been idle, others never.
func TestDropEntrySCTP(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A --sctp-service 10.10.1.1:80 -s rr\n-a --sctp-service 10.10.1.1:80 -r 10.20.0.11:80 -m")
	client, vip, server := netip.MustParseAddrPort, netip.MustParseAddrPort("10.10.1.1:80"), netip.MustParseAddrPort("10.20.0.11:80")
	for port, chunks := range []string{"INIT", "INIT INIT", "INIT <INIT_ACK", "INIT <INIT_ACK COOKIE_ECHO <COOKIE_ACK"} {
		for chunk := range strings.FieldsSeq(chunks) {
			p, link := packettest.Packet{Proto: 132, Src: client("10.10.3.5:" + strconv.Itoa(4000+port)), Dst: vip, Chunks: chunk}, uint8(vipLink)
			if reply, ok := strings.CutPrefix(chunk, "<"); ok {
				p.Src, p.Dst, p.Chunks, link = server, p.Src, reply, dipLink
			}
			w.batch(frame(link, w.from(link, p).Frame()))
		}
	}
	if err := w.sysctl("drop_entry", "3"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		advance time.Duration
		want    string
	}{{0, "C-SENT ESTABLISHED"}, {59 * time.Second, "C-SENT ESTABLISHED"}, {1500 * time.Millisecond, "C-SENT"}} {
		w.now += step.advance
		w.batch()
		for range 2000 {
			w.dir.Defend(0, w.now)
		}
		var states []string
		for c := range w.dir.Connections {
			states = append(states, c.State)
		}
		slices.Sort(states)
		if got := strings.Join(states, " "); got != step.want {
			t.Errorf("%v later there are %s, want %s", step.advance, got, step.want)
		}
	}
}

// TestDropPacketAutomatic checks how many new connections are dropped when
// memory is short: one of amemthresh/(amemthresh - available), the first included.
func TestDropPacketAutomatic(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, oneServer)
	err := w.dir.Apply([]ipvs.Change{
		{Kind: ipvs.SetSysctl, Name: "drop_packet", Value: "1"}, {Kind: ipvs.SetSysctl, Name: "amemthresh", Value: "1000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(4000)
	for _, step := range []struct {
		available, of, want int
	}{{1000, 20, 0}, {750, 20, 5}, {0, 20, 20}, {2000, 20, 0}} {
		w.dir.Defend(step.available, w.now)
		dropped := 0
		for range step.of {
			port++
			if w.batch(syn(w, port))[0] == dataplane.DropDefence {
				dropped++
			}
		}
		if dropped != step.want {
			t.Errorf("with %d of 1000 pages free %d of %d new connections are dropped, want %d", step.available, dropped, step.of, step.want)
		}
	}
}
