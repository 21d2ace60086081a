package dataplane_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"natlb/dataplane"
	"natlb/ipvs"
	"natlb/sched"
)

// TestExplainIsWhatHappens: whatever has happened to a director, what it says of
// a packet is what it then does with it, byte for byte. One with several shards,
// each frame in any of them, says the same, and one that was not asked is in the
// same state at every step.
func TestExplainIsWhatHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var config dataplane.Config
		config.MaxConns = rapid.SampledFrom([]int{0, 0, 3, 8}).Draw(t, "max conns")
		config.NoRoute = rapid.Bool().Draw(t, "no route")
		if rapid.Bool().Draw(t, "limits") {
			config.ICMP = dataplane.DefaultICMPLimits
		}
		if rapid.Bool().Draw(t, "ftp") {
			config.FTPPorts = []uint16{21}
		}
		change := func(c *dataplane.Config) {
			c.MaxConns, c.NoRoute, c.ICMP, c.FTPPorts = config.MaxConns, config.NoRoute, config.ICMP, config.FTPPorts
		}
		shards, persistent := 1, rapid.Bool().Draw(t, "persistent")
		if config.MaxConns == 0 && !persistent { // a cap is each shard's own, and templates end with the first one's batches
			shards = rapid.IntRange(1, 3).Draw(t, "shards")
		}
		w := &explained{
			traffic: traffic{world: newWorld(change)}, persistent: persistent,
			capped:  config.MaxConns != 0 || config.ICMP != dataplane.ICMPLimits{},
			askBoth: rapid.Bool().Draw(t, "ask both"),
		}
		newMirror(w.world, shards, nil, change)
		same := func(act func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				w.mirror.any = func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "shard") }
				w.one = func() {
					if err := w.mirror.compare(w.world); err != nil {
						t.Fatal(err)
					}
				}
				act(t)
			}
		}
		for range 2 {
			same(w.begin)(t)
		}
		ask := same(w.ask)
		t.Repeat(map[string]func(*rapid.T){
			"change": same(w.change), "host": same(w.changeHost), "command": same(w.command),
			"packet": same(w.packet), "flow": same(w.flow), "flow2": same(w.flow), "answer": same(w.answer),
			"ask": ask, "ask2": ask, "ask3": ask, "ask4": ask,
			"time": same(func(t *rapid.T) {
				w.now += rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 5 * time.Second, 31 * time.Second, 3 * time.Minute}).Draw(t, "pause")
				w.housekeep()
				w.send()
			}),
		})
	})
}

// someMethods are options of servers; those that translate are the most.
var someMethods = []string{"-m", "-m", "-m", "-g", "-i", "-i --tun-type gre --tun-csum", "-i --tun-type gue --tun-port 6080 --tun-csum"}

// explained is a director that is asked, beside a mirror that perhaps is not.
type explained struct {
	traffic
	persistent bool // services may be
	capped     bool // the table has a small cap, or answers have a limit
	askBoth    bool
}

var explainedServices = []string{"-t 10.10.1.1:80", "-t 10.10.1.1:80", "-t 10.10.1.1:0", "-t 10.10.1.1:21", "-u 10.10.1.1:80", "--sctp-service 10.10.1.1:80", "-t 10.10.1.2:80", "-f 5"}

// begin adds a service with servers.
func (w *explained) begin(t *rapid.T) {
	service := rapid.SampledFrom(explainedServices).Draw(t, "service")
	text := fmt.Sprintf("-A %s%s\n", service, w.how(t, service))
	for _, server := range someServers {
		text += fmt.Sprintf("-a %s -r %s %s -w %d\n", service, server, rapid.SampledFrom(someMethods).Draw(t, "method"), rapid.IntRange(0, 3).Draw(t, "w"))
	}
	w.rules(text) // refused when it is there already
	if service == "-f 5" {
		w.apply([]ipvs.Change{{Kind: ipvs.ChangeMarks, Words: strings.Fields(markRule)}})
	}
}

const markRule = "-A PREROUTING -d 10.10.1.2 -p tcp -j MARK --set-mark 5"

// how draws how a service is scheduled.
func (w *explained) how(t *rapid.T, service string) string {
	how := " -s " + rapid.SampledFrom(sched.Names()).Draw(t, "scheduler") + rapid.SampledFrom([]string{"", " -b flag-1,flag-2"}).Draw(t, "flags")
	if w.persistent {
		how += rapid.SampledFrom([]string{"", " -p 50", " -p 50 -M 255.255.255.0"}).Draw(t, "persistence")
	}
	if strings.HasPrefix(service, "-u") {
		how += rapid.SampledFrom([]string{"", " -o"}).Draw(t, "one packet")
	}
	return how
}

// change applies random lines.
func (w *explained) change(t *rapid.T) {
	line := rapid.Custom(func(t *rapid.T) string {
		service := rapid.SampledFrom(explainedServices).Draw(t, "service")
		server := rapid.SampledFrom(append(someServers, "10.20.0.13:0")).Draw(t, "server")
		how := w.how(t, service)
		numbers := fmt.Sprintf("-w %d -x %d", rapid.IntRange(0, 3).Draw(t, "w"), rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "x"))
		add := "-a " + service + " -r " + server + " " + rapid.SampledFrom(someMethods).Draw(t, "method") + " " + numbers
		return rapid.SampledFrom([]string{
			"-A " + service + how, "-A " + service + how, "-A " + service + how, "-E " + service + how, "-D " + service,
			add, add, add, add, "-e" + add[2:], "-d " + service + " -r " + server, "--set 5 6 7",
		}).Draw(t, "line")
	})
	for range rapid.IntRange(1, 6).Draw(t, "lines") {
		w.rules(line.Draw(t, "line")) // refused ones change nothing
	}
	w.send()
}

// command changes a sysctl, the marks or the free memory.
func (w *explained) command(t *rapid.T) {
	c := ipvs.Change{Kind: ipvs.SetSysctl}
	c.Name = rapid.SampledFrom([]string{"expire_nodest_conn", "conn_reuse_mode", "sloppy_tcp", "sloppy_sctp", "secure_tcp", "expire_quiescent_template",
		"drop_packet", "am_droprate", "lblcr_expiration", "nat_icmp_send", "pmtu_disc"}).Draw(t, "name")
	c.Value = rapid.SampledFrom([]string{"0", "1", "2", "3"}).Draw(t, "value")
	if rapid.Bool().Draw(t, "mark") {
		c = ipvs.Change{Kind: ipvs.ChangeMarks}
		c.Words = strings.Fields(markRule)
	}
	w.apply([]ipvs.Change{c}) // refused ones change nothing
}

// ask asks about a packet, and then sends it.
func (w *explained) ask(t *rapid.T) {
	if w.capped || rapid.Bool().Draw(t, "batch before") {
		w.send() // what is due in a full table has to be gone: see conntrack.Table.Fork
	}
	q := w.question(t)
	if q.Proto == ipvs.SCTP {
		q.Flags = 0
		if chunk := rapid.SampledFrom([]ipvs.Chunk{1, 0, 1, 2, 6, 10, 11, 14, 200}).Draw(t, "chunk"); chunk > 0 {
			q.Chunk = &chunk
		}
	}
	x, err := w.dir.Explain(q)
	if err != nil {
		t.Fatalf("Explain(%+v) = %v", q, err)
	}
	if w.askBoth {
		other, err := w.mirror.dir.Explain(q)
		if diff := cmp.Diff(x, other, byValue); err != nil || diff != "" {
			t.Fatalf("Explain(%+v) with several shards: %v (-one shard +several)\n%s", q, err, diff)
		}
	}
	data, err := hex.DecodeString(x.Received.Frame)
	if err != nil {
		t.Fatal(err)
	}
	link := uint8(slices.Index(linkNames, x.Received.Link))
	f := frame(link, data)
	if v := w.batch(f)[0]; v.String() != x.Verdict {
		t.Fatalf("Explain(%+v) says %s (%+v), the packet got %v", q, x.Verdict, *x, v)
	}
	w.check(t, q, x)
	w.one()
}

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

// check compares what was said with what has become of it.
func (w *explained) check(t *rapid.T, q ipvs.Question, x *ipvs.Explanation) {
	var said, done []string
	for _, p := range x.Sent {
		said = append(said, p.Link+" "+p.Frame)
		if !p.ChecksumsOK {
			t.Fatalf("Explain(%+v) finds wrong checksums in %+v", q, p)
		}
	}
	for _, f := range w.shard.Output() {
		done = append(done, linkNames[f.Link]+" "+hex.EncodeToString(f.Data))
	}
	if len(done) < len(said) || !slices.Equal(said, done[len(done)-len(said):]) || len(said) == 0 && x.Verdict == "forward" {
		t.Fatalf("Explain(%+v) says that it sends\n%s\nsent was\n%s", q, strings.Join(said, "\n"), strings.Join(done, "\n"))
	}
	conns := w.conns()
	for _, e := range []*ipvs.ExplainedEntry{x.Entry, templateOf(x)} {
		if e == nil || slices.Contains(e.Flags, "one-packet") {
			continue
		}
		listed := func(c ipvs.ConnStatus) bool {
			return c.Client == e.Client && c.Virtual == e.Virtual && c.Dest == e.Dest && c.State == e.State && c.Mark == e.Mark && c.Expires.Seconds() == e.Expires
		}
		if !slices.ContainsFunc(conns, listed) {
			t.Fatalf("Explain(%+v) says that there will be %+v, there are %+v", q, *e, conns)
		}
	}
	if x.Verdict == "forward" && (x.Entry == nil || x.Server == nil || x.NextHop == nil) {
		t.Fatalf("Explain(%+v) says too little of a packet that is forwarded: %+v", q, *x)
	}
	if p := x.Pick; p != nil && p.Server != nil && x.Entry != nil && p.Server.Addr() != x.Entry.Dest.Addr() {
		t.Fatalf("Explain(%+v) picks %v for a connection to %v", q, p.Server, x.Entry.Dest)
	}
}

func (w *explained) question(t *rapid.T) ipvs.Question {
	end := func(name string, ports []uint16) netip.AddrPort {
		places := append([]string{"10.10.3.1", "10.10.3.1", "10.10.1.1", "10.10.1.1", "10.20.0.11"}, somePlaces...)
		return netip.AddrPortFrom(netip.MustParseAddr(rapid.SampledFrom(places).Draw(t, name)), rapid.SampledFrom(ports).Draw(t, name+" port"))
	}
	q := ipvs.Question{
		Proto:  rapid.SampledFrom([]ipvs.Protocol{ipvs.TCP, ipvs.TCP, ipvs.UDP, ipvs.SCTP}).Draw(t, "proto"),
		Flags:  rapid.SampledFrom([]ipvs.TCPFlags{0, 0, 0x02, 0x10, 0x11, 0x04, 0x12, 0x14}).Draw(t, "flags"),
		Link:   rapid.SampledFrom([]string{"", "", "", "vip", "dip"}).Draw(t, "via"),
		Client: end("client", []uint16{4000, 4001, 4002, 20}),
	}
	if conns := w.conns(); len(conns) > 0 && rapid.Bool().Draw(t, "of a connection") {
		c := rapid.SampledFrom(conns).Draw(t, "connection")
		if !c.Template && c.Client.Port() != 0 {
			q.Proto, q.Client, q.Virtual = c.Proto, c.Client, c.Virtual
			if rapid.Bool().Draw(t, "reply") {
				q.Server = c.Dest
			}
			return q
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "to a service") > 0 {
		q.Flags, q.Link = 0, ""
		q.Client = netip.AddrPortFrom(netip.MustParseAddr("10.10.3.1").Next(), rapid.Uint16Range(4000, 4006).Draw(t, "client port"))
		q.Virtual = netip.AddrPortFrom(netip.MustParseAddr(rapid.SampledFrom([]string{"10.10.1.1", "10.10.1.1", "10.10.1.2"}).Draw(t, "vip")),
			rapid.SampledFrom([]uint16{80, 80, 21, 4000}).Draw(t, "vport"))
		return q
	}
	if rapid.IntRange(0, 4).Draw(t, "reply") == 0 {
		q.Server = end("server", []uint16{80, 8080, 21})
		return q
	}
	if rapid.Bool().Draw(t, "any port") {
		q.Client = netip.AddrPortFrom(q.Client.Addr(), 0)
	}
	q.Virtual = end("virtual", []uint16{80, 80, 80, 21, 20, 443, 4000})
	return q
}

func templateOf(x *ipvs.Explanation) *ipvs.ExplainedEntry {
	if x.Template == nil {
		return nil
	}
	return x.Template.Entry
}
