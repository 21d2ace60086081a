package dataplane

// outbox collects what one batch sends: received frames that were rewritten in
// place, and frames of the shard's own making, which live in its arena.
type outbox struct {
	frames []Frame
	arena  []byte // nil until the first frame that needs it
	size   int    // of the arena
	used   int
}

const (
	// MaxBatch is the greatest number of frames between Begin and End for
	// which the arena has room whatever they turn into.
	MaxBatch = 64

	// A super-packet of 64 KiB cut into segments of the smallest sensible
	// size grows by their headers, but never to twice its length. Memory that
	// no frame has needed yet is not resident.
	arenaSize = MaxBatch * 2 * (64 << 10)
)

// newOutbox returns an outbox whose arena will have that size.
func newOutbox(arena int) outbox {
	return outbox{frames: make([]Frame, 0, 4*MaxBatch), size: arena}
}

func (o *outbox) reset() {
	clear(o.frames)
	o.frames, o.used = o.frames[:0], 0
}

// room returns n bytes of the arena, or nil when it is used up. A shorter frame
// than asked for gives the rest back with trim.
func (o *outbox) room(n int) []byte {
	if o.arena == nil {
		o.arena = make([]byte, o.size)
	}
	if n > len(o.arena)-o.used {
		return nil
	}
	b := o.arena[o.used : o.used+n : o.used+n]
	o.used += n
	return b
}

// trim says that only n bytes of the last room are needed.
func (o *outbox) trim(room []byte, n int) { o.used -= len(room) - n }

// put queues a finished frame.
func (o *outbox) put(link uint8, data []byte, off Offload) {
	o.frames = append(o.frames, Frame{Data: data, Offload: off, WireLen: uint32(len(data)), Link: link})
}
