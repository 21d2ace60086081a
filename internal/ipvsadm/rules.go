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
	Column  int    // of the word that is wrong, in characters from 1
	Width   int    // of that word, in characters
	Text    string // of the line, without its end
	Message string
	Hint    string // what to do about it, or empty
}

// Error returns "name:line:column: message".
func (f *RuleFault) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.Name, f.Line, f.Column, f.Message)
}

// RuleFaults are all faults of a rules file, in the order of its lines.
type RuleFaults []RuleFault

// Error returns one fault per line.
func (f RuleFaults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Rules are the changes of a rules file, in the order of its lines.
type Rules struct {
	Changes []ipvs.Change

	name   string
	places []place // of each change
}

// Fault returns a refusal of one of the changes as a fault of its line.
func (r *Rules) Fault(refused *ipvs.ChangeError) RuleFault {
	p := &r.places[refused.Index]
	word, hint := p.refusal(refused.Err)
	return p.fault(r.name, word, refused.Err.Error(), hint)
}

// Locate puts file and place in front of err when it is a director's refusal of
// one of the changes (*ipvs.ChangeError), and the file in front of any other.
func (r *Rules) Locate(err error) error {
	var refused *ipvs.ChangeError
	if errors.As(err, &refused) && refused.Index < len(r.places) {
		p := &r.places[refused.Index]
		word, _ := p.refusal(refused.Err)
		return fmt.Errorf("%s:%d:%d: %w", r.name, p.line, p.column(word), err)
	}
	return fmt.Errorf("%s: %w", r.name, err)
}

// rulesTimeout bounds the host names of a whole rules file.
const rulesTimeout = 30 * time.Second

// ParseRules reads a rules file: what -S writes, with -x and -y too, --set
// lines, natlb's own mark, source and sysctl lines, any other command that changes the configuration, blank lines, and
// comments from a word that starts with # to the end of its line. name is the
// file's, for messages. All faults come back together as [RuleFaults], values
// and what this version does not support included; the rules are then those of
// the lines without a fault, to be judged further and not to be applied.
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
		if number == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // what some editors put in front
		}
		if at := newPlace(number, text); len(at.words) > 0 {
			c, err := p.ruleAt(at)
			if err != nil {
				word, hint := p.blame(at, err)
				faults = append(faults, at.fault(name, word, err.Error(), hint))
			} else {
				rules.Changes = append(rules.Changes, c)
				rules.places = append(rules.places, *at)
			}
		}
		if end == io.EOF {
			break
		}
		if end != nil {
			return nil, fmt.Errorf("%s: %w", name, end)
		}
	}
	if faults != nil {
		return rules, faults
	}
	return rules, nil
}

// ruleAt reads one line that is not empty, and notes where its options are.
func (p *parser) ruleAt(at *place) (ipvs.Change, error) {
	p.words, p.read = nil, nil
	c, native, err := nativeRule(at.rule)
	if !native {
		c, err = p.rule(at.texts())
	}
	if p.read != nil {
		at.given, at.where = p.read.given, p.read.where
	}
	return c, err
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
