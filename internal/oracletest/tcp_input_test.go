package oracletest

import "time"

const timeWaitFor = 60 * time.Second

// reusable reports whether a SYN may take the place of a connection that is
// over.
func (c *conn) reusable(s *segment) bool {
	return c.state == timeWait && s.flags&(syn|ack|rst) == syn && int32(s.seq-c.want) > 0
}

// input takes a segment of the connection.
func (c *conn) input(s *segment) {
	switch c.state {
	case synSent:
		c.inputSynSent(s)
		return
	case synReceived:
		if !c.inputSynReceived(s) {
			return
		}
	}
	if !c.acceptable(s) || !c.inputAck(s) {
		return
	}
	c.inputData(s)
}

func (c *conn) inputSynSent(s *segment) {
	switch {
	case s.flags&ack == 0 || s.ack != c.next:
	case s.flags&rst != 0:
		c.end("ECONNREFUSED")
	case s.flags&syn != 0:
		var mss int
		mss, c.stamps, c.sack, _ = offer(s.opts, c.k.net.now, mssOf(c.f.remote.Addr()))
		c.mss, c.want = min(c.mss, mss), s.seq+1
		c.state = established
		c.advance(s.ack)
		c.sendAck()
		c.notify()
	}
}

// inputSynReceived reports whether the segment opens the connection and is to be
// looked at further.
func (c *conn) inputSynReceived(s *segment) bool {
	switch {
	case s.flags&rst != 0:
		if s.seq == c.want {
			c.end("")
		}
	case s.flags&syn != 0:
		if s.seq == c.want-1 {
			c.emit(&c.flight[0])
		} else {
			c.sendAck()
		}
	case s.flags&ack == 0:
	case s.ack != c.next:
		c.k.refuse(c.f, s)
	default:
		c.state = established
		c.accept(c)
		return true
	}
	return false
}

// acceptable applies the checks of RFC 9293, 3.10.7.4 with the challenges of
// RFC 5961.
func (c *conn) acceptable(s *segment) bool {
	early := int32(s.seq-c.want) < 0
	switch {
	case s.flags&rst != 0:
		switch {
		case s.seq != c.want:
		case c.state == timeWait:
			c.end("")
		case c.state == closeWait:
			c.end("EPIPE")
		default:
			c.end("ECONNRESET")
		}
		return false
	case s.flags&syn != 0:
		c.sendAck()
		return false
	case s.seq == c.want, early && s.length() == 0 && s.seq == c.want-1:
		return s.flags&ack != 0
	}
	if s.length() > 0 || early {
		c.sendAck() // a duplicate, or something is missing in between
		c.inputAck(s)
	}
	return false
}

// inputAck takes the acknowledgement; false when the segment is to be dropped.
func (c *conn) inputAck(s *segment) bool {
	switch {
	case int32(s.ack-c.next) > 0:
		c.sendAck()
		return false
	case int32(s.ack-c.una) > 0:
		c.advance(s.ack)
	case s.ack == c.una && s.length() == 0 && c.state != timeWait:
		c.duplicate()
	}
	if c.finSent && c.una == c.next {
		switch c.state {
		case finWait1:
			c.state = finWait2
		case closing:
			c.expire()
		case lastAck:
			c.end("")
			return false
		}
	}
	return true
}

// advance forgets what has been acknowledged.
func (c *conn) advance(to uint32) {
	c.una = to
	for len(c.flight) > 0 && int32(to-c.flight[0].end()) >= 0 {
		c.flight = c.flight[1:]
	}
	c.tries, c.probed = 0, false
	c.measured()
	c.arm()
}

// inputData takes data and FIN.
func (c *conn) inputData(s *segment) {
	data := s.data
	if s.flags&urg != 0 && s.urgent == 0 && len(data) > 0 {
		data = data[1:] // the urgent byte is not among the others (BSD's reading of the pointer)
	}
	if len(s.data) > 0 {
		if c.gone {
			c.k.refuse(c.f, s)
			c.end("")
			return
		}
		c.in = append(c.in, data...)
		c.want += uint32(len(s.data))
		if s.flags&fin == 0 {
			c.owe(len(s.data))
		}
		c.notify()
	}
	if s.flags&fin != 0 && !c.eof {
		c.inputFin()
	}
}

func (c *conn) inputFin() {
	c.want++
	c.eof = true
	switch c.state {
	case established:
		c.state, c.pingpong = closeWait, true
		c.oweLater()
	case finWait1:
		c.state = closing
		c.sendAck()
	case finWait2:
		c.sendAck()
		c.expire()
	}
	c.notify()
}

// expire keeps the connection for TIME-WAIT.
func (c *conn) expire() {
	c.state = timeWait
	c.timer.cancel()
	c.timer = c.k.net.after(timeWaitFor, func() { c.end("") })
}
