package bench

import (
	"fmt"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/ipvs"
)

// plain is the director of most benchmarks.
var plain = setup{proto: ipvs.TCP, sched: "wlc", services: 1, servers: 16, shards: 1}

// established keeps the last world with open connections, because to open ten
// million takes longer than to measure them.
var established struct {
	setup
	w     *world
	flows []flow
}

// flow is a connection and the low 16 bits of its server's address.
type flow struct {
	number uint32
	rip    uint16
}

// of6 is s with everything of IPv6.
func of6(s setup) setup {
	s.v6 = true
	return s
}

// openWorld returns a director with n connections, in random order.
func openWorld(b *testing.B, s setup, n int) (*world, []flow) {
	b.Helper()
	e := &established
	if e.w == nil || e.setup != s || len(e.flows) != n {
		e.w, e.flows = nil, nil
		e.w, e.setup = newWorld(b, s, nil), s
		e.flows = shuffled(e.w.open(b, n))
	}
	return e.w, e.flows
}

// shuffled returns the connections with these servers, in random order.
func shuffled(rips []uint16) []flow {
	flows := make([]flow, len(rips))
	for i, k := range order(len(rips)) {
		flows[i] = flow{k, rips[k]}
	}
	return flows
}

// sizes are the numbers of connections to measure with.
func sizes() []int {
	if testing.Short() {
		return []int{10_000}
	}
	return []int{10_000, 1_000_000, 10_000_000}
}

// BenchmarkProcess takes packets of established connections, in random order and
// in batches of 64 as the live loop does it, through a shard: everything but
// receiving and sending. Making the frames anew from their headers is included;
// BenchmarkMakeFrame tells what that costs.
func BenchmarkProcess(b *testing.B) {
	udp := plain
	udp.proto = ipvs.UDP
	sctp := plain
	sctp.proto = ipvs.SCTP
	benchmarkPaths(b, []path{
		{"proto=tcp/dir=in/size=64", plain, vipLink, 6},
		{"proto=tcp/dir=out/size=64", plain, dipLink, 6},
		{"proto=tcp/dir=in/size=super", plain, vipLink, 60_000},
		{"proto=tcp/dir=out/size=super", plain, dipLink, 60_000},
		{"proto=udp/dir=in/size=64", udp, vipLink, 18},
		{"proto=udp/dir=out/size=64", udp, dipLink, 18},
		{"proto=sctp/dir=in/size=64", sctp, vipLink, 10},
		{"proto=sctp/dir=out/size=64", sctp, dipLink, 10},
		{"proto=sctp/dir=in/size=1500", sctp, vipLink, 1448}, // the CRC is over all of it
		{"proto=sctp/dir=out/size=1500", sctp, dipLink, 1448},
	})
}

// BenchmarkProcess6 is [BenchmarkProcess] for IPv6.
func BenchmarkProcess6(b *testing.B) {
	udp := plain
	udp.proto = ipvs.UDP
	benchmarkPaths(b, []path{
		{"proto=tcp/dir=in/size=64", of6(plain), vipLink, 6}, // 20 bytes of header more
		{"proto=tcp/dir=out/size=64", of6(plain), dipLink, 6},
		{"proto=tcp/dir=in/size=super", of6(plain), vipLink, 60_000},
		{"proto=tcp/dir=out/size=super", of6(plain), dipLink, 60_000},
		{"proto=udp/dir=in/size=64", of6(udp), vipLink, 18},
		{"proto=udp/dir=out/size=64", of6(udp), dipLink, 18},
	})
}

// path is a way of packets with so many bytes of payload, from a link.
type path struct {
	name    string
	setup   setup
	link    uint8
	payload int
}

// benchmarkPaths measures each path with each number of connections.
func benchmarkPaths(b *testing.B, paths []path) {
	for _, n := range sizes() {
		for _, path := range paths {
			b.Run(fmt.Sprintf("%s/conns=%s", path.name, short(n)), func(b *testing.B) {
				w, flows := openWorld(b, path.setup, n)
				w.measure(b, w.packets(path.link, "A", path.payload), flows)
			})
		}
	}
}

// measure sends packets of connections, over and over.
func (w *world) measure(b *testing.B, p *packets, flows []flow) {
	before := w.forwarded()
	b.ReportAllocs()
	report := cpu(b)
	i, sent := 0, uint64(0)
	for b.Loop() {
		f := flows[i%len(flows)]
		p.set(i%batch, w.key(int(f.number)), f.rip)
		if i++; i%batch == 0 {
			w.driver.Batch(p.frames[:], w.now)
			sent += batch
		}
	}
	report()
	if got := w.forwarded() - before; got != sent {
		b.Fatalf("%d of %d packets were forwarded", got, sent)
	}
}

// BenchmarkMakeFrame is what the other benchmarks do before each packet.
func BenchmarkMakeFrame(b *testing.B) { makeFrames(b, plain) }

// BenchmarkMakeFrame6 is that for IPv6.
func BenchmarkMakeFrame6(b *testing.B) { makeFrames(b, of6(plain)) }

func makeFrames(b *testing.B, s setup) {
	keys := order(10_000)
	p := s.packets(vipLink, "A", 6)
	report := cpu(b)
	i := 0
	for b.Loop() {
		p.set(i%batch, s.key(int(keys[i%len(keys)])), 0)
		i++
	}
	report()
}

// BenchmarkNew makes connections: each packet is the first of one. They are
// half-open and end after a minute, in which a million others come; what it takes
// to end one is included.
func BenchmarkNew(b *testing.B) { benchmarkNews(b, plain) }

// BenchmarkNew6 is [BenchmarkNew] for IPv6.
func BenchmarkNew6(b *testing.B) { benchmarkNews(b, of6(plain)) }

func benchmarkNews(b *testing.B, tcp setup) {
	udp := tcp
	udp.proto = ipvs.UDP
	for _, c := range []struct {
		name  string
		setup setup
		n     int
	}{
		{"proto=tcp/conns=10k", tcp, 10_000},
		{"proto=tcp/conns=1M", tcp, 1_000_000},
		{"proto=udp/conns=10k", udp, 10_000},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkNew(b, newWorld(b, c.setup, nil), c.n) })
	}
}

// benchmarkNew keeps about n connections alive.
func benchmarkNew(b *testing.B, w *world, n int) {
	life := time.Minute
	if w.proto == ipvs.UDP {
		life = 5 * time.Minute
	}
	gap := life / time.Duration(n)
	p := w.packets(vipLink, "S", 6)
	i := 0
	step := func() {
		p.set(i%batch, w.key(i), 0)
		if i++; i%batch == 0 {
			w.now += gap * batch
			w.driver.Batch(p.frames[:], w.now)
		}
	}
	for range 2 * n {
		step()
	}
	before, from := w.forwarded(), i
	b.ReportAllocs()
	report := cpu(b)
	for b.Loop() {
		step()
	}
	report()
	if got, want := w.forwarded()-before, uint64(i/batch-from/batch)*batch; got != want {
		b.Fatalf("%d of %d connections were made", got, want)
	}
	if _, conns, _ := w.director.Load(); i > 4*n && (conns > n+n/4+2*batch || conns < n/2) {
		b.Errorf("%d connections are alive, want about %d", conns, n)
	}
}

// BenchmarkFollowed is what it costs that somebody follows the events: another
// goroutine takes them, as the daemon does. A SYN makes two of them, and each end
// of a connection one.
func BenchmarkFollowed(b *testing.B) {
	const n = 10_000
	for _, path := range []string{"established", "new"} {
		for _, followed := range []bool{false, true} {
			b.Run(fmt.Sprintf("path=%s/followed=%v", path, followed), func(b *testing.B) {
				news := make(chan struct{}, 1)
				w := newWorld(b, plain, func() {
					select {
					case news <- struct{}{}:
					default:
					}
				})
				w.director.Follow(followed)
				stop := follow(w.director, news)
				if path == "new" {
					benchmarkNew(b, w, n)
				} else {
					flows := shuffled(w.open(b, n)) // before the packets: they share their memory with those that open
					w.measure(b, w.packets(vipLink, "A", 6), flows)
				}
				if taken, lost := stop(); followed {
					b.ReportMetric(float64(taken)/float64(b.N), "events/op")
					b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
				}
			})
		}
	}
}

// follow takes the events of d when there is news, until stop, which tells how
// many came and how many were lost.
func follow(d *dataplane.Director, news <-chan struct{}) (stop func() (taken int, lost uint64)) {
	end, ended := make(chan struct{}), make(chan struct{})
	taken, lost := 0, uint64(0)
	go func() {
		defer close(ended)
		var events []ipvs.Event
		for {
			select {
			case <-end:
				return
			case <-news:
			}
			events = d.TakeEvents(events[:0])
			taken += len(events)
			if n := len(events); n > 0 {
				lost += events[n-1].Lost
			}
		}
	}()
	return func() (int, uint64) {
		close(end)
		<-ended
		return taken, lost
	}
}

// BenchmarkMethods takes packets of established connections by each forwarding
// method. A tunnel's packets leave without offloads, so their checksums are
// completed and super-packets cut.
func BenchmarkMethods(b *testing.B) { benchmarkMethods(b, plain) }

// BenchmarkMethods6 is [BenchmarkMethods] for IPv6: tunnels of IPv6 in IPv6.
func BenchmarkMethods6(b *testing.B) { benchmarkMethods(b, of6(plain)) }

func benchmarkMethods(b *testing.B, s setup) {
	for _, m := range []struct {
		name   string
		method ipvs.ForwardMethod
		tunnel ipvs.TunnelOptions
	}{
		{"masq", ipvs.Masq, ipvs.TunnelOptions{}},
		{"fullnat", ipvs.FullNAT, ipvs.TunnelOptions{}},
		{"route", ipvs.Route, ipvs.TunnelOptions{}},
		{"ipip", ipvs.Tunnel, ipvs.TunnelOptions{}},
		{"gre", ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.TunnelGRE}},
		{"gre-csum", ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.TunnelGRE, Checksum: ipvs.TunnelChecksummed}},
		{"gue", ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.TunnelGUE, Port: 6080}},
		{"gue-csum", ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.TunnelGUE, Port: 6080, Checksum: ipvs.TunnelChecksummed}},
	} {
		for _, c := range []struct {
			name    string
			wire    bool
			payload int
		}{
			{"from=wire/size=64", true, 6},
			{"from=wire/size=1400", true, 1342},
			{"from=virtual/size=1400", false, 1342},
			{"from=virtual/size=super", false, 60_000},
		} {
			b.Run(fmt.Sprintf("method=%s/%s/conns=10k", m.name, c.name), func(b *testing.B) {
				s := s
				s.method, s.tunnel, s.wire = m.method, m.tunnel, c.wire
				w, flows := openWorld(b, s, 10_000)
				w.measure(b, w.packets(vipLink, "A", c.payload), flows)
			})
		}
	}
}

// BenchmarkMiss takes packets that are none of the director's business.
func BenchmarkMiss(b *testing.B) {
	w, flows := openWorld(b, plain, 10_000)
	p := w.packets(vipLink, "A", 6)
	before := w.count(dataplane.PassOther)
	b.ReportAllocs()
	report := cpu(b)
	i, sent := 0, uint64(0)
	for b.Loop() {
		key := w.key(int(flows[i%len(flows)].number))
		key.VIP = 0x0a0affff
		p.set(i%batch, key, 0)
		if i++; i%batch == 0 {
			w.driver.Batch(p.frames[:], w.now)
			sent += batch
		}
	}
	report()
	if got := w.count(dataplane.PassOther) - before; got != sent {
		b.Fatalf("%d of %d packets were passed", got, sent)
	}
}

// BenchmarkServices is how packets and new connections cost more with more
// services, of two servers each, and more servers.
func BenchmarkServices(b *testing.B) {
	for _, c := range []struct{ services, servers int }{{1, 2}, {100, 2}, {10_000, 2}, {1, 16}, {1, 1024}} {
		s := plain
		s.services, s.servers = c.services, c.servers
		name := fmt.Sprintf("services=%s/servers=%d", short(c.services), c.servers)
		b.Run("path=established/"+name, func(b *testing.B) {
			w, flows := openWorld(b, s, 10_000)
			w.measure(b, w.packets(vipLink, "A", 6), flows)
		})
		b.Run("path=new/"+name, func(b *testing.B) { benchmarkNew(b, newWorld(b, s, nil), 10_000) })
	}
}

// BenchmarkShards is what several shards cost one thread: packets that came to
// the right one, and packets that it has to hand over.
func BenchmarkShards(b *testing.B) {
	for _, shards := range []int{1, 2, 4} {
		for _, steered := range []string{"right", "wrong"} {
			if shards == 1 && steered == "wrong" {
				continue
			}
			b.Run(fmt.Sprintf("shards=%d/steered=%s", shards, steered), func(b *testing.B) {
				s := plain
				s.shards = shards
				w, flows := openWorld(b, s, 10_000)
				w.measure(b, w.packets(vipLink, "A", 6), w.steered(flows, steered == "right"))
			})
		}
	}
}

// steered returns those of the connections that are shard 0's, or all others.
func (w *world) steered(flows []flow, own bool) (out []flow) {
	p := w.packets(vipLink, "A", 6)
	for _, f := range flows {
		before := w.director.HandedOver()
		p.set(0, w.key(int(f.number)), 0)
		w.driver.Batch(p.frames[:1], w.now)
		if w.director.HandedOver() == before == own {
			out = append(out, f)
		}
	}
	return out
}
