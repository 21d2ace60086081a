package dataplane_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// told returns what has happened since the last call, a line each.
func (w *world) told() string {
	var b strings.Builder
	for _, e := range w.dir.TakeEvents(nil) {
		fmt.Fprintf(&b, "%v", e.Kind)
		switch {
		case e.Kind.Connection():
			what := "conn"
			if e.Template {
				what = "template"
			}
			fmt.Fprintf(&b, " %s %v %v>%v>%v %s of %v", what, e.Proto, e.Client, e.Virtual, e.Server, strings.TrimPrefix(e.Before+">"+e.State, ">"), e.Service)
			if e.Reason != ipvs.NoReason {
				fmt.Fprintf(&b, " by %v", e.Reason)
			}
			if e.FromServer {
				b.WriteString(" of the server")
			}
			fmt.Fprintf(&b, " %d pkts", e.Packets)
		case e.Kind == ipvs.EventConfig:
			fmt.Fprintf(&b, " %v", e.Change)
		case e.Kind == ipvs.EventGap:
			fmt.Fprintf(&b, " %d", e.Lost)
		default:
			fmt.Fprintf(&b, " %v %v weight %d>%d", e.Service, e.Server, e.WeightBefore, e.Weight)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// expect checks what has happened since the last look.
func (w *world) expect(t *testing.T, what, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.ReplaceAll(want, "\t", ""), w.told()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// The client, the VIP and the first server of the tests about events.
var (
	eventClient = netip.MustParseAddrPort("10.10.3.5:4000")
	eventVIP    = netip.MustParseAddrPort("10.10.1.1:80")
	eventServer = netip.MustParseAddrPort("10.20.0.11:8080")
)

// says lets the client send a segment to the VIP.
func (w *world) says(flags string, client netip.AddrPort) dataplane.Verdict {
	return w.batch(frame(vipLink, packettest.Packet{Proto: 6, DF: true, Flags: flags, Src: client, Dst: eventVIP}.Frame()))[0]
}

// answers lets the server send a segment to the client.
func (w *world) answers(flags string, client netip.AddrPort) {
	w.batch(frame(dipLink, packettest.Packet{Proto: 6, DF: true, Flags: flags, Src: eventServer, Dst: client}.Frame()))
}

const eventRules = "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 2\n"

// followed returns a world with the rules, whose events are followed from then
// on.
func followed(t *testing.T, rules string, change func(*dataplane.Config)) *world {
	t.Helper()
	w := newWorld(change)
	w.mustRules(t, rules)
	w.dir.Follow(true)
	if early := w.told(); early != "" {
		t.Fatalf("told before anybody followed: %s", early)
	}
	return w
}

func TestEventsOfAConnection(t *testing.T) {
	w := followed(t, eventRules, nil)
	w.says("S", eventClient)
	w.answers("SA", eventClient)
	w.says("A", eventClient)
	w.says("PA", eventClient)
	w.expect(t, "handshake", `born conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 NONE of TCP 10.10.1.1:80 0 pkts
	state conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 NONE>SYN_RECV of TCP 10.10.1.1:80 by syn 0 pkts
	state conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 SYN_RECV>ESTABLISHED of TCP 10.10.1.1:80 by ack 1 pkts
	`)
	w.answers("FA", eventClient)
	w.says("FA", eventClient)
	w.expect(t, "end of both sides", `state conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 ESTABLISHED>FIN_WAIT of TCP 10.10.1.1:80 by fin of the server 3 pkts
	state conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 FIN_WAIT>TIME_WAIT of TCP 10.10.1.1:80 by fin 3 pkts
	`)
	w.settle()
	w.expect(t, "later", "died conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 TIME_WAIT of TCP 10.10.1.1:80 by expired 4 pkts\n")
	w.dir.Follow(false)
	w.says("S", eventClient)
	w.expect(t, "nobody follows", "")
}

// TestEventsOfAnAssociation: the chunks of SCTP that change a state are its causes.
func TestEventsOfAnAssociation(t *testing.T) {
	w := followed(t, "-A --sctp-service 10.10.1.1:80 -s rr\n-a --sctp-service 10.10.1.1:80 -r 10.20.0.11:8080 -m\n", nil)
	play := func(chunks string) {
		for chunk := range strings.FieldsSeq(chunks) {
			p, link := packettest.Packet{Proto: 132, Src: eventClient, Dst: eventVIP, Chunks: chunk}, uint8(vipLink)
			if reply, ok := strings.CutPrefix(chunk, "<"); ok {
				p.Src, p.Dst, p.Chunks, link = eventServer, eventClient, reply, dipLink
			}
			w.batch(frame(link, p.Frame()))
		}
	}
	const conn = "conn SCTP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 "
	play("INIT <INIT_ACK COOKIE_ECHO <COOKIE_ACK DATA <SACK <SHUTDOWN SHUTDOWN_ACK")
	w.expect(t, "a whole life", "born "+conn+"NONE of SCTP 10.10.1.1:80 0 pkts\n\t"+
		"state "+conn+"NONE>INIT1 of SCTP 10.10.1.1:80 by init 0 pkts\n\t"+
		"state "+conn+"INIT1>C-SENT of SCTP 10.10.1.1:80 by init-ack of the server 1 pkts\n\t"+
		"state "+conn+"C-SENT>C-REPLIED of SCTP 10.10.1.1:80 by cookie-echo 1 pkts\n\t"+
		"state "+conn+"C-REPLIED>ESTABLISHED of SCTP 10.10.1.1:80 by cookie-ack of the server 2 pkts\n\t"+
		"state "+conn+"ESTABLISHED>S-SENT of SCTP 10.10.1.1:80 by shutdown of the server 3 pkts\n\t"+
		"state "+conn+"S-SENT>CLOSED of SCTP 10.10.1.1:80 by shutdown-ack 3 pkts\n\t")
	play("INIT 255 <ABORT")
	w.expect(t, "the same ports, and refused", "born "+conn+"NONE of SCTP 10.10.1.1:80 0 pkts\n\t"+
		"died "+conn+"CLOSED of SCTP 10.10.1.1:80 by reused 4 pkts\n\t"+
		"state "+conn+"NONE>INIT1 of SCTP 10.10.1.1:80 by init 0 pkts\n\t"+
		"state "+conn+"INIT1>REJECTED of SCTP 10.10.1.1:80 by abort of the server 2 pkts\n\t")
	w.settle()
	w.expect(t, "later", "died "+conn+"REJECTED of SCTP 10.10.1.1:80 by reset 2 pkts\n")
	w.sysctl("sloppy_sctp", "1")
	play("255 ERROR ABORT <ABORT")
	w.expect(t, "sloppy", "config sysctl\n\tborn "+conn+"NONE of SCTP 10.10.1.1:80 0 pkts\n\t"+
		"state "+conn+"NONE>ESTABLISHED of SCTP 10.10.1.1:80 by data 0 pkts\n\t"+
		"state "+conn+"ESTABLISHED>CLOSED of SCTP 10.10.1.1:80 by abort 2 pkts\n\t")
}

// TestEventsSayWhy: a connection ends in every way that there is.
func TestEventsSayWhy(t *testing.T) {
	second := "-a -t 10.10.1.1:80 -r 10.20.0.12:80 -m\n"
	for _, tt := range []struct {
		name   string
		rules  string
		change func(*dataplane.Config)
		do     func(w *world)
		want   []string // of died events: state and reason
	}{
		{name: "expired", do: func(w *world) { w.says("S", eventClient); w.settle() }, want: []string{"SYN_RECV expired"}},
		{name: "reset by the client", do: func(w *world) {
			w.says("S", eventClient)
			w.says("A", eventClient)
			w.says("R", eventClient)
			w.settle()
		}, want: []string{"CLOSE reset"}},
		{name: "reset by the server", do: func(w *world) { w.says("S", eventClient); w.answers("RA", eventClient); w.settle() }, want: []string{"CLOSE reset"}},
		{name: "reset, and used anew by an old packet", do: func(w *world) {
			w.sysctl("conn_reuse_mode", "0")
			w.says("S", eventClient)
			w.says("R", eventClient)
			w.answers("RA", eventClient)
			w.says("S", eventClient) // SYN_RECV again
			w.says("", eventClient)  // CLOSE without a RST
			w.settle()
		}, want: []string{"CLOSE expired"}},
		{name: "reused", do: func(w *world) {
			w.says("S", eventClient)
			w.answers("RA", eventClient)
			w.says("S", eventClient)
		}, want: []string{"CLOSE reused"}},
		{name: "evicted", change: func(c *dataplane.Config) { c.MaxConns = 1 }, do: func(w *world) {
			w.says("S", eventClient)
			w.says("S", netip.AddrPortFrom(eventClient.Addr(), 4001))
		}, want: []string{"SYN_RECV evicted"}},
		{name: "its server is deleted, and everything of it ends", do: func(w *world) {
			w.sysctl("expire_nodest_conn", "1")
			w.says("S", eventClient)
			w.rules("-d -t 10.10.1.1:80 -r 10.20.0.11:8080")
		}, want: []string{"SYN_RECV server-gone"}},
		{name: "its server was deleted before the next packet", rules: second, do: func(w *world) {
			w.says("S", eventClient)
			w.rules("-d -t 10.10.1.1:80 -r 10.20.0.12:80")
			w.sysctl("expire_nodest_conn", "1")
			w.says("S", eventClient)
		}, want: []string{"SYN_RECV server-gone"}},
		{name: "its server is quiesced, and there is no other", do: func(w *world) {
			w.sysctl("expire_nodest_conn", "1")
			w.says("S", eventClient)
			w.rules("-e -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 0")
			w.says("S", eventClient)
		}, want: []string{"SYN_RECV no-destination"}},
		{name: "drop_entry", do: func(w *world) {
			w.sysctl("drop_entry", "3")
			w.says("S", eventClient)
			for range 200 { // a random part of the table each time
				w.dir.Defend(0, w.now)
			}
		}, want: []string{"SYN_RECV drop-entry"}},
		{name: "one packet", rules: "-A -u 10.10.1.1:53 -s rr -o\n-a -u 10.10.1.1:53 -r 10.20.0.11:53 -m\n", do: func(w *world) {
			w.batch(frame(vipLink, packettest.Packet{Proto: 17, Src: eventClient, Dst: netip.MustParseAddrPort("10.10.1.1:53")}.Frame()))
		}, want: []string{"UDP one-packet"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := followed(t, eventRules+tt.rules, tt.change)
			tt.do(w)
			var got []string
			for _, e := range w.dir.TakeEvents(nil) {
				if e.Kind == ipvs.EventDied {
					got = append(got, fmt.Sprintf("%s %v", e.State, e.Reason))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventsOfTemplates(t *testing.T) {
	rules := "-A -t 10.10.1.1:80 -s rr -p 100\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m\n"
	w := followed(t, rules, nil)
	w.says("S", eventClient)
	w.says("A", eventClient)
	w.expect(t, "first connection", `born template TCP 10.10.3.5:0>10.10.1.1:80>10.20.0.11:8080 NONE of TCP 10.10.1.1:80 0 pkts
	born conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 NONE of TCP 10.10.1.1:80 0 pkts
	state conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 NONE>SYN_RECV of TCP 10.10.1.1:80 by syn 0 pkts
	state conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 SYN_RECV>ESTABLISHED of TCP 10.10.1.1:80 by ack 1 pkts
	state template TCP 10.10.3.5:0>10.10.1.1:80>10.20.0.11:8080 NONE>ASSURED of TCP 10.10.1.1:80 by assured 0 pkts
	`)
	w.settle()
	w.expect(t, "the end", `died conn TCP 10.10.3.5:4000>10.10.1.1:80>10.20.0.11:8080 ESTABLISHED of TCP 10.10.1.1:80 by expired 2 pkts
	died template TCP 10.10.3.5:0>10.10.1.1:80>10.20.0.11:8080 ASSURED of TCP 10.10.1.1:80 by expired 0 pkts
	`)
}

// TestBreakPersistence: the clients of a server that is taken out of use go to
// another one, at once or with their next connection.
func TestBreakPersistence(t *testing.T) {
	rules := "-A -t 10.10.1.1:80 -s rr -p 100\n-a -t 10.10.1.1:80 -r 10.20.0.12:80 -m\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m\n"
	w := newWorld(nil)
	w.mustRules(t, rules)
	busy, idle := eventClient, netip.MustParseAddrPort("10.10.3.7:4000")
	serverOf := func(port uint16) (server netip.Addr) {
		for _, c := range w.conns() {
			if c.Client == netip.AddrPortFrom(eventClient.Addr(), port) {
				server = c.Dest.Addr()
			}
		}
		return server
	}
	w.says("S", busy)
	first := serverOf(4000)
	w.says("S", netip.MustParseAddrPort("10.10.3.6:4000")) // gets the other server
	w.says("S", idle)
	w.says("A", idle)
	w.says("R", idle)
	w.now += 15 * time.Second
	w.batch() // its connection is gone, its template is not
	key := ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: eventVIP}}
	quiesced := ipvs.Destination{Addr: netip.AddrPortFrom(first, 8080), Method: ipvs.Masq}
	if first == netip.MustParseAddr("10.20.0.12") {
		quiesced.Addr = netip.AddrPortFrom(first, 80)
	}
	w.dir.Follow(true)
	err := w.dir.Apply([]ipvs.Change{
		{Kind: ipvs.EditDestination, Service: key, Destination: quiesced},
		{Kind: ipvs.BreakPersistence, Service: key, Destination: quiesced},
	})
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for _, e := range w.dir.TakeEvents(nil) {
		if e.Kind == ipvs.EventDied && e.Template && e.Reason == ipvs.Broken && e.Client.Addr() == idle.Addr() {
			broken++
		}
	}
	if broken != 1 {
		t.Errorf("%d templates of the idle client ended as broken, want 1", broken)
	}
	w.says("A", busy)
	w.says("S", netip.AddrPortFrom(busy.Addr(), 4001))
	if got := serverOf(4000); got != first {
		t.Errorf("the connection that lived moved from %v to %v", first, got)
	}
	if got := serverOf(4001); got == first || !got.IsValid() {
		t.Errorf("the busy client's next connection went to %v, which is quiesced and without templates", got)
	}
	err = w.dir.Apply([]ipvs.Change{{Kind: ipvs.BreakPersistence, Service: key, Destination: ipvs.Destination{Addr: eventClient}}})
	if err == nil {
		t.Error("breaking the persistence of a server that is not there succeeded")
	}
	w.settle()
	if err := w.leftovers(); err != nil {
		t.Error(err)
	}
}

func TestEventsOfServers(t *testing.T) {
	w := newWorld(nil)
	w.dir.Follow(true)
	w.mustRules(t, eventRules)
	w.expect(t, "made", "config add-service\nconfig add-server\nserver-up TCP 10.10.1.1:80 10.20.0.11:8080 weight 0>2\n")
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 0")
	w.expect(t, "weight 0", "config edit-server\nserver-quiesced TCP 10.10.1.1:80 10.20.0.11:8080 weight 2>0\n")
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 0 -x 2")
	w.expect(t, "weight 0 again", "config edit-server\n")
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 3 -x 2")
	w.expect(t, "weight 3", "config edit-server\nserver-up TCP 10.10.1.1:80 10.20.0.11:8080 weight 0>3\n")

	servers := func() (lines []string) {
		for line := range strings.Lines(w.told()) {
			if strings.HasPrefix(line, "server") {
				lines = append(lines, strings.Fields(line)[0])
			}
		}
		return lines
	}
	w.says("S", eventClient)
	w.says("S", netip.AddrPortFrom(eventClient.Addr(), 4001))
	if got := servers(); !slices.Equal(got, []string{"server-overloaded"}) {
		t.Errorf("at the upper threshold: %q", got)
	}
	w.settle()
	if got := servers(); !slices.Equal(got, []string{"server-recovered"}) {
		t.Errorf("below it: %q", got)
	}
	w.says("S", eventClient)
	w.says("S", netip.AddrPortFrom(eventClient.Addr(), 4001))
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 3 -x 5")
	if got := servers(); !slices.Equal(got, []string{"server-overloaded", "server-recovered"}) {
		t.Errorf("a higher threshold: %q", got)
	}
	w.mustRules(t, "-C")
	w.expect(t, "flushed", "config flush\nserver-down TCP 10.10.1.1:80 10.20.0.11:8080 weight 3>0\n")
}

// TestEventGap: what has no room is counted, and later events are told again.
func TestEventGap(t *testing.T) {
	w := followed(t, eventRules, nil)
	const conns = 10_000
	for i := range conns {
		w.says("S", netip.AddrPortFrom(eventClient.Addr(), uint16(10000+i)))
	}
	events := w.dir.TakeEvents(nil)
	gap := events[len(events)-1]
	if gap.Kind != ipvs.EventGap || gap.Lost+uint64(len(events)-1) != 2*conns || len(events) < 1000 {
		t.Errorf("%d events, the last %v of %d; want %d in all", len(events), gap.Kind, gap.Lost, 2*conns)
	}
	w.says("A", netip.AddrPortFrom(eventClient.Addr(), 10000))
	if got := w.told(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "state conn") {
		t.Errorf("after the gap: %s", got)
	}
}

// follower knows of a director what it was told from the start.
type follower struct {
	conns   map[string]int  // connections, with their state
	servers map[string]bool // whether they take new connections
}

func newFollower(w *world) *follower {
	w.dir.Follow(true)
	return &follower{map[string]int{}, map[string]bool{}}
}

// check takes what the director tells, and compares what is known then with what
// is there. Clients' ports do not count: of a connection that was announced, it
// may become known later.
func (f *follower) check(t *rapid.T, w *world) {
	t.Helper()
	for _, e := range w.dir.TakeEvents(nil) {
		id := fmt.Sprintf("%v %v>%v>%v ", e.Proto, e.Client.Addr(), e.Virtual, e.Server)
		server := fmt.Sprintf("%v %v", e.Service, e.Server)
		switch e.Kind {
		case ipvs.EventServerUp, ipvs.EventServerQuiesced:
			if up, there := f.servers[server]; there && up == (e.Kind == ipvs.EventServerUp) {
				t.Fatalf("%v of %s, which is so already", e.Kind, server)
			}
			f.servers[server] = e.Kind == ipvs.EventServerUp
		case ipvs.EventServerDown:
			if _, there := f.servers[server]; !there {
				t.Fatalf("%v of %s, which is not there", e.Kind, server)
			}
			delete(f.servers, server)
		case ipvs.EventBorn:
			f.conns[id+e.State]++
		case ipvs.EventState:
			f.conns[id+e.Before]--
			f.conns[id+e.State]++
		case ipvs.EventDied:
			f.conns[id+e.State]--
		}
	}
	maps.DeleteFunc(f.conns, func(_ string, n int) bool { return n == 0 })
	table := map[string]int{}
	for _, c := range w.conns() {
		table[fmt.Sprintf("%v %v>%v>%v %s", c.Proto, c.Client.Addr(), c.Virtual, c.Dest, c.State)]++
	}
	if diff := cmp.Diff(table, f.conns); diff != "" {
		t.Fatalf("the table and what was told of it (-table +told):\n%s", diff)
	}
	there := map[string]bool{}
	for _, s := range w.dir.Services() {
		for _, d := range s.Destinations {
			there[fmt.Sprintf("%v %v", s.Key, d.Addr)] = d.Weight != 0
		}
	}
	if diff := cmp.Diff(there, f.servers); diff != "" {
		t.Fatalf("the servers and what was told of them (-there +told):\n%s", diff)
	}
}

// TestEventsMakeTheTable: whoever follows from the start knows the table of
// connections and the servers after every step. (TestFTPRandom does the same.)
func TestEventsMakeTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := traffic{world: newWorld(func(c *dataplane.Config) {
			c.MaxConns = rapid.SampledFrom([]int{0, 3, 8}).Draw(t, "max conns")
		})}
		f := newFollower(w.world)
		w.change(t)
		t.Repeat(map[string]func(*rapid.T){
			"":       func(t *rapid.T) { f.check(t, w.world) },
			"change": w.change,
			"packet": w.packet,
			"flow":   w.flow,
			"answer": w.answer,
			"time": func(t *rapid.T) {
				w.now += rapid.SampledFrom([]time.Duration{time.Millisecond, 5 * time.Second, 3 * time.Minute}).Draw(t, "pause")
				w.dir.Defend(rapid.SampledFrom([]int{0, 1 << 30}).Draw(t, "memory"), w.now)
				w.send()
			},
		})
	})
}

// TestRivalsAreFew: a machine that floods the link with claims to a VIP does not
// flood the log.
func TestRivalsAreFew(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, eventRules)
	for range 2 {
		var claims []dataplane.Frame
		for range 20 {
			mac := [6]byte{2, 0, 0, 0, 0, 0x99}
			claims = append(claims, frame(vipLink, packettest.ARPReply(mac, eventVIP.Addr(), w.host.Links[vipLink].MAC, netip.MustParseAddr("10.10.0.1"))))
		}
		w.batch(claims...)
		if events := w.dir.TakeEvents(nil); len(events) != 8 || events[7].Kind != ipvs.EventVIPConflict || events[7].MAC[5] != 0x99 {
			t.Errorf("%d events of 20 claims in a batch, want 8", len(events))
		}
	}
}

// TestEventsAreInOrder: the operator's doings and the packets' are one stream.
func TestEventsAreInOrder(t *testing.T) {
	w := followed(t, eventRules, nil)
	w.says("S", eventClient)
	w.mustRules(t, "--set 1 2 3")
	w.says("A", eventClient)
	var got []string
	events := w.dir.TakeEvents(nil)
	for _, e := range events {
		got = append(got, e.Kind.String())
	}
	if want := []string{"born", "state", "config", "state"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if !slices.IsSortedFunc(events, func(a, b ipvs.Event) int { return int(a.At - b.At) }) {
		t.Errorf("events are not in order of time: %v", events)
	}
}

// TestEventsOfShards: what several shards do is one stream.
func TestEventsOfShards(t *testing.T) {
	w := followed(t, eventRules, func(c *dataplane.Config) { c.Shards = 2 })
	const clients = 50
	drivers := [2]*dataplane.Driver{}
	for i := range drivers {
		drivers[i] = w.dir.NewDriver(i, func([]dataplane.Frame, []dataplane.Resolve) {})
	}
	for i := range clients {
		w.now += time.Millisecond
		client := netip.AddrPortFrom(eventClient.Addr(), uint16(5000+i))
		syn := frame(vipLink, packettest.Packet{Proto: 6, DF: true, Flags: "S", Src: client, Dst: eventVIP}.Frame())
		drivers[i%2].Batch([]dataplane.Frame{syn}, w.now)
	}
	events := w.dir.TakeEvents(nil)
	if len(events) != 2*clients {
		t.Fatalf("%d events, want %d", len(events), 2*clients)
	}
	for i, e := range events {
		kind, port := ipvs.EventBorn, uint16(5000+i/2)
		if i%2 == 1 {
			kind = ipvs.EventState
		}
		if e.Kind != kind || e.Client.Port() != port || e.At != w.now-(clients-1-time.Duration(i/2))*time.Millisecond {
			t.Fatalf("event %d is %v of port %d at %v, want %v of port %d", i, e.Kind, e.Client.Port(), e.At, kind, port)
		}
	}
}
