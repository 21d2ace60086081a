package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/ipvs"
)

// follower is one who follows the events of a server.
type follower struct {
	cancel context.CancelFunc
	events chan Event
	ended  chan error
}

// follow begins to follow, and returns when the director tells.
func follow(t *testing.T, c *Client, f Filter) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &follower{cancel: cancel, events: make(chan Event, 1<<16), ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		r.ended <- c.Follow(ctx, f, func() { close(ready) }, func(e *Event) bool {
			r.events <- *e
			return true
		})
	}()
	t.Cleanup(cancel)
	select {
	case <-ready:
	case err := <-r.ended:
		t.Fatalf("Follow: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("the director does not tell")
	}
	return r
}

// next returns the next event.
func (r *follower) next(t *testing.T) Event {
	t.Helper()
	select {
	case e := <-r.events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
		return Event{}
	}
}

// connEvent is an event of connection number i.
func connEvent(kind ipvs.EventKind, i int) ipvs.Event {
	c := connNumber(i)
	return ipvs.Event{
		Kind: kind, At: time.Duration(i), Service: webService.Key, Proto: c.Proto, State: c.State,
		Client: c.Client, Virtual: c.Virtual, Server: c.Dest,
	}
}

// servedBy is start, and returns the server, too.
func servedBy(t *testing.T, d *fakeDirector) (s *Server, c *Client, path string) {
	c, path = start(t, d, func(server *Server) { s = server })
	return s, c, path
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func TestFollow(t *testing.T) {
	d := &fakeDirector{}
	s, c, _ := servedBy(t, d)
	zero := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	s.Publish([]ipvs.Event{connEvent(ipvs.EventBorn, 1)}, zero) // nobody follows
	if d.followed() {
		t.Error("the director was told to follow before anybody did")
	}
	all := follow(t, c, Filter{})
	ends := follow(t, c, Filter{Kinds: []ipvs.EventKind{ipvs.EventDied}})
	client := follow(t, c, Filter{Client: netip.MustParsePrefix("10.0.0.7/32"), Server: netip.MustParseAddrPort("10.0.0.2:0")})
	other := follow(t, c, Filter{Service: ipvs.ServiceKey{Mark: 1}})
	if !d.followed() {
		t.Error("the director was not told that somebody follows")
	}
	events := []ipvs.Event{
		connEvent(ipvs.EventBorn, 6), connEvent(ipvs.EventBorn, 7), connEvent(ipvs.EventDied, 6),
		{Kind: ipvs.EventGap, Lost: 3},
	}
	s.Publish(events, zero)
	for _, f := range []struct {
		name string
		*follower
		want []int // of events
	}{{"all", all, []int{0, 1, 2, 3}}, {"ends", ends, []int{2, 3}}, {"client", client, []int{1, 3}}, {"other", other, []int{3}}} {
		for _, i := range f.want {
			want := Event{events[i], zero.Add(events[i].At)}
			want.At = 0 // is the time of day now
			if diff := cmp.Diff(want, f.next(t), byValue); diff != "" {
				t.Errorf("%s (-want +got):\n%s", f.name, diff)
			}
		}
	}
	for _, f := range []*follower{all, ends, client, other} {
		f.cancel()
		if err := <-f.ended; err != nil {
			t.Errorf("Follow that was ended = %v", err)
		}
	}
	eventually(t, "readers who went away are forgotten", func() bool { return !d.followed() })
}

// TestFollowSlowly: one who does not read costs the director nothing, and learns
// how much he has missed.
func TestFollowSlowly(t *testing.T) {
	d := &fakeDirector{}
	s, c, path := servedBy(t, d)
	slow := dialRaw(t, path)
	fmt.Fprint(slow, "GET /v1/events HTTP/1.1\r\nHost: natlb\r\n\r\n")
	eventually(t, "the slow one follows", d.followed)
	quick := follow(t, c, Filter{Kinds: []ipvs.EventKind{ipvs.EventDied}})

	const rounds, each = 400, 500
	batch := make([]ipvs.Event, each)
	for i := range batch {
		batch[i] = connEvent(ipvs.EventBorn, i)
	}
	for range rounds {
		s.Publish(batch, time.Now())
	}
	s.Publish([]ipvs.Event{connEvent(ipvs.EventDied, 1)}, time.Now())
	if e := quick.next(t); e.Kind != ipvs.EventDied {
		t.Errorf("the quick one got %v beside a slow one", e.Kind)
	}
	// Now he reads, and everything is accounted for.
	if err := slow.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	in := json.NewDecoder(response.Body)
	told, lost := -1, 0 // not the header
	for told+lost < rounds*each+1 {
		var line struct {
			Lost int `json:"lost"`
		}
		if err := in.Decode(&line); err != nil {
			t.Fatalf("%d events and %d lost, then %v", told, lost, err)
		}
		if lost += line.Lost; line.Lost == 0 {
			told++
		}
	}
	if told+lost != rounds*each+1 || lost == 0 {
		t.Errorf("%d events and %d lost, want %d in all", told, lost, rounds*each+1)
	}
}

// TestFollowersAreFew: there is a limit to them, and it is said.
func TestFollowersAreFew(t *testing.T) {
	_, c, _ := servedBy(t, &fakeDirector{})
	for range mostReaders {
		follow(t, c, Filter{})
	}
	err := c.Follow(t.Context(), Filter{}, nil, func(*Event) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "32 readers follow") {
		t.Errorf("one more = %v", err)
	}
}

// TestFollowToTheEnd: the end of a director is seen, and one who does not read
// does not keep it up.
func TestFollowToTheEnd(t *testing.T) {
	d := &fakeDirector{}
	s, c, path := servedBy(t, d)
	stalled := dialRaw(t, path)
	fmt.Fprint(stalled, "GET /v1/events HTTP/1.1\r\nHost: natlb\r\n\r\n")
	eventually(t, "the stalled one follows", d.followed)
	f := follow(t, c, Filter{})
	batch := make([]ipvs.Event, 1000)
	for i := range batch {
		batch[i] = connEvent(ipvs.EventBorn, i)
	}
	s.Publish(batch, time.Now())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown with a stalled reader: %v", err)
	}
	if err := <-f.ended; !errors.Is(err, ipvs.ErrDirectorNotRunning) {
		t.Errorf("Follow at the end of the director = %v, want %v", err, ipvs.ErrDirectorNotRunning)
	}
	if got := len(f.events); got != len(batch) {
		t.Errorf("%d events before the end, want %d", got, len(batch))
	}
}

// TestFollowQuietly: long silence is no fault, though a request may not take
// long.
func TestFollowQuietly(t *testing.T) {
	d := &fakeDirector{}
	var s *Server
	c, _ := start(t, d, func(server *Server) {
		s = server
		s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	})
	c.timeout = 50 * time.Millisecond
	f := follow(t, c, Filter{})
	select {
	case err := <-f.ended:
		t.Fatalf("Follow = %v while nothing happened", err)
	case <-time.After(500 * time.Millisecond): // ten times every patience
	}
	s.Publish([]ipvs.Event{connEvent(ipvs.EventBorn, 1)}, time.Now())
	f.next(t)
}

func TestChosen(t *testing.T) {
	c, _ := start(t, &fakeDirector{conns: 600}, nil)
	for _, f := range []struct {
		name   string
		filter Filter
		want   int
	}{
		{"all", Filter{}, 600},
		{"network", Filter{Client: netip.MustParsePrefix("10.0.1.0/24")}, 256},
		{"server", Filter{Server: netip.MustParseAddrPort("10.0.0.2:0")}, 600},
		{"server's other port", Filter{Server: netip.MustParseAddrPort("10.0.0.2:81")}, 0},
		{"state", Filter{State: "established"}, 600},
		{"other state", Filter{State: "CLOSE"}, 0},
		{"service", Filter{Service: ipvs.ServiceKey{Mark: 7}}, 0},
		{"few", Filter{Limit: 10, Client: netip.MustParsePrefix("10.0.1.0/24")}, 10},
	} {
		n := 0
		if err := c.Chosen(t.Context(), f.filter, func(ipvs.ConnStatus) bool { n++; return true }); err != nil || n != f.want {
			t.Errorf("%s: %d connections, %v, want %d", f.name, n, err, f.want)
		}
		counts, err := c.Counts(t.Context(), f.filter, "state")
		if want := uint64(f.want); err != nil || f.filter.Limit == 0 && counts.Total.Connections != want {
			t.Errorf("%s: counted %+v, %v, want %d", f.name, counts, err, want)
		}
	}
}

func TestCounts(t *testing.T) {
	c, _ := start(t, &fakeDirector{conns: mostGroups + 500}, nil)
	got, err := c.Counts(t.Context(), Filter{}, "client")
	if err != nil || len(got.Groups) != mostGroups || got.Others.Connections != 500 || got.Total.Connections != mostGroups+500 {
		t.Errorf("Counts by client: %d groups, %+v others, %+v, %v", len(got.Groups), got.Others, got.Total, err)
	}
	got, err = c.Counts(t.Context(), Filter{Limit: 3}, "server")
	want := Counts{By: "server", Groups: []Tally{{Name: "10.0.0.2:8080", Connections: mostGroups + 500}}, Total: Tally{Connections: mostGroups + 500}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Counts by server: %v (-want +got)\n%s", err, diff)
	}
	if _, err := c.Counts(t.Context(), Filter{}, "shoe"); !errors.Is(err, ipvs.ErrInvalid) {
		t.Errorf("Counts by shoe: %v, want %v", err, ipvs.ErrInvalid)
	}
}
