package pcapfile

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Block types of pcapng.
const (
	blockSection   = 0x0a0d0d0a // the same in both byte orders
	blockInterface = 1
	blockOldPacket = 2 // obsolete, still found
	blockSimple    = 3
	blockStats     = 5
	blockPacket    = 6

	sectionMagic = 0x1a2b3c4d

	blockHeadLen = 8
	blockLen     = 12 // of a block without contents
)

// Options of pcapng blocks.
const (
	optEnd        = 0
	optComment    = 1
	optIfName     = 2
	optIfTsResol  = 9
	optIfTsOffset = 14
	optFlags      = 2 // of a packet

	optStatReceived = 4
	optStatDropped  = 5
)

// ng reads pcapng: a file of blocks, each with its type, its length, its
// contents and its length once more.
type ng struct {
	order      binary.ByteOrder // of the section; nil before the first
	interfaces []iface
}

// iface is what an interface's block says about the packets of it.
type iface struct {
	linkType LinkType
	snapLen  uint32 // 0: no limit
	perSec   uint64 // ticks of the clock in a second
	offset   int64  // seconds
}

func (g *ng) next(r *Reader, p *Packet) error {
	for {
		at := r.read
		head, err := r.peek(blockHeadLen)
		if err != nil {
			return err
		}
		kind := binary.LittleEndian.Uint32(head)
		if g.order != nil {
			kind = g.order.Uint32(head)
		}
		if kind == blockSection || g.order == nil {
			if err := g.section(r, kind); err != nil {
				return err
			}
			continue
		}
		length := int(g.order.Uint32(head[4:]))
		if length < blockLen || length%4 != 0 {
			return fmt.Errorf("%w: a block of %d bytes at offset %d", ErrFormat, length, at)
		}
		if kind != blockInterface && kind != blockPacket && kind != blockSimple && kind != blockOldPacket {
			if err := r.skip(length); err != nil {
				return err
			}
			continue
		}
		block, err := r.peek(length)
		if err != nil {
			return err
		}
		body := block[blockHeadLen : length-4]
		done, err := g.block(kind, body, p)
		if err != nil {
			return fmt.Errorf("%w at offset %d", err, at)
		}
		if err := r.skip(length); err != nil || done {
			return err
		}
	}
}

// section begins a section: a new byte order, and interfaces anew.
func (g *ng) section(r *Reader, kind uint32) error {
	head, err := r.peek(blockHeadLen + 4)
	if err != nil {
		return err
	}
	switch {
	case kind != blockSection:
		return fmt.Errorf("%w: no pcapng section at offset %d", ErrFormat, r.read)
	case binary.LittleEndian.Uint32(head[8:]) == sectionMagic:
		g.order = binary.LittleEndian
	case binary.BigEndian.Uint32(head[8:]) == sectionMagic:
		g.order = binary.BigEndian
	default:
		return fmt.Errorf("%w: a pcapng section of no byte order at offset %d", ErrFormat, r.read)
	}
	g.interfaces = nil
	length := int(g.order.Uint32(head[4:]))
	if length < blockLen+16 || length%4 != 0 {
		return fmt.Errorf("%w: a section head of %d bytes at offset %d", ErrFormat, length, r.read)
	}
	return r.skip(length)
}

// block reads the contents of one block, and reports whether it was a packet.
func (g *ng) block(kind uint32, body []byte, p *Packet) (bool, error) {
	switch kind {
	case blockInterface:
		return false, g.addInterface(body)
	case blockSimple:
		return true, g.simple(body, p)
	}
	const head = 20
	if len(body) < head {
		return false, fmt.Errorf("%w: a packet block of %d bytes", ErrFormat, len(body))
	}
	id := g.order.Uint32(body)
	if kind == blockOldPacket {
		id = uint32(g.order.Uint16(body)) // the other half counts drops
	}
	if int64(id) >= int64(len(g.interfaces)) {
		return false, fmt.Errorf("%w: a packet of interface %d, which the file does not describe", ErrFormat, id)
	}
	captured := g.order.Uint32(body[12:])
	if uint64(captured) > uint64(len(body)-head) {
		return false, fmt.Errorf("%w: %d bytes of packet in a block of %d", ErrFormat, captured, len(body))
	}
	end := head + int(captured)
	i := &g.interfaces[id]
	*p = Packet{
		Data:      body[head:end:end],
		Interface: id,
		Time:      i.time(uint64(g.order.Uint32(body[4:]))<<32 | uint64(g.order.Uint32(body[8:]))),
		WireLen:   max(g.order.Uint32(body[16:]), captured),
		LinkType:  i.linkType,
		options:   body[min(head+int(captured+3)&^3, len(body)):],
		order:     g.order,
	}
	for o := range options(p.options, g.order) {
		if o.code == optFlags && len(o.value) == 4 {
			p.Direction = Direction(g.order.Uint32(o.value) & 3 % 3)
		}
	}
	return true, nil
}

// simple reads a packet of the first interface that has no time.
func (g *ng) simple(body []byte, p *Packet) error {
	if len(body) < 4 || len(g.interfaces) == 0 {
		return fmt.Errorf("%w: a simple packet block of %d bytes with %d interfaces", ErrFormat, len(body), len(g.interfaces))
	}
	i := &g.interfaces[0]
	wire := g.order.Uint32(body)
	captured := min(uint64(wire), uint64(len(body)-4))
	if i.snapLen != 0 {
		captured = min(captured, uint64(i.snapLen))
	}
	*p = Packet{Data: body[4 : 4+captured : 4+captured], WireLen: wire, LinkType: i.linkType}
	return nil
}

func (g *ng) addInterface(body []byte) error {
	if len(body) < 8 {
		return fmt.Errorf("%w: an interface block of %d bytes", ErrFormat, len(body))
	}
	i := iface{linkType: LinkType(g.order.Uint16(body)), snapLen: g.order.Uint32(body[4:]), perSec: 1e6}
	for o := range options(body[8:], g.order) {
		switch {
		case o.code == optIfTsResol && len(o.value) == 1:
			i.perSec = resolution(o.value[0])
		case o.code == optIfTsOffset && len(o.value) == 8:
			i.offset = int64(g.order.Uint64(o.value))
		}
	}
	g.interfaces = append(g.interfaces, i)
	return nil
}

// resolution returns the ticks in a second: a power of ten, or with the highest
// bit of two. What no 64 bits can hold is taken as the finest that they can.
func resolution(b byte) uint64 {
	n := uint64(1)
	if b&0x80 != 0 {
		return n << min(b&0x7f, 63)
	}
	for range min(b, 19) {
		n *= 10
	}
	return n
}

// time returns ticks of the interface's clock as nanoseconds since 1970. What
// is too large for them wraps.
func (i *iface) time(ticks uint64) int64 {
	hi, lo := bits.Mul64(ticks%i.perSec, 1e9)
	nanos, _ := bits.Div64(hi, lo, i.perSec) // the remainder is below perSec, so hi is too
	return int64(ticks/i.perSec)*1e9 + i.offset*1e9 + int64(nanos)
}

type option struct {
	code  uint16
	value []byte
}

// options walks a list of options, as far as it makes sense.
func options(b []byte, order binary.ByteOrder) func(yield func(option) bool) {
	return func(yield func(option) bool) {
		for len(b) >= 4 {
			code, n := order.Uint16(b), int(order.Uint16(b[2:]))
			if code == optEnd || len(b) < 4+n || !yield(option{code, b[4 : 4+n]}) {
				return
			}
			b = b[min(4+(n+3)&^3, len(b)):]
		}
	}
}
