package classify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// match is one -m of a rule.
type match interface {
	words() string  // as -S prints it: "-m tcp --dport 80"
	listed() string // as -L prints it: "tcp dpt:80"
	compile(*test)
}

// portMatch is -m tcp, udp or sctp. A nil side is not looked at.
type portMatch struct {
	module              string
	source, destination *portSide
}

type portSide struct {
	span
	not bool
}

func (m *portMatch) words() string {
	text := "-m " + m.module
	for _, side := range []struct {
		name string
		*portSide
	}{{"--sport", m.source}, {"--dport", m.destination}} {
		if side.portSide != nil {
			text += bang(side.not, " ! ", " ") + side.name + " " + side.span.String()
		}
	}
	return text
}

func (m *portMatch) listed() string {
	text := m.module
	for _, side := range []struct {
		name string
		*portSide
	}{{"spt", m.source}, {"dpt", m.destination}} {
		if side.portSide == nil || side.span == allPorts && !side.not {
			continue
		}
		if side.low != side.high {
			side.name += "s"
		}
		text += " " + side.name + ":" + bang(side.not, "!", "") + side.span.String()
	}
	return text
}

// set reads the value of --sport or --dport. The range of all ports is no condition, and
// forgotten, but for sctp, where iptables prints it. Deviation: iptables
// forgets a negated one too when it prints, and so turns never into always.
func (m *portMatch) set(side **portSide, o given) error {
	if *side != nil {
		return fmt.Errorf("only one %s", o.name)
	}
	s, err := parseSpan(o.value)
	if err != nil {
		return err
	}
	if s != allPorts || o.not || m.module == "sctp" {
		*side = &portSide{s, o.not}
	}
	return nil
}

// multiport is -m multiport: any of up to 15 ports or ranges.
type multiport struct {
	which portChoice
	spans []span
	not   bool
}

// portChoice says which ports of a packet are looked at; either is both bits.
type portChoice uint8

const (
	noPorts portChoice = iota
	sourcePorts
	destinationPorts
	eitherPorts
)

var portChoiceNames = [...]string{noPorts: "", sourcePorts: "sports", destinationPorts: "dports", eitherPorts: "ports"}

func (m *multiport) list() string {
	texts := make([]string, len(m.spans))
	for i, s := range m.spans {
		texts[i] = s.String()
	}
	return strings.Join(texts, ",")
}

func (m *multiport) words() string {
	return "-m multiport" + bang(m.not, " ! ", " ") + "--" + portChoiceNames[m.which] + " " + m.list()
}

func (m *multiport) listed() string {
	// Two blanks before the "!": iptables prints them too.
	return "multiport " + portChoiceNames[m.which] + bang(m.not, "  !", " ") + m.list()
}

func (m *multiport) set(which portChoice, o given) (err error) {
	if m.which != noPorts {
		return fmt.Errorf("only one list of ports in a multiport match (%s)", o.name)
	}
	m.which, m.not = which, o.not
	m.spans, err = parseSpans(o.value)
	return err
}

// markMatch is -m mark: the mark that the packet has when the walk comes here.
type markMatch struct {
	value, mask uint32
	given, not  bool
}

func (m *markMatch) words() string {
	return "-m mark" + bang(m.not, " ! ", " ") + "--mark " + m.number()
}

func (m *markMatch) listed() string {
	return "mark match " + bang(m.not, "! ", "") + m.number()
}

func (m *markMatch) number() string {
	if m.mask == 0xffffffff {
		return fmt.Sprintf("%#x", m.value)
	}
	return marked(m.value, m.mask)
}

// comment is -m comment: text that -S and -L keep.
type comment struct {
	text  string
	given bool
}

// commentMax is the longest comment in bytes (xt_comment).
const commentMax = 255

func (c *comment) words() string  { return "-m comment --comment " + quoted(c.text) }
func (c *comment) listed() string { return "/* " + c.text + " */" }

func (c *comment) set(o given) error {
	switch {
	case c.given:
		return fmt.Errorf("only one %s in a comment match", o.name)
	case len(o.value) > commentMax:
		return fmt.Errorf("a comment has at most %d bytes, this one has %d", commentMax, len(o.value))
	case !printable(o.value):
		// Deviation: iptables takes line breaks too, and its -S can then not be read back.
		return fmt.Errorf("a comment is printable text in one line, not %q", o.value)
	}
	c.text, c.given = o.value, true
	return nil
}

func printable(text string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func bang(not bool, yes, no string) string {
	if not {
		return yes
	}
	return no
}
