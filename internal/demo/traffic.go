package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"natlb/internal/lab"
)

// requestPatience is how long a request may take before it counts as failed.
// A lost SYN costs a second, so that it is far more than a busy machine needs.
const requestPatience = 10 * time.Second

// tally is what clients counted.
type tally struct {
	server1, server2 uint64 // answers by whose page they were
	strange          uint64 // answers that were nobody's page
	failed           uint64 // requests without answer
	late             uint64 // answers of server 1 to requests that began after mark
	firstFailure     error  // the first reason for failed or strange
}

func (t tally) requests() uint64 { return t.server1 + t.server2 + t.strange + t.failed }

// load is clients that ask one service without end, each request by a
// connection of its own.
type load struct {
	service string // VIP:port
	stop    func() // cuts off what is under way; may be called again

	mu     sync.Mutex
	tally  tally
	marked bool
}

// startLoad sets every client asking; between two requests each rests for
// breath.
func startLoad(ctx context.Context, service string, breath time.Duration, clients ...*lab.Client) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{service: service}
	var workers sync.WaitGroup
	for _, c := range clients {
		workers.Go(func() { l.ask(ctx, c, breath) })
	}
	l.stop = func() {
		cancel()
		workers.Wait()
	}
	return l
}

// ask is one client. A request that the end of the load cuts off counts for
// nothing.
func (l *load) ask(ctx context.Context, c *lab.Client, breath time.Duration) {
	for ctx.Err() == nil {
		late := l.isMarked()
		answer, err := getWithin(ctx, c, "http://"+l.service+"/", requestPatience)
		if ctx.Err() != nil {
			return
		}
		l.count(answer, err, late)
		select {
		case <-time.After(breath):
		case <-ctx.Done():
		}
	}
}

func (l *load) count(answer string, err error, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.tally.failed++
	case answer == page1 && late:
		l.tally.late++
		l.tally.server1++
	case answer == page1:
		l.tally.server1++
	case answer == page2:
		l.tally.server2++
	default:
		l.tally.strange++
		err = fmt.Errorf("the answer %q", answer)
	}
	if l.tally.firstFailure == nil {
		l.tally.firstFailure = err
	}
}

// mark makes every request that begins from now on a late one.
func (l *load) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marked = true
}

func (l *load) isMarked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.marked
}

// counted is the tally so far.
func (l *load) counted() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally
}

// await waits until the clients have received enough.
func (l *load) await(ctx context.Context, enough func(tally) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestPatience,
		fmt.Errorf("the clients received too little within %v", requestPatience))
	defer cancel()
	for !enough(l.counted()) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %+v", context.Cause(ctx), l.counted())
		}
	}
	return nil
}

// getWithin fetches a page, without its line end, in the given time.
func getWithin(ctx context.Context, c *lab.Client, url string, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, err := c.Get(ctx, url)
	return strings.TrimSuffix(body, "\n"), err
}
