package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Is reports whether what is written to w, or read from it, is a terminal.
func Is(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// InPlace reports whether what is written to w can be drawn over: it is a
// terminal, and one that knows how.
func InPlace(w io.Writer) bool { return Is(w) && os.Getenv("TERM") != "dumb" }

// The size that a terminal is taken to have when it does not say.
const (
	defaultColumns = 80
	defaultRows    = 24
)

// Size returns how many columns and rows the terminal has that w writes to.
func Size(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if c, r, err := term.GetSize(int(f.Fd())); err == nil && c > 0 && r > 0 {
			return c, r
		}
	}
	return defaultColumns, defaultRows
}
