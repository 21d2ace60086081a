package oracletest

import (
	"container/heap"
	"time"
)

// clock is virtual time: events happen in the order of their moments, and those
// of one moment in the order in which they were planned.
type clock struct {
	now     time.Duration
	queue   events
	planned uint64
}

type event struct {
	at time.Duration
	n  uint64
	do func() // nil: cancelled
}

// cancel keeps e from happening; a nil event is fine.
func (e *event) cancel() {
	if e != nil {
		e.do = nil
	}
}

// after plans do for d from now.
func (c *clock) after(d time.Duration, do func()) *event {
	c.planned++
	e := &event{c.now + d, c.planned, do}
	heap.Push(&c.queue, e)
	return e
}

// step lets the next event up to until happen, and reports whether there was
// one.
func (c *clock) step(until time.Duration) bool {
	if len(c.queue) == 0 || c.queue[0].at > until {
		return false
	}
	e := heap.Pop(&c.queue).(*event)
	c.now = e.at
	if e.do != nil {
		e.do()
	}
	return true
}

// run lets everything up to the moment until happen.
func (c *clock) run(until time.Duration) {
	for c.step(until) {
	}
	c.now = max(c.now, until)
}

// wait runs until done reports true, for at most d, and reports whether it did.
func (c *clock) wait(d time.Duration, done func() bool) bool {
	until := c.now + d
	for !done() {
		if !c.step(until) {
			c.now = until
			return done()
		}
	}
	return true
}

// events is a heap by moment.
type events []*event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].n < q[j].n
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
