package dataplane_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/dataplane"
	"natlb/internal/ipvsadm"
	"natlb/internal/packettest"
	"natlb/ipvs"
)

// question reads "tcp CIP:port VIP:port", or "tcp CIP:port < RIP:port" for an
// answer.
func question(text string) ipvs.Question {
	f := strings.Fields(text)
	q := ipvs.Question{Proto: ipvs.TCP}
	switch f[0] {
	case "udp":
		q.Proto = ipvs.UDP
	case "sctp":
		q.Proto = ipvs.SCTP
	}
	var err error
	if q.Client, err = netip.ParseAddrPort(f[1]); err != nil {
		q.Client = netip.AddrPortFrom(netip.MustParseAddr(f[1]), 0)
	}
	if f[2] == "<" {
		q.Server = netip.MustParseAddrPort(f[3])
	} else {
		q.Virtual = netip.MustParseAddrPort(f[2])
	}
	return q
}

func (w *world) explain(t testing.TB, q ipvs.Question) *ipvs.Explanation {
	t.Helper()
	x, err := w.dir.Explain(q)
	if err != nil {
		t.Fatalf("Explain(%+v) = %v", q, err)
	}
	return x
}

// told is an explanation as a few words.
func told(x *ipvs.Explanation) string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("%s", x.Verdict)
	for _, s := range x.Search {
		say("%s: %s", s.Looked, map[bool]string{true: "yes", false: s.Why}[s.Found])
	}
	for _, m := range x.NearMisses {
		say("not %s %v %d: %s", m.Protocol, m.Address, m.Mark, m.Why)
	}
	if x.Connection != nil {
		say("had %s %v", x.Connection.State, x.Connection.Dest)
	}
	if x.Template != nil {
		say("template %s", x.Template.Outcome+" "+x.Template.Why)
	}
	if x.Pick != nil {
		say("asked %s, picked %v", x.Pick.Scheduler, x.Pick.Server)
	}
	if e := x.Entry; e != nil {
		say("entry %s %v > %v > %v %g %s", e.State, e.Client, e.Virtual, e.Dest, e.Timeout, strings.Join(e.Flags, ","))
	}
	for _, p := range x.Sent {
		say("sent %s %v > %v ttl=%d %s%s%s", p.Link, p.Src, p.Dst, p.TTL, p.Flags, p.ICMP, p.Chunk)
	}
	if h := x.NextHop; h != nil {
		say("hop %s via %v %s %s", h.Kind, h.Via, h.Link, h.MAC)
	}
	for _, y := range x.Why {
		say("why: %s", y)
	}
	return strings.Join(out, "\n")
}

const explainRules = `-A -t 10.10.1.1:80 -s wlc
-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 1
-a -t 10.10.1.1:80 -r 10.20.0.12:8080 -m -w 2
-a -t 10.10.1.1:80 -r 10.20.0.13:8080 -m -w 0
-A -t 10.10.1.1:443 -s rr -p 100 -M 255.255.255.0
-a -t 10.10.1.1:443 -r 10.20.0.11 -m
-A -u 10.10.1.1:53 -s rr -o
-a -u 10.10.1.1:53 -r 10.20.0.11 -m
-A -t 10.10.1.2:80 -s rr
-A -t 10.10.1.2:0 -s rr -p
-A -t 10.10.1.9:21 -s rr -p
-a -t 10.10.1.9:21 -r 10.20.0.14 -m
-A --sctp-service 10.10.1.1:2905 -s rr
-a --sctp-service 10.10.1.1:2905 -r 10.20.0.11 -m
-A -f 7 -s rr
-a -f 7 -r 10.20.0.15 -m
`

// TestExplainTells goes through what there is to tell.
func TestExplainTells(t *testing.T) {
	for _, c := range []struct{ ask, want string }{
		{"tcp 10.10.3.5:4000 10.10.1.1:80", `forward
a firewall-mark service: the packet has no mark
TCP 10.10.1.1:80: yes
not tcp 10.10.1.1:443 0: another port
not tcp 10.10.1.2:80 0: another address
not  invalid AddrPort 7: the packet has no firewall mark
asked wlc, picked 10.20.0.12:8080
entry SYN_RECV 10.10.3.5:4000 > 10.10.1.1:80 > 10.20.0.12:8080 60 active
sent dip 10.10.3.5:4000 > 10.20.0.12:8080 ttl=63 SYN
hop forward via 10.20.0.12 dip 02:00:0a:14:00:0c`},
		{"tcp 10.10.3.5 10.10.1.1:443", `forward
a firewall-mark service: the packet has no mark
TCP 10.10.1.1:443: yes
not tcp 10.10.1.1:80 0: another port
not  invalid AddrPort 7: the packet has no firewall mark
template made 
asked rr, picked 10.20.0.11:443
entry SYN_RECV 10.10.3.5:40000 > 10.10.1.1:443 > 10.20.0.11:443 60 active,persistent
sent dip 10.10.3.5:40000 > 10.20.0.11:443 ttl=63 SYN
hop forward via 10.20.0.11 dip 02:00:0a:14:00:0b`},
		{"udp 10.10.3.5:4000 10.10.1.1:53", `forward
a firewall-mark service: the packet has no mark
UDP 10.10.1.1:53: yes
not  invalid AddrPort 7: the packet has no firewall mark
asked rr, picked 10.20.0.11:53
entry UDP 10.10.3.5:4000 > 10.10.1.1:53 > 10.20.0.11:53 300 inactive,one-packet
sent dip 10.10.3.5:4000 > 10.20.0.11:53 ttl=63 
hop forward via 10.20.0.11 dip 02:00:0a:14:00:0b`},
		{"tcp 10.10.3.5:4000 10.10.1.1:53", `answer-reset
a firewall-mark service: the packet has no mark
TCP 10.10.1.1:53: there is none
FTP data of TCP 10.10.1.1:21: port 53 cannot be one of FTP data
TCP 10.10.1.1:0, all ports: there is none
not tcp 10.10.1.1:80 0: another port
not tcp 10.10.1.1:443 0: another port
not udp 10.10.1.1:53 0: another protocol
not  invalid AddrPort 7: the packet has no firewall mark
sent vip 10.10.1.1:53 > 10.10.3.5:4000 ttl=64 RST|ACK
why: no service takes the packet`},
		{"tcp 10.10.3.5:4000 10.10.1.2:80", `answer-no-destination
a firewall-mark service: the packet has no mark
TCP 10.10.1.2:80: yes
not tcp 10.10.1.2:0 0: asked later: the search had ended
not tcp 10.10.1.1:80 0: another address
not  invalid AddrPort 7: the packet has no firewall mark
asked rr, picked <nil>
sent vip 10.10.1.2:0 > 10.10.3.5:0 ttl=64 port unreachable`},
		{"tcp 10.10.3.5:4000 10.10.1.2:8443", `answer-no-destination
a firewall-mark service: the packet has no mark
TCP 10.10.1.2:8443: there is none
FTP data of TCP 10.10.1.2:21: there is none
TCP 10.10.1.2:0, all ports: yes
not tcp 10.10.1.2:80 0: another port
not  invalid AddrPort 7: the packet has no firewall mark
template none 
asked rr, picked <nil>
sent vip 10.10.1.2:0 > 10.10.3.5:0 ttl=64 port unreachable`},
		{"tcp 10.10.3.5:4000 10.10.1.9:5555", `forward
a firewall-mark service: the packet has no mark
TCP 10.10.1.9:5555: there is none
FTP data of TCP 10.10.1.9:21: yes
not  invalid AddrPort 7: the packet has no firewall mark
template made 
asked rr, picked 10.20.0.14:21
entry SYN_RECV 10.10.3.5:4000 > 10.10.1.9:5555 > 10.20.0.14:5555 60 active,persistent
sent dip 10.10.3.5:4000 > 10.20.0.14:5555 ttl=63 SYN
hop forward via 10.20.0.14 dip 02:00:0a:14:00:0e`},
		{"tcp 10.10.1.1:4000 10.10.1.1:80", `drop-martian
a firewall-mark service: the packet has no mark
TCP 10.10.1.1:80: yes
not tcp 10.10.1.1:443 0: another port
not tcp 10.10.1.2:80 0: another address
not  invalid AddrPort 7: the packet has no firewall mark`},
		{"tcp 10.10.3.5:4000 10.10.1.77:80", `pass-other
not tcp 10.10.1.1:80 0: another address
not tcp 10.10.1.2:80 0: another address
not  invalid AddrPort 7: the packet has no firewall mark
why: 10.10.1.77 is no VIP`},
		{"tcp 10.10.3.5:4000 < 10.20.0.11:8080", `route
sent vip 10.20.0.11:8080 > 10.10.3.5:4000 ttl=63 SYN|ACK
hop forward via 10.10.3.5 vip 02:00:0a:0a:03:05
why: it belongs to no connection of that client with that server
why: 10.10.3.5 is no VIP`},
	} {
		w := newWorld(nil)
		w.mustRules(t, explainRules)
		if diff := cmp.Diff(c.want, told(w.explain(t, question(c.ask)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.ask, diff)
		}
	}
}

// TestExplainSCTP asks about an association, before and after it is there.
func TestExplainSCTP(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, explainRules)
	check := func(ask string, chunk ipvs.Chunk, want ...string) {
		t.Helper()
		q := question(ask)
		if chunk != ipvs.ChunkInit {
			q.Chunk = &chunk
		}
		got := told(w.explain(t, q))
		for _, line := range want {
			if !strings.Contains("\n"+got+"\n", "\n"+line+"\n") {
				t.Errorf("%s: %q is missing in\n%s", ask, line, got)
			}
		}
	}
	const cookieEcho, abort, data = 10, 6, 0
	const client, reply = "sctp 10.10.3.5:4000 10.10.1.1:2905", "sctp 10.10.3.5:4000 < 10.20.0.11:2905"
	check(client, ipvs.ChunkInit, "forward", "asked rr, picked 10.20.0.11:2905",
		"entry INIT1 10.10.3.5:4000 > 10.10.1.1:2905 > 10.20.0.11:2905 4 inactive", "sent dip 10.10.3.5:4000 > 10.20.0.11:2905 ttl=63 INIT")
	check(client, data, "answer-reset", "why: DATA opens no connection: INIT does", "sent vip 10.10.1.1:2905 > 10.10.3.5:4000 ttl=64 ABORT")
	check(client, abort, "pass-host", "why: ABORT opens no connection: INIT does")
	p := packettest.Packet{Src: netip.MustParseAddrPort("10.10.3.5:4000"), Dst: netip.MustParseAddrPort("10.10.1.1:2905"), Proto: 132, Chunks: "INIT"}
	w.batch(frame(vipLink, w.from(vipLink, p).Frame()))
	check(reply, ipvs.ChunkInit, "entry C-SENT 10.10.3.5:4000 > 10.10.1.1:2905 > 10.20.0.11:2905 61 inactive", "sent vip 10.10.1.1:2905 > 10.10.3.5:4000 ttl=63 INIT-ACK")
	check(client, cookieEcho, "had INIT1 10.20.0.11:2905", "entry INIT 10.10.3.5:4000 > 10.10.1.1:2905 > 10.20.0.11:2905 61 inactive")
}

// TestExplainConnections asks about packets of connections and templates that
// are there.
func TestExplainConnections(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, explainRules)
	tcp := func(src, dst, flags string) {
		t.Helper()
		link := uint8(vipLink)
		if strings.HasPrefix(src, "10.20") {
			link = dipLink
		}
		p := packettest.Packet{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst), Proto: 6, Flags: flags, DF: true}
		w.batch(frame(link, w.from(link, p).Frame()))
	}
	check := func(ask string, flags ipvs.TCPFlags, want ...string) {
		t.Helper()
		q := question(ask)
		q.Flags = flags
		got := told(w.explain(t, q))
		for _, line := range want {
			if !strings.Contains("\n"+got+"\n", "\n"+line+"\n") {
				t.Errorf("%s: %q is missing in\n%s", ask, line, got)
			}
		}
	}
	const syn, ack, fin = 0x02, 0x10, 0x01
	// More templates than a copy has places: Refs of original and copy differ.
	for i := range 60 {
		tcp(fmt.Sprintf("10.10.2.%d:4000", i), "10.10.1.1:80", "S")
		tcp(fmt.Sprintf("10.11.%d.1:4000", i), "10.10.1.1:443", "S")
	}
	tcp("10.10.3.5:4000", "10.10.1.1:443", "S")
	check("tcp 10.10.3.5:4000 < 10.20.0.11:443", 0, "entry SYN_RECV 10.10.3.5:4000 > 10.10.1.1:443 > 10.20.0.11:443 60 active,persistent",
		"sent vip 10.10.1.1:443 > 10.10.3.5:4000 ttl=63 SYN|ACK")
	check("tcp 10.10.3.5:4000 < 10.20.0.11:443", ack,
		"forward", "had SYN_RECV 10.20.0.11:443", "entry ESTABLISHED 10.10.3.5:4000 > 10.10.1.1:443 > 10.20.0.11:443 900 active,persistent",
		"sent vip 10.10.1.1:443 > 10.10.3.5:4000 ttl=63 ACK", "hop forward via 10.10.3.5 vip 02:00:0a:0a:03:05")
	check("tcp 10.10.3.77:1 10.10.1.1:443", 0, "template found ")
	w.mustRules(t, "-e -t 10.10.1.1:443 -r 10.20.0.11 -m -w 0\n-a -t 10.10.1.1:443 -r 10.20.0.12 -m")
	check("tcp 10.10.3.77:1 10.10.1.1:443", 0, "template found ", "sent dip 10.10.3.77:1 > 10.20.0.11:443 ttl=63 SYN")
	w.sysctl("expire_quiescent_template", "1")
	check("tcp 10.10.3.77:1 10.10.1.1:443", 0,
		"template replaced its server is quiesced, and sysctl expire_quiescent_template is 1", "asked rr, picked 10.20.0.12:443")
	w.mustRules(t, "-d -t 10.10.1.1:443 -r 10.20.0.11")
	check("tcp 10.10.3.77:1 10.10.1.1:443", 0, "template replaced its server was deleted", "asked rr, picked 10.20.0.12:443")
	check("tcp 10.10.3.5:4000 10.10.1.1:443", ack, "drop-server-gone", "had SYN_RECV 10.20.0.11:443",
		"why: with sysctl expire_nodest_conn=0 its connections stay until their time is up")

	tcp("10.20.0.12:8080", "10.10.2.0:4000", "RA")
	check("tcp 10.10.2.0:4000 10.10.1.1:80", syn, "had CLOSE 10.20.0.12:8080",
		"why: the connection that was there has outlived its use: the packet is scheduled anew")
	check("tcp 10.10.2.1:4000 10.10.1.1:80", fin|ack, "forward", "had SYN_RECV 10.20.0.11:8080")
	check("tcp 10.10.2.200:4000 10.10.1.1:80", ack, "answer-reset", "why: ACK opens no connection: a SYN without RST does")

	// The first free port of a client.
	for i := range 3 {
		tcp(fmt.Sprintf("10.10.3.9:%d", 40000+i), "10.10.1.1:80", "S")
	}
	if x := w.explain(t, question("tcp 10.10.3.9 10.10.1.1:80")); x.Received.Src.Port() != 40003 {
		t.Errorf("asked without a port, explained is %v", x.Received.Src)
	}
}

// TestExplainPick looks at the numbers behind a pick.
func TestExplainPick(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, explainRules)
	x := w.explain(t, question("tcp 10.10.3.5:4000 10.10.1.1:80"))
	server := netip.MustParseAddrPort
	picked := server("10.20.0.12:8080")
	want := &ipvs.ExplainedPick{
		Scheduler: "wlc", Rule: "the least load per weight wins, 256 x active + inactive connections", Compares: "load/weight", Server: &picked,
		Candidates: []ipvs.ExplainedCandidate{
			{Address: server("10.20.0.13:8080"), Method: "masq", Out: "quiesced"},
			{Address: picked, Method: "masq", Weight: 2, Per: 2, Picked: true},
			{Address: server("10.20.0.11:8080"), Method: "masq", Weight: 1, Per: 1},
		},
	}
	if diff := cmp.Diff(want, x.Pick, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("pick (-want +got):\n%s", diff)
	}
}

// TestExplainMark: the mark in the question stands in for the rules.
func TestExplainMark(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, explainRules)
	for mark, want := range map[uint32]string{7: "10.20.0.15:80", 8: "10.20.0.12:8080", 0: "10.20.0.12:8080"} {
		q := question("tcp 10.10.3.5:4000 10.10.1.1:80")
		q.Mark = &mark
		if x := w.explain(t, q); x.Mark != mark || x.Verdict != "forward" || x.Server == nil || x.Entry.Dest.String() != want {
			t.Errorf("with mark %d:\n%s", mark, told(x))
		}
	}
	w = newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m")
	q := question("tcp 10.10.3.5:4000 10.10.1.1:80")
	q.Mark = new(uint32)
	*q.Mark = 9
	if x := w.explain(t, q); x.Mark != 9 || x.Search[0].Why != "there is none" || x.Verdict != "forward" {
		t.Errorf("without any such service:\n%s", told(x))
	}
}

// TestExplainAnnouncedData: a data connection that an FTP server has announced
// waits for the client's port.
func TestExplainAnnouncedData(t *testing.T) {
	w := newWorld(func(c *dataplane.Config) { c.FTPPorts = []uint16{21} })
	w.mustRules(t, explainRules)
	say := func(from, to, flags, text string) {
		link := uint8(vipLink)
		if from == "10.20.0.14:21" {
			link = dipLink
		}
		p := packettest.Packet{Src: netip.MustParseAddrPort(from), Dst: netip.MustParseAddrPort(to), Proto: 6, Flags: flags, DF: true, Payload: []byte(text)}
		w.batch(frame(link, w.from(link, p).Frame()))
	}
	const client, vip, server = "10.10.3.5:4000", "10.10.1.9:21", "10.20.0.14:21"
	say(client, vip, "S", "")
	say(server, client, "SA", "")
	say(client, vip, "A", "")
	say(client, vip, "PA", "PASV\r\n")
	say(server, client, "PA", "227 Entering Passive Mode (10,20,0,14,19,136)\r\n")
	got := told(w.explain(t, question("tcp 10.10.3.5:4001 10.10.1.9:5000")))
	if !strings.Contains(got, "had LISTEN 10.20.0.14:5000\nentry SYN_RECV 10.10.3.5:4001 > 10.10.1.9:5000 > 10.20.0.14:5000 60 active\n") {
		t.Errorf("the client's data connection:\n%s", got)
	}
}

// TestExplainNeighbours: a packet that would wait, and one that finds no place.
func TestExplainNeighbours(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m")
	w.setHost(func(h *packettest.Host) { h.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Unresolved })
	ask := question("tcp 10.10.3.5:4000 10.10.1.1:80")
	x := w.explain(t, ask)
	if x.Verdict != "held-neighbour" || x.Held == nil || x.Held.Dst.String() != "10.20.0.11:80" || x.NextHop.Resolved || x.NextHop.MAC != "" {
		t.Errorf("to a server that is not resolved: %+v", x)
	}
	for i := range 32 {
		p := packettest.Packet{Src: netip.AddrPortFrom(ask.Client.Addr(), uint16(5000+i)), Dst: ask.Virtual, Proto: 6, Flags: "S"}
		w.batch(frame(vipLink, w.from(vipLink, p).Frame()))
	}
	if x := w.explain(t, ask); x.Verdict != "drop-neighbour-full" {
		t.Errorf("behind 32 waiting frames: %s", told(x))
	}
	w.setHost(func(h *packettest.Host) { delete(h.Neighbours, netip.MustParseAddr("10.20.0.11")) })
	if x := w.explain(t, ask); x.Verdict != "forward" {
		t.Errorf("once the server has answered: %s", told(x))
	}
}

// TestExplainDuringSweep: connections of a deleted server that a long sweep has
// not come to yet are gone before the next packet.
func TestExplainDuringSweep(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m\n-a -t 10.10.1.1:80 -r 10.20.0.12 -m -w 0")
	w.sysctl("expire_nodest_conn", "1")
	packet := func(i int, flags string) dataplane.Frame {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 2, byte(i >> 8)}), uint16(1024+i&0xff))
		return frame(vipLink, w.from(vipLink, packettest.Packet{Src: src, Dst: netip.MustParseAddrPort("10.10.1.1:80"), Proto: 6, Flags: flags}).Frame())
	}
	const conns = 5000 // more than one batch looks at
	for i := range conns {
		w.batch(packet(i, "S"))
	}
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.12 -m -w 1\n-d -t 10.10.1.1:80 -r 10.20.0.11")
	x := w.explain(t, question("tcp 10.10.2.19:1150 10.10.1.1:80"))
	if got := len(w.conns()); got < 500 {
		t.Fatalf("%d connections left: the sweep is over", got)
	}
	v := w.batch(packet(19<<8|126, "S"))[0]
	if v.String() != x.Verdict || x.Connection != nil {
		t.Errorf("said was %s, done %v", told(x), v)
	}
	if out := w.shard.Output(); len(out) != 1 || hex.EncodeToString(out[0].Data[26:34]) != x.Sent[0].Frame[52:68] {
		t.Errorf("said was %s, sent %v", told(x), w.output())
	}
}

// TestExplainMeanwhile asks while packets and changes go on; the race detector
// has the last word.
func TestExplainMeanwhile(t *testing.T) {
	d := dataplane.NewDirector(dataplane.Config{Seed: 7, Shards: 2, Links: []dataplane.Link{
		{Name: "vip", Side: dataplane.VIPSide}, {Name: "dip", Side: dataplane.DIPSide},
	}})
	host := testHost()
	d.SetHost(host)
	apply := func(text string) {
		rules, err := ipvsadm.ParseRules(strings.NewReader(text), "rules")
		if err == nil {
			err = d.Apply(rules.Changes)
		}
		if err != nil {
			t.Error(err)
		}
	}
	apply(explainRules)
	var work sync.WaitGroup
	for shard := range 2 {
		work.Go(func() {
			driver := d.NewDriver(shard, func([]dataplane.Frame, []dataplane.Resolve) {})
			for i := range 2000 {
				src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 3, byte(i)}), uint16(4000+i/256))
				vip := netip.MustParseAddrPort([]string{"10.10.1.1:80", "10.10.1.1:443"}[i%2])
				p := packettest.Packet{Src: src, Dst: vip, Proto: 6, Flags: "S", SrcMAC: packettest.NeighbourMAC(src.Addr()), DstMAC: host.Links[0].MAC}
				driver.Batch([]dataplane.Frame{frame(vipLink, p.Frame())}, time.Duration(i)*time.Millisecond)
			}
		})
	}
	work.Go(func() {
		for i := range 100 {
			apply(fmt.Sprintf("-e -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w %d", i%3))
			d.Housekeep(time.Duration(i) * time.Minute)
		}
	})
	for i := range 200 {
		q := question(fmt.Sprintf("tcp 10.10.3.%d:4000 10.10.1.1:%d", i, []int{80, 443}[i%2]))
		if x, err := d.Explain(q); err != nil || x.Verdict != "forward" {
			t.Fatalf("Explain(%+v) = %+v, %v", q, x, err)
		}
	}
	work.Wait()
}

// TestExplainFaults: questions that make no sense.
func TestExplainFaults(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, explainRules)
	server := netip.MustParseAddrPort("10.20.0.11:80")
	good := question("tcp 10.10.3.5:4000 10.10.1.1:80")
	for _, c := range []struct {
		change func(*ipvs.Question)
		want   error
	}{
		{func(q *ipvs.Question) { q.Proto = 1 }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Proto, q.Flags = ipvs.SCTP, 2 }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Chunk = new(ipvs.Chunk) }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Client = netip.AddrPort{} }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Virtual = netip.AddrPort{} }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Virtual = netip.AddrPortFrom(q.Virtual.Addr(), 0) }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Virtual = netip.MustParseAddrPort("[fd00::1]:80") }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Client = netip.MustParseAddrPort("[fd00::1]:80") }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Server, q.Client = server, netip.AddrPortFrom(q.Client.Addr(), 0) }, ipvs.ErrInvalid},
		{func(q *ipvs.Question) { q.Link = "eth7" }, ipvs.ErrInvalid},
	} {
		q := good
		c.change(&q)
		if x, err := w.dir.Explain(q); x != nil || !errors.Is(err, c.want) {
			t.Errorf("Explain(%+v) = %v, %v, want %v", q, x, err, c.want)
		}
	}
	if x, err := dataplane.NewDirector(dataplane.Config{}).Explain(good); x != nil || !errors.Is(err, ipvs.ErrInvalid) {
		t.Errorf("a director without interfaces: %v, %v", x, err)
	}
}

// TestExplainMethods: what is sent without translation, in a tunnel, and to the host
// itself.
func TestExplainMethods(t *testing.T) {
	w := newWorld(nil)
	w.setHost(func(h *packettest.Host) { h.Locals[netip.MustParseAddr("10.10.1.1")] = true })
	w.mustRules(t, "-A -t 10.10.1.1:80\n-a -t 10.10.1.1:80 -r 10.20.0.11 -g\n"+
		"-A -t 10.10.1.1:81\n-a -t 10.10.1.1:81 -r 10.20.0.11 -i\n"+
		"-A -t 10.10.1.1:82\n-a -t 10.10.1.1:82 -r 10.20.0.1 -g")
	for port, want := range map[uint16][3]string{
		80: {"route", "dip", "10.10.1.1:80"}, 81: {"tunnel", "dip", "10.20.0.11:0"}, 82: {"route", "host", "10.10.1.1:82"},
	} {
		x, err := w.dir.Explain(ipvs.Question{
			Proto: ipvs.TCP, Client: netip.MustParseAddrPort("10.10.3.5:4000"), Virtual: netip.AddrPortFrom(netip.MustParseAddr("10.10.1.1"), port),
		})
		if err != nil {
			t.Fatal(err)
		}
		if x.Entry == nil || len(x.Sent) != 1 {
			t.Fatalf("port %d: %+v", port, x)
		}
		if got := [3]string{x.Entry.Method, x.Sent[0].Link, x.Sent[0].Dst.String()}; got != want || !x.Sent[0].ChecksumsOK {
			t.Errorf("port %d: %v, checksums good %v, want %v", port, got, x.Sent[0].ChecksumsOK, want)
		}
	}
}

// TestExplainFragments: the pieces of what is too long for its link are sent with good
// checksums, as far as a piece has one.
func TestExplainFragments(t *testing.T) {
	w := newWorld(nil)
	w.setHost(func(h *packettest.Host) { h.Links[dipLink].MTU = 68 })
	w.mustRules(t, "-A -t 10.10.1.1:80\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m")
	init := ipvs.Chunk(1) // whose network is unreachable
	x, err := w.dir.Explain(ipvs.Question{Proto: ipvs.SCTP, Chunk: &init, Client: netip.MustParseAddrPort("192.0.2.1:4000"), Server: netip.MustParseAddrPort("10.20.0.11:80")})
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Sent) != 2 || !x.Sent[0].ChecksumsOK || !x.Sent[1].ChecksumsOK {
		t.Errorf("sent is %+v", x.Sent)
	}
}

// TestExplainTellsFamilies: one mark may have a service of either family.
func TestExplainTellsFamilies(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, "-A -f 7 -s rr\n-a -f 7 -r 10.20.0.11 -m\n-A -f 7 -6 -s rr\n-a -f 7 -6 -r fd20::11 -m\n-A -f 8 -6 -s rr")
	mark := uint32(7)
	x, err := w.dir.Explain(ipvs.Question{
		Proto: ipvs.TCP, Mark: &mark, Client: netip.MustParseAddrPort("[fd10::5]:4000"), Virtual: netip.MustParseAddrPort("[fd10:1::9]:80"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if x.Service == nil || x.Service.Mark != 7 || !x.Service.IPv6 || len(x.NearMisses) != 1 || !x.NearMisses[0].IPv6 {
		t.Errorf("service %+v, near misses %+v: want those of IPv6", x.Service, x.NearMisses)
	}
}
