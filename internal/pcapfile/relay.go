package pcapfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Relayed is what has passed through a [Relay].
type Relayed struct {
	Packets uint64 // of them all
	Sent    uint64 // those that their interface has sent
	Dropped uint64 // as the last statistics of each interface have it, added up
	Comment string // of the last statistics, or empty

	dropped map[uint32]uint64 // by interface
}

// Relay copies a pcapng file as [NewNGWriter] makes it, block by block, so that
// what has arrived is a whole file whenever in breaks off. It returns nil at the
// end of in. A block of more than mostRelayed bytes is refused.
func Relay(out io.Writer, in io.Reader, r *Relayed) error {
	from := bufio.NewReaderSize(in, 1<<18)
	to := bufio.NewWriterSize(out, 1<<18)
	var block []byte
	for {
		if from.Buffered() < blockHeadLen { // about to wait
			if err := to.Flush(); err != nil {
				return err
			}
		}
		head, err := from.Peek(blockHeadLen)
		if err != nil {
			if errors.Is(err, io.EOF) && len(head) == 0 {
				err = nil
			}
			return errors.Join(err, to.Flush())
		}
		kind, length := le.Uint32(head), int(le.Uint32(head[4:]))
		if length < blockLen || length%4 != 0 || length > mostRelayed {
			return errors.Join(fmt.Errorf("%w: a block of %d bytes", ErrFormat, length), to.Flush())
		}
		block = append(block[:0], make([]byte, length)...)
		if _, err := io.ReadFull(from, block); err != nil {
			return errors.Join(err, to.Flush())
		}
		r.see(kind, block[blockHeadLen:length-4])
		if _, err := to.Write(block); err != nil {
			return err
		}
	}
}

const mostRelayed = 1 << 20

// see counts a block.
func (r *Relayed) see(kind uint32, body []byte) {
	switch {
	case kind == blockPacket && len(body) >= 20:
		r.Packets++
		at := 20 + int(le.Uint32(body[12:])+3)&^3
		for o := range options(body[min(at, len(body)):], le) {
			if o.code == optFlags && len(o.value) == 4 && Direction(le.Uint32(o.value)&3) == Outbound {
				r.Sent++
			}
		}
	case kind == blockStats && len(body) >= 12:
		r.Comment = ""
		for o := range options(body[12:], le) {
			switch {
			case o.code == optComment:
				r.Comment = string(o.value)
			case o.code == optStatDropped && len(o.value) == 8:
				if r.dropped == nil {
					r.dropped = map[uint32]uint64{}
				}
				id, n := le.Uint32(body), le.Uint64(o.value)
				r.Dropped += n - r.dropped[id]
				r.dropped[id] = n
			}
		}
	}
}
