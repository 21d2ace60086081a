package replay

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"natlb/internal/terminal"
)

// bar draws how far a replay is, in one line of a terminal that the next drawing
// writes over.
type bar struct {
	out     io.Writer
	started time.Time
	drawn   time.Time
	shown   bool
}

const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

// newBar returns a bar on f, or nil if nothing can be drawn there.
func newBar(f *os.File) *bar {
	if !terminal.InPlace(f) {
		return nil
	}
	return &bar{out: f, started: time.Now()}
}

// draw is called with bytes read, and of how many, 0 if nobody knows.
func (b *bar) draw(read, size int64) {
	now := time.Now()
	if now.Sub(b.started) < 5*barEvery || now.Sub(b.drawn) < barEvery {
		return // what is over in a moment needs no bar
	}
	b.drawn, b.shown = now, true
	speed := float64(read) / 1e6 / now.Sub(b.started).Seconds()
	if size == 0 {
		fmt.Fprintf(b.out, "\r\x1b[K%d MB, %.0f MB/s", read/1e6, speed)
		return
	}
	done := int(min(read, size) * barWidth / size)
	fmt.Fprintf(b.out, "\r\x1b[K[%s%s] %3d%%  %d of %d MB, %.0f MB/s",
		strings.Repeat("#", done), strings.Repeat(".", barWidth-done), min(read, size)*100/size, read/1e6, size/1e6, speed)
}

// clear takes the bar away.
func (b *bar) clear() {
	if b != nil && b.shown {
		fmt.Fprint(b.out, "\r\x1b[K")
		b.shown = false
	}
}
