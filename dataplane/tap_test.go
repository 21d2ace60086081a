package dataplane_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
)

const tapRules = `-A -t 10.10.1.1:80 -s rr
-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m
-a -t 10.10.1.1:80 -r 10.20.0.12:8080 -m
-A -t 10.10.1.2:80 -s rr -p 300
-a -t 10.10.1.2:80 -r 10.20.0.11:80 -m
-A -u 10.10.1.3:53 -s rr -o
-a -u 10.10.1.3:53 -r 10.20.0.11:53 -m
-A -t 10.10.1.4:80 -s rr
-A -f 7 -s rr
-a -f 7 -r 10.20.0.12 -m
mark -A PREROUTING -d 10.10.1.7 -j MARK --set-mark 7
-A -t [fd10::101]:80 -s rr
-a -t [fd10::101]:80 -r [fd20::11]:8080 -m
-a -t [fd10::101]:80 -r [fd20::12]:8080 -m
-A -f 7 -6 -s rr
-a -f 7 -6 -r fd20::12 -m
mark -6 -A PREROUTING -d fd10::107 -j MARK --set-mark 7
`

// tapWorld is a world with a tap on it.
func tapWorld(t *testing.T, filter dataplane.TapFilter, snap int, change func(*dataplane.Config)) (*world, *dataplane.Tap) {
	t.Helper()
	w := newWorld(change)
	w.mustRules(t, tapRules)
	tap, err := w.dir.NewTap(filter, snap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	w.batch() // VIPs are announced
	tap.Take(func(*dataplane.TapFrame) bool { return true })
	return w, tap
}

// tcpTo is a client's segment.
func tcpTo(w *world, client, to, flags string) dataplane.Frame {
	return frame(vipLink, w.from(vipLink, packettest.Packet{
		Proto: 6, DF: true, Flags: flags, Src: netip.MustParseAddrPort(client), Dst: netip.MustParseAddrPort(to),
	}).Frame())
}

// reply is a server's.
func tcpReply(w *world, server, to, flags string) dataplane.Frame {
	return frame(dipLink, w.from(dipLink, packettest.Packet{
		Proto: 6, DF: true, Flags: flags, Src: netip.MustParseAddrPort(server), Dst: netip.MustParseAddrPort(to),
	}).Frame())
}

// tapped tells what a tap has seen, a line each.
func tapped(tap *dataplane.Tap) (lines []string) {
	tap.Take(func(f *dataplane.TapFrame) bool {
		line := fmt.Sprintf("%s %v", linkNames[f.Link], f.Verdict)
		if f.Sent {
			line = "> " + line
		}
		if f.Late {
			line += " late"
		}
		if f.Conn {
			line += fmt.Sprintf(" %v %v %v %v %s %v", f.Proto, f.Client, f.Virtual, f.Server, f.State, f.Why)
		}
		lines = append(lines, line)
		return true
	})
	return lines
}

// TestTap: both sides of every packet, what it was part of and what picked its
// server.
func TestTap(t *testing.T) {
	w, tap := tapWorld(t, dataplane.TapFilter{}, 0, nil)
	in := tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "S")
	before := bytes.Clone(in.Data)
	w.batch(in)
	var data [][]byte
	tap.Take(func(f *dataplane.TapFrame) bool {
		if f.At != w.now || int(f.WireLen) != len(before) {
			t.Errorf("a frame at %v of %d bytes, want %v and %d", f.At, f.WireLen, w.now, len(before))
		}
		data = append(data, bytes.Clone(f.Data))
		return true
	})
	if len(data) != 2 || !bytes.Equal(data[0], before) || !bytes.Equal(data[1], in.Data) {
		t.Errorf("the tap has %d frames, want what came and what was sent", len(data))
	}

	w.batch(tcpReply(w, "10.20.0.12:8080", "10.10.2.1:4000", "SA"), tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "R"),
		tcpTo(w, "10.10.2.1:4001", "10.10.1.2:80", "S"), tcpTo(w, "10.10.2.1:4002", "10.10.1.2:80", "S"),
		frame(vipLink, w.from(vipLink, packettest.Packet{Proto: 17, Src: netip.MustParseAddrPort("10.10.2.1:5000"), Dst: netip.MustParseAddrPort("10.10.1.3:53")}).Frame()),
		tcpTo(w, "10.10.2.1:4003", "10.10.1.4:80", "S"), tcpTo(w, "10.10.2.1:4004", "10.10.1.7:81", "S"),
		tcpTo(w, "10.10.2.1:4000", "10.10.2.200:80", "S"))
	want := []string{
		"dip forward TCP 10.10.2.1:4000 10.10.1.1:80 10.20.0.12:8080 SYN_RECV ",
		"> vip forward TCP 10.10.2.1:4000 10.10.1.1:80 10.20.0.12:8080 SYN_RECV ",
		"vip forward TCP 10.10.2.1:4000 10.10.1.1:80 10.20.0.12:8080 SYN_RECV ",
		"> dip forward TCP 10.10.2.1:4000 10.10.1.1:80 10.20.0.12:8080 SYN_RECV ",
		"vip forward TCP 10.10.2.1:4001 10.10.1.2:80 10.20.0.11:80 SYN_RECV new",
		"> dip forward TCP 10.10.2.1:4001 10.10.1.2:80 10.20.0.11:80 SYN_RECV new",
		"vip forward TCP 10.10.2.1:4002 10.10.1.2:80 10.20.0.11:80 SYN_RECV template",
		"> dip forward TCP 10.10.2.1:4002 10.10.1.2:80 10.20.0.11:80 SYN_RECV template",
		"vip forward UDP 10.10.2.1:5000 10.10.1.3:53 10.20.0.11:53 UDP one-packet",
		"> dip forward UDP 10.10.2.1:5000 10.10.1.3:53 10.20.0.11:53 UDP one-packet",
		"vip answer-no-destination",
		"> vip answer-no-destination",
		"vip forward TCP 10.10.2.1:4004 10.10.1.7:81 10.20.0.12:81 SYN_RECV new",
		"> dip forward TCP 10.10.2.1:4004 10.10.1.7:81 10.20.0.12:81 SYN_RECV new",
		"vip pass-other",
	}
	if diff := cmp.Diff(want, tapped(tap)); diff != "" {
		t.Errorf("tapped (-want +got):\n%s", diff)
	}

	// In the place of an old connection of the same ports.
	w.batch(tcpReply(w, "10.20.0.12:8080", "10.10.2.1:4000", "R"), tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "A"))
	w.batch(tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "R"))
	tapped(tap)
	w.batch(tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "S"))
	if got := tapped(tap); len(got) != 2 || got[0] != "vip forward TCP 10.10.2.1:4000 10.10.1.1:80 10.20.0.11:8080 SYN_RECV reuse" {
		t.Errorf("tapped %q, want a connection in the place of another", got)
	}

	tap.Close()
	w.batch(tcpTo(w, "10.10.2.1:4009", "10.10.1.1:80", "S"))
	if got := tapped(tap); got != nil {
		t.Errorf("a tap that was closed has seen %q", got)
	}
}

// TestTapFilter: a filter goes by the connection where there is one, and else by
// the packet's own addresses.
func TestTapFilter(t *testing.T) {
	service := func(proto ipvs.Protocol, vip string) ipvs.ServiceKey {
		return ipvs.ServiceKey{Proto: proto, VIP: netip.MustParseAddrPort(vip)}
	}
	only := func(verdicts ...dataplane.Verdict) (f dataplane.TapFilter) {
		for _, v := range verdicts {
			f.Verdicts[v] = true
		}
		return f
	}
	for _, tt := range []struct {
		name   string
		filter dataplane.TapFilter
		want   []int // of the packets below
	}{
		{"all", dataplane.TapFilter{}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"service", dataplane.TapFilter{Service: service(ipvs.TCP, "10.10.1.1:80")}, []int{0, 1, 2}},
		{"service without servers", dataplane.TapFilter{Service: service(ipvs.TCP, "10.10.1.4:80")}, []int{5}},
		{"other protocol", dataplane.TapFilter{Service: service(ipvs.UDP, "10.10.1.1:80")}, nil},
		{"mark", dataplane.TapFilter{Service: ipvs.ServiceKey{Mark: 7}}, []int{6}},
		{"server", dataplane.TapFilter{Server: netip.MustParseAddrPort("10.20.0.12:0")}, []int{0, 2, 6}},
		{"server's port", dataplane.TapFilter{Server: netip.MustParseAddrPort("10.20.0.12:8080")}, []int{0, 2}},
		{"client", dataplane.TapFilter{Client: netip.MustParsePrefix("10.10.2.2/32")}, []int{1, 3}},
		{"network of clients", dataplane.TapFilter{Client: netip.MustParsePrefix("10.10.2.0/24")}, []int{0, 1, 2, 3, 4, 5, 6}},
		{"verdicts", only(dataplane.AnswerNoDestination, dataplane.AnswerReset, dataplane.AnswerARP), []int{4, 5, 7}},
		{"all of it", func() dataplane.TapFilter {
			f := only(dataplane.Forward)
			f.Service, f.Client = service(ipvs.TCP, "10.10.1.1:80"), netip.MustParsePrefix("10.10.2.2/32")
			return f
		}(), []int{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, tap := tapWorld(t, tt.filter, 0, nil)
			client, vip := netip.MustParseAddr("10.10.2.1"), netip.MustParseAddr("10.10.1.1")
			for i, f := range []dataplane.Frame{
				tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "S"),
				tcpTo(w, "10.10.2.2:4000", "10.10.1.1:80", "S"),
				tcpReply(w, "10.20.0.12:8080", "10.10.2.1:4000", "SA"),
				tcpTo(w, "10.10.2.2:4001", "10.10.1.2:80", "S"),
				tcpTo(w, "10.10.2.1:4001", "10.10.1.1:81", "S"),
				tcpTo(w, "10.10.2.1:4002", "10.10.1.4:80", "S"),
				tcpTo(w, "10.10.2.1:4003", "10.10.1.7:81", "S"),
				frame(vipLink, packettest.ARPRequest(packettest.NeighbourMAC(client), client, vip)),
			} {
				v := w.batch(f)[0]
				lines := tapped(tap)
				if seen := len(lines) > 0; seen != slices.Contains(tt.want, i) {
					t.Errorf("packet %d, %v: tapped %q", i, v, lines)
				} else if seen && len(lines) != 2 {
					t.Errorf("packet %d, %v: tapped %q, want what came and what was sent", i, v, lines)
				}
			}
		})
	}
}

// TestTapOfIPv6: so are frames of IPv6, with whole addresses, and a mark's service of
// the one family is not that of the other.
func TestTapOfIPv6(t *testing.T) {
	for _, tt := range []struct {
		name   string
		filter dataplane.TapFilter
		want   []int // of the packets below
	}{
		{"all", dataplane.TapFilter{}, []int{0, 1, 2, 3, 4, 5, 6}},
		{"service", dataplane.TapFilter{Service: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("[fd10::101]:80")}}, []int{0, 1, 2}},
		{"mark", dataplane.TapFilter{Service: ipvs.ServiceKey{Mark: 7}}, []int{6}},
		{"mark of IPv6", dataplane.TapFilter{Service: ipvs.ServiceKey{Mark: 7, V6: true}}, []int{3}},
		{"server", dataplane.TapFilter{Server: netip.MustParseAddrPort("[fd20::12]:8080")}, []int{0, 2}},
		{"server on any port", dataplane.TapFilter{Server: netip.MustParseAddrPort("[fd20::12]:0")}, []int{0, 2, 3}},
		{"client", dataplane.TapFilter{Client: netip.MustParsePrefix("fd10::2:2/128")}, []int{1}},
		{"network of clients", dataplane.TapFilter{Client: netip.MustParsePrefix("fd10::2:0/112")}, []int{0, 1, 2, 3, 4}}, // neighbour discovery is nobody's
		{"network of IPv4", dataplane.TapFilter{Client: netip.MustParsePrefix("0.0.0.0/0")}, []int{6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, tap := tapWorld(t, tt.filter, 0, nil)
			client, vip := netip.MustParseAddr("fd10::2:1"), netip.MustParseAddr("fd10::101")
			const first = " TCP [fd10::2:1]:4000 [fd10::101]:80 [fd20::12]:8080 SYN_RECV "
			for i, p := range []struct {
				frame     dataplane.Frame
				came, out string // what the tap says of it, coming and going; "" where that is not IPv6's
			}{
				{tcpTo(w, "[fd10::2:1]:4000", "[fd10::101]:80", "S"), "vip forward" + first + "new", "> dip forward" + first + "new"},
				{tcpTo(w, "[fd10::2:2]:4000", "[fd10::101]:80", "S"), "", ""},
				{tcpReply(w, "[fd20::12]:8080", "[fd10::2:1]:4000", "SA"), "dip forward" + first, "> vip forward" + first},
				{tcpTo(w, "[fd10::2:1]:4003", "[fd10::107]:81", "S"), "", ""},
				{tcpTo(w, "[fd10::2:1]:4001", "[fd10::101]:81", "S"), "vip answer-reset", "> vip answer-reset"},
				{frame(vipLink, packettest.NeighbourSolicitation(packettest.NeighbourMAC(client), client, vip)), "vip answer-nd", "> vip answer-nd"},
				{tcpTo(w, "10.10.2.1:4003", "10.10.1.7:81", "S"), "", ""},
			} {
				v := w.batch(p.frame)[0]
				lines := tapped(tap)
				switch seen := slices.Contains(tt.want, i); {
				case seen != (len(lines) == 2):
					t.Errorf("packet %d, %v: tapped %q", i, v, lines)
				case seen && p.came != "" && (lines[0] != p.came || lines[1] != p.out):
					t.Errorf("packet %d: tapped %q, want %q and %q", i, lines, p.came, p.out)
				}
			}
		})
	}
}

// TestTapFull: what has no room is counted, what is kept is whole, and a frame is
// cut to what was asked for.
func TestTapFull(t *testing.T) {
	const rounds = 5000
	w, tap := tapWorld(t, dataplane.TapFilter{}, 40, nil)
	for i := range rounds {
		w.batch(tcpTo(w, fmt.Sprintf("10.10.2.1:%d", 1000+i), "10.10.1.1:80", "S"))
	}
	got := uint64(0)
	tap.Take(func(f *dataplane.TapFrame) bool {
		got++
		if len(f.Data) != 40 || f.WireLen < 54 || !f.Conn {
			t.Fatalf("frame %d is %+v", got, f)
		}
		return true
	})
	if lost := tap.Lost(); lost == 0 || got+lost != 2*rounds {
		t.Errorf("%d frames were tapped and %d lost of %d", got, lost, 2*rounds)
	}
	w.batch(tcpTo(w, "10.10.2.1:1000", "10.10.1.1:80", "A"))
	if lines := tapped(tap); len(lines) != 2 {
		t.Errorf("an emptied tap sees %q", lines)
	}
}

// TestTapLate: a packet that waited for its neighbour is there when it leaves, as
// part of its connection, whatever the filter goes by.
func TestTapLate(t *testing.T) {
	for name, filter := range map[string]dataplane.TapFilter{
		"server":  {Server: netip.MustParseAddrPort("10.20.0.12:0")},
		"service": {Service: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}},
		"client":  {Client: netip.MustParsePrefix("10.10.2.1/32")},
	} {
		t.Run(name, func(t *testing.T) {
			w, tap := tapWorld(t, filter, 0, nil)
			const conn = " TCP 10.10.2.1:4000 10.10.1.1:80 10.20.0.12:8080 SYN_RECV "
			check := func(held dataplane.Frame, neighbour string, want ...string) {
				t.Helper()
				addr := netip.MustParseAddr(neighbour)
				w.setHost(func(h *packettest.Host) { h.Neighbours[addr] = packettest.Unresolved })
				w.batch(held)
				w.setHost(func(h *packettest.Host) { delete(h.Neighbours, addr) })
				w.batch()
				if diff := cmp.Diff(want, tapped(tap)); diff != "" {
					t.Errorf("tapped (-want +got):\n%s", diff)
				}
			}
			check(tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "S"), "10.20.0.12",
				"vip held-neighbour"+conn+"new", "> dip forward late"+conn)
			check(tcpReply(w, "10.20.0.12:8080", "10.10.2.1:4000", "SA"), "10.10.2.1",
				"dip held-neighbour"+conn, "> vip forward late"+conn)
		})
	}
}

// TestTapShards: whichever shard a packet comes to, it is seen once, by the one that
// owns it, and all shards' frames come in the order in which they were handled.
func TestTapShards(t *testing.T) {
	w, tap := tapWorld(t, dataplane.TapFilter{}, 0, func(c *dataplane.Config) { c.Shards = 3 })
	d := w.dir.NewDriver(0, func([]dataplane.Frame, []dataplane.Resolve) {})
	const clients = 60
	for i := range clients {
		d.Batch([]dataplane.Frame{tcpTo(w, fmt.Sprintf("10.10.2.%d:4000", i+1), "10.10.1.1:80", "S")}, w.now)
	}
	lines := tapped(tap)
	if len(lines) != 2*clients || w.dir.HandedOver() == 0 {
		t.Fatalf("%d frames were tapped of %d, %d packets were handed over", len(lines), 2*clients, w.dir.HandedOver())
	}
	for i := range clients {
		if want := fmt.Sprintf(" 10.10.2.%d:4000 ", i+1); !bytes.Contains([]byte(lines[2*i]), []byte(want)) {
			t.Errorf("frame %d is %q, want%s", 2*i, lines[2*i], want)
		}
	}
}

// TestTapOrder: a frame never comes after one that was handled later, in whichever
// shard, however often the tap is emptied meanwhile.
func TestTapOrder(t *testing.T) {
	w, tap := tapWorld(t, dataplane.TapFilter{}, 0, func(c *dataplane.Config) { c.Shards = 3 })
	d := w.dir.NewDriver(0, func([]dataplane.Frame, []dataplane.Resolve) {})
	const rounds = 20000
	next := 0
	check := func(f *dataplane.TapFrame) bool {
		if f.Sent {
			return true
		}
		if got := int(f.Client.Port()) - 1000; got != next {
			t.Errorf("frame %d comes after %d", got, next-1)
			next = got
		}
		next++
		return !t.Failed()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range rounds {
			d.Batch([]dataplane.Frame{tcpTo(w, fmt.Sprintf("10.10.2.%d:%d", i%200+1, 1000+i), "10.10.1.1:80", "S")}, w.now)
		}
	}()
	for ended := false; !ended && !t.Failed(); {
		select {
		case <-done:
			ended = true
		default:
		}
		tap.Take(check)
	}
	<-done
	if lost := tap.Lost(); !t.Failed() && (next != rounds || lost > 0) {
		t.Errorf("%d frames were tapped and %d lost of %d", next, lost, rounds)
	}
}

// TestTaps: there may be several, each with its own filter, but not any number.
func TestTaps(t *testing.T) {
	w, all := tapWorld(t, dataplane.TapFilter{}, 0, nil)
	one, err := w.dir.NewTap(dataplane.TapFilter{Client: netip.MustParsePrefix("10.10.2.2/32")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.batch(tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "S"), tcpTo(w, "10.10.2.2:4000", "10.10.1.1:80", "S"))
	if a, b := len(tapped(all)), len(tapped(one)); a != 4 || b != 2 {
		t.Errorf("one tap has seen %d frames and the other %d, want 4 and 2", a, b)
	}
	var more []*dataplane.Tap
	for range 6 {
		tap, err := w.dir.NewTap(dataplane.TapFilter{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		more = append(more, tap)
	}
	if _, err := w.dir.NewTap(dataplane.TapFilter{}, 0); !errors.Is(err, dataplane.ErrTaps) {
		t.Errorf("a ninth tap: %v", err)
	}
	more[0].Close()
	if tap, err := w.dir.NewTap(dataplane.TapFilter{}, 0); err != nil {
		t.Error(err)
	} else {
		tap.Close()
	}
}

// TestTapDoesNotAllocate: nor does a director that is watched.
func TestTapDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	w, _ := tapWorld(t, dataplane.TapFilter{Service: ipvs.ServiceKey{Mark: 7}}, 0, nil)
	frames := []dataplane.Frame{tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "A"), tcpTo(w, "10.10.2.1:4000", "10.10.1.1:81", "A")}
	fresh := [][]byte{bytes.Clone(frames[0].Data), bytes.Clone(frames[1].Data)}
	w.batch(tcpTo(w, "10.10.2.1:4000", "10.10.1.1:80", "S"))
	if got := testing.AllocsPerRun(500, func() {
		w.now += time.Millisecond
		w.shard.Begin(w.now)
		for i := range frames {
			copy(frames[i].Data, fresh[i])
			w.shard.Process(&frames[i], w.now)
		}
		w.shard.End()
	}); got != 0 {
		t.Errorf("a watched director allocates %v times a batch", got)
	}
}
