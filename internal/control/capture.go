package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"natlb/internal/pcapfile"
	"natlb/ipvs"
)

// Capture says what natlb capture is after, and when it is done.
type Capture struct {
	Filter   Filter        // service, server and client of it
	Verdicts []string      // names, or patterns as drop-*; none: all
	Snap     int           // bytes kept of a frame; 0: all
	Frames   int           // the most; 0: no limit
	Bytes    int64         // of the file, the most; 0: no limit
	For      time.Duration // 0: no limit
}

// CapturedFrame is a frame of a capture.
type CapturedFrame struct {
	Time    time.Time
	Data    []byte // lent
	WireLen uint32
	Link    int    // index of its name in CaptureFeed.Links
	Sent    bool   // by the director; else received
	Comment string // verdict, connection and pick
}

// CaptureFeed is a capture that a director has under way.
type CaptureFeed interface {
	// Links returns the names of the director's interfaces.
	Links() []string
	// Take calls yield for the frames since the last call, in order, until it
	// returns false.
	Take(yield func(*CapturedFrame) bool)
	// Lost returns how many frames there was no room for.
	Lost() uint64
	// Close ends the capture.
	Close()
}

// captureEvery is how often a capture is written on: the director keeps frames for
// so long.
const captureEvery = 10 * time.Millisecond

// serveCapture streams a pcapng file until it is as long as was asked for, the
// client goes away or the server ends. One who does not read loses frames, which
// are counted, and nothing else. Payload is for those who may change things.
func (s *Server) serveCapture(w http.ResponseWriter, r *http.Request) {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	want, err := captureOf(r.URL.Query())
	if err == nil {
		err = mayChange(p, s.socketGroup.Load())
	}
	var feed CaptureFeed
	if err == nil {
		feed, err = s.director.Capture(want)
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	defer feed.Close()
	w.Header().Set("Content-Type", "application/x-pcapng")
	controller := http.NewResponseController(w)
	_ = controller.SetWriteDeadline(time.Time{})
	go func() {
		select {
		case <-s.feed.ended:
			_ = controller.SetWriteDeadline(time.Now().Add(lastWord))
		case <-r.Context().Done():
		}
	}()
	c := newCaptureFile(w, want, feed)
	flush := func() error { return errors.Join(c.file.Flush(), controller.Flush()) }
	if flush() != nil {
		return
	}
	tick := time.NewTicker(captureEvery)
	defer tick.Stop()
	over := make(chan struct{})
	if want.For > 0 {
		timer := time.AfterFunc(want.For, func() {
			feed.Close() // now, even if the client does not read
			close(over)
		})
		defer timer.Stop()
	}
	for ended := ""; ended == ""; {
		select {
		case <-tick.C:
		case <-over:
			ended = "time"
		case <-s.feed.ended:
			ended = "director"
		case <-r.Context().Done():
			return
		}
		if full := c.take(); full != "" {
			ended = full
		}
		if ended != "" {
			c.end(ended)
		}
		if c.fresh && flush() != nil {
			return
		}
	}
}

// captureFile is the file as far as it is written.
type captureFile struct {
	file  *pcapfile.Writer
	feed  CaptureFeed
	want  Capture
	stats []pcapfile.Stats // by interface; all that was lost stands with the first
	count int
	last  int64
	fresh bool // something was written in this round
}

func newCaptureFile(out io.Writer, want Capture, feed CaptureFeed) *captureFile {
	names := feed.Links()
	c := &captureFile{file: pcapfile.NewNGWriter(out, pcapfile.Ethernet, names...), feed: feed, want: want}
	for i := range names {
		c.stats = append(c.stats, pcapfile.Stats{Interface: uint32(i)})
	}
	return c
}

// take writes what has come since the last time, and returns why the file is full,
// or nothing.
func (c *captureFile) take() (full string) {
	c.fresh = false
	c.feed.Take(func(f *CapturedFrame) bool {
		p := pcapfile.Packet{Data: f.Data, Time: f.Time.UnixNano(), WireLen: f.WireLen, Interface: uint32(f.Link), Direction: pcapfile.Inbound}
		if f.Sent {
			p.Direction = pcapfile.Outbound
		}
		_ = c.file.Write(&p, f.Comment) // the fault shows when it is flushed
		c.fresh, c.last = true, p.Time
		c.stats[f.Link].Received++
		switch c.count++; {
		case c.want.Frames > 0 && c.count >= c.want.Frames:
			full = "frames"
		case c.want.Bytes > 0 && c.file.Size() >= c.want.Bytes:
			full = "bytes"
		}
		return full == ""
	})
	if lost := c.feed.Lost(); lost != c.stats[0].Dropped {
		c.stats[0].Dropped = lost
		c.tell("")
	}
	return full
}

// end writes the last statistics, with why it is over.
func (c *captureFile) end(why string) { c.tell(endComment + why) }

// endComment begins the comment on the statistics of a capture that has come to its
// end.
const endComment = "natlb: ended by "

func (c *captureFile) tell(comment string) {
	for _, s := range c.stats {
		_ = c.file.WriteStats(c.last, s, comment)
	}
	c.fresh = true
}

// query is the capture as a request has it: that of its filter, and
//
//	&verdict=drop-*&snap=96&frames=1000&bytes=1000000&for=10s
func (c *Capture) query() url.Values {
	q := c.Filter.query()
	for _, v := range c.Verdicts {
		q.Add("verdict", v)
	}
	put := func(name string, n int64) {
		if n > 0 {
			q.Set(name, strconv.FormatInt(n, 10))
		}
	}
	put("snap", int64(c.Snap))
	put("frames", int64(c.Frames))
	put("bytes", c.Bytes)
	if c.For > 0 {
		q.Set("for", c.For.String())
	}
	return q
}

func captureOf(q url.Values) (c Capture, err error) {
	number := func(name string) (n int64) {
		text := q.Get(name)
		q.Del(name)
		if text == "" || err != nil {
			return 0
		}
		if n, err = strconv.ParseInt(text, 10, 64); err == nil && n < 0 {
			err = fmt.Errorf("below 0")
		}
		if err != nil {
			err = fmt.Errorf("%w: %s %q: %w", ipvs.ErrInvalid, name, text, err)
		}
		return n
	}
	c.Verdicts = q["verdict"]
	q.Del("verdict")
	c.Snap, c.Frames, c.Bytes = int(number("snap")), int(number("frames")), number("bytes")
	if text := q.Get("for"); text != "" && err == nil {
		if c.For, err = time.ParseDuration(text); err != nil {
			err = fmt.Errorf("%w: %w", ipvs.ErrInvalid, err)
		}
	}
	q.Del("for")
	if err != nil {
		return c, err
	}
	for _, name := range []string{"state", "kind", "limit"} {
		if q.Has(name) {
			return c, fmt.Errorf("%w: a capture has no filter %q", ipvs.ErrInvalid, name)
		}
	}
	c.Filter, err = filterOf(q)
	return c, err
}

// Captured is what has become of a capture.
type Captured struct {
	Received uint64 // frames
	Sent     uint64
	Lost     uint64 // frames that the director had no room for
	Ended    string // by what: frames, bytes, time, director; empty if by the caller
}

// ErrStuck says that a capture was stopped while its output took nothing, as a pipe
// does that nobody reads.
var ErrStuck = errors.New("the capture was stopped while its output took nothing: it may end in the middle of a frame")

// lastBlocks is how long the output may take for the rest when a capture is
// stopped.
const lastBlocks = 2 * time.Second

// Capture starts a capture and copies its file to out, which start opens once the
// director has agreed, until it is done or ctx ends; what is in out then is a
// whole file. The end of the director in the middle is no error: the result says
// so. After ErrStuck out is still waited for: the caller closes it, or ends.
func (c *Client) Capture(ctx context.Context, want Capture, start func() (io.Writer, error)) (*Captured, error) {
	dialing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(c.timeout, func() { cancel(ErrSilent) })
	body, err := c.open(dialing, http.MethodGet, "/v1/capture?"+want.query().Encode(), nil, nil)
	if err != nil {
		return nil, slow(dialing, err)
	}
	defer body.Close()
	watchdog.Stop() // silence is no traffic
	out, err := start()
	if err != nil {
		return nil, err
	}
	var r pcapfile.Relayed
	from := &readSide{in: body}
	relayed := make(chan error, 1)
	go func() { relayed <- pcapfile.Relay(out, from, &r) }()
	select {
	case err = <-relayed:
	case <-ctx.Done():
		select {
		case err = <-relayed:
		case <-time.After(lastBlocks):
			return nil, ErrStuck
		}
	}
	done := &Captured{Received: r.Packets - r.Sent, Sent: r.Sent, Lost: r.Dropped}
	done.Ended, _ = strings.CutPrefix(r.Comment, endComment)
	switch {
	case err == nil && done.Ended == "", err != nil && from.failed && ctx.Err() == nil:
		done.Ended = "director"
	case err != nil && !from.failed:
		return done, err
	}
	return done, nil
}

// readSide remembers whether a fault was the reader's.
type readSide struct {
	in     io.Reader
	failed bool
}

func (r *readSide) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	if err != nil && err != io.EOF {
		r.failed = true
	}
	return n, err
}
