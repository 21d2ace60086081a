package ipvsadm

import (
	"errors"
	"strings"

	"natlb/ipvs"
)

// scriptSave is the script ipvsadm-save: -S, with -n if asked.
func (s *invocation) scriptSave(args []string) error {
	numeric := false
	for _, a := range args {
		switch {
		case a == "-n":
			numeric = true
		case strings.HasPrefix(a, "-"):
			return &fault{
				text:   s.env.Prog + " [-n]: writes the table to standard output, as ipvsadm-restore reads it\n  -n  numeric addresses and ports",
				status: statusListing,
			}
		}
	}
	return s.saveTable(numeric)
}

// scriptRestore is the script ipvsadm-restore: it replaces the table with the
// rules on standard input. Deviation: in one transaction, so that a fault
// leaves the table as it was; every fault is named with its line.
func (s *invocation) scriptRestore(args []string) error {
	if len(args) > 0 { // whoever asks for help does not want an empty table
		return &fault{
			text:   s.env.Prog + ": replaces the table with the rules on standard input, as ipvsadm-save writes them, all or nothing",
			status: statusListing,
		}
	}
	rules, err := parseRules(s.ctx, s.env.Stdin, "stdin", s.lookup)
	if err != nil {
		return usage("%v", err)
	}
	changes := append([]ipvs.Change{{Kind: ipvs.FlushServices}}, rules.Changes...)
	err = s.env.Client.Apply(s.ctx, changes)
	var refused *ipvs.ChangeError
	if errors.As(err, &refused) && refused.Index > 0 {
		line := rules.places[refused.Index-1].line
		return usage("stdin:%d: %v; nothing was changed", line, refusal(err, statusRefused))
	}
	return refusal(err, statusRefused)
}
