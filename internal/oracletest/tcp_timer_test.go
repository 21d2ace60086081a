package oracletest

import "time"

const (
	ato    = 40 * time.Millisecond  // how long an acknowledgement may wait
	rtoMin = 200 * time.Millisecond // least variance that the retransmission timer allows for
	rtoMax = 120 * time.Second
	retry  = 15
)

// timer plans do for d from now, as late as the timer wheel of a kernel with 100
// ticks a second is: the longer the wait, the coarser (kernel/time/timer.c).
func (k *kernel) timer(d time.Duration, do func()) *event {
	const tick = 10 * time.Millisecond
	now := k.net.now
	at, grain := (now+d+tick-1)/tick, time.Duration(1)
	for limit := time.Duration(63); at-now/tick >= limit; limit *= 8 {
		grain *= 8
	}
	at = (at + grain) / grain * grain * tick
	return k.net.after(at-now, do)
}

// ackState decides when Linux acknowledges: at once at first, and late once the
// connection has turned out to be a dialogue ("pingpong").
type ackState struct {
	pingpong bool
	heard    bool          // data has come
	lastData time.Duration // when
	unacked  int           // bytes that wait for an acknowledgement
	delay    *event
}

// acked is called when a segment carries an acknowledgement.
func (c *conn) acked() {
	c.unacked = 0
	c.delay.cancel()
	c.delay = nil
}

// wrote is called when the program sends: a reply soon after data makes it a
// dialogue.
func (c *conn) wrote() {
	if c.heard && c.k.net.now-c.lastData < ato {
		c.pingpong = true
	}
}

// owe acknowledges n bytes of new data, now or later.
func (c *conn) owe(n int) {
	c.heard, c.lastData = true, c.k.net.now
	c.unacked += n
	if !c.pingpong || c.unacked > c.mss {
		c.sendAck()
		return
	}
	c.oweLater()
}

func (c *conn) oweLater() {
	if c.delay == nil {
		c.delay = c.k.timer(ato, func() {
			c.delay = nil
			c.pingpong = false
			c.sendAck()
		})
	}
}

// timerState is the retransmission timer (RFC 6298, with Linux's bounds).
type timerState struct {
	timer        *event
	rto          time.Duration
	srtt, rttvar time.Duration
	tries        int
	probed       bool // a tail loss probe has gone out since the last progress

	timing   bool // one segment at a time is measured
	timedEnd uint32
	timedAt  time.Duration
	backedUp uint32 // una at which duplicates have been answered
}

// measure starts to time the newest segment.
func (c *conn) measure() {
	if !c.timing {
		c.timing, c.timedEnd, c.timedAt = true, c.next, c.k.net.now
	}
}

// measured takes an acknowledgement as a sample. A handshake that was repeated
// gives none, and a cautious timer (RFC 6298, 5.7).
func (c *conn) measured() {
	if !c.timing && c.srtt == 0 {
		c.rto = 3 * time.Second
	}
	if !c.timing || int32(c.una-c.timedEnd) < 0 {
		return
	}
	c.timing = false
	m := c.k.net.now - c.timedAt
	if c.srtt == 0 {
		c.srtt, c.rttvar = m, m/2
	} else {
		d := m - c.srtt
		c.rttvar += (max(d, -d) - c.rttvar) / 4
		c.srtt += d / 8
	}
	c.rto = c.srtt + max(4*c.rttvar, rtoMin)
}

// arm starts the timer anew while something is in flight.
func (c *conn) arm() {
	c.timer.cancel()
	c.timer = nil
	if len(c.flight) > 0 {
		c.timer = c.k.timer(min(c.rto<<c.tries, rtoMax), c.retransmit)
	}
}

// retransmit sends the oldest segment again. The first time is a probe for a
// lost tail where the peer can tell what it lacks (SACK, RFC 8985): the timer
// proper starts behind it.
func (c *conn) retransmit() {
	if c.sack && !c.probed && c.state >= established {
		c.probed = true
	} else if c.tries++; c.tries > retry {
		c.end("ETIMEDOUT")
		return
	}
	c.timing = false
	c.emit(&c.flight[0])
	c.arm()
}

// duplicate answers a duplicate acknowledgement: everything in flight is sent
// again, once.
func (c *conn) duplicate() {
	if len(c.flight) == 0 || c.backedUp == c.una {
		return
	}
	c.backedUp = c.una
	c.timing = false
	for i := range c.flight {
		c.emit(&c.flight[i])
	}
}
