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

// Ruleset is the chain PREROUTING: rules in the order in which packets meet
// them. It is immutable, every change returns a new one; any number of goroutines
// may use it. The zero value is the empty chain.
type Ruleset struct{ rules []*Rule }

// Len returns the number of rules.
func (s Ruleset) Len() int { return len(s.rules) }

// Apply carries out one command, whole or not at all. Commands that only ask return
// the rule set as it is; of them Check can fail. Errors are [ErrNoSuchRule] or
// wrap [ErrNoSuchNumber].
func (s Ruleset) Apply(c Command) (Ruleset, error) {
	switch c.Verb {
	case Append:
		return s.Append(c.Rules...), nil
	case Insert:
		return s.Insert(c.Number, c.Rules...)
	case Delete:
		if c.Number > 0 {
			return s.DeleteNumber(c.Number)
		}
		return s.Delete(c.Rules...)
	case Flush:
		return Ruleset{}, nil
	case Check:
		for _, r := range c.Rules {
			if s.index(r) < 0 {
				return s, ErrNoSuchRule
			}
		}
	}
	return s, nil
}

// Append returns the chain with rules at its end.
func (s Ruleset) Append(rules ...*Rule) Ruleset {
	return Ruleset{slices.Concat(s.rules, rules)}
}

// Insert returns the chain with each of rules in turn put at place number, from
// 1 to one behind the last: the last of them ends up first, as with iptables. The error
// wraps [ErrNoSuchNumber].
func (s Ruleset) Insert(number int, rules ...*Rule) (Ruleset, error) {
	if number < 1 || number > len(s.rules)+1 {
		return s, fmt.Errorf("cannot insert rule %d: %w", number, ErrNoSuchNumber)
	}
	turned := slices.Clone(rules)
	slices.Reverse(turned)
	return Ruleset{slices.Concat(s.rules[:number-1], turned, s.rules[number-1:])}, nil
}

// Delete returns the chain without the first rule that equals each of rules, or
// [ErrNoSuchRule].
func (s Ruleset) Delete(rules ...*Rule) (Ruleset, error) {
	left := s
	for _, r := range rules {
		i := left.index(r)
		if i < 0 {
			return s, ErrNoSuchRule
		}
		left = left.without(i)
	}
	return left, nil
}

// DeleteNumber returns the chain without the rule at place number, from 1. The error
// wraps [ErrNoSuchNumber].
func (s Ruleset) DeleteNumber(number int) (Ruleset, error) {
	if number < 1 || number > len(s.rules) {
		return s, fmt.Errorf("cannot delete rule %d: %w", number, ErrNoSuchNumber)
	}
	return s.without(number - 1), nil
}

func (s Ruleset) without(i int) Ruleset {
	return Ruleset{slices.Concat(s.rules[:i], s.rules[i+1:])}
}

func (s Ruleset) index(r *Rule) int {
	want := r.String()
	return slices.IndexFunc(s.rules, func(have *Rule) bool { return have.String() == want })
}
