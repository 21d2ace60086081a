package ipvsadm

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"natlb/internal/classify"
	"natlb/ipvs"
)

// The words that begin a rules line which ipvsadm does not know.
const (
	wordMark   = "mark"
	wordSysctl = "sysctl"
	sysctlRoot = "net.ipv4.vs."
)

// nativeRule reads a line of natlb's own: mark and a command of iptables' shape,
// or sysctl NAME=VALUE. It reports false for other lines.
func nativeRule(text string) (c ipvs.Change, is bool, err error) {
	word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	switch word {
	case wordMark:
		words, err := classify.Split(rest)
		if err != nil {
			return c, true, err
		}
		cmd, err := classify.Parse(words)
		if err == nil && !cmd.Changes() {
			err = fmt.Errorf("mark %s does not belong into rules", rest)
		}
		return ipvs.Change{Kind: ipvs.ChangeMarks, Words: words}, true, err
	case wordSysctl:
		rest, _, _ = strings.Cut(rest, "#")
		name, value, ok := strings.Cut(strings.TrimSpace(rest), "=")
		if !ok {
			return c, true, fmt.Errorf("sysctl takes NAME=VALUE, not %q", rest)
		}
		name = strings.TrimPrefix(strings.TrimSpace(name), sysctlRoot)
		return ipvs.Change{Kind: ipvs.SetSysctl, Name: name, Value: strings.TrimSpace(value)}, true, nil
	}
	return c, false, nil
}

// State is all of a director's configuration.
type State struct {
	Timeouts ipvs.Timeouts
	Sysctls  [][2]string          // name without net.ipv4.vs., and value
	Marks    []string             // as natlb mark -S prints them
	Services []ipvs.ServiceStatus // in order of creation, servers newest first
}

// WriteRules writes a rules file that ParseRules reads and that makes the same
// state again: numbers only, thresholds, timeouts, settings and marks too, and
// servers in the order in which they came, which is the order that decides ties.
func WriteRules(w io.Writer, s *State) {
	fmt.Fprintf(w, "--set %d %d %d\n", s.Timeouts.TCP, s.Timeouts.TCPFin, s.Timeouts.UDP)
	for _, x := range s.Sysctls {
		fmt.Fprintf(w, "%s %s%s=%s\n", wordSysctl, sysctlRoot, x[0], x[1])
	}
	for _, rule := range s.Marks {
		fmt.Fprintf(w, "%s %s\n", wordMark, rule)
	}
	for i := range s.Services {
		svc := &s.Services[i]
		writeService(w, numbers, svc)
		for _, d := range slices.Backward(svc.Destinations) {
			writeServer(w, numbers, svc, &d.Destination)
			if d.UpperThreshold != 0 || d.LowerThreshold != 0 {
				fmt.Fprintf(w, " -x %d -y %d", d.UpperThreshold, d.LowerThreshold)
			}
			fmt.Fprintln(w)
		}
	}
}
