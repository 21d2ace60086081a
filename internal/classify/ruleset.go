package classify

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoSuchRule says that Delete or Check found no rule that equals its own.
var ErrNoSuchRule = errors.New("no such rule in " + chain)

// ErrNoSuchNumber says that Insert or Delete named a place that the chain does
// not have. It comes wrapped with the number.
var ErrNoSuchNumber = errors.New(chain + " is not that long")

// Ruleset is the two chains PREROUTING, of IPv4 and of IPv6: rules in the order in
// which packets meet them. It is immutable, every change returns a new one; any number of
// goroutines may use it. The zero value has no rules.
type Ruleset struct{ rules, rules6 ruleList }

// Len returns the number of rules in both chains.
func (s Ruleset) Len() int { return len(s.rules) + len(s.rules6) }

// chain returns the chain of a family.
func (s Ruleset) chain(v6 bool) ruleList {
	if v6 {
		return s.rules6
	}
	return s.rules
}

// Apply carries out one command, on the chain of its family, whole or not at all.
// Commands that only ask return the rule set as it is; of them Check can fail. Errors
// are [ErrNoSuchRule] or wrap [ErrNoSuchNumber].
func (s Ruleset) Apply(c Command) (Ruleset, error) {
	next, err := s.chain(c.V6).apply(c)
	if err != nil {
		return s, err
	}
	if c.V6 {
		return Ruleset{s.rules, next}, nil
	}
	return Ruleset{next, s.rules6}, nil
}

// ruleList is one chain. Its methods leave it as it is and return another.
type ruleList []*Rule

func (l ruleList) apply(c Command) (ruleList, error) {
	switch c.Verb {
	case Append:
		return slices.Concat(l, c.Rules), nil
	case Insert:
		return l.insert(c.Number, c.Rules)
	case Delete:
		if c.Number > 0 {
			return l.deleteNumber(c.Number)
		}
		return l.delete(c.Rules)
	case Flush:
		return nil, nil
	case Check:
		for _, r := range c.Rules {
			if l.index(r) < 0 {
				return l, ErrNoSuchRule
			}
		}
	}
	return l, nil
}

// insert puts each of rules in turn at place number, from 1 to one behind the last:
// the last of them ends up first, as with iptables. The error wraps
// [ErrNoSuchNumber].
func (l ruleList) insert(number int, rules []*Rule) (ruleList, error) {
	if number < 1 || number > len(l)+1 {
		return l, fmt.Errorf("cannot insert rule %d: %w", number, ErrNoSuchNumber)
	}
	turned := slices.Clone(rules)
	slices.Reverse(turned)
	return slices.Concat(l[:number-1], turned, l[number-1:]), nil
}

// delete takes the first rule away that equals each of rules, or returns
// [ErrNoSuchRule].
func (l ruleList) delete(rules []*Rule) (ruleList, error) {
	left := l
	for _, r := range rules {
		i := left.index(r)
		if i < 0 {
			return l, ErrNoSuchRule
		}
		left = left.without(i)
	}
	return left, nil
}

// deleteNumber takes the rule at place number away, from 1. The error wraps
// [ErrNoSuchNumber].
func (l ruleList) deleteNumber(number int) (ruleList, error) {
	if number < 1 || number > len(l) {
		return l, fmt.Errorf("cannot delete rule %d: %w", number, ErrNoSuchNumber)
	}
	return l.without(number - 1), nil
}

func (l ruleList) without(i int) ruleList { return slices.Concat(l[:i], l[i+1:]) }

func (l ruleList) index(r *Rule) int {
	want := r.String()
	return slices.IndexFunc(l, func(have *Rule) bool { return have.String() == want })
}
