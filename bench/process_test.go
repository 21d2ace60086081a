package bench

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
)

const (
	vipLink = 0
	dipLink = 1
	batch   = 64
)

// director returns a director with one service of 16 servers. wake may be nil.
func director(b *testing.B, wake func()) *dataplane.Director {
	b.Helper()
	d := dataplane.NewDirector(dataplane.Config{Seed: 1, Wake: wake, Links: []dataplane.Link{
		{Name: "vip", Side: dataplane.VIPSide, Caps: dataplane.Caps{Offload: true}},
		{Name: "dip", Side: dataplane.DIPSide, Caps: dataplane.Caps{Offload: true}},
	}})
	d.SetHost(&packettest.Host{
		Links: []dataplane.LinkState{{MTU: 1500, Up: true, Addr: 0x0a0a0001}, {MTU: 1500, Up: true, Addr: 0x0a140001}},
		Routes: []packettest.Route{
			{Prefix: netip.MustParsePrefix("10.10.0.0/16"), Kind: dataplane.HopForward, Link: vipLink},
			{Prefix: netip.MustParsePrefix("10.20.0.0/24"), Kind: dataplane.HopForward, Link: dipLink},
		},
	})
	service := ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}, Scheduler: "rr"}
	changes := []ipvs.Change{{Kind: ipvs.AddService, Service: service}}
	for i := range 16 {
		changes = append(changes, ipvs.Change{Kind: ipvs.AddDestination, Service: service, Destination: ipvs.Destination{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, 0, byte(11 + i)}), 8080), Weight: 1,
		}})
	}
	if err := d.Apply(changes); err != nil {
		b.Fatal(err)
	}
	return d
}

// template is a frame of which each connection has its own copy but for the
// client's address and port: payload makes it 60 bytes long or a super-packet.
type template struct {
	frame    dataplane.Frame
	fresh    [54]byte // headers as received
	addr, at int      // offsets of the client's address and port
}

func newTemplate(link uint8, flags string, payload int) *template {
	p := packettest.Packet{
		Proto: 6, Flags: flags, DF: true, Payload: make([]byte, payload),
		Src: netip.MustParseAddrPort("10.10.2.1:1"), Dst: netip.MustParseAddrPort("10.10.1.1:80"),
	}
	t := &template{addr: 26, at: 34}
	if link == dipLink {
		p.Src, p.Dst = netip.MustParseAddrPort("10.20.0.11:8080"), p.Src
		t.addr, t.at = 30, 36
	}
	mss := 0
	if payload > 1448 {
		mss = 1448
	}
	t.frame = packettest.Partial(p.Frame(), mss)
	t.frame.Link = link
	copy(t.fresh[:], t.frame.Data)
	return t
}

// set makes the frame that of connection i, from or to the server rip. Partial
// checksums are not verified on the way, so only the IP header's is made right.
func (t *template) set(i int, rip uint32) *dataplane.Frame {
	b := t.frame.Data
	copy(b, t.fresh[:])
	key := connKey(i)
	binary.BigEndian.PutUint32(b[t.addr:], key.CIP)
	binary.BigEndian.PutUint16(b[t.at:], key.CPort)
	if t.frame.Link == dipLink {
		binary.BigEndian.PutUint32(b[26:], rip)
	}
	b[24], b[25] = 0, 0
	sum := uint32(0)
	for at := 14; at < 34; at += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[at:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum&0xffff+sum>>16))
	return &t.frame
}

// BenchmarkProcess takes packets of connections in random order through a
// shard, in batches of 64 as the live loop does, sending not included. Making the
// frame anew from its headers is. Paths: established and reply are packets of
// connections, new is a SYN that makes one (in a steady table: a million of
// half-open ones come and end in a minute), miss is none of the director's.
func BenchmarkProcess(b *testing.B) {
	sizes := []int{10_000, 1_000_000}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, path := range []string{"established", "reply", "new", "miss"} {
		for _, size := range []string{"64", "super"} {
			if size == "super" && path != "established" && path != "reply" {
				continue
			}
			for _, n := range sizes {
				b.Run(fmt.Sprintf("path=%s/size=%s/conns=%s", path, size, short(n)), func(b *testing.B) {
					benchmarkProcess(b, director(b, nil).Shard(0), path, size, n)
				})
			}
		}
	}
}

// BenchmarkFollowed is what it costs that somebody follows the events: another
// goroutine takes them, as the daemon does. A SYN makes two of them, and each end
// of a connection one.
func BenchmarkFollowed(b *testing.B) {
	for _, path := range []string{"established", "new"} {
		for _, followed := range []bool{false, true} {
			b.Run(fmt.Sprintf("path=%s/followed=%v", path, followed), func(b *testing.B) {
				news := make(chan struct{}, 1)
				d := director(b, func() {
					select {
					case news <- struct{}{}:
					default:
					}
				})
				d.Follow(followed)
				stop, stopped := make(chan struct{}), make(chan struct{})
				taken, lost := 0, uint64(0)
				go func() {
					defer close(stopped)
					var events []ipvs.Event
					for {
						select {
						case <-stop:
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
				benchmarkProcess(b, d.Shard(0), path, "64", 10_000)
				close(stop)
				<-stopped
				if followed {
					b.ReportMetric(float64(taken)/float64(b.N), "events/op")
					b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
				}
			})
		}
	}
}

func benchmarkProcess(b *testing.B, s *dataplane.Shard, path, size string, n int) {
	keys := order(n)
	payload := 6 // 60 bytes, and the 4 of the FCS
	if size == "super" {
		payload = 60_000
	}
	open(b, s, n)
	link, flags, want := uint8(vipLink), "A", dataplane.Forward
	now, gap := 10*time.Second, time.Duration(0)
	switch path {
	case "reply":
		link = dipLink
	case "new":
		flags, gap = "S", time.Minute/1_000_000
	case "miss":
		want = dataplane.PassOther
	}
	t := newTemplate(link, flags, payload)
	if path == "miss" {
		copy(t.fresh[30:34], []byte{10, 10, 9, 9})
	}
	s.Begin(now)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i%batch == 0 {
			s.End()
			now += gap * batch
			s.Begin(now)
		}
		k := int(keys[i%n])
		rip := serverOf(k)
		if path == "new" {
			k += n + i // never seen before
		}
		if got := s.Process(t.set(k, rip), now); got != want {
			b.Fatalf("Process = %v, want %v", got, want)
		}
		i++
	}
	s.End()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pkts/s")
}

// open establishes n connections.
func open(b *testing.B, s *dataplane.Shard, n int) {
	b.Helper()
	syn, ack := newTemplate(vipLink, "S", 0), newTemplate(vipLink, "A", 0)
	for i := range n {
		s.Begin(time.Second)
		if got := s.Process(syn.set(i, 0), time.Second); got != dataplane.Forward {
			b.Fatalf("SYN of connection %d: %v", i, got)
		}
		s.Process(ack.set(i, 0), time.Second)
		s.End()
	}
}

// serverOf returns the server of connection i: rr begins with the newest.
func serverOf(i int) uint32 { return 0x0a140000 + uint32(11+15-i%16) }
