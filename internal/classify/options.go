package classify

import (
	"fmt"
	"slices"
	"strings"
)

// option is one word that begins with "-", by all its names.
type option struct {
	names []string // the first is the one that messages about a pair of options use
	value valueKind
	use   optionUse
	not   bool // "!" may go before it
	once  bool // one per rule
	take  func(*parser, given) error
}

// given is an option as it stands on a command line.
type given struct {
	name  string // as written
	value string
	not   bool
}

type valueKind uint8

const (
	noValue     valueKind = iota
	oneValue              // the rest of the word, or the next word whatever it is
	chainValue            // the next word too, if it is not an option
	digitsValue           // the next word too, if it is a number
)

// optionUse says with which commands an option goes.
type optionUse uint8

const (
	everywhere optionUse = iota
	ruleOption           // describes a rule: -A, -I, -D, -C
	listOption           // with -L
)

// options are all that is known: the commands, the parts of a rule, the modules'
// options, and what scripts write around them.
var options = []option{
	{names: []string{"-A", "--append"}, value: oneValue, take: command(Append)},
	{names: []string{"-I", "--insert"}, value: oneValue, take: command(Insert)},
	{names: []string{"-D", "--delete"}, value: oneValue, take: command(Delete)},
	{names: []string{"-C", "--check"}, value: oneValue, take: command(Check)},
	{names: []string{"-F", "--flush"}, value: chainValue, take: command(Flush)},
	{names: []string{"-L", "--list"}, value: chainValue, take: command(List)},
	{names: []string{"-S", "--list-rules"}, value: chainValue, take: command(ListRules)},
	{names: []string{"-P", "--policy"}, value: oneValue, take: command(Policy)},

	{names: []string{"-s", "--source", "--src"}, value: oneValue, use: ruleOption, not: true, once: true, take: (*parser).source},
	{names: []string{"-d", "--destination", "--dst"}, value: oneValue, use: ruleOption, not: true, once: true, take: (*parser).destination},
	{names: []string{"-i", "--in-interface"}, value: oneValue, use: ruleOption, not: true, once: true, take: (*parser).inInterface},
	{names: []string{"-p", "--protocol", "--proto"}, value: oneValue, use: ruleOption, not: true, once: true, take: (*parser).protocol},
	{names: []string{"-m", "--match"}, value: oneValue, use: ruleOption, take: (*parser).match},
	{names: []string{"-j", "--jump"}, value: oneValue, use: ruleOption, once: true, take: (*parser).jump},

	{names: []string{"--sport", "--source-port"}, value: oneValue, use: ruleOption, not: true, take: (*parser).sport},
	{names: []string{"--dport", "--destination-port"}, value: oneValue, use: ruleOption, not: true, take: (*parser).dport},
	{names: []string{"--sports", "--source-ports"}, value: oneValue, use: ruleOption, not: true, take: ports(sourcePorts)},
	{names: []string{"--dports", "--destination-ports"}, value: oneValue, use: ruleOption, not: true, take: ports(destinationPorts)},
	{names: []string{"--ports"}, value: oneValue, use: ruleOption, not: true, take: ports(eitherPorts)},
	{names: []string{"--mark"}, value: oneValue, use: ruleOption, not: true, take: (*parser).mark},
	{names: []string{"--comment"}, value: oneValue, use: ruleOption, take: (*parser).comment},

	{names: []string{"--set-xmark"}, value: oneValue, use: ruleOption,
		take: setMark(true, func(v, m uint32) (uint32, uint32) { return v, m })},
	{names: []string{"--set-mark"}, value: oneValue, use: ruleOption,
		take: setMark(true, func(v, m uint32) (uint32, uint32) { return v, v | m })},
	{names: []string{"--and-mark"}, value: oneValue, use: ruleOption,
		take: setMark(false, func(v, _ uint32) (uint32, uint32) { return 0, ^v })},
	{names: []string{"--or-mark"}, value: oneValue, use: ruleOption,
		take: setMark(false, func(v, _ uint32) (uint32, uint32) { return v, v })},
	{names: []string{"--xor-mark"}, value: oneValue, use: ruleOption,
		take: setMark(false, func(v, _ uint32) (uint32, uint32) { return v, 0 })},

	{names: []string{"-t", "--table"}, value: oneValue, take: (*parser).table},
	{names: []string{"-w", "--wait"}, value: digitsValue, take: ignored},
	{names: []string{"-4", "--ipv4"}, take: family(false)},
	{names: []string{"-6", "--ipv6"}, take: family(true)},
	{names: []string{"-n", "--numeric"}, use: listOption, take: ignored},
	{names: []string{"--line-numbers"}, use: listOption, take: (*parser).lineNumbers},
	{names: []string{"-v", "--verbose"}, take: refused("natlb counts no packets for its mark rules (-S shows every part of a rule)")},
	{names: []string{"-x", "--exact"}, take: refused("natlb counts no packets for its mark rules")},
	{names: []string{"-Z", "--zero"}, value: chainValue, take: refused("natlb counts no packets for its mark rules")},
	{names: []string{"-R", "--replace"}, value: oneValue, take: refused("delete the rule with -D and insert the new one with -I")},
	{names: []string{"-N", "--new-chain"}, value: oneValue, take: refused(onlyPrerouting)},
	{names: []string{"-X", "--delete-chain"}, value: chainValue, take: refused(onlyPrerouting)},
	{names: []string{"-E", "--rename-chain"}, value: oneValue, take: refused(onlyPrerouting)},
	{names: []string{"-g", "--goto"}, value: oneValue, take: refused(onlyPrerouting)},
	{names: []string{"-o", "--out-interface"}, value: oneValue, take: refused("the way out is not known in PREROUTING")},
	{names: []string{"-f", "--fragment"}, not: true, take: refused("natlb marks packets whole, after their fragments have come together")},
}

// find returns the option of a name; a long name may be cut short as long as
// only one option begins so. Deviation: the options of modules that are not loaded
// count too.
func find(name string) (*option, error) {
	var found *option
	var names []string
	for i := range options {
		o := &options[i]
		if slices.Contains(o.names, name) {
			return o, nil
		}
		at := slices.IndexFunc(o.names, func(n string) bool { return strings.HasPrefix(n, name) })
		if at >= 0 && strings.HasPrefix(name, "--") {
			found, names = o, append(names, o.names[at])
		}
	}
	switch len(names) {
	case 0:
		return nil, fmt.Errorf("unknown option %q", name)
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("option %q could be any of %s", name, strings.Join(names, ", "))
}

func ignored(*parser, given) error { return nil }

// refused is for what iptables has and natlb does not: the reason, in one line.
func refused(why string) func(*parser, given) error {
	return func(_ *parser, o given) error {
		return fmt.Errorf("option %s is not supported: %s", o.name, why)
	}
}
