package replay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"natlb/internal/pcapfile"
)

// Input is a capture to play. Close it when the replay is over.
type Input struct {
	Name string // for results and messages: the file's, without its folder
	Side Side

	file    io.ReadCloser
	stat    os.FileInfo // of a regular file
	size    int64       // bytes, 0 if nobody knows
	reader  *pcapfile.Reader
	packet  pcapfile.Packet // the next one
	ended   bool
	cut     bool // the file ends inside a packet
	packets uint64
	own     uint64
	bytes   uint64 // on the wire
}

const standardInput = "-"

// Open opens a capture; "-" is standard input.
func Open(path string, side Side) (*Input, error) {
	in := &Input{Name: filepath.Base(path), Side: side, file: os.Stdin}
	if path != standardInput {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			in.stat, in.size = st, st.Size()
		}
		in.file = f
	}
	return in, in.start()
}

// is reports whether the capture is the file that path names.
func (in *Input) is(path string) bool {
	st, err := os.Stat(path)
	return err == nil && in.stat != nil && os.SameFile(st, in.stat)
}

// NewInput returns a capture to play that is read from r.
func NewInput(name string, side Side, r io.Reader) (*Input, error) {
	in := &Input{Name: name, Side: side, file: io.NopCloser(r)}
	return in, in.start()
}

// start reads the head of the capture, and its first packet.
func (in *Input) start() (err error) {
	if in.reader, err = pcapfile.NewReader(in.file); err == nil {
		err = in.advance()
	} else {
		err = fmt.Errorf("%s: %w", in.Name, err)
	}
	if err != nil {
		in.Close()
	}
	return err
}

// Close closes the capture's file.
func (in *Input) Close() error { return in.file.Close() }

// advance reads the next packet. A file that was cut off ends there.
func (in *Input) advance() error {
	err := in.reader.Next(&in.packet)
	switch {
	case err == nil:
		in.packet.Time = min(max(in.packet.Time, 0), lastTime)
		err = supported(in.packet.LinkType)
	case errors.Is(err, io.EOF):
		in.ended = true
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		in.ended, in.cut = true, true
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s, after %d packets: %w", in.Name, in.packets, err)
	}
	return nil
}

// lastTime is the latest time that a packet can have: in the year 2116. What a
// broken file claims beyond it would be more than a clock can count.
const lastTime = 1 << 62

// merge is several captures as one, by time.
type merge []*Input

// next returns the capture whose packet is the oldest, nil when all have ended.
// Of equals the first in order of the command line comes first.
func (m merge) next() (first *Input) {
	for _, in := range m {
		if !in.ended && (first == nil || in.packet.Time < first.packet.Time) {
			first = in
		}
	}
	return first
}

// progress returns how many bytes have been read, and of how many.
func (m merge) progress() (read, size int64) {
	for _, in := range m {
		read += in.reader.Offset()
		size += in.size
	}
	return read, size
}
