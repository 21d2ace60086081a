package dataplane_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/sched"
)

// TestProcessDoesNotAllocate covers every way that a packet commonly takes.
// Each run is a batch of one frame. Somebody may follow the events, and take them.
func TestProcessDoesNotAllocate(t *testing.T) {
	t.Run("nobody follows", func(t *testing.T) { testAllocations(t, false) })
	t.Run("followed", func(t *testing.T) { testAllocations(t, true) })
}

func testAllocations(t *testing.T, follow bool) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	client, server := netip.MustParseAddr("10.10.3.5"), netip.MustParseAddr("10.20.0.11")
	vip := netip.MustParseAddr("10.10.1.1")
	client6, server6, vip6 := netip.MustParseAddr("fd10::5"), netip.MustParseAddr("fd20::11"), netip.MustParseAddr("fd10:1::1")
	source, source6 := netip.MustParseAddr("10.20.0.240"), netip.MustParseAddr("fd20::f0")
	const sourcePort, sourcePort6 = 48317, 18234 // those that the connections of this test get
	tcp := func(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, flags string, n int) packettest.Packet {
		return packettest.Packet{Proto: 6, DF: true, Flags: flags, Payload: make([]byte, n),
			Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport)}
	}
	for _, tt := range []struct {
		name  string
		frame dataplane.Frame
		link  uint8
		step  time.Duration
		port  func(i int) uint16 // of the client, for each run; nil: as in frame
		want  dataplane.Verdict
	}{
		{name: "established, in", frame: frame(0, tcp(client, 4000, vip, 80, "A", 10).Frame()), want: dataplane.Forward},
		{name: "established, out", link: 1, frame: frame(1, tcp(server, 8080, client, 4000, "A", 10).Frame()), want: dataplane.Forward},
		{name: "super-packet, in", frame: packettest.Partial(tcp(client, 4000, vip, 80, "A", 60000).Frame(), 1448), want: dataplane.Forward},
		{name: "super-packet, out", link: 1, frame: packettest.Partial(tcp(server, 8080, client, 4000, "A", 60000).Frame(), 1448), want: dataplane.Forward},
		{name: "datagram", frame: frame(0, packettest.Packet{Proto: 17, Src: netip.AddrPortFrom(client, 4000), Dst: netip.AddrPortFrom(vip, 53)}.Frame()), want: dataplane.Forward},
		{name: "SCTP", frame: frame(0, packettest.Packet{Proto: 132, Chunks: "INIT", Src: netip.AddrPortFrom(client, 4000), Dst: netip.AddrPortFrom(vip, 2905)}.Frame()), want: dataplane.Forward},
		{name: "SCTP refused", frame: frame(0, packettest.Packet{Proto: 132, Chunks: "SACK", Src: netip.AddrPortFrom(client, 4000), Dst: netip.AddrPortFrom(vip, 80)}.Frame()), want: dataplane.AnswerReset},
		{name: "new connection", frame: frame(0, tcp(client, 4000, vip, 80, "S", 0).Frame()), step: time.Second,
			port: func(i int) uint16 { return 5000 + uint16(i%100) }, want: dataplane.Forward},
		{name: "miss", frame: frame(0, tcp(client, 4000, netip.MustParseAddr("10.10.2.9"), 80, "A", 10).Frame()), want: dataplane.PassOther},
		{name: "routed", link: 1, frame: frame(1, tcp(server, 9999, client, 4000, "A", 10).Frame()), want: dataplane.Route},
		{name: "echo", frame: frame(0, packettest.Packet{Proto: 1, Type: 8, Src: netip.AddrPortFrom(client, 0), Dst: netip.AddrPortFrom(vip, 0)}.Frame()), want: dataplane.AnswerEcho},
		{name: "reset", frame: frame(0, tcp(client, 4000, vip, 81, "A", 10).Frame()), want: dataplane.AnswerReset},
		{name: "port without a service", frame: frame(0, packettest.Packet{Proto: 17, Src: netip.AddrPortFrom(client, 4000), Dst: netip.AddrPortFrom(vip, 99)}.Frame()), want: dataplane.AnswerPortUnreachable},
		{name: "dropped", frame: frame(0, tcp(vip, 4000, vip, 80, "S", 0).Frame()), want: dataplane.DropMartian},
		{name: "direct routing", frame: frame(0, tcp(client, 4000, vip, 8001, "A", 10).Frame()), want: dataplane.Forward},
		{name: "direct routing, super-packet", frame: packettest.Partial(tcp(client, 4000, vip, 8001, "A", 60000).Frame(), 1448), want: dataplane.Forward},
		{name: "IPIP", frame: frame(0, tcp(client, 4000, vip, 8002, "A", 10).Frame()), want: dataplane.Forward},
		{name: "IPIP, super-packet", frame: packettest.Partial(tcp(client, 4000, vip, 8002, "A", 60000).Frame(), 1400), want: dataplane.Forward},
		{name: "IPIP, cut", frame: frame(0, packettest.Packet{Proto: 6, Flags: "A", Payload: make([]byte, 1460), Src: netip.AddrPortFrom(client, 4000), Dst: netip.AddrPortFrom(vip, 8002)}.Frame()), want: dataplane.Forward},
		{name: "GRE", frame: frame(0, tcp(client, 4000, vip, 8003, "A", 10).Frame()), want: dataplane.Forward},
		{name: "GUE", frame: frame(0, tcp(client, 4000, vip, 8004, "A", 10).Frame()), want: dataplane.Forward},
		{name: "tunnel, too big", frame: frame(0, tcp(client, 4000, vip, 8004, "A", 1460).Frame()), want: dataplane.AnswerTooBig},
		{name: "IPv6, in", frame: frame(0, tcp(client6, 4000, vip6, 80, "A", 10).Frame()), want: dataplane.Forward},
		{name: "IPv6, out", link: 1, frame: frame(1, tcp(server6, 8080, client6, 4000, "A", 10).Frame()), want: dataplane.Forward},
		{name: "IPv6, super-packet", frame: packettest.Partial(tcp(client6, 4000, vip6, 80, "A", 60000).Frame(), 1428), want: dataplane.Forward},
		{name: "IPv6, datagram", frame: frame(0, packettest.Packet{Proto: 17, Src: netip.AddrPortFrom(client6, 4000), Dst: netip.AddrPortFrom(vip6, 53)}.Frame()), want: dataplane.Forward},
		{name: "IPv6, refused", frame: frame(0, tcp(client6, 4000, vip6, 81, "A", 10).Frame()), want: dataplane.AnswerReset},
		{name: "IPv6, echo", frame: frame(0, packettest.Packet{Proto: 58, Type: 128, Src: netip.AddrPortFrom(client6, 0), Dst: netip.AddrPortFrom(vip6, 0)}.Frame()), want: dataplane.AnswerEcho},
		{name: "IPv6, routed", link: 1, frame: frame(1, tcp(server6, 9999, client6, 4000, "A", 10).Frame()), want: dataplane.Route},
		{name: "IPv6, direct routing", frame: frame(0, tcp(client6, 4000, vip6, 8001, "A", 10).Frame()), want: dataplane.Forward},
		{name: "IPv6, IPIP", frame: frame(0, tcp(client6, 4000, vip6, 8002, "A", 10).Frame()), want: dataplane.Forward},
		{name: "IPv6, GUE", frame: frame(0, tcp(client6, 4000, vip6, 8004, "A", 10).Frame()), want: dataplane.Forward},
		{name: "IPv6, tunnel, too big", frame: frame(0, tcp(client6, 4000, vip6, 8004, "A", 1440).Frame()), want: dataplane.AnswerTooBig},
		{name: "FULLNAT, in", frame: frame(0, tcp(client, 4000, vip, 8005, "A", 10).Frame()), want: dataplane.Forward},
		{name: "FULLNAT, super-packet", frame: packettest.Partial(tcp(client, 4000, vip, 8005, "A", 60000).Frame(), 1448), want: dataplane.Forward},
		{name: "FULLNAT, new connection", frame: frame(0, tcp(client, 4000, vip, 8005, "S", 0).Frame()), step: time.Second,
			port: func(i int) uint16 { return 5000 + uint16(i%100) }, want: dataplane.Forward},
		{name: "FULLNAT, IPv6", frame: frame(0, tcp(client6, 4000, vip6, 8005, "A", 10).Frame()), want: dataplane.Forward},
		{name: "FULLNAT, out", link: 1, frame: frame(1, tcp(server, 8005, source, sourcePort, "A", 10).Frame()), want: dataplane.Forward},
		{name: "FULLNAT, IPv6, out", link: 1, frame: frame(1, tcp(server6, 8005, source6, sourcePort6, "A", 10).Frame()), want: dataplane.Forward},
		{name: "FULLNAT, TOA", frame: frame(0, tcp(client, 4000, vip, 8006, "A", 10).Frame()), want: dataplane.Forward},
		{name: "ND", frame: frame(0, packettest.NeighbourSolicitation(packettest.NeighbourMAC(client6), client6, vip6)), want: dataplane.AnswerND},
		{name: "ARP", frame: frame(0, packettest.ARPRequest(packettest.NeighbourMAC(client), client, vip)), want: dataplane.AnswerARP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(nil)
			w.mustRules(t, "-A -t 10.10.1.1:80 -s wlc\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m\n-A -u 10.10.1.1:53 -s rr\n-a -u 10.10.1.1:53 -r 10.20.0.11:5353 -m\n"+
				"-A --sctp-service 10.10.1.1:2905 -s rr\n-a --sctp-service 10.10.1.1:2905 -r 10.20.0.11:80 -m\n"+
				"-A -t [fd10:1::1]:80 -s wlc\n-a -t [fd10:1::1]:80 -r [fd20::11]:8080 -m\n-A -u [fd10:1::1]:53 -s rr\n-a -u [fd10:1::1]:53 -r [fd20::11]:5353 -m")
			w.mustRules(t, "source add 10.20.0.240 fd20::f0")
			for port, options := range map[uint16]string{8001: "-g", 8002: "-i", 8003: "-i --tun-type gre --tun-csum", 8004: "-i --tun-type gue --tun-port 6080 --tun-csum", 8005: "--fullnat", 8006: "--fullnat --toa"} {
				w.mustRules(t, fmt.Sprintf("-A -t 10.10.1.1:%d -s wlc\n-a -t 10.10.1.1:%d -r 10.20.0.11 %s", port, port, options))
				w.mustRules(t, fmt.Sprintf("-A -t [fd10:1::1]:%d -s wlc\n-a -t [fd10:1::1]:%d -r fd20::11 %s", port, port, options))
				w.batch(frame(0, tcp(client, 4000, vip, port, "S", 0).Frame()))
				w.batch(frame(0, tcp(client6, 4000, vip6, port, "S", 0).Frame()))
			}
			w.dir.Follow(follow)
			events := make([]ipvs.Event, 0, 1000)
			w.batch(frame(0, tcp(client, 4000, vip, 80, "S", 0).Frame()))
			w.batch(frame(0, tcp(client, 4000, vip, 80, "A", 0).Frame()))
			w.batch(frame(0, tcp(client6, 4000, vip6, 80, "S", 0).Frame()))
			w.batch(frame(0, tcp(client6, 4000, vip6, 80, "A", 0).Frame()))
			fresh := tt.frame.Data
			f := tt.frame
			f.Link, f.Data = tt.link, make([]byte, len(fresh))
			i := 0
			run := func() {
				copy(f.Data, fresh)
				if tt.port != nil {
					port := tt.port(i)
					i++
					f.Data[34], f.Data[35] = byte(port>>8), byte(port)
				}
				w.now += tt.step
				w.shard.Begin(w.now)
				if got := w.shard.Process(&f, w.now); got != tt.want {
					t.Fatalf("Process = %v, want %v", got, tt.want)
				}
				w.shard.End()
				if follow {
					events = w.dir.TakeEvents(events[:0])
				}
			}
			for range 300 {
				run()
			}
			if got := testing.AllocsPerRun(500, run); got != 0 {
				t.Errorf("Process allocates %v times, want 0", got)
			}
		})
	}
}

// TestProcessDoesNotAllocateAfterChanges: the first connection after a change of
// the servers finds everything ready, in a service in use.
func TestProcessDoesNotAllocateAfterChanges(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, scheduler := range sched.Names() {
		if scheduler == "none" {
			continue
		}
		w := newWorld(nil)
		w.mustRules(t, "-A -t 10.10.1.1:80 -s "+scheduler)
		for i := range 70 {
			w.mustRules(t, fmt.Sprintf("-a -t 10.10.1.1:80 -r 10.20.0.%d:8080 -m -w %d", 11+i, 1+i%3))
		}
		syn := packettest.Packet{Proto: 6, Flags: "S", Src: netip.MustParseAddrPort("10.10.3.5:4000"), Dst: netip.MustParseAddrPort("10.10.1.1:80")}.Frame()
		f := frame(0, make([]byte, len(syn)))
		connect := func(port uint16) (allocations uint64) {
			copy(f.Data, syn)
			f.Data[34], f.Data[35] = byte(port>>8), byte(port)
			w.shard.Begin(w.now)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := w.shard.Process(&f, w.now)
			runtime.ReadMemStats(&after)
			w.shard.End()
			if got != dataplane.Forward {
				t.Fatalf("%s: Process = %v, want %v", scheduler, got, dataplane.Forward)
			}
			return after.Mallocs - before.Mallocs
		}
		for port := range uint16(100) { // neighbours are found, the table has grown
			connect(4000 + port)
		}
		for i := range uint16(20) {
			server := fmt.Sprintf("-t 10.10.1.1:80 -r 10.20.0.%d:8080", 11+i)
			w.mustRules(t, "-d "+server)
			if n := connect(5000 + 3*i); n != 0 {
				t.Errorf("%s: after a delete Process allocates %d times, want 0", scheduler, n)
			}
			w.mustRules(t, "-a "+server+" -m -w 2")
			if n := connect(5001 + 3*i); n != 0 {
				t.Errorf("%s: after an add Process allocates %d times, want 0", scheduler, n)
			}
			w.mustRules(t, "-e "+server+" -m -w 3")
			if n := connect(5002 + 3*i); n != 0 {
				t.Errorf("%s: after an edit Process allocates %d times, want 0", scheduler, n)
			}
		}
	}
}
