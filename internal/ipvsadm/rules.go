package ipvsadm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"natlb/internal/control"
	"natlb/ipvs"
)

// RuleFault is what is wrong with one line of a rules file.
type RuleFault struct {
	Name    string // of the file
	Line    int    // from 1
	Message string
}

// RuleFaults are all faults of a rules file, in the order of its lines.
type RuleFaults []RuleFault

// Error returns one "name:line: message" per line.
func (f RuleFaults) Error() string {
	lines := make([]string, len(f))
	for i, x := range f {
		lines[i] = fmt.Sprintf("%s:%d: %s", x.Name, x.Line, x.Message)
	}
	return strings.Join(lines, "\n")
}

// Rules are the changes of a rules file, in the order of its lines.
type Rules struct {
	Changes []ipvs.Change

	name  string
	lines []int // of each change
}

// Locate puts file and line in front of err when it is a director's refusal of
// one of the changes (*ipvs.ChangeError), and the file in front of any other.
func (r *Rules) Locate(err error) error {
	var refused *ipvs.ChangeError
	if errors.As(err, &refused) && refused.Index < len(r.lines) {
		return fmt.Errorf("%s:%d: %w", r.name, r.lines[refused.Index], err)
	}
	return fmt.Errorf("%s: %w", r.name, err)
}

// rulesTimeout bounds the host names of a whole rules file.
const rulesTimeout = 30 * time.Second

// ParseRules reads a rules file: what -S writes, with -x and -y too, --set
// lines, natlb's own mark and sysctl lines, any other command that changes the configuration, blank lines, and
// comments from a word that starts with # to the end of its line. name is the
// file's, for messages. All faults come back together as [RuleFaults], values
// and what this version does not support included; then there are no rules.
func ParseRules(r io.Reader, name string) (*Rules, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rulesTimeout)
	defer cancel()
	return parseRules(ctx, r, name, SystemLookup())
}

func parseRules(ctx context.Context, r io.Reader, name string, lookup Lookup) (*Rules, error) {
	p := newParser(ctx, "", lookup)
	rules := &Rules{name: name}
	var faults RuleFaults
	in := bufio.NewReader(r)
	for number := 1; ; number++ {
		text, end := in.ReadString('\n')
		if words := uncomment(fields(text)); len(words) > 0 {
			c, native, err := nativeRule(text)
			if !native {
				c, err = p.rule(words)
			}
			if err != nil {
				faults = append(faults, RuleFault{name, number, err.Error()})
			}
			rules.Changes = append(rules.Changes, c)
			rules.lines = append(rules.lines, number)
		}
		if end == io.EOF {
			break
		}
		if end != nil {
			return nil, fmt.Errorf("%s: %w", name, end)
		}
	}
	if faults != nil {
		return nil, faults
	}
	return rules, nil
}

func uncomment(words []string) []string {
	for i, w := range words {
		if strings.HasPrefix(w, "#") {
			return words[:i]
		}
	}
	return words
}

// rule reads one line that must be a change of the configuration.
func (p *parser) rule(words []string) (ipvs.Change, error) {
	ln, err := p.parse(words)
	if err != nil {
		var f *fault
		if errors.As(err, &f) && f.ends && f.status == statusRefused {
			err = fmt.Errorf("%.80q does not start with a command (-A, -a, ...)", strings.Join(words, " "))
		}
		return ipvs.Change{}, err
	}
	if ln.cmd.kind == 0 {
		return ipvs.Change{}, fmt.Errorf("the '%s' command does not belong into rules", ln.cmd.name)
	}
	c, err := ln.change()
	if err == nil {
		err = control.Check(&c)
	}
	return c, err
}
