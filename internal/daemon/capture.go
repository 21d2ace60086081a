package daemon

import (
	"fmt"
	"path"
	"strings"
	"time"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/ipvs"
)

// capture is a tap of the data path as the control room sees it.
type capture struct {
	tap   *dataplane.Tap
	links []string  // and last what stands for the host, where a local server gets its packets
	zero  time.Time // when the director's clock was 0
}

// Capture implements [control.Director].
func (f front) Capture(want control.Capture) (control.CaptureFeed, error) {
	filter := dataplane.TapFilter{Service: want.Filter.Service, Server: want.Filter.Server, Client: want.Filter.Client}
	for _, pattern := range want.Verdicts {
		if err := addVerdicts(&filter, pattern); err != nil {
			return nil, err
		}
	}
	tap, err := f.Director.NewTap(filter, want.Snap)
	if err != nil {
		return nil, err
	}
	c := &capture{tap: tap, zero: f.d.started}
	for _, l := range f.d.cfg.links() {
		c.links = append(c.links, l.Name)
	}
	c.links = append(c.links, "host")
	return c, nil
}

// addVerdicts adds the verdicts that a name or pattern means.
func addVerdicts(filter *dataplane.TapFilter, pattern string) error {
	found := false
	for v := range filter.Verdicts {
		if ok, err := path.Match(pattern, dataplane.Verdict(v).String()); err != nil {
			return fmt.Errorf("%w: verdict %q: %w", ipvs.ErrInvalid, pattern, err)
		} else if ok {
			filter.Verdicts[v], found = true, true
		}
	}
	if !found {
		return fmt.Errorf("%w: there is no verdict %q (natlb drops --all names them)", ipvs.ErrInvalid, pattern)
	}
	return nil
}

// Links implements [control.CaptureFeed], as do the others.
func (c *capture) Links() []string { return c.links }

// Lost returns how many frames there was no room for.
func (c *capture) Lost() uint64 { return c.tap.Lost() }

// Close ends the capture.
func (c *capture) Close() { c.tap.Close() }

// Take hands on what the tap has seen.
func (c *capture) Take(yield func(*control.CapturedFrame) bool) {
	var out control.CapturedFrame
	host := len(c.links) - 1 // dataplane.HostLink is above all others
	c.tap.Take(func(f *dataplane.TapFrame) bool {
		out = control.CapturedFrame{
			Time: c.zero.Add(f.At), Data: f.Data, WireLen: f.WireLen, Link: min(int(f.Link), host), Sent: f.Sent, Comment: commentOn(f),
		}
		return yield(&out)
	})
}

// commentOn says of a frame what natlb replay says of those that it sends, and what
// picked the server of a new connection: "forward: TCP CIP:port > VIP:port >
// RIP:port, SYN_RECV, picked: new".
func commentOn(f *dataplane.TapFrame) string {
	var b strings.Builder
	switch {
	case f.Late:
		b.WriteString("sent without a packet of this moment: held until now, or announced")
	default:
		b.WriteString(f.Verdict.String())
	}
	if !f.Conn {
		return b.String()
	}
	fmt.Fprintf(&b, ": %v %v > %v > %v, %s", f.Proto, f.Client, f.Virtual, f.Server, f.State)
	if f.Why != ipvs.NotPicked {
		fmt.Fprintf(&b, ", picked: %v", f.Why)
	}
	if f.Mark != 0 {
		fmt.Fprintf(&b, ", mark %d", f.Mark)
	}
	return b.String()
}
