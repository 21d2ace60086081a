package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"natlb/ipvs"
)

var byValue = cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})

func TestApply(t *testing.T) {
	d := &fakeDirector{}
	client, _ := start(t, d, nil)
	changes := []ipvs.Change{
		{Kind: ipvs.AddService, Service: webService},
		{Kind: ipvs.AddDestination, Service: ipvs.Service{Key: webService.Key}, Destination: webServer},
		{Kind: ipvs.SetTimeouts, Timeouts: ipvs.Timeouts{TCP: 60}},
		{Kind: ipvs.ZeroStats},
		{Kind: ipvs.SetSysctl, Name: "drop_entry", Value: "1"},
	}
	if err := client.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]ipvs.Change{changes}, d.applied, byValue); diff != "" {
		t.Errorf("applied: (-want +got)\n%s", diff)
	}
}

func TestApplyRefusedByCheck(t *testing.T) {
	d := &fakeDirector{}
	client, _ := start(t, d, nil)
	bad := webServer
	bad.Weight = -1
	err := client.Apply(t.Context(), []ipvs.Change{
		{Kind: ipvs.AddService, Service: webService},
		{Kind: ipvs.AddDestination, Service: webService, Destination: bad},
	})
	var change *ipvs.ChangeError
	if !errors.As(err, &change) || change.Index != 1 || change.Kind != ipvs.AddDestination || !errors.Is(err, ipvs.ErrRange) {
		t.Errorf("Apply of a negative weight = %#v, want ErrRange for change 1", err)
	}
	if d.applied != nil {
		t.Errorf("applied in spite of the fault: %v", d.applied)
	}
}

// TestMissingServiceFirst: a bad server of a service that is not there gets the
// answer about the service, as from a kernel.
func TestMissingServiceFirst(t *testing.T) {
	bad := webServer
	bad.UpperThreshold, bad.LowerThreshold = 1, 5
	other := webService
	other.Key.VIP = netip.MustParseAddrPort("192.0.2.77:80")
	server := func(k ipvs.ChangeKind) ipvs.Change {
		return ipvs.Change{Kind: k, Service: ipvs.Service{Key: webService.Key}, Destination: bad}
	}
	add, edit := server(ipvs.AddDestination), server(ipvs.EditDestination)
	for _, c := range []struct {
		name    string
		there   []ipvs.Service
		changes []ipvs.Change
		want    error
	}{
		{"no service", nil, []ipvs.Change{add}, ipvs.ErrNoSuchService},
		{"no service to edit in", nil, []ipvs.Change{edit}, ipvs.ErrNoSuchService},
		{"another service", []ipvs.Service{other}, []ipvs.Change{add}, ipvs.ErrNoSuchService},
		{"the service", []ipvs.Service{other, webService}, []ipvs.Change{add}, ipvs.ErrRange},
		{"added before", nil, []ipvs.Change{{Kind: ipvs.AddService, Service: webService}, edit}, ipvs.ErrRange},
		{"deleted before", []ipvs.Service{webService}, []ipvs.Change{{Kind: ipvs.DeleteService, Service: webService}, add}, ipvs.ErrNoSuchService},
		{"flushed before", []ipvs.Service{webService}, []ipvs.Change{{Kind: ipvs.FlushServices}, add}, ipvs.ErrNoSuchService},
		{"deleted after", []ipvs.Service{webService}, []ipvs.Change{add, {Kind: ipvs.FlushServices}}, ipvs.ErrRange},
	} {
		d := &fakeDirector{}
		for _, s := range c.there {
			d.services = append(d.services, ipvs.ServiceStatus{Service: s})
		}
		client, _ := start(t, d, nil)
		err := client.Apply(t.Context(), c.changes)
		var change *ipvs.ChangeError
		if !errors.Is(err, c.want) || !errors.As(err, &change) || change.Kind != add.Kind && change.Kind != edit.Kind {
			t.Errorf("%s: Apply = %v, want %v about the server", c.name, err, c.want)
		}
	}
}

func TestApplyRefusedByDirector(t *testing.T) {
	for _, c := range codes {
		d := &fakeDirector{refusal: &ipvs.ChangeError{Index: 0, Kind: ipvs.FlushServices, Err: fmt.Errorf("because: %w", c.err)}}
		client, _ := start(t, d, nil)
		err := client.Apply(t.Context(), []ipvs.Change{{Kind: ipvs.FlushServices}})
		var change *ipvs.ChangeError
		if !errors.Is(err, c.err) || !errors.As(err, &change) || change.Err.Error() != "because: "+c.err.Error() {
			t.Errorf("%v came back as %#v", c.err, err)
		}
		for _, other := range codes {
			if other.err != c.err && errors.Is(err, other.err) {
				t.Errorf("%v came back as %v too", c.err, other.err)
			}
		}
	}
}

func TestReads(t *testing.T) {
	service := ipvs.ServiceStatus{Service: webService, Stats: ipvs.Stats{Conns: 1 << 63}}
	service.Destinations = []ipvs.DestinationStatus{{Destination: webServer, Active: 3, Overloaded: true, Rates: ipvs.Rates{CPS: 7}}}
	d := &fakeDirector{services: []ipvs.ServiceStatus{service}, setup: Setup{
		Links: []SetupLink{{"eth0", []string{"vip", "dip"}, 2}}, Namespace: 4026531840, Capabilities: []string{"cap_net_raw"},
		Guard: "auto", Guarding: true, GuardFault: "none here", Route: true, Methods: []string{"masq"},
		FTPPorts: []uint16{21}, Shards: 1, Conns: 2, MaxConns: 3, Memory: 4,
	}}
	client, _ := start(t, d, nil)
	ctx := t.Context()

	services, err := client.Services(ctx)
	if diff := cmp.Diff(d.services, services, byValue); err != nil || diff != "" {
		t.Errorf("Services: %v (-want +got)\n%s", err, diff)
	}
	snap, counters, err := client.Snapshot(ctx)
	if diff := cmp.Diff(d.Snapshot(), snap, byValue); err != nil || diff != "" || !cmp.Equal(counters, d.Counters()) {
		t.Errorf("Snapshot: %v, %v (-want +got)\n%s", counters, err, diff)
	}
	if got, err := client.Timeouts(ctx); err != nil || got != d.Timeouts() {
		t.Errorf("Timeouts = %v, %v, want %v", got, err, d.Timeouts())
	}
	if got, err := client.Counters(ctx); err != nil || !cmp.Equal(got, d.Counters()) {
		t.Errorf("Counters = %v, %v, want %v", got, err, d.Counters())
	}
	if got, err := client.Ledger(ctx); err != nil || !cmp.Equal(*got, d.Ledger(), cmpopts.EquateComparable(netip.AddrPort{})) || got.Balance() != nil {
		t.Errorf("Ledger = %+v, %v, want %+v", got, err, d.Ledger())
	}
	if got, err := client.Marks(ctx, []string{"-S", "a b&c"}); err != nil || got != "-S|a b&c" {
		t.Errorf("Marks(-S, a b&c) = %q, %v, want the words back", got, err)
	}
	if _, err := client.Marks(ctx, nil); !errors.Is(err, ipvs.ErrInvalid) {
		t.Errorf("Marks() = %v, want %v", err, ipvs.ErrInvalid)
	}
	if got, err := client.Sysctls(ctx); err != nil || !cmp.Equal(got, d.Sysctls()) {
		t.Errorf("Sysctls = %v, %v, want %v", got, err, d.Sysctls())
	}
	if got, err := client.TableSize(ctx); err != nil || got != 4096 {
		t.Errorf("TableSize = %v, %v, want 4096", got, err)
	}
	if got, err := client.Setup(ctx); err != nil || !cmp.Equal(got, d.setup) {
		t.Errorf("Setup = %+v, %v, want %+v", got, err, d.setup)
	}
	if got, err := client.Status(ctx); err != nil || got.PID != os.Getpid() || got.Natlb != "v9.9.9" || got.Uptime <= 0 {
		t.Errorf("Status = %+v, %v, want this process", got, err)
	}
}

func TestConnections(t *testing.T) {
	const count = 20000
	client, _ := start(t, &fakeDirector{conns: count}, nil)
	i := 0
	err := client.Connections(t.Context(), func(c ipvs.ConnStatus) bool {
		if want := connNumber(i); c != want {
			t.Errorf("connection %d = %v, want %v", i, c, want)
			return false
		}
		i++
		return true
	})
	if err != nil || i != count {
		t.Errorf("Connections = %d, %v, want %d", i, err, count)
	}
	i = 0
	err = client.Connections(t.Context(), func(ipvs.ConnStatus) bool { i++; return i < 5 })
	if err != nil || i != 5 {
		t.Errorf("Connections stopped at 5 = %d, %v", i, err)
	}
}

// TestReplyHasVersion reads replies as curl would.
func TestReplyHasVersion(t *testing.T) {
	_, path := start(t, &fakeDirector{}, nil)
	for _, request := range []string{
		"GET /v1/services", "GET /v1/connections", "GET /v1/timeouts", "GET /v1/counters", "GET /v1/sysctls", "GET /v1/status", "GET /v1/snapshot", "GET /v1/connections/counts?by=state",
		"GET /v1/connections/counts", "GET /v1/connections?state=x&shoe=1", "GET /v1/events?kind=weather", "GET /nothing", "POST /v1/apply",
	} {
		status, body := talk(t, path, request, "")
		if !strings.HasPrefix(body, `{"version":1,"natlb":"v9.9.9"`) {
			t.Errorf("%s = %d %s, want the version first", request, status, body)
		}
	}
}

// talk sends one request and returns the answer.
func talk(t *testing.T, path, request, body string) (status int, reply string) {
	t.Helper()
	c := dialRaw(t, path)
	go fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: natlb\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", request, len(body), body)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return response.StatusCode, string(text)
}

func TestBadRequests(t *testing.T) {
	d := &fakeDirector{}
	_, path := start(t, d, nil)
	for _, c := range []struct {
		name, body string
		status     int
		want       string // in the reply
	}{
		{"empty", "", 400, `"code":"bad-request"`},
		{"not JSON", "hello", 400, `"code":"bad-request"`},
		{"unknown field", `{"version":1,"changes":[],"shoe":1}`, 400, `unknown field \"shoe\"`},
		{"unknown field of a change", `{"version":1,"changes":[{"op":"flush","force":true}]}`, 400, `unknown field \"force\"`},
		{"two requests", `{"version":1,"changes":[]}{}`, 400, "something follows"},
		{"no version", `{"changes":[]}`, 400, `"code":"protocol"`},
		{"another version", `{"version":2,"changes":[]}`, 400, "request of version 2, director of version 1"},
		{"unknown op", `{"version":1,"changes":[{"op":"flush"},{"op":"explode"}]}`, 422, `op \"explode\": invalid argument","index":1`},
		{"bad address", `{"version":1,"changes":[{"op":"delete-service","service":{"protocol":"tcp","address":"here"}}]}`, 400, `"code":"bad-request"`},
		{"no address", `{"version":1,"changes":[{"op":"add-service"}]}`, 422, `"code":"invalid"`},
		{"too large", `{"version":1,"changes":[` + strings.Repeat(" ", MaxRequest) + `]}`, 413, `"code":"too-large"`},
	} {
		status, body := talk(t, path, "POST /v1/apply", c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.name, status, body, c.status, c.want)
		}
	}
	if d.applied != nil {
		t.Errorf("applied: %v", d.applied)
	}
}

// TestStalledSender: half a request holds nobody up and is cut off.
func TestStalledSender(t *testing.T) {
	client, path := start(t, &fakeDirector{}, func(s *Server) { s.http.ReadTimeout = 100 * time.Millisecond })
	stalled := dialRaw(t, path)
	fmt.Fprintf(stalled, "POST /v1/apply HTTP/1.1\r\nHost: natlb\r\nContent-Length: 100\r\n\r\n{")
	if err := client.Apply(t.Context(), []ipvs.Change{{Kind: ipvs.FlushServices}}); err != nil {
		t.Errorf("Apply beside a stalled client: %v", err)
	}
	stalled.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(stalled); err != nil {
		t.Errorf("the stalled client was not cut off: %v", err)
	}
}

// TestStalledReader: a client that reads nothing ends the director's walk.
func TestStalledReader(t *testing.T) {
	d := &fakeDirector{conns: -1, done: make(chan struct{})}
	_, path := start(t, d, func(s *Server) { s.http.WriteTimeout = 100 * time.Millisecond })
	stalled := dialRaw(t, path)
	fmt.Fprint(stalled, "GET /v1/connections HTTP/1.1\r\nHost: natlb\r\n\r\n")
	select {
	case <-d.done:
	case <-time.After(5 * time.Second):
		t.Fatal("the walk did not end")
	}
}

// TestSlowReaderGetsAll: a client's own slowness is not the director's.
func TestSlowReaderGetsAll(t *testing.T) {
	const count = 20000
	d := &fakeDirector{conns: count, done: make(chan struct{})}
	client, _ := start(t, d, func(s *Server) { s.http.WriteTimeout = time.Second })
	got := 0
	err := client.Connections(t.Context(), func(ipvs.ConnStatus) bool {
		if got++; got == 1 {
			<-d.done // the director is through before the second line is taken
		}
		return true
	})
	if err != nil || got != count {
		t.Errorf("Connections = %d, %v, want %d", got, err, count)
	}
}

func TestDirectorDoesNotAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "natlb.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := Dial(path)
	client.timeout = 50 * time.Millisecond
	if err := client.Apply(t.Context(), nil); !errors.Is(err, ErrSilent) {
		t.Errorf("Apply = %v, want %v", err, ErrSilent)
	}
	if err := client.Connections(t.Context(), nil); !errors.Is(err, ErrSilent) {
		t.Errorf("Connections = %v, want %v", err, ErrSilent)
	}
}

func TestNoDirector(t *testing.T) {
	dead := filepath.Join(t.TempDir(), "dead.sock")
	leaveStale(t, dead)
	for _, path := range []string{filepath.Join(t.TempDir(), "none.sock"), dead} {
		_, err := Dial(path).Services(t.Context())
		if want := "no director is running (looked for " + path + ")"; !errors.Is(err, ipvs.ErrDirectorNotRunning) || err.Error() != want {
			t.Errorf("Services = %v, want %s", err, want)
		}
	}
}

func TestVersionMismatch(t *testing.T) {
	const newer = "protocol mismatch: the director (natlb v10.0.0) speaks version 2, this natlb version 1"
	for _, c := range []struct {
		name   string
		status int
		reply  string
		want   string
	}{
		{"newer", 200, `{"version":2,"natlb":"v10.0.0"}`, newer},
		{"newer without this path", 404, `{"version":2,"natlb":"v10.0.0","code":"gone"}`, newer},
		{"no director", 200, "<html>", "protocol mismatch: "},
		{"no director, error", 500, "<html>", "protocol mismatch: "},
	} {
		path := filepath.Join(t.TempDir(), "natlb.sock")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			io.WriteString(w, c.reply)
		})}
		go other.Serve(l)
		defer other.Close()
		client, ctx := Dial(path), t.Context()
		_, err = client.Services(ctx)
		for _, err := range []error{err, client.Apply(ctx, nil), client.Connections(ctx, nil)} {
			if !errors.Is(err, ErrProtocol) || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want one line %s", c.name, err, c.want)
			}
		}
	}
}

func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "natlb.sock")
	leaveStale(t, path)
	old := unix.Umask(0o077)
	l, err := Listen(path)
	unix.Umask(old)
	if err != nil {
		t.Fatalf("Listen over a stale socket: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("the socket has mode %v, %v, want %o", info.Mode(), err, socketMode)
	}
	if _, err := Listen(path); !errors.Is(err, ErrAlreadyRunning) || !strings.Contains(err.Error(), path) {
		t.Errorf("Listen over a live socket = %v, want %v", err, ErrAlreadyRunning)
	}
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestListenLeavesFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Listen over a file = %v, want a refusal", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	if _, err := Listen(filepath.Join(t.TempDir(), "no", "such", "dir")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Listen without a directory = %v", err)
	}
}

// TestListenRace: of many directors that start at once over a stale socket one
// gets it.
func TestListenRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "natlb.sock")
	leaveStale(t, path)
	const starters = 8
	type result struct {
		l   net.Listener
		err error
	}
	results := make(chan result)
	for range starters {
		go func() {
			l, err := Listen(path)
			results <- result{l, err}
		}()
	}
	won := 0
	for range starters {
		r := <-results
		if r.err == nil {
			won++
			defer r.l.Close()
		} else if !errors.Is(r.err, ErrAlreadyRunning) {
			t.Errorf("Listen = %v, want %v", r.err, ErrAlreadyRunning)
		}
	}
	if won != 1 {
		t.Errorf("%d directors got the socket, want 1", won)
	}
}

func TestPeer(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	f := os.NewFile(uintptr(pair[0]), "pair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := peerOf(c)
	if err != nil || p.pid != int32(os.Getpid()) || p.uid != uint32(os.Geteuid()) || p.groups[0] != uint32(os.Getegid()) {
		t.Fatalf("peerOf = %+v, %v, want this process", p, err)
	}
	groups, err := os.Getgroups()
	if err != nil || len(p.groups) != 1+len(groups) {
		t.Errorf("peerOf found %d supplementary groups, want %d (%v)", len(p.groups)-1, len(groups), err)
	}
}

func TestMayChange(t *testing.T) {
	own := uint32(os.Geteuid())
	for _, c := range []struct {
		name string
		peer *peer
		ok   bool
	}{
		{"root", &peer{uid: 0, groups: []uint32{0}}, true},
		{"the director's user", &peer{uid: own, groups: []uint32{5}}, true},
		{"member by main group", &peer{uid: own + 1000, groups: []uint32{77}}, true},
		{"member by another group", &peer{uid: own + 1000, groups: []uint32{5, 6, 77}}, true},
		{"stranger", &peer{uid: own + 1000, groups: []uint32{5, 6}}, false},
		{"unknown", nil, false},
	} {
		if err := mayChange(c.peer, 77); (err == nil) != c.ok || err != nil && !errors.Is(err, ipvs.ErrPermission) {
			t.Errorf("%s: mayChange = %v, want allowed: %v", c.name, err, c.ok)
		}
	}
}

// TestStrangerMayReadOnly sends requests with another peer than this process.
func TestStrangerMayReadOnly(t *testing.T) {
	d := &fakeDirector{}
	var handler http.Handler
	start(t, d, func(s *Server) { handler = s.http.Handler; s.socketGroup.Store(77) })
	stranger := context.WithValue(t.Context(), peerKey{}, &peer{uid: uint32(os.Geteuid()) + 1000, groups: []uint32{5}})
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/v1/services", 200}, {"GET", "/v1/status", 200}, {"POST", "/v1/apply", 403}} {
		w := httptest.NewRecorder()
		body := bytes.NewReader([]byte(`{"version":1,"changes":[{"op":"flush"}]}`))
		handler.ServeHTTP(w, httptest.NewRequestWithContext(stranger, c.method, c.path, body))
		if w.Code != c.status {
			t.Errorf("%s %s by a stranger = %d %s, want %d", c.method, c.path, w.Code, w.Body, c.status)
		}
	}
	if d.applied != nil {
		t.Errorf("a stranger applied %v", d.applied)
	}
}

func TestSocketPath(t *testing.T) {
	t.Setenv("NATLB_SOCKET", "")
	if got := SocketPath(""); got != DefaultSocket {
		t.Errorf("SocketPath() = %q, want %q", got, DefaultSocket)
	}
	t.Setenv("NATLB_SOCKET", "/tmp/env.sock")
	if got := SocketPath(""); got != "/tmp/env.sock" {
		t.Errorf("SocketPath() with NATLB_SOCKET = %q", got)
	}
	if got := SocketPath("/tmp/flag.sock"); got != "/tmp/flag.sock" {
		t.Errorf("SocketPath(flag) = %q", got)
	}
}
