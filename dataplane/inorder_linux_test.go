package dataplane

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// oldestOnly is a port of which only the oldest frame is known.
type oldestOnly struct {
	Port
	at          time.Duration
	found, sure bool
}

func (p *oldestOnly) Oldest() (time.Duration, bool, bool) { return p.at, p.found, p.sure }

// segment returns an Ethernet frame of IPv4 with the given words of options, or of
// IPv6 with -1, that has a packet of the protocol whose 14th byte is flags.
func segment(options int, protocol, flags byte) []byte {
	if options < 0 {
		f := rawFrame(make([]byte, 6), make([]byte, 6), etherTypeIPv6, 14+40+20)
		f[14], f[14+6], f[14+40+13] = 6<<4, protocol, flags
		return f
	}
	f := rawFrame(make([]byte, 6), make([]byte, 6), etherTypeIPv4, 14+20+4*options+20)
	f[14], f[14+9], f[14+20+4*options+13] = byte(4<<4|5+options), protocol, flags
	return f
}

// TestOlderGoFirst: a batch that may change counts waits for other workers' older
// frames until these are done, for a while, and for nothing else.
func TestOlderGoFirst(t *testing.T) {
	const (
		syn, ack = 2, 16
		at       = time.Hour
		step     = 100 * time.Microsecond
		done     = 300 * time.Microsecond
	)
	for _, tt := range []struct {
		name   string
		flags  byte
		frames int
		mine   Port
		other  oldestOnly
		stuck  bool          // the other never gets to its frame
		want   time.Duration // of waiting
	}{
		{"older", syn, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at - 1, found: true, sure: true}, false, done},
		{"older, as many as may wait", syn, calmBatch, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at - 1, found: true, sure: true}, false, done},
		{"older, stuck", syn, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at - 1, found: true, sure: true}, true, patience},
		{"in use", syn, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{}, false, done},
		{"nothing there", syn, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{sure: true}, false, 0},
		{"younger", syn, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at + 1, found: true, sure: true}, false, 0},
		{"of the same moment", syn, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at, found: true, sure: true}, false, 0},
		{"left lying", syn, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at - patience, found: true, sure: true}, true, 0},
		{"changes nothing", ack, 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at - 1, found: true, sure: true}, false, 0},
		{"loaded", syn, calmBatch + 1, &oldestOnly{at: at, found: true, sure: true}, oldestOnly{at: at - 1, found: true, sure: true}, false, 0},
		{"without stamps", syn, 1, struct{ Port }{}, oldestOnly{at: at - 1, found: true, sure: true}, false, 0},
	} {
		began, now := at, at
		w := &Worker{ports: []Port{tt.mine}}
		w.clock = func() time.Duration {
			if now += step; now-began > done && !tt.stuck {
				tt.other = oldestOnly{sure: true}
			}
			return now
		}
		KeepOrder([]*Worker{w, {ports: []Port{&oldestOnly{sure: true}, &tt.other}}})
		fs := slices.Repeat([]Frame{{Data: segment(0, unix.IPPROTO_TCP, ack)}}, tt.frames)
		fs[tt.frames-1].Data = segment(0, unix.IPPROTO_TCP, tt.flags)
		w.letOlderGoFirst(0, fs)
		if got := now - began; got < tt.want || got > tt.want+2*step || tt.want == 0 && got != 0 {
			t.Errorf("%s: it waited %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestBetweenEnds: what may be passed by is known to be so.
func TestBetweenEnds(t *testing.T) {
	for _, options := range []int{0, 3, -1} {
		for flags := range 256 {
			f := segment(options, unix.IPPROTO_TCP, byte(flags))
			if got, want := betweenEnds(f), flags&7 == 0; got != want {
				t.Errorf("a segment with flags %#x behind %d words of options is in between: %t, want %t", flags, options, got, want)
			}
			if flags&7 == 0 {
				continue
			}
			for n := range f {
				if betweenEnds(f[:n]) {
					t.Errorf("%d bytes of a segment with flags %#x are taken for one in between", n, flags)
				}
			}
		}
	}
	first, later := segment(0, unix.IPPROTO_TCP, 16), segment(0, unix.IPPROTO_TCP, 16)
	first[14+6], later[14+7] = 0x20, 1
	for name, f := range map[string][]byte{
		"a first fragment": first,
		"a later fragment": later,
		"a datagram":       segment(0, unix.IPPROTO_UDP, 0),
		"a datagram, 6":    segment(-1, unix.IPPROTO_UDP, 0),
		"ARP":              rawFrame(make([]byte, 6), make([]byte, 6), etherTypeARP, 60),
	} {
		if betweenEnds(f) {
			t.Errorf("%s is taken for a segment in between", name)
		}
	}
}

// testOldest: a ring tells when its oldest frame came, from then until it is given back;
// a queue does not know.
func testOldest(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	if _, found, sure := p.Oldest(); found || !sure {
		t.Errorf("before any frame one is found %t, sure %t", found, sure)
	}
	c, before := l.udp(0, strangerIP), time.Now()
	for range 2 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	after, fs := time.Now(), make([]Frame, 1)
	oldest := func(when string) time.Duration {
		t.Helper()
		at, found, sure := p.Oldest()
		if !sure || found != (testSlots > 0) || found && (at < time.Duration(before.UnixNano()) || at > time.Duration(after.UnixNano())) {
			t.Errorf("%s: at %v, found %t, sure %t; sent between %v and %v", when, time.Unix(0, int64(at)), found, sure, before, after)
		}
		return at
	}
	waiting := oldest("waiting")
	l.next(p, fs)
	if lent := oldest("lent"); lent != waiting {
		t.Errorf("what waited since %v is lent since %v", waiting, lent)
	}
	p.Recv(nil)
	if second := oldest("the second"); testSlots > 0 && second <= waiting {
		t.Errorf("the second came at %v, the first at %v", second, waiting)
	}
	l.next(p, fs)
	p.Recv(nil)
	if _, found, sure := p.Oldest(); found || !sure {
		t.Errorf("after all frames one is found %t, sure %t", found, sure)
	}
	p.mu.Lock()
	if _, found, sure := p.Oldest(); found || sure {
		t.Errorf("of a port in use one is found %t, sure %t", found, sure)
	}
	p.mu.Unlock()
	p.Close()
	if _, found, sure := p.Oldest(); found || !sure {
		t.Errorf("of a closed port one is found %t, sure %t", found, sure)
	}
}
