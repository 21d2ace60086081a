package sources

import (
	"fmt"
	"net/netip"
	"slices"
)

// Max bounds the addresses of a set. Each is good for some 64,500 connections with
// each server and port at a time.
const Max = 1024

// Set is a list of addresses, each once. The zero value has none.
type Set struct{ sorted []netip.Addr }

// Addrs returns the addresses, those of IPv4 first, each family in order. The slice
// is the set's: it must not be changed.
func (s Set) Addrs() []netip.Addr { return s.sorted }

// Has reports whether a is in the set.
func (s Set) Has(a netip.Addr) bool {
	_, found := slices.BinarySearchFunc(s.sorted, a, netip.Addr.Compare)
	return found
}

// Apply returns the set after a command. To add what is there changes nothing; to
// delete what is not there is a fault.
func (s Set) Apply(c Command) (Set, error) {
	switch c.Verb {
	case Add:
		all := slices.Concat(s.sorted, c.Addrs)
		slices.SortFunc(all, netip.Addr.Compare)
		if all = slices.Compact(all); len(all) > Max {
			return s, fmt.Errorf("%d source addresses, at most %d are possible", len(all), Max)
		}
		return Set{all}, nil
	case Delete:
		for _, a := range c.Addrs {
			if !s.Has(a) {
				return s, fmt.Errorf("%v is no source address", a)
			}
		}
		gone, _ := Set{}.Apply(Command{Verb: Add, Addrs: c.Addrs})
		return Set{slices.DeleteFunc(slices.Clone(s.sorted), gone.Has)}, nil
	}
	return s, nil
}

// Without returns the addresses of s that o does not have, in order.
func (s Set) Without(o Set) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(s.sorted), o.Has)
}

// Ranges returns the set in as few words as [Parse] can read.
func (s Set) Ranges() (words []string) {
	for i := 0; i < len(s.sorted); {
		j := i + 1
		for j < len(s.sorted) && s.sorted[j] == s.sorted[j-1].Next() {
			j++
		}
		word := s.sorted[i].String()
		if j-i > 1 {
			word += "-" + s.sorted[j-1].String()
		}
		words = append(words, word)
		i = j
	}
	return words
}

// SetOf returns the set of addrs.
func SetOf(addrs []netip.Addr) Set {
	sorted := slices.Clone(addrs)
	slices.SortFunc(sorted, netip.Addr.Compare)
	return Set{slices.Compact(sorted)}
}

// Of returns the set of what words of [Parse] stand for.
func Of(words []string) (Set, error) {
	if len(words) == 0 {
		return Set{}, nil
	}
	c, err := Parse(append([]string{"add"}, words...))
	if err != nil {
		return Set{}, err
	}
	return Set{}.Apply(c)
}
