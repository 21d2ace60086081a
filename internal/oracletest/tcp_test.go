package oracletest

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// state is a TCP state (RFC 9293).
type state uint8

const (
	closed state = iota
	synSent
	synReceived
	established
	finWait1
	finWait2
	closing
	timeWait
	closeWait
	lastAck
)

// conn is one end of a TCP connection: a small TCP that sends what a Linux host
// on an idle link sends. It knows no windows and no congestion; loss is mended
// by the retransmission timer and by going back after a duplicate
// acknowledgement.
type conn struct {
	k     *kernel
	f     flow
	state state

	iss, una, next uint32 // send side: first, oldest not acknowledged, next
	want           uint32 // receive side: next expected
	flight         []sent // what una has not passed yet, in order
	finSent        bool
	mss            int
	stamps, sack   bool
	synOpts        []byte // of a SYN+ACK

	in     []byte // received, not read yet
	eof    bool
	errno  string // pending error
	accept func(*conn)
	wake   func(*conn) // a program to run when something has come in
	gone   bool        // the program has closed it

	*association // over SCTP; then nothing above of sequence numbers counts

	ackState
	timerState
}

// sent is a segment that is not acknowledged yet.
type sent struct {
	seq   uint32
	flags uint8
	data  []byte
}

func (s *sent) end() uint32 {
	g := segment{flags: s.flags, data: s.data}
	return s.seq + g.length()
}

// mssOf is the MSS of a link of 1500 bytes to an address.
func mssOf(a netip.Addr) int { return mtu - headerLen(a) - 20 }

// Options of a Linux SYN: MSS, SACK permitted, time stamps, window scale.
func synOptions(now time.Duration, mss int) []byte {
	o := []byte{2, 4, byte(mss >> 8), byte(mss), 4, 2, 8, 10}
	o = binary.BigEndian.AppendUint32(o, uint32(now.Milliseconds()))
	return append(o, 0, 0, 0, 0, 1, 3, 3, 7)
}

// offer reads the options of a SYN: the peer's MSS (536 if it names none), and
// the options that a Linux host answers with.
func offer(opts []byte, now time.Duration, own int) (mss int, stamps, sack bool, answer []byte) {
	mss = 536
	scale := false
	for len(opts) > 0 {
		switch {
		case opts[0] == 0:
			opts = nil
			continue
		case opts[0] == 1:
			opts = opts[1:]
			continue
		case len(opts) < 2 || int(opts[1]) < 2 || int(opts[1]) > len(opts):
			opts = nil
			continue
		case opts[0] == 2:
			mss = min(int(binary.BigEndian.Uint16(opts[2:])), own)
		case opts[0] == 3:
			scale = true
		case opts[0] == 4:
			sack = true
		case opts[0] == 8:
			stamps = true
		}
		opts = opts[opts[1]:]
	}
	answer = []byte{2, 4, byte(own >> 8), byte(own)}
	if stamps {
		if sack {
			answer = append(answer, 4, 2)
		} else {
			answer = append(answer, 1, 1)
		}
		answer = binary.BigEndian.AppendUint32(append(answer, 8, 10), uint32(now.Milliseconds()))
		answer = append(answer, 0, 0, 0, 0)
	} else if sack {
		answer = append(answer, 1, 1, 4, 2)
	}
	if scale {
		answer = append(answer, 1, 3, 3, 7)
	}
	return mss, stamps, sack, answer
}

func (k *kernel) newConn(f flow) *conn {
	k.iss += 64007
	c := &conn{k: k, f: f, iss: k.iss, una: k.iss, next: k.iss, mss: mssOf(f.remote.Addr())}
	c.rto = time.Second
	k.conns[f] = c
	return c
}

// connect opens a connection.
func (k *kernel) connect(f flow) *conn {
	c := k.newConn(f)
	c.state, c.stamps = synSent, true
	c.queue(syn, nil)
	return c
}

// passive answers a SYN to a listening port.
func (k *kernel) passive(f flow, s *segment, accept func(*conn)) {
	c := k.newConn(f)
	c.state, c.accept, c.want = synReceived, accept, s.seq+1
	c.mss, c.stamps, c.sack, c.synOpts = offer(s.opts, k.net.now, mssOf(f.remote.Addr()))
	c.clampMSS()
	c.queue(syn|ack, nil)
}

// clampMSS makes segments fit the path, options included.
func (c *conn) clampMSS() {
	if m := c.k.pmtu[c.f.remote.Addr()]; m > 0 {
		c.mss = min(c.mss, m-20-headerLen(c.f.remote.Addr()))
	}
}

// payload is the most that a segment carries.
func (c *conn) payload() int {
	if c.stamps {
		return c.mss - 12
	}
	return c.mss
}

// queue sends a segment that takes sequence space, and keeps it until it is
// acknowledged.
func (c *conn) queue(flags uint8, data []byte) {
	s := sent{c.next, flags, data}
	c.flight = append(c.flight, s)
	c.next = s.end()
	c.emit(&s)
	c.measure()
	c.arm()
}

// write sends data, the end of it with PSH.
func (c *conn) write(data []byte) {
	if c.association != nil {
		c.sendData(data)
		return
	}
	c.wrote()
	for len(data) > 0 {
		n := min(len(data), c.payload())
		flags := uint8(ack)
		if n == len(data) {
			flags |= psh
		}
		c.queue(flags, data[:n:n])
		data = data[n:]
	}
}

// emit puts a segment on the wire. Every segment but the first SYN
// acknowledges what has come in.
func (c *conn) emit(s *sent) {
	g := segment{sport: c.f.local.Port(), dport: c.f.remote.Port(), seq: s.seq, flags: s.flags, data: s.data}
	switch {
	case s.flags&(syn|ack) == syn:
		g.opts = synOptions(c.k.net.now, mssOf(c.f.remote.Addr()))
	case s.flags&syn != 0:
		g.opts = c.synOpts
	case c.stamps && s.flags&rst == 0:
		g.opts = append([]byte{1, 1, 8, 10}, binary.BigEndian.AppendUint32(nil, uint32(c.k.net.now.Milliseconds()))...)
		g.opts = append(g.opts, 0, 0, 0, 0)
	}
	if g.flags&ack != 0 {
		g.ack = c.want
		c.acked()
	}
	l, r := c.f.local.Addr(), c.f.remote.Addr()
	c.k.send(l, r, protoTCP, true, g.bytes(l, r))
}

// sendAck sends a segment without content.
func (c *conn) sendAck() { c.emit(&sent{seq: c.next, flags: ack}) }

// shut ends the sending direction.
func (c *conn) shut() {
	if c.association != nil {
		c.endSCTP()
		return
	}
	switch c.state {
	case established:
		c.state = finWait1
	case closeWait:
		c.state = lastAck
	default:
		return
	}
	c.finSent = true
	c.queue(fin|ack, nil)
}

// close is a program's close: what was not sent is, and nothing more is read.
func (c *conn) close() {
	c.gone = true
	switch c.state {
	case synSent:
		c.end("")
	default:
		c.shut()
	}
}

// abort resets the connection, as a close with a linger time of 0 does.
func (c *conn) abort() {
	c.gone = true
	if c.state >= established && c.state != timeWait {
		c.emit(&sent{seq: c.next, flags: rst | ack})
	}
	c.end("")
}

// end forgets the connection; errno is what its program is told.
func (c *conn) end(errno string) {
	c.state, c.errno, c.flight = closed, errno, nil
	c.timer.cancel()
	c.delay.cancel()
	if c.k.conns[c.f] == c {
		delete(c.k.conns, c.f)
	}
	if c.k.associations[c.f] == c {
		delete(c.k.associations, c.f)
	}
	c.notify()
}

// notify wakes the program behind the connection.
func (c *conn) notify() {
	if c.wake != nil && !c.gone {
		c.k.net.after(wakeUp, func() { c.wake(c) })
	}
}

// icmp takes an unreachable error with the given code.
func (c *conn) icmp(code uint8) {
	switch {
	case code == 4:
		if before := c.mss; before != 0 {
			if c.clampMSS(); c.mss < before {
				c.resegment()
			}
		}
	case c.state != synSent: // a soft error
	case code == 1:
		c.end("EHOSTUNREACH")
	default:
		c.end("ECONNREFUSED")
	}
}

// resegment cuts what is in flight to the new size and sends it again.
func (c *conn) resegment() {
	var out []sent
	for _, s := range c.flight {
		for len(s.data) > c.payload() {
			n := c.payload()
			out = append(out, sent{s.seq, s.flags &^ (psh | fin), s.data[:n]})
			s.seq, s.data = s.seq+uint32(n), s.data[n:]
		}
		out = append(out, s)
	}
	c.flight = out
	for i := range c.flight {
		c.emit(&c.flight[i])
	}
}
