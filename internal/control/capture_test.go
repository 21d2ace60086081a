package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"natlb/internal/pcapfile"
	"natlb/ipvs"
)

// fakeFeed is a capture of frames that are put into it.
type fakeFeed struct {
	mu     sync.Mutex
	want   Capture
	frames []CapturedFrame
	lost   uint64
	closed bool
	taken  bool // some of them
}

func (f *fakeFeed) put(sent bool, comments ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range comments {
		link := 0
		if sent {
			link = 1
		}
		f.frames = append(f.frames, CapturedFrame{
			Time: time.Unix(1750000000, 123456789), Data: make([]byte, 60), WireLen: 1500, Link: link, Sent: sent, Comment: c,
		})
	}
}

func (f *fakeFeed) Links() []string { return []string{"vip0", "dip0"} }

func (f *fakeFeed) Lost() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

func (f *fakeFeed) lose(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost += n
}

func (f *fakeFeed) isTaken() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

func (f *fakeFeed) Take(yield func(*CapturedFrame) bool) {
	for {
		f.mu.Lock()
		if len(f.frames) == 0 {
			f.mu.Unlock()
			return
		}
		next := &f.frames[0]
		f.frames, f.taken = f.frames[1:], true
		f.mu.Unlock()
		if !yield(next) {
			return
		}
	}
}

func (f *fakeFeed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *fakeFeed) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// packetsIn reads a file back, a line for each packet.
func packetsIn(t *testing.T, file []byte) (lines []string) {
	t.Helper()
	r, err := pcapfile.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var p pcapfile.Packet
	for {
		switch err := r.Next(&p); {
		case errors.Is(err, io.EOF):
			return lines
		case err != nil:
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%d %d %d/%d %v %s", p.Interface, p.Direction, len(p.Data), p.WireLen, p.When().Format("05.000000000"), strings.Join(p.Comments(), "|")))
	}
}

// TestCapture: what the director sees arrives as a file, with what was lost and why
// it is over.
func TestCapture(t *testing.T) {
	for _, tt := range []struct {
		name  string
		want  Capture
		put   int // frames received, and as many sent
		got   Captured
		lines int
	}{
		{"frames", Capture{Frames: 3}, 5, Captured{Received: 3, Ended: "frames", Lost: 7}, 3},
		{"bytes", Capture{Bytes: 460}, 50, Captured{Received: 3, Ended: "bytes", Lost: 7}, 3},
		{"time", Capture{For: 50 * time.Millisecond}, 2, Captured{Received: 2, Sent: 2, Ended: "time", Lost: 7}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			feed := &fakeFeed{lost: 7}
			_, c, _ := servedBy(t, &fakeDirector{feed: feed})
			for range tt.put {
				feed.put(false, "forward: in")
			}
			for range tt.put {
				feed.put(true, "forward: out")
			}
			var file bytes.Buffer
			got, err := c.Capture(t.Context(), tt.want, func() (io.Writer, error) { return &file, nil })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.got, got); diff != "" {
				t.Errorf("captured (-want +got):\n%s", diff)
			}
			lines := packetsIn(t, file.Bytes())
			if len(lines) != tt.lines || lines[0] != "0 1 60/1500 40.123456789 forward: in" {
				t.Errorf("the file has %q", lines)
			}
			if tt.name == "time" && lines[3] != "1 2 60/1500 40.123456789 forward: out" {
				t.Errorf("the last packet is %q", lines[3])
			}
			eventually(t, "the capture is closed", feed.isClosed)
		})
	}
}

// TestCaptureIsStopped: whoever stops it has a whole file, and the director lets go.
func TestCaptureIsStopped(t *testing.T) {
	feed := &fakeFeed{}
	_, c, _ := servedBy(t, &fakeDirector{feed: feed})
	ctx, stop := context.WithCancel(t.Context())
	var file signalled
	file.at, file.reached = 700, make(chan struct{})
	feed.put(false, "a", "b", "c", "d", "e", "f")
	go func() { <-file.reached; stop() }()
	got, err := c.Capture(ctx, Capture{}, func() (io.Writer, error) { return &file, nil })
	if err != nil || got.Received != 6 || got.Ended != "" {
		t.Fatalf("Capture = %+v, %v", got, err)
	}
	if lines := packetsIn(t, file.b.Bytes()); len(lines) != 6 {
		t.Errorf("the file has %q", lines)
	}
	eventually(t, "the capture is closed", feed.isClosed)
}

// signalled is a buffer that tells when it has so many bytes.
type signalled struct {
	b       bytes.Buffer
	at      int
	reached chan struct{}
}

func (s *signalled) Write(b []byte) (int, error) {
	before := s.b.Len()
	s.b.Write(b)
	if before < s.at && s.b.Len() >= s.at {
		close(s.reached)
	}
	return len(b), nil
}

// TestCaptureOfAnEndingDirector: the result says that it was the director.
func TestCaptureOfAnEndingDirector(t *testing.T) {
	feed := &fakeFeed{}
	s, c, _ := servedBy(t, &fakeDirector{feed: feed})
	var file signalled
	file.at, file.reached = 200, make(chan struct{})
	feed.put(false, "a")
	go func() {
		<-file.reached
		s.Shutdown(t.Context())
	}()
	got, err := c.Capture(t.Context(), Capture{}, func() (io.Writer, error) { return &file, nil })
	if err != nil || got.Ended != "director" || got.Received != 1 {
		t.Fatalf("Capture = %+v, %v", got, err)
	}
}

// TestCaptureSlowly: one who does not read for long, or for whom there is nothing
// for long, loses what there is no room for and nothing else; the time ends all the
// same.
func TestCaptureSlowly(t *testing.T) {
	feed := &fakeFeed{}
	c, _ := start(t, &fakeDirector{feed: feed}, func(s *Server) { s.http.WriteTimeout = 50 * time.Millisecond })
	out, in := io.Pipe()
	type result struct {
		*Captured
		error
	}
	ended := make(chan result, 1)
	go func() {
		got, err := c.Capture(t.Context(), Capture{For: 2 * time.Second}, func() (io.Writer, error) { return in, nil })
		in.CloseWithError(err)
		ended <- result{got, err}
	}()
	time.Sleep(150 * time.Millisecond) // three times every patience
	const frames = 200
	for range frames { // more than all buffers on the way hold
		feed.put(false, strings.Repeat("x", 60_000))
	}
	eventually(t, "the capture is closed", feed.isClosed)
	feed.lose(9)
	file, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	got := <-ended
	if diff := cmp.Diff(&Captured{Received: frames, Lost: 9, Ended: "time"}, got.Captured); diff != "" || got.error != nil {
		t.Errorf("captured (-want +got):\n%s%v", diff, got.error)
	}
	if n := len(packetsIn(t, file)); n != frames {
		t.Errorf("the file has %d packets, want %d", n, frames)
	}
}

// TestCaptureOfAnEndingDirectorSlowly: one who does not read does not keep the
// director up.
func TestCaptureOfAnEndingDirectorSlowly(t *testing.T) {
	feed := &fakeFeed{}
	s, _, path := servedBy(t, &fakeDirector{feed: feed})
	stalled := dialRaw(t, path)
	fmt.Fprint(stalled, "GET /v1/capture HTTP/1.1\r\nHost: natlb\r\n\r\n")
	for range 200 {
		feed.put(false, strings.Repeat("x", 60_000))
	}
	eventually(t, "the capture has begun", feed.isTaken)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // less than WriteTimeout
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown with a stalled reader: %v", err)
	}
}

// TestCaptureStuck: a capture whose output takes nothing can be stopped.
func TestCaptureStuck(t *testing.T) {
	feed := &fakeFeed{}
	_, c, _ := servedBy(t, &fakeDirector{feed: feed})
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	defer out.Close()
	feed.put(false, "a")
	if _, err := c.Capture(ctx, Capture{}, func() (io.Writer, error) { stop(); return in, nil }); !errors.Is(err, ErrStuck) {
		t.Errorf("Capture = %v, want %v", err, ErrStuck)
	}
}

// TestCaptureRefused: no file is opened for a capture that does not come about, nor
// is one left under way for which there is no file.
func TestCaptureRefused(t *testing.T) {
	_, c, _ := servedBy(t, &fakeDirector{})
	_, err := c.Capture(t.Context(), Capture{}, func() (io.Writer, error) { t.Error("a file was opened"); return io.Discard, nil })
	if !errors.Is(err, ipvs.ErrInvalid) || !strings.Contains(err.Error(), "no capture here") {
		t.Errorf("Capture = %v", err)
	}
	feed := &fakeFeed{}
	_, c, _ = servedBy(t, &fakeDirector{feed: feed})
	full := errors.New("no room")
	if _, err := c.Capture(t.Context(), Capture{}, func() (io.Writer, error) { return nil, full }); !errors.Is(err, full) {
		t.Errorf("Capture = %v", err)
	}
	eventually(t, "the capture is closed", feed.isClosed)
}

func TestCaptureQuery(t *testing.T) {
	want := Capture{
		Filter: Filter{
			Service: webService.Key, Server: netip.MustParseAddrPort("10.0.0.2:80"), Client: netip.MustParsePrefix("198.51.100.0/24"),
		},
		Verdicts: []string{"drop-*", "forward"}, Snap: 96, Frames: 5, Bytes: 1 << 40, For: 1500 * time.Millisecond,
	}
	got, err := captureOf(want.query())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}, ipvs.ServiceKey{})); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"snap=-1", "frames=x", "bytes=1e9", "for=10", "state=NONE", "limit=5", "kind=born", "colour=red", "service=icmp/1.2.3.4:5"} {
		q, _ := url.ParseQuery(bad)
		if c, err := captureOf(q); !errors.Is(err, ipvs.ErrInvalid) {
			t.Errorf("%s was read as %+v, %v", bad, c, err)
		}
	}
}
