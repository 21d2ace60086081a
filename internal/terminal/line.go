package terminal

import "io"

// Line is a line that changes: on a terminal in place, elsewhere a line each
// time.
type Line struct {
	out     io.Writer
	inPlace bool
	last    string
}

// NewLine returns a line on w.
func NewLine(w io.Writer) *Line { return &Line{out: w, inPlace: InPlace(w)} }

// Show shows text, if it is another one than before.
func (l *Line) Show(text string) {
	if text == l.last {
		return
	}
	l.last = text
	if !l.inPlace {
		io.WriteString(l.out, text+"\n")
		return
	}
	if columns, _ := Size(l.out); len(text) >= columns {
		text = text[:columns-1] // a line that wraps cannot be drawn over
	}
	io.WriteString(l.out, "\r"+text+clearLine)
}

// End leaves what is shown where it is, and begins a new line.
func (l *Line) End() {
	if l.inPlace && l.last != "" {
		io.WriteString(l.out, "\n")
	}
	l.last = ""
}
