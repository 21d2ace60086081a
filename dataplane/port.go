package dataplane

// Port moves Ethernet frames of one link in batches. One goroutine owns a Port;
// only Close may be called from another one.
type Port interface {
	// Recv fills fs from the front and reports how many, 0 when none is
	// waiting: it never blocks. It sets every field of the frames it fills
	// but Link. Frame bytes are borrowed: they may be rewritten in place, and
	// are valid until the next Recv or Close; Recv(nil) only gives them
	// back, so that waiting on FD means waiting for new ones. An error is about the link
	// (gone, down) and leaves the Port usable: a link that comes back works
	// again.
	Recv(fs []Frame) (n int, err error)

	// Send writes fs in order and reports how many went out. A short count
	// with a nil error means that the kernel dropped the rest (queue full,
	// link down): they are counted, not retried. Frames and their bytes may
	// have changed when it returns, and may be reused.
	Send(fs []Frame) (n int, err error)

	// Caps says what the outlet takes.
	Caps() Caps

	// FD returns the descriptor to wait on for received frames, -1 if there
	// is none to wait on.
	FD() int

	Close() error
}

// Caps are the abilities of a Port's outlet, fixed when it is opened.
type Caps struct {
	// Offload: the outlet takes partial checksums and super-packets. Without
	// it natlb completes checksums and segments in software.
	Offload bool
}

// PortStats are the kernel's counters of a Port since it was opened.
type PortStats struct {
	Received uint64 // frames that reached the socket, drops included
	Dropped  uint64 // frames lost because the socket buffer was full
	SendFail uint64 // frames that the kernel refused on sending
}
