package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"natlb/ipvs"
)

// fakeDirector keeps what it is told and shows what it is given.
type fakeDirector struct {
	mu       sync.Mutex
	applied  [][]ipvs.Change
	refusal  error
	services []ipvs.ServiceStatus
	conns    int // how many connections to yield; -1: for ever
	yielded  int
	list     []ipvs.ConnStatus // yielded first
	setup    Setup
	feed     *fakeFeed

	following bool
	done      chan struct{} // closed when Connections returns
}

func (f *fakeDirector) Apply(changes []ipvs.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusal == nil {
		f.applied = append(f.applied, changes)
	}
	return f.refusal
}

func (f *fakeDirector) Check([]ipvs.Change) []*ipvs.ChangeError {
	if f.refusal == nil {
		return nil
	}
	return []*ipvs.ChangeError{{Err: f.refusal}}
}

func (f *fakeDirector) Services() []ipvs.ServiceStatus { return f.services }

func (f *fakeDirector) Snapshot() ipvs.Snapshot {
	return ipvs.Snapshot{At: 1500 * time.Millisecond, Services: f.services, Entries: f.conns}
}

func (f *fakeDirector) Follow(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.following = on
}

func (f *fakeDirector) followed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.following
}

func (f *fakeDirector) Connections(yield func(ipvs.ConnStatus) bool) {
	if f.done != nil {
		defer close(f.done)
	}
	for _, c := range f.list {
		if !yield(c) {
			return
		}
	}
	for f.yielded = 0; f.conns < 0 || f.yielded < f.conns; f.yielded++ {
		if !yield(connNumber(f.yielded)) {
			return
		}
	}
}

func connNumber(i int) ipvs.ConnStatus {
	return ipvs.ConnStatus{
		Proto: ipvs.TCP, State: "ESTABLISHED", Expires: 14*time.Minute + 59*time.Second + 250*time.Millisecond,
		Client:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 40000),
		Virtual: netip.MustParseAddrPort("192.0.2.1:80"), Dest: netip.MustParseAddrPort("10.0.0.2:8080"),
	}
}

func (f *fakeDirector) Timeouts() ipvs.Timeouts {
	return ipvs.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}
}
func (f *fakeDirector) Sources() []ipvs.SourceStatus {
	return []ipvs.SourceStatus{
		{Addr: netip.MustParseAddr("10.0.0.240"), Conns: 3}, {Addr: netip.MustParseAddr("10.0.0.241")},
		{Addr: netip.MustParseAddr("10.0.0.242"), Conns: 1, Deleted: true}, {Addr: netip.MustParseAddr("fd00::1"), Local: true},
	}
}
func (f *fakeDirector) TableSize() int { return 4096 }
func (f *fakeDirector) Counters() []Counter {
	return []Counter{{"forwarded", 1 << 60}, {"dropped", 0}}
}
func (f *fakeDirector) Ledger() Ledger {
	return Ledger{Clock: 1, Received: 7, HandingOver: 1, Verdicts: []LedgerEntry{
		{Name: "forward", Class: "forwarded", Count: 4}, {Name: "drop-ttl", Class: "dropped", Count: 2, Last: &Sighting{Clock: 1, Link: "eth0", Length: 60}},
	}}
}
func (f *fakeDirector) Marks(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("%w: nothing asked", ipvs.ErrInvalid)
	}
	if slices.Equal(words, []string{"-S"}) {
		return "-P nothing\n-A one\n-A two\n", nil
	}
	return strings.Join(words, "|"), nil
}

func (f *fakeDirector) Sysctls() []Sysctl {
	return []Sysctl{{"conn_tab_bits", "12", "12", "size of the table"}}
}

func (f *fakeDirector) Capture(want Capture) (CaptureFeed, error) {
	if f.feed == nil {
		return nil, fmt.Errorf("%w: no capture here", ipvs.ErrInvalid)
	}
	f.feed.want = want
	return f.feed, nil
}

func (f *fakeDirector) Setup() Setup { return f.setup }

// start serves d on a socket of its own and returns a client for it. tune may
// change the server before it starts.
func start(t *testing.T, d Director, tune func(*Server)) (client *Client, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "natlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(d, "v9.9.9", slog.New(slog.DiscardHandler))
	if tune != nil {
		tune(s)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	client = Dial(path)
	t.Cleanup(func() {
		client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return client, path
}

// dialRaw opens a plain connection to the socket.
func dialRaw(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var webService = ipvs.Service{
	Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:80")}, Scheduler: "rr",
}

var webServer = ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.2:8080"), Method: ipvs.Masq, Weight: 1}
