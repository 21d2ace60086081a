package daemon

import (
	"sync"
	"time"
)

// seldom lets a log line about one subject through once in a while.
type seldom struct {
	every time.Duration
	mu    sync.Mutex
	last  map[string]time.Time
}

// allow reports whether subject may be told of now. It forgets subjects that
// have been quiet, so strangers cannot make it grow.
func (s *seldom) allow(subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for k, t := range s.last {
		if now.Sub(t) >= s.every {
			delete(s.last, k)
		}
	}
	if _, told := s.last[subject]; told {
		return false
	}
	if s.last == nil {
		s.last = map[string]time.Time{}
	}
	s.last[subject] = now
	return true
}
