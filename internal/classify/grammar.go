package classify

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Parse reads one command line: the words behind "natlb mark", or a whole line
// that begins with iptables or ip6tables. It is about IPv4 unless -6, or ip6tables,
// says otherwise. It touches nothing but /etc/services, for
// ports by name. Errors are one line that names the word at fault.
func Parse(args []string) (Command, error) {
	p := parser{words: args}
	if len(args) > 0 {
		switch name, _, _ := strings.Cut(path.Base(args[0]), "-"); name {
		case "iptables":
			p.words = args[1:]
		case "ip6tables":
			p.words, p.command.V6, p.family = args[1:], true, args[0]
		}
	}
	for len(p.words) > 0 {
		if err := p.word(p.next()); err != nil {
			return Command{}, err
		}
	}
	if p.not {
		return Command{}, errors.New(`nothing behind the last "!"`)
	}
	return p.finish()
}

// parser holds what the words read so far have said.
type parser struct {
	words []string // still to read
	not   bool     // a "!" waits for its option

	command      Command
	verb         string // the command's option as written, "" before it
	rule         Rule   // without its addresses
	sources      []network
	destinations []network
	seen         map[*option]bool
	ruleOption   string // the first one, as written
	listOption   string // likewise
	family       string // the word that has named one
}

func (p *parser) next() string {
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

func (p *parser) word(word string) error {
	switch {
	case word == "!" && p.not:
		return errors.New(`"!" twice in a row`)
	case word == "!":
		p.not = true
		return nil
	case strings.HasPrefix(word, "--") && len(word) > 2:
		name, value, has := strings.Cut(word, "=")
		o, err := find(name)
		if err != nil {
			return err
		}
		return p.option(o, name, value, has)
	case strings.HasPrefix(word, "-") && len(word) > 1:
		return p.letters(word[1:])
	}
	return fmt.Errorf("bad argument %q", word)
}

// letters reads options of one letter, written together or with their value in
// the same word: -nL, -ptcp.
func (p *parser) letters(rest string) error {
	for rest != "" {
		name := "-" + rest[:1]
		rest = rest[1:]
		o, err := find(name)
		if err != nil {
			return err
		}
		value := ""
		if o.value != noValue {
			value, rest = rest, ""
		}
		if err := p.option(o, name, value, value != ""); err != nil {
			return err
		}
	}
	return nil
}

// option takes one option, with the value that stands in its own word if it has
// one.
func (p *parser) option(o *option, name, value string, has bool) error {
	switch {
	case has && o.value == noValue:
		return fmt.Errorf("option %s takes no value", name)
	case !has && o.value == oneValue && len(p.words) == 0:
		return fmt.Errorf("option %s needs a value", name)
	case p.not && !o.not:
		return fmt.Errorf(`"!" cannot go before %s`, name)
	case o.once && p.seen[o]:
		return fmt.Errorf("only one %s in a rule", name)
	}
	if !has && len(p.words) > 0 && o.value.takes(p.words[0]) {
		value = p.next()
	}
	if p.seen == nil {
		p.seen = map[*option]bool{}
	}
	p.seen[o] = true
	if o.use == ruleOption && p.ruleOption == "" {
		p.ruleOption = name
	}
	if o.use == listOption && p.listOption == "" {
		p.listOption = name
	}
	g := given{name, value, p.not}
	p.not = false
	return o.take(p, g)
}

// takes reports whether the next word is the value of an option.
func (k valueKind) takes(word string) bool {
	switch k {
	case oneValue:
		return true
	case chainValue:
		return word != "!" && !strings.HasPrefix(word, "-")
	case digitsValue:
		return word != "" && strings.Trim(word, "0123456789") == ""
	}
	return false
}

// finish checks what goes with what, and spreads the rule over its addresses.
func (p *parser) finish() (Command, error) {
	c := &p.command
	describes := c.Verb == Append || c.Verb == Insert || c.Verb == Check || c.Verb == Delete && c.Number == 0
	switch {
	case p.verb == "":
		return Command{}, errors.New("no command given: -A, -I, -D, -C, -F, -L or -S")
	case p.listOption != "" && c.Verb != List:
		return Command{}, fmt.Errorf("option %s does not go with %s", p.listOption, p.verb)
	case p.ruleOption != "" && !describes:
		return Command{}, fmt.Errorf("option %s does not go with %s", p.ruleOption, p.verb)
	case !describes:
		return *c, nil
	}
	if err := p.rule.target.complete(); err != nil {
		return Command{}, err
	}
	for _, m := range p.rule.matches {
		if err := p.complete(m); err != nil {
			return Command{}, err
		}
	}
	return *c, p.spread()
}

// maxSpread bounds the rules that one command line stands for.
const maxSpread = 4096

// spread makes one rule of each pair of a source and a destination.
func (p *parser) spread() error {
	sources, destinations := p.sources, p.destinations
	if sources == nil {
		sources = []network{{v6: p.command.V6}}
	}
	if destinations == nil {
		destinations = []network{{v6: p.command.V6}}
	}
	for _, n := range slices.Concat(sources, destinations) {
		switch {
		case n.v6 && !p.command.V6:
			return fmt.Errorf("%s is an IPv6 address: rules for them have -6, or begin with ip6tables", n.text(n.addr))
		case !n.v6 && p.command.V6:
			return fmt.Errorf("%s is an IPv4 address, in a rule of IPv6", n.text(n.addr))
		}
	}
	if n := len(sources) * len(destinations); n > maxSpread {
		return fmt.Errorf("the address lists stand for %d rules, at most %d are taken at once", n, maxSpread)
	}
	for _, s := range sources {
		for _, d := range destinations {
			r := p.rule
			r.source, r.destination = s, d
			p.command.Rules = append(p.command.Rules, &r)
		}
	}
	return nil
}
