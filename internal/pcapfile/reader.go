package pcapfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxRecord is the longest packet, with what the file says about it, that a
// Reader takes: four times what any capturing program writes.
const MaxRecord = 1 << 20

// ErrFormat is what all faults of a file's contents are.
var ErrFormat = errors.New("not a capture that natlb can read")

// Reader reads the packets of one capture. One goroutine uses it.
type Reader struct {
	in     *bufio.Reader
	read   int64
	format interface {
		next(r *Reader, p *Packet) error
	}
}

// NewReader reads the head of a capture, which may be pcap or pcapng, and
// returns a reader of its packets. It reads in large pieces: in needs no buffer.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, MaxRecord)}
	head, err := r.in.Peek(4)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: %d bytes long", ErrFormat, len(head))
		}
		return nil, err
	}
	if binary.BigEndian.Uint32(head) == blockSection {
		r.format = new(ng)
		return r, nil
	}
	r.format, err = r.classicHead()
	return r, err
}

// Next reads the next packet into p. At the end of the file the error is io.EOF;
// where a file ends inside a packet, as after a crash, it is
// io.ErrUnexpectedEOF; for contents that make no sense it is an [ErrFormat]. No
// packet can follow an error.
func (r *Reader) Next(p *Packet) error { return r.format.next(r, p) }

// Offset returns how many bytes of the file have been used.
func (r *Reader) Offset() int64 { return r.read }

// peek returns the next n bytes without using them. They are valid until the
// next peek. The error is io.EOF only if there is nothing at all.
func (r *Reader) peek(n int) ([]byte, error) {
	b, err := r.in.Peek(n)
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, io.EOF) && len(b) > 0:
		return nil, io.ErrUnexpectedEOF
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: a record of %d bytes", ErrFormat, n)
	}
	return nil, err
}

// skip uses up n bytes, which need not have been peeked at.
func (r *Reader) skip(n int) error {
	done, err := r.in.Discard(n)
	r.read += int64(done)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
