package ipvsadm

import (
	"slices"
	"strings"
)

// usageHints are for faults of the command line, by how their words begin.
var usageHints = []struct{ begins, hint string }{
	{"Try `", "the command comes first: -L -n, not -n -L"},
	{badService, addressForm},
	{badServer, addressForm},
	{"invalid fwmark value", "a mark is a decimal number from 1 to 4294967295"},
	{"invalid timeout value", "seconds, up to 2678400 (31 days)"},
	{"illegal weight", "a weight is a number from 0 (no new connections) to 2147483647"},
	{"-6 must follow -f", "-6 is for marks (-f 5 -6); an address shows its own family"},
	{"Zero port specified", "port 0 stands for all ports and needs -p"},
	{"incompatible scheduler flag", "sh-... goes with -s sh, mh-... with -s mh"},
	{"Different address family", otherFamily},
	{"Tunnel options conflict", "--tun-... go with -i"},
	{"--set option requires", "natlb --set TCP TCPFIN UDP, in seconds; 0 keeps one"},
	{"unexpected argument #", "-R knows no comments"},
	{"options conflicts in the list", "-c, --timeout and --daemon are listings of their own, without columns of the table"},
}

const addressForm = "ADDRESS:PORT, NAME:PORT or [IPV6]:PORT; names are the host's resolver's and those of /etc/services"

func (s *scene) usageHint(text string) string {
	if word, ok := strings.CutSuffix(text, ": unknown option"); ok {
		return likeOption(word)
	}
	if strings.HasPrefix(text, "Illegal '") && s.ln != nil && strings.HasSuffix(text, " command") {
		return s.ln.cmd.spelling() + " takes " + strings.Join(s.ln.cmd.options(), " ")
	}
	for _, h := range usageHints {
		if strings.HasPrefix(text, h.begins) {
			return h.hint
		}
	}
	return ""
}

// likeOption finds the long option that was meant: one that begins so, or is
// spelled almost so.
func likeOption(word string) string {
	name, isLong := strings.CutPrefix(word, "--")
	name, _, _ = strings.Cut(name, "=")
	if !isLong || name == "" {
		return ""
	}
	var names []string
	for _, o := range options {
		names = append(names, o.long)
	}
	near := nearest(name, names)
	if i := slices.IndexFunc(near, func(n string) bool { return strings.HasPrefix(n, name) }); i >= 0 {
		return "options are not abbreviated: --" + near[i]
	}
	if distance(name, near[0]) <= 2 {
		return "meant --" + near[0] + "?"
	}
	return ""
}

// spelling returns how a command is written, short if it can be.
func (c *command) spelling() string {
	if c.short != 0 {
		return "-" + string(c.short)
	}
	return "--" + c.long
}

// options lists how the options of a command are written.
func (c *command) options() []string {
	var all []string
	for _, o := range options {
		switch {
		case o.free || !(c.needs | c.takes | c.oneOf).has(o.id):
		case o.short != 0:
			all = append(all, "-"+string(o.short))
		default:
			all = append(all, "--"+o.long)
		}
	}
	if all == nil {
		return []string{"no options"}
	}
	return all
}

// nearest returns names sorted by how like name they are.
func nearest(name string, names []string) []string {
	how := make(map[string]int, len(names))
	for _, n := range names {
		how[n] = distance(name, n)
	}
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, func(a, b string) int { return how[a] - how[b] })
	return sorted
}

// distance is how many letters have to be added or taken away to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			best := min(row[j+1], row[j]) + 1
			if a[i] == b[j] {
				best = corner
			}
			corner, row[j+1] = row[j+1], best
		}
	}
	return row[len(b)]
}

// otherFamily is the hint where a service and its server are of two families.
const otherFamily = "-i leads to a server of the other family, by a tunnel; -m and -g do not"
