package conntrack

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// tick is how late an entry may end.
const tick = time.Duration(1) << tickBits

// modelConn is what the model knows of one entry of the table.
type modelConn struct {
	serial     uint32 // in Conn.Dest, so that Died can be understood
	ref        Ref
	key        Key4
	rip        uint32
	rport      uint16
	flags      Flags
	state      State
	deadline   time.Duration
	controller *modelConn
	controls   int
	helped     uint32 // what is kept beside it
}

// model is a table as a list, oldest entry first, and everything by walking it.
type model struct {
	table *Table
	v6    bool
	max   int
	now   time.Duration
	conns []*modelConn
	next  uint32
	died  []uint32 // serials, in the order in which they ended
}

// The model's keys and servers are few, so that they meet often.
var (
	modelCIPs   = []uint32{0x0a000001, 0x0a000002}
	modelVIPs   = []uint32{0x0a010001, 0x0a010002}
	modelRIPs   = []uint32{0x0a020001, 0x0a020002}
	modelCPorts = []uint16{0, 1000, 1001}
	modelVPorts = []uint16{80, 443}
	modelProtos = []uint8{6, 17}
)

// newModel returns a model with an empty table of at most limit entries whose index
// starts with one bucket and grows all the time; or, if it is crowded, has two buckets
// for good, and long chains behind them, where entries of all hashes meet.
func newModel(limit int, v6, crowded bool) *model {
	m := &model{v6: v6, max: limit, now: 12345 * time.Second}
	m.table = NewTable(Config{Seed: 1, Max: limit, V6: v6, Died: func(r Ref, c *Conn) {
		if m.table.At(r) != c {
			panic("Died is told of another entry")
		}
		m.died = append(m.died, c.Dest)
	}})
	m.table.index = index{segments: [][]bucket{make([]bucket, segmentSize)}}
	if crowded {
		m.table.index.split = 1 << 20
	}
	return m
}

func TestTableEqualsModel(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { playModel(t, v6) }) })
	}
}

// FuzzTable plays what the fuzzer draws.
func FuzzTable(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { playModel(t, rapid.Bool().Draw(t, "v6")) }))
}

// playModel does random things to a table and a model, and compares them.
func playModel(t *rapid.T, v6 bool) {
	m := newModel(rapid.IntRange(1, 60).Draw(t, "max"), v6, rapid.Bool().Draw(t, "crowded"))
	t.Repeat(map[string]func(*rapid.T){
		"":        m.check,
		"insert":  m.insert,
		"fill":    m.fill,
		"arm":     m.arm,
		"remove":  m.remove,
		"control": m.control,
		"state":   m.setState,
		"expire":  m.expire,
		"evict":   m.evict,
		"port":    m.setCPort,
		"help":    m.help,
		"fork":    m.fork,
	})
}

func drawKey(t *rapid.T) Key4 {
	return Key4{
		CIP: rapid.SampledFrom(modelCIPs).Draw(t, "cip"), VIP: rapid.SampledFrom(modelVIPs).Draw(t, "vip"),
		CPort: rapid.SampledFrom(modelCPorts).Draw(t, "cport"), VPort: rapid.SampledFrom(modelVPorts).Draw(t, "vport"),
		Proto: rapid.SampledFrom(modelProtos).Draw(t, "proto"),
	}
}

// pick draws an entry that fits; nil when there is none, and then the action does nothing: skipped actions add up to "no valid action".
func (m *model) pick(t *rapid.T, fits func(*modelConn) bool) *modelConn {
	var fit []*modelConn
	for _, c := range m.conns {
		if fits(c) {
			fit = append(fit, c)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[rapid.IntRange(0, len(fit)-1).Draw(t, "entry")]
}

func (m *model) fill(t *rapid.T) {
	for range rapid.IntRange(2, 20).Draw(t, "entries") {
		m.insert(t)
	}
}

func (m *model) insert(t *rapid.T) {
	key := drawKey(t)
	portless := Flags(0)
	if key.CPort == 0 && rapid.Bool().Draw(t, "portless") {
		portless = NoCPort
	}
	r := m.insertInto(m.table, key, portless != 0)
	if full := len(m.conns) >= m.max; (r == 0) != full {
		t.Fatalf("Insert = %d with %d of %d entries", r, len(m.conns), m.max)
	}
	if r == 0 {
		return
	}
	m.next++
	c := &modelConn{
		serial: m.next, ref: r, key: key, deadline: m.now + InitialTimeout,
		rip: rapid.SampledFrom(modelRIPs).Draw(t, "rip"), rport: 8080,
		flags: rapid.SampledFrom([]Flags{0, 0, 0, Inactive, 3 | NoOutput, Helped, Answered}).Draw(t, "flags"),
	}
	if key.CPort == 0 {
		c.flags = rapid.SampledFrom([]Flags{0, Template}).Draw(t, "flags without port")
	}
	if portless != 0 {
		c.flags = portless
	}
	m.checkNew(t, r, key, portless)
	e := m.table.At(r)
	e.Dest, e.RPort, e.Flags = c.serial, c.rport, e.Flags&V6|c.flags
	if m.v6 {
		setRIP6(m.table, r, six(c.rip))
	} else {
		e.RIP = c.rip
	}
	m.conns = append(m.conns, c)
}

// checkNew checks that a new entry has nothing but its key.
func (m *model) checkNew(t *rapid.T, r Ref, key Key4, flags Flags) {
	want := Conn{CIP: key.CIP, VIP: key.VIP, CPort: key.CPort, VPort: key.VPort, Proto: key.Proto, Flags: flags}
	if m.v6 {
		want.CIP, want.VIP = six(key.CIP).Fold(), six(key.VIP).Fold()
		want.Flags |= V6
		if e := *m.table.Ends6(r); e != (Ends6{CIP: six(key.CIP), VIP: six(key.VIP)}) {
			t.Fatalf("Insert6(%+v) has the addresses %+v", key, e)
		}
	}
	got := *m.table.At(r)
	got.Timeout, got.Deadline, got.live, got.next, got.timerPrev, got.timerNext, got.timerSlot = 0, 0, false, 0, 0, 0, 0
	if got != want {
		t.Fatalf("Insert(%+v) made %+v, want nothing but the key", key, got)
	}
}

// setCPort gives an entry its client port: it becomes the newest with its key.
func (m *model) setCPort(t *rapid.T) {
	c := m.pick(t, func(*modelConn) bool { return true })
	if c == nil {
		return
	}
	port := rapid.SampledFrom(modelCPorts).Draw(t, "port")
	m.table.SetCPort(c.ref, port)
	if c.flags&NoCPort == 0 {
		return // has one: nothing happens
	}
	c.key.CPort = port
	c.flags &^= NoCPort
	m.conns = append(slices.DeleteFunc(m.conns, func(o *modelConn) bool { return o == c }), c)
}

// help keeps something beside an entry, of which its successor must see nothing.
func (m *model) help(t *rapid.T) {
	c := m.pick(t, func(c *modelConn) bool { return c.flags&Helped != 0 })
	if c == nil {
		return
	}
	h := m.table.Helper(c.ref)
	if h.RewroteAt != c.helped {
		t.Fatalf("Helper(%d) has %d, want %d", c.ref, h.RewroteAt, c.helped)
	}
	c.helped = c.serial
	h.RewroteAt = c.helped
}

func (m *model) arm(t *rapid.T) {
	c := m.pick(t, func(*modelConn) bool { return true })
	if c == nil {
		return
	}
	e := m.table.At(c.ref)
	e.Timeout = rapid.SampledFrom([]time.Duration{
		0, 1, time.Millisecond, tick - 1, tick, tick + 1, 255 * tick, 256 * tick, 257 * tick, time.Second, 10 * time.Second,
		time.Minute, 15 * time.Minute, 65535 * tick, 65536 * tick, 65537 * tick, 31 * 24 * time.Hour,
	}).Draw(t, "timeout")
	m.table.Arm(c.ref, e, m.now)
	c.deadline = m.now + e.Timeout
}

func (m *model) remove(t *rapid.T) {
	c := m.pick(t, func(c *modelConn) bool { return c.controls == 0 })
	if c == nil {
		return
	}
	m.table.Remove(c.ref)
	m.ended(t, 1)
	if !slices.Contains(m.died, c.serial) {
		t.Fatalf("Remove of entry %d ended %v", c.serial, m.died)
	}
	m.table.Remove(c.ref) // of an entry that has ended: nothing
	m.forget()
}

// control lets one entry hang on another, as a connection does on a template.
func (m *model) control(t *rapid.T) {
	above := m.pick(t, func(c *modelConn) bool { return c.controller == nil })
	if above == nil {
		return
	}
	below := m.pick(t, func(c *modelConn) bool { return c != above && c.controller == nil && c.controls == 0 })
	if below == nil {
		return
	}
	m.table.At(below.ref).Control = above.ref
	m.table.At(above.ref).NControl++
	below.controller = above
	above.controls++
}

func (m *model) setState(t *rapid.T) {
	c := m.pick(t, func(c *modelConn) bool { return c.key.Proto == 6 })
	if c == nil {
		return
	}
	c.state = State(rapid.IntRange(0, tcpStates-1).Draw(t, "state"))
	m.table.At(c.ref).State = c.state
}

// expire lets time pass and gives the table some or any amount of work.
func (m *model) expire(t *rapid.T) {
	m.now += rapid.SampledFrom([]time.Duration{
		0, 1, tick - 1, tick, time.Second, 3 * time.Second, 61 * time.Second, 16 * time.Minute, 80 * time.Minute,
	}).Draw(t, "pause")
	budget := rapid.SampledFrom([]int{0, 1, 3, 1 << 30}).Draw(t, "budget")
	controls := map[uint32]int{}
	for _, c := range m.conns {
		controls[c.serial] = c.controls
	}
	m.ended(t, m.table.Expire(m.now, budget))
	for _, serial := range m.died {
		if c := m.bySerial(serial); c.deadline > m.now || c.controls > 0 {
			t.Fatalf("entry %d ended at %v, its time is %v and it controls %d", serial, m.now, c.deadline, c.controls)
		}
		m.release(serial)
	}
	m.forget()
	for _, c := range m.conns {
		e := m.table.At(c.ref)
		if e.Deadline != c.deadline {
			if c.deadline > m.now || controls[c.serial] == 0 || e.Deadline != m.now+ControlTimeout || e.Timeout != ControlTimeout {
				t.Fatalf("Expire(%v) moved the deadline of an entry with %d controlled ones from %v to %v",
					m.now, controls[c.serial], c.deadline, e.Deadline)
			}
			c.deadline = e.Deadline
		}
		if budget == 1<<30 && c.deadline+tick <= m.now {
			t.Fatalf("entry %d lives at %v, its time was %v", c.serial, m.now, c.deadline)
		}
	}
}

func (m *model) evict(t *rapid.T) {
	best := 0 // 2: half-open or announced, 1: finished
	for _, c := range m.conns {
		best = max(best, evictable(c))
	}
	did := m.table.Evict()
	if did != (best > 0) {
		t.Fatalf("Evict() = %v, want %v", did, best > 0)
	}
	if !did {
		return
	}
	m.ended(t, 1)
	if c := m.bySerial(m.died[0]); evictable(c) != best {
		t.Fatalf("Evict() ended an entry in state %d of protocol %d with %d controlled ones", c.state, c.key.Proto, c.controls)
	}
	m.forget()
}

func evictable(c *modelConn) int {
	switch {
	case c.controls > 0 || c.flags&Template != 0:
		return 0
	case c.key.Proto == 17:
		if c.flags&Answered == 0 {
			return 2
		}
		return 0
	case c.state == TCPSynRecv || c.state == TCPSynSent || c.state == TCPSynAck || c.state == TCPListen:
		return 2
	case c.state == TCPTimeWait || c.state == TCPClose:
		return 1
	}
	return 0
}

// ended checks that as many entries died as were reported to.
func (m *model) ended(t *rapid.T, n int) {
	if len(m.died) != n {
		t.Fatalf("%d entries reported as ended, Died was called for %v", n, m.died)
	}
}

func (m *model) bySerial(serial uint32) *modelConn {
	i := slices.IndexFunc(m.conns, func(c *modelConn) bool { return c.serial == serial })
	return m.conns[i]
}

// release takes an ended entry from its controller, in the order of ends.
func (m *model) release(serial uint32) {
	c := m.bySerial(serial)
	if c.controller != nil {
		c.controller.controls--
		c.controller = nil
	}
}

// forget drops what has died from the list.
func (m *model) forget() {
	for _, serial := range m.died {
		m.release(serial)
		m.conns = slices.DeleteFunc(m.conns, func(c *modelConn) bool { return c.serial == serial })
	}
	m.died = nil
}

// newest returns the youngest entry that fits, 0 for none.
func (m *model) newest(fits func(*modelConn) bool) Ref {
	for _, c := range slices.Backward(m.conns) {
		if fits(c) {
			return c.ref
		}
	}
	return 0
}

// check compares everything that can be asked.
func (m *model) check(t *rapid.T) {
	if got := m.table.Len(); got != len(m.conns) {
		t.Fatalf("Len() = %d, want %d", got, len(m.conns))
	}
	m.checkFinds(t)
	m.checkWalks(t)
	helpers, portless := 0, 0
	for _, c := range m.conns {
		if c.helped != 0 {
			helpers++
		}
		if c.flags&NoCPort != 0 {
			portless++
		}
	}
	if m.table.portless != portless {
		t.Fatalf("%d entries are counted as portless, want %d", m.table.portless, portless)
	}
	if got := len(m.table.helpers); got != helpers {
		t.Fatalf("%d helpers are kept, want %d", got, helpers)
	}
	first := m.now + time.Hour
	for _, c := range m.conns {
		first = min(first, c.deadline)
		if got := int(m.table.At(c.ref).NControl); got != c.controls {
			t.Fatalf("entry %d controls %d, want %d", c.serial, got, c.controls)
		}
		if m.v6 && m.table.Key6(c.ref) != six6(c.key) || !m.v6 && m.table.At(c.ref).Key() != c.key || m.table.At(c.ref).Is(V6) != m.v6 {
			t.Fatalf("entry %d is %+v, want the key %+v", c.serial, *m.table.At(c.ref), c.key)
		}
	}
	if got, want := m.table.NextExpiry(m.now), max(first+tick-m.now, 0); got > want || got < 0 {
		t.Fatalf("NextExpiry(%v) = %v, want at most %v", m.now, got, want)
	}
}

func (m *model) checkFinds(t *rapid.T) {
	for _, proto := range modelProtos {
		for _, cip := range modelCIPs {
			for _, cport := range modelCPorts {
				for _, vip := range modelVIPs {
					for _, vport := range modelVPorts {
						m.checkFind(t, Key4{CIP: cip, VIP: vip, CPort: cport, VPort: vport, Proto: proto})
					}
				}
				for _, rip := range modelRIPs {
					m.checkFindOut(t, proto, rip, 8080, cip, cport)
				}
			}
		}
	}
}

func (m *model) checkFind(t *rapid.T, k Key4) {
	want := m.newest(func(c *modelConn) bool { return c.key == k && c.flags&(Template|NoCPort) == 0 })
	if want == 0 {
		waiting := k
		waiting.CPort = 0
		want = m.newest(func(c *modelConn) bool { return c.key == waiting && c.flags&NoCPort != 0 })
	}
	if got := m.findIn(m.table, k); got != want {
		t.Fatalf("FindIn(%+v) = %d, want %d", k, got, want)
	}
	if k.CPort == 0 {
		want := m.newest(func(c *modelConn) bool { return c.key == k && c.flags&Template != 0 })
		if got := m.findTemplate(m.table, k); got != want {
			t.Fatalf("FindTemplate(%+v) = %d, want %d", k, got, want)
		}
	}
	m.checkFindOut(t, k.Proto, k.VIP, k.VPort, k.CIP, k.CPort)
}

func (m *model) checkFindOut(t *rapid.T, proto uint8, sip uint32, sport uint16, cip uint32, cport uint16) {
	want := m.newest(func(c *modelConn) bool {
		from := [2]uint32{c.rip, uint32(c.rport)}
		if c.flags&MethodMask != 0 {
			from = [2]uint32{c.key.VIP, uint32(c.key.VPort)}
		}
		return c.flags&Template == 0 && c.key.Proto == proto && c.key.CIP == cip && c.key.CPort == cport &&
			from == [2]uint32{sip, uint32(sport)}
	})
	if got := m.findOut(m.table, proto, sip, sport, cip, cport); got != want {
		t.Fatalf("FindOut(%d, %#x:%d, %#x:%d) = %d, want %d", proto, sip, sport, cip, cport, got, want)
	}
}

// checkWalks compares All, and Range in steps of three slots, with the list.
func (m *model) checkWalks(t *rapid.T) {
	var want, all, stepped []Ref
	for _, c := range m.conns {
		want = append(want, c.ref)
	}
	slices.Sort(want)
	for r, c := range m.table.All {
		if m.table.At(r) != c {
			t.Fatalf("All() yields %d with another entry's contents", r)
		}
		all = append(all, r)
	}
	collect := func(r Ref, _ *Conn) bool { stepped = append(stepped, r); return true }
	for next := Ref(1); next != 0; {
		next = m.table.Range(next, 3, collect)
	}
	if !slices.Equal(all, want) || !slices.Equal(stepped, want) {
		t.Fatalf("All() = %v, Range = %v, want %v", all, stepped, want)
	}
}
