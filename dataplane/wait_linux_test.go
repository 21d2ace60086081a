package dataplane

import (
	"testing"
	"time"
)

// TestAdaptiveWait: looking again is taken up while it would have paid off, within
// its bounds, and given up when nothing comes.
func TestAdaptiveWait(t *testing.T) {
	w := waits{polling: PollAdaptive}
	if got := w.limit(time.Second); got != 0 {
		t.Errorf("before any frame it looks for %v", got)
	}
	for range 10 {
		w.learn(30*time.Microsecond, true)
	}
	if got := w.limit(time.Second); got != longestLook {
		t.Errorf("with a frame every 30 us it looks for %v, want %v", got, longestLook)
	}
	if got := w.limit(0); got != 0 {
		t.Errorf("with work left over it looks for %v", got)
	}
	w.learn(time.Millisecond, true)
	if got := w.limit(time.Second); got != longestLook/2 {
		t.Errorf("after a frame that came late it looks for %v, want %v", got, longestLook/2)
	}
	for range 10 {
		w.learn(time.Millisecond, false)
	}
	if got := w.limit(time.Second); got != 0 {
		t.Errorf("when nothing comes it looks for %v", got)
	}
	for polling, want := range map[Polling]time.Duration{PollIdle: 0, PollBusy: time.Second} {
		w := waits{polling: polling}
		w.learn(30*time.Microsecond, true)
		if got := w.limit(time.Second); got != want {
			t.Errorf("%s looks for %v, want %v", polling, got, want)
		}
	}
}
