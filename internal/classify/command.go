package classify

import (
	"fmt"
	"strings"
)

// Verb is what a command line asks for.
type Verb uint8

// The verbs, with iptables' options for them.
const (
	Append    Verb = iota + 1 // -A
	Insert                    // -I
	Delete                    // -D
	Check                     // -C
	Policy                    // -P PREROUTING ACCEPT, which -S prints: changes nothing
	Flush                     // -F; this and the next two can do without a chain
	List                      // -L
	ListRules                 // -S
)

// Command is one command line, read and checked. The zero value is not a
// command.
type Command struct {
	Verb Verb
	// Number is a rule's place in the chain, from 1: where Insert puts its first
	// rule, what Delete takes away when it has no rules, the one rule that List and
	// ListRules show. 0: not given.
	Number int
	// Rules are what Append, Insert, Delete and Check are about: several if the
	// line had lists of addresses.
	Rules []*Rule
	// LineNumbers asks List for the rules' numbers.
	LineNumbers bool
	// V6 says that it is about the chain of IPv6.
	V6 bool
}

// Changes reports whether the command can change a rule set; the others only ask.
func (c Command) Changes() bool {
	switch c.Verb {
	case Append, Insert, Delete, Flush:
		return true
	}
	return false
}

const (
	chain          = "PREROUTING"
	onlyPrerouting = "natlb has one chain of marks, PREROUTING"
)

// command returns the option that names a verb, its chain, and for some a
// number.
func command(verb Verb) func(*parser, given) error {
	return func(p *parser, o given) error {
		if p.verb != "" {
			return fmt.Errorf("%s cannot go with %s", o.name, p.verb)
		}
		p.verb, p.command.Verb = o.name, verb
		if o.value != chain && (o.value != "" || verb < Flush) {
			return fmt.Errorf("chain %q: %s", o.value, onlyPrerouting)
		}
		switch verb {
		case Insert, Delete, List, ListRules:
			return p.number(o)
		case Policy:
			if len(p.words) == 0 || p.next() != "ACCEPT" {
				return fmt.Errorf("%s %s: the policy is ACCEPT, always", o.name, o.value)
			}
		}
		return nil
	}
}

// number takes the next word as a rule's number, if it is not an option. Insert
// without one puts the rule first.
func (p *parser) number(o given) error {
	if p.command.Verb == Insert {
		p.command.Number = 1
	}
	if o.value == "" || len(p.words) == 0 || p.words[0] == "!" || strings.HasPrefix(p.words[0], "-") {
		return nil
	}
	word := p.next()
	n, ok := number(word, 1<<31-1)
	if !ok || n == 0 {
		return fmt.Errorf("invalid rule number %q", word)
	}
	p.command.Number = int(n)
	return nil
}
