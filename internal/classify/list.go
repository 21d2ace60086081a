package classify

import (
	"fmt"
	"strings"
)

// Text returns what -L or -S prints of the chain of the command's family, lines with
// their ends; "" for other commands. Addresses and ports are always numbers, with or without -n.
func (s Ruleset) Text(c Command) string {
	line, head := (*Rule).listed, fmt.Sprintf("Chain %s (policy ACCEPT)\n", chain)+listHead
	switch {
	case c.Verb == ListRules:
		line, head = (*Rule).saved, "-P "+chain+" ACCEPT\n"
	case c.Verb != List:
		return ""
	case c.LineNumbers:
		head = strings.Replace(head, listHead, "num  "+listHead, 1)
	}
	var b strings.Builder
	if c.Number == 0 {
		b.WriteString(head)
	}
	for i, r := range s.chain(c.V6) {
		if c.Number != 0 && c.Number != i+1 {
			continue
		}
		if c.LineNumbers {
			fmt.Fprintf(&b, "%-4d ", i+1)
		}
		b.WriteString(line(r) + "\n")
	}
	return b.String()
}

// Lines returns both chains for natlb's own save file: one line per rule,
// "mark -A PREROUTING ..." and "mark -6 -A PREROUTING ...", without line ends.
// [Split] and [Parse] read what follows the word mark.
func (s Ruleset) Lines() []string {
	var lines []string
	for _, r := range s.rules {
		lines = append(lines, "mark "+r.saved())
	}
	for _, r := range s.rules6 {
		lines = append(lines, "mark -6 "+r.saved())
	}
	return lines
}

func (r *Rule) saved() string { return "-A " + chain + " " + r.String() }

const listHead = "target     prot opt source               destination         \n"

// listed is the rule's -L line, in the columns of listHead. Deviation: protocols are
// always names, which iptables shows or not depending on its version.
func (r *Rule) listed() string {
	proto := "all"
	if r.proto.number != 0 {
		proto = r.proto.String()
	}
	line := fmt.Sprintf("%-9s %s%-4s -- %s%-19s %s%-19s ", targetNames[r.target.kind],
		bang(r.proto.not, "!", " "), proto,
		bang(r.source.not, "!", " "), r.source.listed(),
		bang(r.destination.not, "!", " "), r.destination.listed())
	for _, m := range r.matches {
		line += " " + m.listed()
	}
	if text := r.target.listed(); text != "" {
		line += " " + text
	}
	return line
}
