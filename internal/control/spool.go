package control

import (
	"bytes"
	"io"
	"sync"
)

// spool stands between a director and a reader who takes his time (a pager):
// it takes what comes at once, and keeps it for as long as it must. So the
// director never waits for a person.
type spool struct {
	mu    sync.Mutex
	more  sync.Cond
	text  bytes.Buffer
	ended error // of the source; io.EOF at its good end
}

// newSpool starts to read source; progress is called after every piece. The
// caller ends the reading by closing the source.
func newSpool(source io.Reader, progress func()) *spool {
	s := &spool{}
	s.more.L = &s.mu
	go s.fill(source, progress)
	return s
}

func (s *spool) fill(source io.Reader, progress func()) {
	piece := make([]byte, 64<<10)
	for {
		n, err := source.Read(piece)
		progress()
		s.mu.Lock()
		s.text.Write(piece[:n])
		s.ended = err
		s.more.Signal()
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Read returns what is there, and waits only when nothing is.
func (s *spool) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.text.Len() == 0 {
		if s.ended != nil {
			return 0, s.ended
		}
		s.more.Wait()
	}
	return s.text.Read(b)
}
