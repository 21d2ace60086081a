package sources

import (
	"fmt"
	"net/netip"
	"strings"
)

// Verb is what a command line asks for.
type Verb uint8

// The verbs.
const (
	Add Verb = iota + 1
	Delete
	List
)

var verbs = map[string]Verb{"add": Add, "delete": Delete, "list": List}

// Command is one command line, read and checked. The zero value is not a command.
type Command struct {
	Verb  Verb
	Addrs []netip.Addr // those of Add and Delete, in the order of the line
}

// Changes reports whether the command can change a set; List only asks.
func (c Command) Changes() bool { return c.Verb != List }

// Parse reads a command line: a verb, and behind add and delete addresses, ranges
// (ADDRESS-ADDRESS) and networks (ADDRESS/BITS), of which every address counts.
func Parse(words []string) (c Command, err error) {
	if len(words) == 0 {
		return c, fmt.Errorf("source takes add, delete or list")
	}
	if c.Verb = verbs[words[0]]; c.Verb == 0 {
		return c, fmt.Errorf("source takes add, delete or list, not %q", words[0])
	}
	switch rest := words[1:]; {
	case c.Verb == List && len(rest) > 0:
		return c, fmt.Errorf("source list takes no %q", rest[0])
	case c.Verb != List && len(rest) == 0:
		return c, fmt.Errorf("source %s takes addresses: ADDRESS, ADDRESS-ADDRESS or ADDRESS/BITS", words[0])
	}
	for _, word := range words[1:] {
		first, last, err := bounds(word)
		if err != nil {
			return c, err
		}
		for a := first; ; a = a.Next() {
			if len(c.Addrs) == Max {
				return c, fmt.Errorf("%s: more than %d addresses", word, Max)
			}
			if c.Addrs = append(c.Addrs, a); a == last {
				break
			}
		}
	}
	return c, nil
}

// bounds returns the first and the last address that a word stands for.
func bounds(word string) (first, last netip.Addr, err error) {
	if from, to, ok := strings.Cut(word, "-"); ok {
		if first, err = address(from); err == nil {
			last, err = address(to)
		}
		if err == nil && (first.Is4() != last.Is4() || last.Less(first)) {
			err = fmt.Errorf("%s is no range of addresses: the first comes first, and both are of one family", word)
		}
		return first, last, err
	}
	if !strings.Contains(word, "/") {
		first, err = address(word)
		return first, first, err
	}
	network, err := netip.ParsePrefix(word)
	switch {
	case err != nil || network.Addr().Is4In6():
		return first, last, fmt.Errorf("%q is no network", word)
	case network != network.Masked():
		return first, last, fmt.Errorf("%s is no network, %s is", word, network.Masked())
	}
	if first, err = address(network.Addr().String()); err != nil {
		return first, last, err
	}
	return first, lastOf(network), nil
}

// lastOf returns the last address of a network.
func lastOf(network netip.Prefix) netip.Addr {
	b := network.Addr().AsSlice()
	for i := network.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// address reads an address that a host can have and that others can answer to.
func address(word string) (netip.Addr, error) {
	a, err := netip.ParseAddr(word)
	switch {
	case err != nil:
		return a, fmt.Errorf("%q is no address", word)
	case a.Is4In6() || a.Zone() != "":
		return a, fmt.Errorf("%s: an address comes without zone, and one of IPv4 as itself", word)
	case !a.IsGlobalUnicast():
		return a, fmt.Errorf("%s is no address that servers can answer to", word)
	}
	return a, nil
}
