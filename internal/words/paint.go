package words

import (
	"io"
	"os"
	"strings"
	"unicode"

	"natlb/internal/terminal"
)

// coloured reports whether what is written to w should have colours: on a
// terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb.
func coloured(w io.Writer) bool { return terminal.InPlace(w) && os.Getenv("NO_COLOR") == "" }

// colours are those of the signs of a difference.
var colours = map[string]string{"+": "\x1b[32m", "-": "\x1b[31m", "~": "\x1b[33m"}

const uncoloured = "\x1b[0m"

// harmless returns text with every character that a terminal would act on
// replaced by one that shows; tabs are blanks, so that columns stay.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
