package classify

import "fmt"

// The parts of a rule, each as its option says it.

func (p *parser) source(o given) (err error) {
	p.sources, err = parseNetworks(o.value, o.not)
	return err
}

func (p *parser) destination(o given) (err error) {
	p.destinations, err = parseNetworks(o.value, o.not)
	return err
}

func (p *parser) inInterface(o given) (err error) {
	p.rule.link, err = parseLink(o.value, o.not)
	return err
}

func (p *parser) protocol(o given) (err error) {
	p.rule.proto, err = parseProtocol(o.value, o.not)
	return err
}

func (p *parser) jump(o given) (err error) {
	p.rule.target, err = parseTarget(o.value)
	return err
}

// family returns the option that says which chain a command is about.
func family(v6 bool) func(*parser, given) error {
	return func(p *parser, o given) error {
		if p.family != "" && p.command.V6 != v6 {
			return fmt.Errorf("%s cannot go with %s", o.name, p.family)
		}
		p.command.V6, p.family = v6, o.name
		return nil
	}
}

func (p *parser) lineNumbers(given) error {
	p.command.LineNumbers = true
	return nil
}

func (p *parser) table(o given) error {
	if o.value != "mangle" {
		return fmt.Errorf("table %q: natlb has the marks of table mangle only", o.value)
	}
	return nil
}

// match loads a module: each -m is a match of its own, with its own options.
func (p *parser) match(o given) error {
	var m match
	switch o.value {
	case "tcp", "udp", "sctp":
		m = &portMatch{module: o.value}
	case "multiport":
		m = &multiport{}
	case "mark":
		m = &markMatch{}
	case "comment":
		m = &comment{}
	default:
		return fmt.Errorf("match %q is not supported (tcp, udp, sctp, multiport, mark, comment)", o.value)
	}
	p.rule.matches = append(p.rule.matches, m)
	return nil
}

// latest returns the match of type T that was loaded last, or nil.
func latest[T match](p *parser) (found T) {
	for _, m := range p.rule.matches {
		if t, ok := m.(T); ok {
			found = t
		}
	}
	return found
}

// portMatch returns the match that --sport and --dport belong to: a tcp, udp or
// sctp match if there is one; else the protocol brings its own.
func (p *parser) portMatch(o given) (*portMatch, error) {
	if m := latest[*portMatch](p); m != nil {
		return m, nil
	}
	module := p.rule.proto.ported()
	if module == "" {
		return nil, fmt.Errorf("%s needs -p tcp, udp or sctp before it", o.name)
	}
	m := &portMatch{module: module}
	p.rule.matches = append(p.rule.matches, m)
	return m, nil
}

// sport, like dport, is also a name of multiport's list, where no tcp, udp or sctp
// match is loaded.
func (p *parser) sport(o given) error {
	if latest[*portMatch](p) == nil && latest[*multiport](p) != nil {
		return ports(sourcePorts)(p, o)
	}
	m, err := p.portMatch(o)
	if err != nil {
		return err
	}
	return m.set(&m.source, o)
}

func (p *parser) dport(o given) error {
	if latest[*portMatch](p) == nil && latest[*multiport](p) != nil {
		return ports(destinationPorts)(p, o)
	}
	m, err := p.portMatch(o)
	if err != nil {
		return err
	}
	return m.set(&m.destination, o)
}

// ports returns the option that gives a multiport match its list.
func ports(which portChoice) func(*parser, given) error {
	return func(p *parser, o given) error {
		m := latest[*multiport](p)
		if m == nil {
			return fmt.Errorf("%s needs -m multiport before it", o.name)
		}
		if p.rule.proto.ported() == "" {
			return fmt.Errorf("%s needs -p tcp, udp or sctp before it", o.name)
		}
		return m.set(which, o)
	}
}

func (p *parser) mark(o given) (err error) {
	m := latest[*markMatch](p)
	switch {
	case m == nil:
		return fmt.Errorf("%s needs -m mark before it", o.name)
	case m.given:
		return fmt.Errorf("only one %s in a mark match", o.name)
	}
	m.given, m.not = true, o.not
	m.value, m.mask, err = parseMark(o, true)
	return err
}

func (p *parser) comment(o given) error {
	c := latest[*comment](p)
	if c == nil {
		return fmt.Errorf("%s needs -m comment before it", o.name)
	}
	return c.set(o)
}

// complete reports what a match still lacks at the end of the line.
func (p *parser) complete(m match) error {
	switch m := m.(type) {
	case *portMatch:
		if p.rule.proto.ported() != m.module {
			return fmt.Errorf("-m %s needs -p %s", m.module, m.module)
		}
	case *multiport:
		if m.which == noPorts {
			return fmt.Errorf("-m multiport needs --sports, --dports or --ports")
		}
	case *markMatch:
		if !m.given {
			return fmt.Errorf("-m mark needs --mark")
		}
	case *comment:
		if !m.given {
			return fmt.Errorf("-m comment needs --comment")
		}
	}
	return nil
}
