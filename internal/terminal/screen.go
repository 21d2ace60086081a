package terminal

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Sequences of ECMA-48, and xterm's alternate screen.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // a screen of its own, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K" // from the cursor to the end of the line
	clearBelow  = "\x1b[J"
)

// Interrupt is the key of Ctrl-C: while there is a screen, the terminal makes no
// signal of it.
const Interrupt = 0x03

// Screen is a screen of its own on a terminal, drawn over in place. One
// goroutine uses it.
type Screen struct {
	out     io.Writer
	keys    chan byte
	resized chan os.Signal
	restore func()
}

// Open takes the terminal: what was on it comes back with Close. Keys are read
// from in if that is a terminal, too.
func Open(in io.Reader, out io.Writer) (*Screen, error) {
	s := &Screen{out: out, keys: make(chan byte), resized: make(chan os.Signal, 1), restore: func() {}}
	if f, ok := in.(*os.File); ok && Is(f) {
		before, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return nil, err
		}
		s.restore = sync.OnceFunc(func() { _ = term.Restore(int(f.Fd()), before) })
		go s.read(f)
	}
	signal.Notify(s.resized, unix.SIGWINCH)
	if _, err := io.WriteString(out, enterScreen); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// read hands on the keys, until the input ends or the process does: a read of a
// terminal cannot be taken back.
func (s *Screen) read(in io.Reader) {
	var key [1]byte
	for {
		if n, err := in.Read(key[:]); err != nil || n == 0 {
			return
		}
		s.keys <- key[0]
	}
}

// Keys are the keys that are pressed, one byte each. Nothing comes where the
// input is no terminal.
func (s *Screen) Keys() <-chan byte { return s.keys }

// Resized tells that the terminal has another size now.
func (s *Screen) Resized() <-chan os.Signal { return s.resized }

// Draw shows lines from the top, as many as there are rows and as much of each
// as there are columns. Lines have no colours and a column for each character.
func (s *Screen) Draw(lines []string) error {
	columns, rows := Size(s.out)
	var b strings.Builder
	b.WriteString(home)
	for i, line := range lines[:min(len(lines), rows)] {
		if i > 0 {
			b.WriteString("\r\n") // none after the last line: the screen would scroll
		}
		if r := []rune(line); len(r) > columns {
			line = string(r[:columns])
		}
		b.WriteString(line)
		b.WriteString(clearLine)
	}
	b.WriteString(clearBelow)
	_, err := io.WriteString(s.out, b.String())
	return err
}

// Close gives the terminal back as it was.
func (s *Screen) Close() {
	signal.Stop(s.resized)
	s.restore()
	_, _ = io.WriteString(s.out, leaveScreen) // a terminal that is gone needs no more
}
