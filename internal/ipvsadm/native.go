package ipvsadm

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"natlb/internal/classify"
	"natlb/internal/control"
	"natlb/internal/sources"
	"natlb/ipvs"
)

// The words that begin a rules line which ipvsadm does not know.
const (
	wordMark   = "mark"
	wordSource = "source"
	wordSysctl = "sysctl"
	sysctlRoot = "net.ipv4.vs."
)

// nativeRule reads a line of natlb's own, which has no comment any more: mark and
// a command of iptables' shape, source and addresses, or sysctl NAME=VALUE. It
// reports false for other lines.
func nativeRule(text string) (c ipvs.Change, is bool, err error) {
	text = strings.TrimSpace(text)
	word, rest := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		word, rest = text[:i], text[i:]
	}
	switch word {
	case wordMark:
		words, err := classify.Split(rest)
		if err != nil {
			return c, true, err
		}
		cmd, err := classify.Parse(words)
		if err == nil && !cmd.Changes() {
			err = fmt.Errorf("mark%s does not belong into rules", rest)
		}
		return ipvs.Change{Kind: ipvs.ChangeMarks, Words: words}, true, err
	case wordSource:
		words := strings.Fields(rest)
		cmd, err := sources.Parse(words)
		if err == nil && !cmd.Changes() {
			err = fmt.Errorf("source%s does not belong into rules", rest)
		}
		return ipvs.Change{Kind: ipvs.ChangeSources, Words: words}, true, err
	case wordSysctl:
		name, value, ok := strings.Cut(strings.TrimSpace(rest), "=")
		if !ok {
			return c, true, fmt.Errorf("sysctl takes NAME=VALUE, not %q", strings.TrimSpace(rest))
		}
		name = strings.TrimPrefix(strings.TrimSpace(name), sysctlRoot)
		return ipvs.Change{Kind: ipvs.SetSysctl, Name: name, Value: strings.TrimSpace(value)}, true, nil
	}
	return c, false, nil
}

// WriteRules writes a rules file that ParseRules reads and that makes the same
// state again: numbers only, thresholds, timeouts, settings that are not at their
// defaults, marks and source addresses too. Services are in the order of listings; servers in the
// order in which they came, which is the order that decides ties.
func WriteRules(w io.Writer, s *control.State) {
	fmt.Fprintln(w, TimeoutsRule(s.Timeouts))
	for _, x := range s.Sysctls {
		if x.Value != x.Default {
			fmt.Fprintln(w, SysctlRule(x.Name, x.Value))
		}
	}
	for _, rule := range s.Marks {
		fmt.Fprintln(w, MarkRule(rule))
	}
	for _, addrs := range s.Sources {
		fmt.Fprintln(w, SourceRule(addrs))
	}
	services := slices.Clone(s.Services)
	slices.SortStableFunc(services, func(a, b ipvs.ServiceStatus) int { return a.Key.Compare(b.Key) })
	for i := range services {
		fmt.Fprintln(w, ServiceRule(&services[i].Service))
		for _, d := range slices.Backward(services[i].Destinations) {
			fmt.Fprintln(w, ServerRule(services[i].Key, &d.Destination))
		}
	}
}

// ServiceName returns the options that name a service, for instance
// "-t 192.0.2.1:80".
func ServiceName(k ipvs.ServiceKey) string { return serviceArgs(numbers, k) }

// ServiceRule returns the line of a rules file that adds a service. Unlike -S it
// leaves out none of the scheduler's flags.
func ServiceRule(s *ipvs.Service) string {
	flags := schedFlagList(s)
	if third := "flag-3"; s.Flags&ipvs.FlagSched3 != 0 && !strings.Contains(flags, third) {
		flags = strings.TrimPrefix(flags+","+third, ",")
	}
	return serviceRule(numbers, s, flags)
}

// ServerRule returns the line of a rules file that adds a server.
func ServerRule(k ipvs.ServiceKey, d *ipvs.Destination) string {
	rule := serverRule(numbers, k, d)
	if d.UpperThreshold != 0 || d.LowerThreshold != 0 {
		rule += fmt.Sprintf(" -x %d -y %d", d.UpperThreshold, d.LowerThreshold)
	}
	return rule
}

// TimeoutsRule returns the line of a rules file that sets the timeouts.
func TimeoutsRule(t ipvs.Timeouts) string {
	return fmt.Sprintf("--set %d %d %d", t.TCP, t.TCPFin, t.UDP)
}

// SysctlRule returns the line of a rules file that sets a sysctl; name comes
// without net.ipv4.vs.
func SysctlRule(name, value string) string { return wordSysctl + " " + sysctlRoot + name + "=" + value }

// SourceRule returns the line of a rules file that adds source addresses: one, or a
// range.
func SourceRule(addrs string) string { return wordSource + " add " + addrs }

// MarkRule returns the line of a rules file that gives a mark; rule is as natlb
// mark -S prints it.
func MarkRule(rule string) string { return wordMark + " " + rule }
