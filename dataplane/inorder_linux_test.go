package dataplane

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const tcpSYN, tcpACK = 2, 16

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

// oldestOnly is a port of which only the oldest frame is known.
type oldestOnly struct {
	Port
	at          time.Duration
	found, sure bool
}

func (p *oldestOnly) Oldest(bool) (time.Duration, bool, bool) { return p.at, p.found, p.sure }

// mineOnly is one that others find in use.
type mineOnly struct{ oldestOnly }

func (p *mineOnly) Oldest(owner bool) (time.Duration, bool, bool) {
	return p.at, owner, owner
}

// worker returns a worker of which all that is known are its ports and its clock.
func worker(clock func() time.Duration, ports ...Port) *Worker {
	return &Worker{ports: ports, clock: clock, order: newOrder(ports)}
}

// TestOlderGoFirst: a batch that begins or ends a connection waits for other workers'
// older frames until these are done, for a while, and for nothing else.
func TestOlderGoFirst(t *testing.T) {
	const at, step, done = time.Hour, 100 * time.Microsecond, 300 * time.Microsecond
	mine := &mineOnly{oldestOnly{at: at}}
	older := oldestOnly{at: at - 1, found: true, sure: true}
	for _, tt := range []struct {
		name   string
		flags  byte
		frames int
		mine   Port
		other  oldestOnly
		stuck  bool          // the other never gets to its frame
		want   time.Duration // of waiting
	}{
		{"older", tcpSYN, 1, mine, older, false, done},
		{"older, as many as may wait", tcpSYN, calmBatch, mine, older, false, done},
		{"older, stuck", tcpSYN, 1, mine, older, true, patience},
		{"in use", tcpSYN, 1, mine, oldestOnly{}, false, done},
		{"nothing there", tcpSYN, 1, mine, oldestOnly{sure: true}, false, 0},
		{"younger", tcpSYN, 1, mine, oldestOnly{at: at + 1, found: true, sure: true}, false, 0},
		{"of the same moment", tcpSYN, 1, mine, oldestOnly{at: at, found: true, sure: true}, false, 0},
		{"left lying", tcpSYN, 1, mine, oldestOnly{at: at - patience, found: true, sure: true}, true, 0},
		{"in between", tcpACK, 1, mine, older, false, 0},
		{"loaded", tcpSYN, calmBatch + 1, mine, older, false, 0},
		{"without stamps", tcpSYN, 1, struct{ Port }{}, older, false, 0},
	} {
		began, now := at, at
		w := worker(func() time.Duration {
			if now += step; now-began > done && !tt.stuck {
				tt.other = oldestOnly{sure: true}
			}
			return now
		}, tt.mine)
		keepOrder([]*Worker{w, worker(nil, &oldestOnly{sure: true}, &tt.other)})
		fs := slices.Repeat([]Frame{{Data: segment(0, unix.IPPROTO_TCP, tcpACK)}}, tt.frames)
		fs[tt.frames-1].Data = segment(0, unix.IPPROTO_TCP, tt.flags)
		w.letOlderGoFirst(0, fs)
		if got := now - began; got < tt.want || got > tt.want+2*step || tt.want == 0 && got != 0 {
			t.Errorf("%s: it waited %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestWaitsAreFew: a worker that would always have to wait does so for a small part
// of its time, and for no more at once after a long rest.
func TestWaitsAreFew(t *testing.T) {
	const step, between = 10 * time.Microsecond, 100 * time.Microsecond
	now, waited := time.Hour, time.Duration(0)
	w := worker(func() time.Duration { now += step; return now }, &oldestOnly{at: time.Second, found: true, sure: true})
	keepOrder([]*Worker{w, worker(nil, &oldestOnly{at: time.Second - 1, found: true, sure: true})})
	wait := func() time.Duration {
		began := now
		w.letOlderGoFirst(0, []Frame{{Data: segment(0, unix.IPPROTO_TCP, tcpSYN)}})
		return now - began
	}
	if got := wait(); got < patience || got > patience+2*step {
		t.Errorf("at first it waited %v, want %v", got, patience)
	}
	began := now
	for now-began < time.Second {
		now += between
		waited += max(wait()-step, 0) // a look at the clock is no wait
	}
	if share := (now - began) / waited; share < calmShare/2 || share > 2*calmShare {
		t.Errorf("it waited one in %d of its time, want one in %d", share, calmShare)
	}
	now += time.Minute
	if got := wait(); got < patience || got > patience+2*step {
		t.Errorf("after a rest it waited %v, want %v", got, patience)
	}
}

// TestEndsTCP: beginning and end of a connection are known, whatever is in front.
func TestEndsTCP(t *testing.T) {
	for _, options := range []int{0, 3, -1} {
		for flags := range 256 {
			f := segment(options, unix.IPPROTO_TCP, byte(flags))
			if got, want := endsTCP(Frame{Data: f}), flags&7 != 0; got != want {
				t.Errorf("a segment with flags %#x behind %d words of options ends a connection: %t, want %t", flags, options, got, want)
			}
			for n := range len(f) - 6 {
				if endsTCP(Frame{Data: f[:n]}) {
					t.Errorf("%d bytes of a segment end a connection", n)
				}
			}
		}
	}
	first, later := segment(0, unix.IPPROTO_TCP, tcpSYN), segment(0, unix.IPPROTO_TCP, tcpSYN)
	first[14+6], later[14+7] = 0x20, 1
	for name, f := range map[string][]byte{
		"a first fragment": first,
		"a later fragment": later,
		"a datagram":       segment(0, unix.IPPROTO_UDP, tcpSYN),
		"a datagram, 6":    segment(-1, unix.IPPROTO_UDP, tcpSYN),
		"ARP":              rawFrame(make([]byte, 6), make([]byte, 6), etherTypeARP, 60),
	} {
		if endsTCP(Frame{Data: f}) {
			t.Errorf("%s ends a connection", name)
		}
	}
}

// onePort is a port that has one frame to give.
type onePort struct {
	Port
	at   time.Duration
	data []byte
	done func(at time.Duration) // called when the frame is given back

	mu     sync.Mutex
	given  bool
	closed bool // the frame has been given back
}

func (p *onePort) FD() int { return 0 }

func (p *onePort) Close() error { return nil }

func (p *onePort) Oldest(bool) (time.Duration, bool, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, !p.closed, true
}

func (p *onePort) Recv(fs []Frame) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given && !p.closed {
		p.done(p.at)
		p.closed = true
	}
	if len(fs) == 0 || p.given {
		return 0, nil
	}
	p.given = true
	fs[0] = Frame{Data: p.data}
	return 1, nil
}

// TestWorkersKeepOrder: what two workers have at two ports each goes in the order in
// which it came, and nobody waits for what waits for it.
func TestWorkersKeepOrder(t *testing.T) {
	d := NewDirector(Config{Shards: 2, Links: []Link{{Name: "vip0", Side: VIPSide}, {Name: "dip0", Side: DIPSide}}})
	var mu sync.Mutex
	var got []time.Duration
	done := func(at time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, at)
	}
	port := func(at time.Duration) Port {
		return &onePort{at: time.Hour + at, data: segment(0, unix.IPPROTO_TCP, tcpSYN), done: done}
	}
	ports := [][]Port{{port(100), port(50)}, {port(70), port(120)}}
	// a clock that stands still: nobody's patience ends
	workers, err := NewWorkers(d, func(i int) []Port { return ports[i] }, PollIdle, func() time.Duration { return time.Hour }, func([]Resolve) {})
	if err != nil {
		t.Fatal(err)
	}
	rounds := make(chan bool)
	for _, w := range workers {
		defer unix.Close(w.wake)
		w.ready = len(w.ports)
		for i := range w.ports {
			w.polls[i].Revents = unix.POLLIN
		}
		go func() {
			w.round()
			rounds <- true
		}()
	}
	for range workers {
		select {
		case <-rounds:
		case <-time.After(10 * time.Second):
			t.Fatalf("after 10 s done are %v: they wait for each other", got)
		}
	}
	want := []time.Duration{time.Hour + 50, time.Hour + 70, time.Hour + 100, time.Hour + 120}
	if !slices.Equal(got, want) {
		t.Errorf("done in the order %v, want %v", got, want)
	}
}

// TestReplacedPortIsSeen: what waits at a port that has been put in another's place is
// waited for.
func TestReplacedPortIsSeen(t *testing.T) {
	d := NewDirector(Config{Shards: 2, Links: []Link{{Name: "eth0", Side: VIPSide | DIPSide}}})
	ports := func(int) []Port { return []Port{&onePort{closed: true}} }
	workers, err := NewWorkers(d, ports, PollIdle, func() time.Duration { return time.Hour }, func([]Resolve) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workers {
		defer unix.Close(w.wake)
	}
	if workers[0].order.overtakes(time.Hour) {
		t.Fatal("an empty port is waited for")
	}
	workers[1].Replace(0, &onePort{at: time.Hour - 1})
	workers[1].takeReplaced()
	if !workers[0].order.overtakes(time.Hour) {
		t.Error("what waits at a new port is not waited for")
	}
}

// testOldest: a ring tells when its oldest frame came, from then until it is given back;
// a queue does not know.
func testOldest(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{Slots: min(32, testSlots)})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	if _, found, sure := p.Oldest(false); found || !sure {
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
		at, found, sure := p.Oldest(false)
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
	if testSlots > 0 {
		l.oldestAround(p, c)
	}
	if _, found, sure := p.Oldest(false); found || !sure {
		t.Errorf("after all frames one is found %t, sure %t", found, sure)
	}
	p.mu.Lock()
	if _, found, sure := p.Oldest(false); found || sure {
		t.Errorf("of a port in use one is found %t, sure %t", found, sure)
	}
	owner := make(chan bool, 1)
	go func() {
		_, _, sure := p.Oldest(true)
		owner <- sure
	}()
	select {
	case sure := <-owner:
		t.Errorf("in use, the owner's answer is not waited for; sure %t", sure)
		owner <- sure
	case <-time.After(10 * time.Millisecond):
	}
	p.mu.Unlock()
	if !<-owner {
		t.Error("the owner is not sure")
	}
	p.Close()
	if _, found, sure := p.Oldest(false); found || !sure {
		t.Errorf("of a closed port one is found %t, sure %t", found, sure)
	}
}

// oldestAround: that a frame is lent or waits does not change when it came, at the end
// of the ring either.
func (l *wireLab) oldestAround(p *AFPacket, c net.Conn) {
	l.tb.Helper()
	fs := make([]Frame, p.ring.slots/2-1)
	for range 5 {
		for range fs {
			if _, err := c.Write([]byte("x")); err != nil {
				l.tb.Fatal(err)
			}
		}
		waiting, found, _ := p.Oldest(true)
		n := len(l.next(p, fs))
		lent, still, _ := p.Oldest(true)
		if n != len(fs) || !found || !still || lent != waiting {
			l.tb.Errorf("of %d frames at slot %d one is found %t, came at %v; lent %t, %v", n, p.ring.next, found, waiting, still, lent)
		}
		p.Recv(nil)
	}
}
