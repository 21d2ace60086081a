package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"natlb/ipvs"
)

// lastWord is how long a reader may take for the end of the stream when the
// server ends.
const lastWord = 500 * time.Millisecond

// Publish hands events of the director to those who follow them. zero is the
// time of day at which the director's clock was 0. It never waits for a reader;
// one goroutine at a time may call.
func (s *Server) Publish(events []ipvs.Event, zero time.Time) { s.feed.publish(events, zero) }

// serveEvents streams one JSON object per line: the header, then each event as
// it happens, until the client goes away or the server ends.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	filter, err := filterOf(r.URL.Query())
	if err != nil {
		s.refuse(w, err)
		return
	}
	// One who does not read loses events and nothing else.
	controller := http.NewResponseController(w)
	_ = controller.SetWriteDeadline(time.Time{})
	me := &reader{filter: filter, more: make(chan struct{}, 1)}
	me.hurry = func() { _ = controller.SetWriteDeadline(time.Now().Add(lastWord)) }
	if !s.feed.join(me) {
		s.refuse(w, errTooMany)
		return
	}
	defer s.feed.leave(me)
	w.Header().Set("Content-Type", "application/x-ndjson")
	buffer := bufio.NewWriterSize(w, 64<<10)
	lines := &eventLines{out: json.NewEncoder(buffer), flush: func() error {
		return errors.Join(buffer.Flush(), controller.Flush())
	}}
	if lines.out.Encode(s.header()) != nil || lines.flush() != nil {
		return
	}
	var spare []Event
	for {
		select {
		case <-me.more:
			events := me.take(spare)
			if lines.write(events) != nil {
				return
			}
			spare = events
		case <-s.feed.ended:
			if lines.write(me.take(nil)) == nil && lines.out.Encode(streamEnd{End: true, Count: lines.count}) == nil {
				_ = lines.flush()
			}
			return
		case <-r.Context().Done():
			return
		}
	}
}

// eventLines writes events as lines.
type eventLines struct {
	out   *json.Encoder
	flush func() error
	count int
}

func (l *eventLines) write(events []Event) error {
	for i := range events {
		if err := l.out.Encode(JSONOfEvent(&events[i])); err != nil {
			return err
		}
	}
	l.count += len(events)
	return l.flush()
}

// Follow calls yield for every event that the filter chooses, from now on, until
// yield returns false or ctx ends, both of which are good ends; ready, if not
// nil, is called once the director has begun to tell. The end of the director is
// an error that wraps [ipvs.ErrDirectorNotRunning]. Events that come while yield
// takes its time wait in the director, up to a limit; an EventGap says how many
// did not fit.
func (c *Client) Follow(ctx context.Context, filter Filter, ready func(), yield func(*Event) bool) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(c.timeout, func() { cancel(ErrSilent) })
	defer watchdog.Stop()
	body, err := c.open(ctx, http.MethodGet, "/v1/events?"+filter.query().Encode(), nil, nil)
	if err != nil {
		return slow(ctx, err)
	}
	defer body.Close()
	in := json.NewDecoder(body)
	var head header
	if err := in.Decode(&head); err != nil {
		return slow(ctx, fmt.Errorf("%w: %w", ErrProtocol, err))
	}
	if err := head.check(); err != nil {
		return err
	}
	watchdog.Stop() // from here on silence means that nothing happens
	if ready != nil {
		ready()
	}
	for {
		var line struct {
			EventJSON
			streamEnd
		}
		switch err := in.Decode(&line); {
		case parent.Err() != nil:
			return nil
		case err != nil, line.End:
			return fmt.Errorf("%w any more: it has ended", ipvs.ErrDirectorNotRunning)
		}
		e, err := line.event()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		if !yield(&e) {
			return nil
		}
	}
}
