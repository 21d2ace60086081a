package pcapfile

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Magic numbers of classic pcap, as the writer's byte order has them.
const (
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d

	classicHeadLen = 24
	recordHeadLen  = 16
)

// classic reads what follows the head of a classic pcap file.
type classic struct {
	order    binary.ByteOrder
	unit     int64 // nanoseconds of one tick of the fraction
	linkType LinkType
}

func (r *Reader) classicHead() (*classic, error) {
	head, err := r.peek(classicHeadLen)
	if err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("%w: cut off in its first %d bytes", ErrFormat, classicHeadLen)
	}
	if err != nil {
		return nil, err
	}
	c := &classic{order: binary.LittleEndian}
	if head[0] == 0xa1 {
		c.order = binary.BigEndian
	}
	switch c.order.Uint32(head) {
	case magicMicro:
		c.unit = 1000
	case magicNano:
		c.unit = 1
	default:
		return nil, fmt.Errorf("%w: it begins with %x", ErrFormat, head[:4])
	}
	if major := c.order.Uint16(head[4:]); major != 2 {
		return nil, fmt.Errorf("%w: version %d.%d of pcap", ErrFormat, major, c.order.Uint16(head[6:]))
	}
	c.linkType = LinkType(c.order.Uint32(head[20:])) // the upper half says how long an FCS is
	return c, r.skip(classicHeadLen)
}

func (c *classic) next(r *Reader, p *Packet) error {
	head, err := r.peek(recordHeadLen)
	if err != nil {
		return err
	}
	captured := c.order.Uint32(head[8:])
	if captured > MaxRecord-recordHeadLen {
		return fmt.Errorf("%w: a packet of %d bytes at offset %d", ErrFormat, captured, r.read)
	}
	record, err := r.peek(recordHeadLen + int(captured))
	if err != nil {
		return err
	}
	*p = Packet{
		Data:     record[recordHeadLen:],
		Time:     int64(c.order.Uint32(record))*1e9 + int64(c.order.Uint32(record[4:]))*c.unit,
		WireLen:  max(c.order.Uint32(record[12:]), captured),
		LinkType: c.linkType,
	}
	return r.skip(len(record))
}
