package dataplane_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"pgregory.net/rapid"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/rewrite"
)

// mirror is a director with several shards that gets what a world with one gets,
// each frame in any shard.
type mirror struct {
	dir     *dataplane.Director
	drivers []*dataplane.Driver
	any     func(n int) int // draws a shard
	out     [][]byte        // of the last batch, with the link in front
	apart   bool            // a bound that each shard has was reached: they may differ from now on
	onWay   uint64          // the most packets that were on their way between shards
	fault   error           // of the ledger
}

func newMirror(w *world, shards int, any func(n int) int, change func(*dataplane.Config)) *mirror {
	m := &mirror{any: any}
	other := newWorld(func(c *dataplane.Config) {
		c.Shards, c.Clock = shards, func() time.Duration { return w.now }
		change(c)
	})
	m.dir = other.dir
	for i := range shards {
		m.drivers = append(m.drivers, m.dir.NewDriver(i, m.emit))
	}
	w.mirror = m
	return m
}

func (m *mirror) emit(out []dataplane.Frame, _ []dataplane.Resolve) {
	m.out = appendOutput(m.out, out)
	// Between two shards' turns packets are on their way from one to the other.
	l := m.dir.Ledger()
	m.onWay = max(m.onWay, l.HandingOver)
	if m.fault == nil {
		m.fault = balance(l)
	}
}

// balance returns an error when a ledger does not sum up.
func balance(l dataplane.Ledger) error {
	sum := l.HandingOver
	for _, e := range l.Entries {
		sum += e.Frames
	}
	if sum != l.Received {
		return fmt.Errorf("%d frames were received, the ledger has %d, %d of them on their way", l.Received, sum, l.HandingOver)
	}
	return nil
}

func appendOutput(to [][]byte, out []dataplane.Frame) [][]byte {
	for _, f := range out {
		to = append(to, append([]byte{f.Link, f.Offload.Flags, f.Offload.GSO}, f.Data...))
	}
	return to
}

// batch gives the frames to the shards, one at a time, with room in front of them,
// as a port leaves it: what is put there must not differ from what is made
// elsewhere. As the kernel does it keeps the pieces of a packet together.
func (m *mirror) batch(now time.Duration, fs []dataplane.Frame) {
	m.out = nil
	for _, d := range m.drivers {
		d.Batch(nil, now)
	}
	for _, f := range fs {
		memory := slices.Concat(bytes.Repeat([]byte{0xee}, rewrite.MaxTunnelOverhead), f.Data)
		f.Head, f.Data = memory[:rewrite.MaxTunnelOverhead], memory[rewrite.MaxTunnelOverhead:]
		i := m.any(len(m.drivers))
		if len(f.Data) >= 34 && binary.BigEndian.Uint16(f.Data[20:])&0x3fff != 0 {
			i = int(f.Data[29]+f.Data[33]) % len(m.drivers)
		}
		m.drivers[i].Batch([]dataplane.Frame{f}, now)
	}
}

// compare says in what the mirror differs from w, or nil.
func (m *mirror) compare(w *world) error {
	if m.fault != nil {
		return m.fault
	}
	if l := m.dir.Ledger(); l.HandingOver != 0 {
		return fmt.Errorf("%d frames are on their way for ever", l.HandingOver)
	}
	// Each shard holds so many pieces for a neighbour; packets in small ones
	// reach that.
	for _, d := range []*dataplane.Director{w.dir, m.dir} {
		counts := d.Counters()
		small := w.host.Links[dipLink].MTU < 1500 && counts[dataplane.HeldNeighbour].Frames > 0
		// Which of several held packets gets the last answer within the limit is a matter of order.
		scarce := counts[dataplane.DropLimited].Frames > 0 && counts[dataplane.HeldNeighbour].Frames > 0
		m.apart = m.apart || small || scarce || counts[dataplane.DropNeighbourFull].Frames > 0
	}
	if m.apart {
		return nil
	}
	want := appendOutput(nil, w.shard.Output())
	slices.SortFunc(want, bytes.Compare)
	slices.SortFunc(m.out, bytes.Compare)
	if !slices.EqualFunc(want, m.out, bytes.Equal) {
		return fmt.Errorf("one shard sends %d frames, several send %d:\n%x\n%x", len(want), len(m.out), want, m.out)
	}
	if a, b := fmt.Sprint(w.dir.Services()), fmt.Sprint(m.dir.Services()); a != b {
		return fmt.Errorf("services of one shard and of several:\n%v\n%v", a, b)
	}
	if a, b := sortedConns(w.dir), sortedConns(m.dir); a != b {
		return fmt.Errorf("connections of one shard and of several:\n%v\n%v", a, b)
	}
	if a, b := fmt.Sprint(w.dir.Counters()), fmt.Sprint(m.dir.Counters()); a != b {
		return fmt.Errorf("verdicts of one shard and of several:\n%v\n%v", a, b)
	}
	return nil
}

func sortedConns(d *dataplane.Director) string {
	var all []string
	for c := range d.Connections {
		all = append(all, fmt.Sprint(c))
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// TestShardsAgree gives the same traffic to a director with one shard and to one
// with several, where every frame comes to a shard at random: picks, translations,
// listings and verdicts are the same.
func TestShardsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		change := func(*dataplane.Config) {}
		if rapid.Bool().Draw(t, "ftp") {
			change = func(c *dataplane.Config) { c.FTPPorts = []uint16{80} }
		}
		w := traffic{world: newWorld(change)}
		m := newMirror(w.world, rapid.IntRange(2, 4).Draw(t, "shards"), func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "shard") }, change)
		w.change(t)
		same := func(act func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				m.any = func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "shard") }
				w.one = func() {
					if err := m.compare(w.world); err != nil {
						t.Fatal(err)
					}
				}
				act(t)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"change": same(w.change), "host": same(w.changeHost), "packet": same(w.packet), "flow": same(w.flow),
			"answer": same(w.answer), "noise": same(w.noise),
			"time": same(func(t *rapid.T) {
				w.now += rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 31 * time.Second, 3 * time.Minute}).Draw(t, "pause")
				w.housekeep()
				w.send()
			}),
		})
	})
}

// TestLedgerHandingOver: a frame that is on its way from one shard to another is
// in the ledger, and no longer when it has its verdict.
func TestLedgerHandingOver(t *testing.T) {
	w := newWorld(nil)
	m := newMirror(w, 2, func(int) int { return 0 }, func(*dataplane.Config) {})
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m")
	for port := range uint16(16) {
		w.batch(frame(0, packettest.Packet{Proto: 6, Flags: "S", Src: netip.AddrPortFrom(netip.MustParseAddr("10.10.3.5"), 4000+port), Dst: netip.MustParseAddrPort("10.10.1.1:80")}.Frame()))
		if err := m.compare(w); err != nil {
			t.Fatal(err)
		}
	}
	if m.onWay != 1 {
		t.Errorf("%d frames at most were seen on their way, want 1", m.onWay)
	}
}

// TestFanoutProgram runs the program that the kernel gets: for whole packets it
// agrees with the shards, so that none has to be handed over.
func TestFanoutProgram(t *testing.T) {
	vips := []uint32{0x0a0a0101, 0x0a0a0102}
	rapid.Check(t, func(t *rapid.T) {
		byAddress, shards := rapid.Bool().Draw(t, "by address"), rapid.IntRange(2, 5).Draw(t, "shards")
		w := newWorld(func(c *dataplane.Config) {
			c.Shards = shards
			if byAddress {
				c.FTPPorts = []uint16{80}
			}
		})
		if err := w.rules("-A -t 10.10.1.1:80\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m\n-A -u 10.10.1.2:53\n-a -u 10.10.1.2:53 -r 10.20.0.12 -g"); err != nil {
			t.Fatal(err)
		}
		if got := w.dir.SteersByAddress(); got != byAddress {
			t.Fatalf("SteersByAddress = %v", got)
		}
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 3, rapid.Byte().Draw(t, "client")}), rapid.Uint16().Draw(t, "port"))
		p := packettest.Packet{Proto: rapid.SampledFrom([]uint8{6, 17, 132}).Draw(t, "proto"), Src: client, Dst: netip.MustParseAddrPort("10.10.1.1:80"), Flags: "S", Chunks: "INIT"}
		side := dataplane.VIPSide
		if rapid.Bool().Draw(t, "reply") {
			from := rapid.SampledFrom([]string{"10.20.0.11:80", "10.10.1.2:53"}).Draw(t, "from") // the other answers as the VIP
			p.Src, p.Dst, side = netip.MustParseAddrPort(from), client, dataplane.DIPSide
		}
		if rapid.IntRange(0, 3).Draw(t, "options") == 0 {
			p.IPOptions = []byte{1, 1, 1, 0}
		}
		link := uint8(side - dataplane.VIPSide)
		if rapid.Bool().Draw(t, "one arm") {
			side = dataplane.VIPSide | dataplane.DIPSide
		}
		b := w.from(link, p).Frame()
		i := runFanout(t, dataplane.FanoutProgram(dataplane.Steering{Side: side, ByAddress: byAddress, VIPs: vips}), b, shards)
		w.dir.NewDriver(i, func([]dataplane.Frame, []dataplane.Resolve) {}).Batch([]dataplane.Frame{frame(link, b)}, w.now)
		if n := w.dir.HandedOver(); n != 0 {
			t.Fatalf("the program gives %x to shard %d, which hands it over", b, i)
		}
	})
}

// TestFanoutProgramForOthers gives the program what has no ports to go by.
func TestFanoutProgramForOthers(t *testing.T) {
	program := dataplane.FanoutProgram(dataplane.Steering{Side: dataplane.VIPSide})
	p := packettest.Packet{Proto: 17, Src: netip.MustParseAddrPort("10.10.3.7:4000"), Dst: netip.MustParseAddrPort("10.10.1.1:53"), Payload: make([]byte, 3000)}
	var got []int
	for _, piece := range packettest.Fragments(p.Frame(), 800) {
		got = append(got, runFanout(t, program, piece, 1<<16))
	}
	p.Proto = 1
	got = append(got, runFanout(t, program, p.Frame(), 1<<16))
	if len(got) < 4 || slices.ContainsFunc(got, func(i int) bool { return i != got[0] || i == 0 }) {
		t.Errorf("pieces of a packet and a ping of one client go to %v", got)
	}
	if arp := packettest.ARPRequest([6]byte{2}, p.Src.Addr(), p.Dst.Addr()); runFanout(t, program, arp, 4) >= 4 {
		t.Error("ARP has no shard")
	}
}

func runFanout(t fataler, raw []bpf.RawInstruction, frame []byte, shards int) int {
	t.Helper()
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatalf("the program cannot be disassembled: %v", program)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatalf("%v", err)
	}
	n, err := vm.Run(frame[14:])
	if err != nil {
		t.Fatalf("%v", err)
	}
	return int(uint32(n)) % shards
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// TestSteeringChanges adds and deletes an FTP service, which changes how clients
// are steered: connections of before are found where they are.
func TestSteeringChanges(t *testing.T) {
	w := newWorld(nil)
	m := newMirror(w, 4, func(int) int { return 0 }, func(c *dataplane.Config) { c.FTPPorts = []uint16{21} })
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m\n-a -t 10.10.1.1:80 -r 10.20.0.12 -m")
	segment := func(port int, flags string) {
		t.Helper()
		p := packettest.Packet{Proto: 6, Flags: flags, DF: true,
			Src: netip.AddrPortFrom(netip.MustParseAddr("10.10.3.1"), uint16(port)), Dst: netip.MustParseAddrPort("10.10.1.1:80")}
		w.batch(frame(vipLink, w.from(vipLink, p).Frame()))
		if err := m.compare(w); err != nil {
			t.Fatal(err)
		}
	}
	for port := 4000; port < 4040; port++ {
		segment(port, "S")
	}
	for _, change := range []string{"-A -t 10.10.1.1:21 -s rr", "-D -t 10.10.1.1:21"} {
		before := m.dir.SteersByAddress()
		w.mustRules(t, change)
		if m.dir.SteersByAddress() == before {
			t.Fatalf("%s does not change the steering", change)
		}
		for port := 4000; port < 4040; port++ {
			segment(port, "A")
			segment(port+100, "S")
			segment(port+100, "A")
		}
	}
	if n := len(slices.Collect(func(yield func(ipvs.ConnStatus) bool) { m.dir.Connections(yield) })); n != 80 {
		t.Errorf("%d connections, 80 were made", n)
	}
}

// TestHandedOver sends what the kernel cannot steer: datagrams in pieces, and
// errors about them from both sides, of clients that are spread over the shards.
func TestHandedOver(t *testing.T) {
	w := newWorld(nil)
	m := newMirror(w, 4, func(int) int { return 0 }, func(*dataplane.Config) {})
	w.mustRules(t, "-A -u 10.10.1.1:53 -s rr\n-a -u 10.10.1.1:53 -r 10.20.0.11:5353 -m\n-a -u 10.10.1.1:53 -r 10.20.0.12:5353 -m\n"+
		"-A -u 10.10.1.2:53\n-a -u 10.10.1.2:53 -r 10.20.0.11 -i")
	send := func(link uint8, b []byte) {
		t.Helper()
		w.batch(frame(link, b))
		if err := m.compare(w); err != nil {
			t.Fatal(err)
		}
	}
	complain := func(link uint8, about []byte) {
		t.Helper()
		src, dst := netip.AddrFrom4([4]byte(about[30:34])), netip.AddrFrom4([4]byte(about[26:30]))
		p := packettest.Packet{Proto: 1, Type: 3, Payload: slices.Clone(about[14:min(len(about), 74)]), Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0)}
		send(link, w.from(link, p).Frame())
	}
	client, vip := netip.MustParseAddr("10.10.3.1"), netip.MustParseAddrPort("10.10.1.1:53")
	for port := uint16(4000); port < 4020; port++ {
		p := w.from(vipLink, packettest.Packet{Proto: 17, ID: port, Payload: make([]byte, 3000), Src: netip.AddrPortFrom(client, port), Dst: vip})
		for _, piece := range packettest.Fragments(p.Frame(), 800) {
			send(vipLink, piece)
		}
		out := w.shard.Output()
		if len(out) != 4 {
			t.Fatalf("a datagram in 4 pieces goes on in %d", len(out))
		}
		forwarded := slices.Clone(out[0].Data)
		complain(dipLink, forwarded)
		rip := netip.AddrPortFrom(netip.AddrFrom4([4]byte(forwarded[30:34])), 5353)
		send(dipLink, w.from(dipLink, packettest.Packet{Proto: 17, Src: rip, Dst: p.Src}).Frame())
		complain(vipLink, slices.Clone(w.shard.Output()[0].Data))

		p.Dst, p.Payload = netip.MustParseAddrPort("10.10.1.2:53"), make([]byte, 30)
		send(vipLink, p.Frame())
		complain(dipLink, slices.Clone(w.shard.Output()[0].Data))
		if len(w.shard.Output()) != 1 {
			t.Fatalf("an error about a tunnel's packet becomes %d", len(w.shard.Output()))
		}
	}
	if m.dir.HandedOver() == 0 {
		t.Error("nothing was handed over")
	}
}

// TestShardsOfMarks: where firewall marks lead a whole network to a service, whose
// addresses are nobody's VIP by name, errors about the packets of its tunnel and answers
// as one of the addresses find the shard of their client.
func TestShardsOfMarks(t *testing.T) {
	w := newWorld(nil)
	m := newMirror(w, 4, func(int) int { return 0 }, func(*dataplane.Config) {})
	w.mustRules(t, "-A -f 7 -s rr\n-a -f 7 -r 10.20.0.11 -i\n-A -f 7 -6 -s rr\n-a -f 7 -6 -r fd20::11 -i")
	for _, words := range [][]string{{"-d", "10.10.7.0/24"}, {"-6", "-d", "fd10:7::/64"}} {
		w.apply([]ipvs.Change{{Kind: ipvs.ChangeMarks, Words: append(words, "-A", "PREROUTING", "-j", "MARK", "--set-mark", "7")}})
	}
	for _, ends := range []struct {
		client, vip, router, dip string
		proto, kind              uint8
	}{
		{"10.10.3.1", "10.10.7.1:80", "10.20.0.77:0", "10.20.0.1:0", 1, 3},
		{"fd10::5", "[fd10:7::1]:80", "[fd20::77]:0", "[fd20::1]:0", 58, 1},
	} {
		for port := uint16(4000); port < 4020; port++ {
			p := packettest.Packet{Proto: 17, Src: netip.AddrPortFrom(netip.MustParseAddr(ends.client), port), Dst: netip.MustParseAddrPort(ends.vip)}
			w.batch(frame(vipLink, w.from(vipLink, p).Frame()))
			outer := slices.Clone(w.shard.Output()[0].Data[14:])
			e := packettest.Packet{Proto: ends.proto, Type: ends.kind, Payload: outer, Src: netip.MustParseAddrPort(ends.router), Dst: netip.MustParseAddrPort(ends.dip)}
			if v := w.batch(frame(dipLink, w.from(dipLink, e).Frame())); v[0] != dataplane.Forward {
				t.Fatalf("%s: an error about a tunnel's packet: %v", ends.client, v[0])
			}
			if err := m.compare(w); err != nil {
				t.Fatal(err)
			}
			p.Src, p.Dst = p.Dst, p.Src // the server answers, and the director is its gateway
			if v := w.batch(frame(dipLink, w.from(dipLink, p).Frame())); v[0] != dataplane.Forward {
				t.Fatalf("%s: an answer as the VIP: %v", ends.client, v[0])
			}
			if err := m.compare(w); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestShardsOfMarkedAnything: where a rule marks packets to everywhere, as for a
// transparent cache, a server's answers are answers, and not requests of its own.
func TestShardsOfMarkedAnything(t *testing.T) {
	w := newWorld(nil)
	m := newMirror(w, 4, func(int) int { return 0 }, func(*dataplane.Config) {})
	w.mustRules(t, "-A -f 7 -s rr\n-a -f 7 -r 10.20.0.11:0 -m\n")
	w.apply([]ipvs.Change{{Kind: ipvs.ChangeMarks, Words: []string{"-A", "PREROUTING", "-i", "vip", "-j", "MARK", "--set-mark", "7"}}})
	for port := uint16(4000); port < 4020; port++ {
		p := packettest.Packet{Proto: 17, Src: netip.AddrPortFrom(netip.MustParseAddr("10.10.3.1"), port), Dst: netip.MustParseAddrPort("10.10.7.1:80")}
		w.batch(frame(vipLink, w.from(vipLink, p).Frame()))
		if err := m.compare(w); err != nil {
			t.Fatal(err)
		}
		p.Src, p.Dst = netip.MustParseAddrPort("10.20.0.11:80"), p.Src
		v := w.batch(frame(dipLink, w.from(dipLink, p).Frame()))
		if err := m.compare(w); err != nil {
			t.Fatal(v, err)
		}
	}
}

// TestShardsOfBothWays: where marks lead everything to a service, and a server's packet
// is one of a connection as an answer and of another as a request, it is the answer.
func TestShardsOfBothWays(t *testing.T) {
	w := newWorld(nil)
	m := newMirror(w, 4, func(int) int { return 0 }, func(*dataplane.Config) {})
	w.mustRules(t, "-A -f 7 -s rr\n-a -f 7 -r 10.20.0.11:0 -m\n")
	w.apply([]ipvs.Change{{Kind: ipvs.ChangeMarks, Words: strings.Fields("-A PREROUTING -p udp -j MARK --set-mark 7")}})
	for port := uint16(4000); port < 4020; port++ {
		client, server := netip.AddrPortFrom(netip.MustParseAddr("10.10.3.1"), port), netip.MustParseAddrPort("10.20.0.11:80")
		sent(t, w, m, dipLink, server, client) // a request
		sent(t, w, m, vipLink, client, netip.MustParseAddrPort("10.10.7.1:80"))
		sent(t, w, m, dipLink, server, client)
	}
}

// sent sends a datagram to a director with one shard and its mirror, which have to do
// the same with it, and to say so before, and returns what they do.
func sent(t *testing.T, w *world, m *mirror, link uint8, from, to netip.AddrPort) dataplane.Verdict {
	t.Helper()
	if link == dipLink {
		q := ipvs.Question{Proto: ipvs.UDP, Client: to, Server: from}
		one, err := w.dir.Explain(q)
		several, err2 := m.dir.Explain(q)
		if err != nil || err2 != nil || one.Verdict != several.Verdict {
			t.Errorf("explained for %v to %v are %+v, %v and %+v, %v", from, to, one, err, several, err2)
		}
	}
	p := packettest.Packet{Proto: 17, Src: from, Dst: to}
	v := w.batch(frame(link, w.from(link, p).Frame()))[0]
	if err := m.compare(w); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestShardsOfTurnedAddresses: when an address becomes a VIP, or ceases to be one, under
// its connections as a client or a server's as one, these go on as with one shard.
func TestShardsOfTurnedAddresses(t *testing.T) {
	const udp = "-A -u 10.10.1.1:80 -s rr\n-a -u 10.10.1.1:80 -r 10.20.0.11:80 -m\n"
	mark := func(w *world, words string) {
		w.apply([]ipvs.Change{{Kind: ipvs.ChangeMarks, Words: strings.Fields(words)}})
	}
	for _, tt := range []struct {
		name    string
		before  func(w *world)
		client  string
		link    uint8 // that it is on
		server  uint8 // and its server
		turn    func(w *world)
		forward bool // what follows is forwarded
	}{
		{"a client becomes a service's VIP", func(*world) {}, "10.10.3.1", vipLink, dipLink,
			func(w *world) { w.mustRules(t, "-A -u 10.10.3.1:53 -s rr\n-a -u 10.10.3.1:53 -r 10.20.0.12:53 -m\n") }, true},
		{"its server is on the clients' side", func(*world) {}, "10.10.3.1", vipLink, vipLink,
			func(w *world) { w.mustRules(t, "-A -u 10.10.3.1:53 -s rr\n-a -u 10.10.3.1:53 -r 10.20.0.12:53 -m\n") }, true},
		{"a client becomes a marked VIP", func(*world) {}, "10.10.3.1", vipLink, dipLink,
			func(w *world) { mark(w, "-A PREROUTING -d 10.10.3.1 -p tcp -j MARK --set-mark 5") }, true},
		{"a client becomes a VIP, and clients count by their addresses", func(*world) {}, "10.10.3.1", vipLink, dipLink,
			func(w *world) { w.mustRules(t, "-A -t 10.10.3.1:21 -s rr\n-a -t 10.10.3.1:21 -r 10.20.0.12:21 -m\n") }, true},
		{"the VIP of a server's is no more, and is the host's", func(*world) {}, "10.20.0.12", dipLink, dipLink,
			func(w *world) {
				w.mustRules(t, "-D -u 10.10.1.1:80\n")
				w.setHost(func(h *packettest.Host) { h.Locals[netip.MustParseAddr("10.10.1.1")] = true })
			}, false},
		{"the mark of a server's VIP is no more", func(w *world) {
			mark(w, "-A PREROUTING -d 10.10.1.1 -p udp -j MARK --set-mark 5")
			w.mustRules(t, "-D -u 10.10.1.1:80\n-A -f 5 -s rr\n-a -f 5 -r 10.20.0.11:80 -m\n")
		}, "10.20.0.12", dipLink, dipLink, func(w *world) { mark(w, "-F") }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ftp := func(c *dataplane.Config) { c.FTPPorts = []uint16{21} }
			w := newWorld(ftp)
			m := newMirror(w, 4, func(int) int { return 0 }, ftp)
			w.mustRules(t, udp+"-A -u 10.10.1.9:80\n-a -u 10.10.1.9:80 -r 10.20.0.12:80 -m\n") // both are servers
			tt.before(w)
			vip, server := netip.MustParseAddrPort("10.10.1.1:80"), netip.MustParseAddrPort("10.20.0.11:80")
			each := func(from uint16, do func(client netip.AddrPort)) {
				for port := from; port < from+20; port++ {
					do(netip.AddrPortFrom(netip.MustParseAddr(tt.client), port))
				}
			}
			each(4000, func(client netip.AddrPort) {
				if v := sent(t, w, m, tt.link, client, vip); v != dataplane.Forward {
					t.Fatalf("at first %v is the verdict", v)
				}
			})
			tt.turn(w)
			each(4000, func(client netip.AddrPort) {
				for _, v := range []dataplane.Verdict{sent(t, w, m, tt.server, server, client), sent(t, w, m, tt.link, client, vip)} {
					if tt.forward && v != dataplane.Forward && v != dataplane.DropMartian {
						t.Errorf("afterwards %v is the verdict", v)
					}
				}
			})
			each(5000, func(client netip.AddrPort) { sent(t, w, m, tt.link, client, vip) })
		})
	}
}

// TestHandingOverDoesNotAllocate is about a frame that comes to the wrong shard.
func TestHandingOverDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	w := newWorld(func(c *dataplane.Config) { c.Shards = 2 })
	w.mustRules(t, "-A -t 10.10.1.1:80\n-a -t 10.10.1.1:80 -r 10.20.0.11 -m")
	sent := 0
	emit := func(out []dataplane.Frame, _ []dataplane.Resolve) { sent += len(out) }
	drivers := []*dataplane.Driver{w.dir.NewDriver(0, emit), w.dir.NewDriver(1, emit)}
	p := packettest.Packet{Proto: 6, Flags: "S", Src: netip.MustParseAddrPort("10.10.3.1:4000"), Dst: netip.MustParseAddrPort("10.10.1.1:80")}
	fresh := w.from(vipLink, p).Frame()
	fs := []dataplane.Frame{frame(vipLink, slices.Clone(fresh))}
	run := func() {
		for _, d := range drivers { // one of them is the wrong one
			copy(fs[0].Data, fresh)
			d.Batch(fs, w.now)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if sent != 204 || w.dir.HandedOver() != 102 {
		t.Errorf("%d frames sent, %d handed over, want 204 and 102", sent, w.dir.HandedOver())
	}
}
