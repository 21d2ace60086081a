package packettest

import (
	"errors"
	"sync"

	"natlb/dataplane"
)

// ErrClosed is what a closed end of a [Pipe] returns.
var ErrClosed = errors.New("packettest: port is closed")

// Pipe returns the two ends of a cable: what one sends the other receives, in
// order, with its offload metadata. Each direction holds at most 1024 frames;
// Send drops what does not fit, as a full queue does. Unlike other ports, the
// two ends may belong to two goroutines.
func Pipe(caps dataplane.Caps) (a, b dataplane.Port) {
	x, y := new(lane), new(lane)
	return &port{caps, x, y}, &port{caps, y, x}
}

const laneFrames = 1024

// lane is one direction of a cable.
type lane struct {
	mu     sync.Mutex
	frames []dataplane.Frame
	closed bool
}

type port struct {
	caps    dataplane.Caps
	in, out *lane
}

// Recv implements [dataplane.Port].
func (p *port) Recv(fs []dataplane.Frame) (int, error) {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	if p.in.closed {
		return 0, ErrClosed
	}
	n := copy(fs, p.in.frames)
	p.in.frames = p.in.frames[n:]
	return n, nil
}

// Send implements [dataplane.Port]: frames are copied.
func (p *port) Send(fs []dataplane.Frame) (int, error) {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	if p.out.closed {
		return 0, ErrClosed
	}
	for i, f := range fs {
		if len(p.out.frames) == laneFrames {
			return i, nil
		}
		f.Data = append([]byte(nil), f.Data...)
		f.WireLen, f.Type, f.Link = uint32(len(f.Data)), dataplane.ToHost, 0
		p.out.frames = append(p.out.frames, f)
	}
	return len(fs), nil
}

func (p *port) Caps() dataplane.Caps { return p.caps }
func (p *port) FD() int              { return -1 }

// Close takes both directions down.
func (p *port) Close() error {
	for _, l := range []*lane{p.in, p.out} {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
	}
	return nil
}
