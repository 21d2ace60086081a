package dataplane_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"

	"github.com/google/go-cmp/cmp"
)

const oneServer = "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m"

// syn is a client's first packet to the service of oneServer.
func syn(w *world, port uint16) dataplane.Frame {
	return frame(vipLink, w.from(vipLink, packettest.Packet{Proto: 6, Flags: "S", DF: true,
		Src: netip.AddrPortFrom(netip.MustParseAddr("10.10.3.5"), port), Dst: netip.MustParseAddrPort("10.10.1.1:80")}).Frame())
}

// TestApplyRefuses checks that each fault has its error and its place, and that
// what came before it in the transaction is not done.
func TestApplyRefuses(t *testing.T) {
	key := func(text string) ipvs.Service {
		return ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort(text)}}
	}
	server := func(text string) ipvs.Destination {
		return ipvs.Destination{Addr: netip.MustParseAddrPort(text), Weight: 1}
	}
	here, missing := key("10.10.1.1:80"), key("10.10.1.1:81")
	known, unknown := server("10.20.0.11:8080"), server("10.20.0.12:8080")
	sip := key("10.10.1.1:82")
	sip.Scheduler = "no-such"
	mark6 := ipvs.Service{Key: ipvs.ServiceKey{Mark: 5, V6: true}}
	for _, tt := range []struct {
		name    string
		changes []ipvs.Change
		want    error
	}{
		{"add an existing service", []ipvs.Change{{Kind: ipvs.AddService, Service: here}}, ipvs.ErrServiceExists},
		{"add a service twice", []ipvs.Change{{Kind: ipvs.AddService, Service: missing}, {Kind: ipvs.AddService, Service: missing}}, ipvs.ErrServiceExists},
		{"unknown scheduler", []ipvs.Change{{Kind: ipvs.AddService, Service: sip}}, ipvs.ErrUnknownScheduler},
		{"a mark of IPv6 twice", []ipvs.Change{{Kind: ipvs.AddService, Service: mark6}, {Kind: ipvs.AddService, Service: mark6}}, ipvs.ErrServiceExists},
		{"no address", []ipvs.Change{{Kind: ipvs.AddService, Service: ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP}}}}, ipvs.ErrInvalid},
		{"IPv4 server of an IPv6 service", []ipvs.Change{
			{Kind: ipvs.AddService, Service: key("[2001:db8::1]:80")},
			{Kind: ipvs.AddDestination, Service: key("[2001:db8::1]:80"), Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.20.0.11:80")}},
		}, ipvs.ErrDifferentFamily},
		{"edit a missing service", []ipvs.Change{{Kind: ipvs.EditService, Service: missing}}, ipvs.ErrNoSuchService},
		{"delete a missing service", []ipvs.Change{{Kind: ipvs.DeleteService, Service: missing}}, ipvs.ErrNoSuchService},
		{"zero a missing service", []ipvs.Change{{Kind: ipvs.ZeroStats, Service: missing}}, ipvs.ErrNoSuchService},
		{"add a server to a missing service", []ipvs.Change{{Kind: ipvs.AddDestination, Service: missing, Destination: known}}, ipvs.ErrNoSuchService},
		{"add an existing server", []ipvs.Change{{Kind: ipvs.AddDestination, Service: here, Destination: known}}, ipvs.ErrDestinationExists},
		{"IPv6 server", []ipvs.Change{{Kind: ipvs.AddDestination, Service: here, Destination: server("[2001:db8::1]:80")}}, ipvs.ErrDifferentFamily},
		{"no server address", []ipvs.Change{{Kind: ipvs.AddDestination, Service: here}}, ipvs.ErrDifferentFamily},
		{"edit a missing server", []ipvs.Change{{Kind: ipvs.EditDestination, Service: here, Destination: unknown}}, ipvs.ErrNoSuchDestination},
		{"delete a missing server", []ipvs.Change{{Kind: ipvs.DeleteDestination, Service: here, Destination: unknown}}, ipvs.ErrNoSuchDestination},
		{"edit a server after a flush", []ipvs.Change{{Kind: ipvs.FlushServices}, {Kind: ipvs.AddService, Service: here},
			{Kind: ipvs.EditDestination, Service: here, Destination: known}}, ipvs.ErrNoSuchDestination},
		{"edit a server after its service", []ipvs.Change{{Kind: ipvs.DeleteService, Service: here}, {Kind: ipvs.AddService, Service: here},
			{Kind: ipvs.EditDestination, Service: here, Destination: known}}, ipvs.ErrNoSuchDestination},
		{"delete a server twice", []ipvs.Change{{Kind: ipvs.DeleteDestination, Service: here, Destination: known},
			{Kind: ipvs.DeleteDestination, Service: here, Destination: known}}, ipvs.ErrNoSuchDestination},
		{"unknown sysctl", []ipvs.Change{{Kind: ipvs.SetSysctl, Name: "no_such", Value: "1"}}, ipvs.ErrUnknownSysctl},
		{"sysctl value", []ipvs.Change{{Kind: ipvs.SetSysctl, Name: "sloppy_tcp", Value: "x"}}, ipvs.ErrInvalid},
		{"no kind", []ipvs.Change{{}}, ipvs.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(nil)
			w.mustRules(t, oneServer)
			w.batch(syn(w, 4000))
			before := w.state()
			good := []ipvs.Change{
				{Kind: ipvs.SetTimeouts, Timeouts: ipvs.Timeouts{TCP: 5}}, {Kind: ipvs.SetSysctl, Name: "conn_reuse_mode", Value: "0"},
				{Kind: ipvs.ZeroStats}, {Kind: ipvs.AddService, Service: key("10.10.9.9:80")},
			}
			err := w.dir.Apply(append(good, tt.changes...))
			var refused *ipvs.ChangeError
			if !errors.Is(err, tt.want) || !errors.As(err, &refused) || refused.Index != len(good)+len(tt.changes)-1 {
				t.Errorf("Apply = %v, want %v at the last change", err, tt.want)
			}
			if diff := cmp.Diff(before, w.state(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("a refused transaction changed (-before +after):\n%s", diff)
			}
		})
	}
}

// state is all that can be seen of a director's configuration and numbers.
func (w *world) state() []any {
	return []any{w.dir.Services(), w.dir.Timeouts(), w.dir.Sysctls(), w.connLines()}
}

// TestTrash follows a deleted server until it is forgotten: with connections
// it stays, without it is stamped at the first run and freed at the first one
// 120 s later.
func TestTrash(t *testing.T) {
	for _, tt := range []struct {
		name   string
		wait   time.Duration
		revive bool // the same object comes back: its statistics are kept
	}{
		{"in use", 50 * time.Second, true},
		{"idle for less than two minutes", 60*time.Second + 100*time.Second, true},
		{"idle for long", 60*time.Second + 300*time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(nil)
			w.mustRules(t, oneServer)
			w.batch(syn(w, 4000))
			w.mustRules(t, "-d -t 10.10.1.1:80 -r 10.20.0.11:8080")
			for passed := time.Duration(0); passed < tt.wait; passed += time.Second {
				w.now += time.Second
				w.batch()
				w.dir.Housekeep(w.now)
			}
			w.mustRules(t, "-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m")
			got := w.dir.Services()[0].Destinations[0]
			if revived := got.Stats.Conns == 1; revived != tt.revive {
				t.Errorf("after %v the server is revived: %v, want %v", tt.wait, revived, tt.revive)
			}
			if err := w.ledger(); err != nil {
				t.Error(err)
			}
			w.batch(syn(w, 4001)) // a server in a freed place works
			if got := w.dir.Services()[0].Destinations[0]; got.Active < 1 {
				t.Errorf("the server has %d active connections after a SYN", got.Active)
			}
		})
	}
}

// TestRates checks the estimator's average, which settles at the true rate, and
// that -Z takes the counters to zero and leaves connections alone.
func TestRates(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, oneServer)
	port := uint16(4000)
	for range 40 {
		for range 20 { // in 2 s
			w.batch(syn(w, port))
			port++
		}
		w.now += 2 * time.Second
		w.dir.Estimate()
	}
	s := w.dir.Services()[0]
	want := ipvs.Rates{CPS: 10, InPPS: 10, InBPS: 400}
	if s.Rates != want || s.Destinations[0].Rates != want {
		t.Errorf("rates = %+v and %+v, want %+v", s.Rates, s.Destinations[0].Rates, want)
	}
	if want := (ipvs.Stats{Conns: 800, InPkts: 800, InBytes: 32000}); s.Stats != want {
		t.Errorf("statistics = %+v, want %+v", s.Stats, want)
	}
	active := s.Destinations[0].Active
	w.mustRules(t, "-Z")
	s = w.dir.Services()[0]
	if s.Stats != (ipvs.Stats{}) || s.Rates != (ipvs.Rates{}) || s.Destinations[0].Stats != (ipvs.Stats{}) || s.Destinations[0].Active != active {
		t.Errorf("after -Z: %+v, want no statistics and %d active connections", s, active)
	}
}

// TestListingTime checks that expiry counts down between batches.
func TestListingTime(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, oneServer)
	w.batch(syn(w, 4000))
	w.now += 20 * time.Second
	if got := w.conns()[0].Expires; got != 40*time.Second {
		t.Errorf("20 s after a SYN the entry expires in %v, want 40s", got)
	}
}

// TestNextTimer checks that the shard asks to be woken for entries, fragments
// and frames that wait, and not before there are any.
func TestNextTimer(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, oneServer)
	if got := w.shard.NextTimer(w.now); got < time.Minute {
		t.Errorf("NextTimer of an idle shard = %v, want a long time", got)
	}
	udp := packettest.Packet{Proto: 17, Src: netip.MustParseAddrPort("10.10.3.5:1"), Dst: netip.MustParseAddrPort("10.10.1.1:80"), Payload: make([]byte, 100)}
	w.batch(frame(vipLink, packettest.Fragments(w.from(vipLink, udp).Frame(), 48)[0]))
	if got := w.shard.NextTimer(w.now + 10*time.Second); got != 20*time.Second {
		t.Errorf("NextTimer 10 s after a fragment = %v, want 20s", got)
	}
	w.setHost(func(h *packettest.Host) { h.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Unresolved })
	w.batch(syn(w, 4000))
	if got := w.shard.NextTimer(w.now); got > 5*time.Second {
		t.Errorf("NextTimer with a waiting frame = %v, want at most 5s", got)
	}
}

// counted returns the director's counter of a verdict.
func (w *world) counted(v dataplane.Verdict) int {
	for _, c := range w.dir.Counters() {
		if c.Verdict == v {
			return int(c.Frames)
		}
	}
	return -1
}

// TestNeighbourLimits lets a dead server collect frames: it has its share and no
// more, and another server's frames still wait.
func TestNeighbourLimits(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, oneServer)
	w.mustRules(t, "-A -t 10.10.1.1:81 -s rr\n-a -t 10.10.1.1:81 -r 10.20.0.12:8080 -m")
	w.setHost(func(h *packettest.Host) {
		h.Neighbours[netip.MustParseAddr("10.20.0.11")] = packettest.Unresolved
		h.Neighbours[netip.MustParseAddr("10.20.0.12")] = packettest.Unresolved
	})
	count := map[dataplane.Verdict]int{}
	for i := range 300 {
		for _, v := range w.batch(syn(w, uint16(4000+i))) {
			count[v]++
		}
	}
	want := map[dataplane.Verdict]int{dataplane.HeldNeighbour: 32, dataplane.DropNeighbourFull: 268}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("verdicts of 300 SYNs to a silent server (-want +got):\n%s", diff)
	}
	other := packettest.Packet{Proto: 6, Src: netip.MustParseAddrPort("10.10.3.5:4000"), Dst: netip.MustParseAddrPort("10.10.1.1:81"), Flags: "S"}
	if got := w.batch(frame(vipLink, w.from(vipLink, other).Frame()))[0]; got != dataplane.HeldNeighbour {
		t.Errorf("SYN to another unresolved server = %v, want %v", got, dataplane.HeldNeighbour)
	}
	w.settle()
	if err := w.leftovers(); err != nil {
		t.Error(err)
	}
}

// TestFragmentLimits sends pieces whose rest never comes, more packets and more
// bytes than are held: the oldest make room, a new packet is always put together.
func TestFragmentLimits(t *testing.T) {
	for _, tt := range []struct {
		name        string
		packets     int
		size, cut   int
		piece       int // the one that is sent
		least, most int // pieces held at the end
	}{
		{"packets", 1500, 100, 48, 0, 1024, 1024},
		{"bytes", 600, 40000, 20000, 0, 150, 4 << 20 / 19000},
		{"bytes far behind", 1000, 65000, 64000, 1, 1000, 1000}, // an offset costs nothing
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(nil)
			w.mustRules(t, oneServer)
			udp := packettest.Packet{
				Proto: 17, Src: netip.MustParseAddrPort("10.10.3.5:1"), Dst: netip.MustParseAddrPort("10.10.1.1:99"),
				Payload: make([]byte, tt.size),
			}
			for i := range tt.packets {
				udp.ID = uint16(i)
				pieces := packettest.Fragments(w.from(vipLink, udp).Frame(), tt.cut)
				if got := w.batch(frame(vipLink, pieces[tt.piece]))[0]; got != dataplane.HeldFragment {
					t.Fatalf("piece of packet %d = %v, want %v", i, got, dataplane.HeldFragment)
				}
			}
			held := w.counted(dataplane.HeldFragment)
			if held < tt.least || held > tt.most || held+w.counted(dataplane.DropFragmentMemory) != tt.packets {
				t.Errorf("%d pieces held and %d dropped of %d, want %d to %d held", held, w.counted(dataplane.DropFragmentMemory), tt.packets, tt.least, tt.most)
			}
			udp.ID, udp.Payload = uint16(tt.packets), make([]byte, 100)
			pieces := packettest.Fragments(w.from(vipLink, udp).Frame(), 48)
			var last dataplane.Verdict
			for _, p := range pieces {
				last = w.batch(frame(vipLink, p))[0]
			}
			if last != dataplane.AnswerPortUnreachable {
				t.Errorf("a whole packet after them = %v, want %v", last, dataplane.AnswerPortUnreachable)
			}
			w.settle()
			if err := w.leftovers(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestApplyInOrder checks that later changes see what earlier ones did.
func TestApplyInOrder(t *testing.T) {
	w := newWorld(nil)
	w.mustRules(t, oneServer)
	w.mustRules(t, "-a -t 10.10.1.1:80 -r 10.20.0.12:8080 -m\n-A -t 10.10.1.1:81 -s rr\n-a -t 10.10.1.1:81 -r 10.20.0.12:8080 -m\n-C\n"+
		"-A -t 10.10.1.1:81 -s rr\n-a -t 10.10.1.1:81 -r 10.20.0.12:8080 -m\n-d -t 10.10.1.1:81 -r 10.20.0.12:8080\n"+
		"-a -t 10.10.1.1:81 -r 10.20.0.12:8080 -m -w 7\n-D -t 10.10.1.1:81\n-A -t 10.10.1.1:81 -s wlc\n-a -t 10.10.1.1:81 -r 10.20.0.12:8080 -m -w 9")
	s := w.dir.Services()
	if len(s) != 1 || s[0].Key.VIP.Port() != 81 || s[0].Scheduler != "wlc" || len(s[0].Destinations) != 1 || s[0].Destinations[0].Weight != 9 {
		t.Errorf("services = %+v, want port 81 with wlc and one server of weight 9", s)
	}
}
