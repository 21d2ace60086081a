package ipvsadm

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// restore is -R: every line of standard input is a command line, executed at
// once. A command-line fault or a listing that fails ends it; an unknown option
// or the refusal of a change prints its message and goes on. The exit status is
// the last line's.
func (s *invocation) restore(*line) error {
	s.parser.restoring = true
	defer func() { s.parser.restoring = false }()
	last := 0
	in := bufio.NewReader(s.env.Stdin)
	for {
		text, end := in.ReadString('\n')
		if words := fields(text); len(words) > 0 {
			err := s.execute(words)
			if s.ctx.Err() != nil {
				return usage("interrupted: this line and those after it may not have been applied: %s", strings.TrimSpace(text))
			}
			var f *fault
			if errors.As(err, &f) && (f.ends || f.status == statusListing) {
				return err
			}
			last = s.report(err)
		}
		if end == io.EOF {
			break
		}
		if end != nil {
			return usage("standard input: %v", end)
		}
	}
	if last != 0 {
		return &fault{status: last} // its message is out already
	}
	return nil
}
