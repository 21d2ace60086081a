package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"natlb/internal/terminal"
)

// Terminal sequences (ECMA-48), used on terminals only.
const (
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	reset = "\x1b[0m"
)

// transcript prints what is typed where and what it answers.
type transcript struct {
	out    io.Writer
	colour bool
}

// newTranscript writes to out, in colours only if that is a terminal, plain is
// not asked for, and NO_COLOR is not set.
func newTranscript(out io.Writer, plain bool) *transcript {
	return &transcript{out: out, colour: !plain && terminal.Is(out) && os.Getenv("NO_COLOR") == ""}
}

// note prints one line that says what the reader sees next, and why.
func (t *transcript) note(format string, args ...any) {
	fmt.Fprintf(t.out, "\n%s\n", t.paint(faint, "# "+fmt.Sprintf(format, args...)))
}

// typed prints a command line after the prompt of the machine it is typed on.
func (t *transcript) typed(machine, line string) {
	fmt.Fprintf(t.out, "%s %s\n", t.paint(faint, machine+"$"), t.paint(bold, line))
}

// answer prints what a command printed, to the letter.
func (t *transcript) answer(text string) {
	fmt.Fprint(t.out, text)
	if text != "" && !strings.HasSuffix(text, "\n") {
		fmt.Fprintln(t.out)
	}
}

func (t *transcript) paint(sequence, text string) string {
	if !t.colour {
		return text
	}
	return sequence + text + reset
}

// run types a natlb command line on the director and prints its answer, which
// it also returns. Words are separated by blanks; the last two may be
// `> FILE` or `< FILE`.
func (d *demo) run(ctx context.Context, line string) (string, error) {
	d.typed("director", "natlb "+line)
	words := strings.Fields(line)
	redirect, file := "", ""
	if n := len(words); n > 2 && (words[n-2] == ">" || words[n-2] == "<") {
		redirect, file, words = words[n-2], words[n-1], words[:n-2]
	}
	var stdin io.Reader
	if redirect == "<" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		stdin = f
	}
	text, err := d.natlb.ask(ctx, stdin, words...)
	if err != nil {
		return "", err
	}
	if redirect == ">" {
		return text, os.WriteFile(file, []byte(text), 0o600)
	}
	d.answer(text)
	return text, nil
}

// runAll types several command lines and stops at the first that fails.
func (d *demo) runAll(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if _, err := d.run(ctx, line); err != nil {
			return err
		}
	}
	return nil
}
