package doctor

import (
	"fmt"
	"slices"
)

// Level says how bad a finding is.
type Level uint8

// Levels of findings.
const (
	OK      Level = iota
	Unknown       // it could not be looked at
	Warning       // it costs something, or may become a fault
	Fault         // it breaks something
)

var levelWords = [...]string{"ok", "unknown", "warning", "fault"}

// String returns the level's word.
func (l Level) String() string { return levelWords[l] }

// MarshalText writes the level's word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is one fact about the host.
type Finding struct {
	Check   string `json:"check"` // name of the check that found it
	Level   Level  `json:"level"`
	Subject string `json:"subject,omitempty"` // what it is about: an interface, an address, a service
	Text    string `json:"text"`              // one line for people
	Cure    string `json:"cure,omitempty"`    // what to do, a command where there is one
}

// Check is one question that the doctor asks of the facts.
type Check struct {
	Name string
	host bool // it needs the director's own network namespace
	run  func(*Facts, *report)
}

// Checks are all checks, in the order in which they are reported: what a fault
// there would explain comes after it. docs/doctor.md says what each looks at.
var Checks = []Check{
	{"socket", false, checkSocket},
	{"director", false, checkDirector},
	{"namespace", false, checkNamespace},
	{"capability", false, checkCapability},
	{"rules-file", false, checkRulesFile},
	{"interface", true, checkInterface},
	{"ipv6", true, checkIPv6},
	{"offload", true, checkOffload},
	{"kernel-ipvs", true, checkKernelIPVS},
	{"guard", true, checkGuard},
	{"rp-filter", true, checkRPFilter},
	{"host-rules", true, checkHostRules},
	{"vip", true, checkVIP},
	{"arp-ignore", true, checkARPIgnore},
	{"service", false, checkService},
	{"route", true, checkRoute},
	{"client-route", true, checkClientRoute},
	{"neighbour", true, checkNeighbour},
	{"mtu", true, checkMTU},
	{"near-client", true, checkNearClient},
	{"hairpin", true, checkHairpin},
	{"gateway", true, checkGateway},
	{"direct", true, checkDirect},
	{"drops", false, checkDrops},
	{"verdicts", false, checkVerdicts},
	{"table", false, checkTable},
	{"memory", false, checkMemory},
}

// Examine asks every check about f. It is a pure function.
func Examine(f *Facts) []Finding {
	var all []Finding
	for _, c := range Checks {
		if c.host && f.Elsewhere != "" {
			continue
		}
		r := report{check: c.Name}
		c.run(f, &r)
		all = append(all, r.short()...)
	}
	return all
}

// Count returns how many of the findings are of that level.
func Count(findings []Finding, level Level) (n int) {
	for i := range findings {
		if findings[i].Level == level {
			n++
		}
	}
	return n
}

// report collects what one check finds.
type report struct {
	check    string
	findings []Finding
}

func (r *report) add(level Level, subject, cure, format string, args ...any) {
	r.findings = append(r.findings, Finding{r.check, level, subject, fmt.Sprintf(format, args...), cure})
}

func (r *report) ok(subject, format string, args ...any) { r.add(OK, subject, "", format, args...) }

func (r *report) unknown(subject, cure, format string, args ...any) {
	r.add(Unknown, subject, cure, format, args...)
}

func (r *report) warn(subject, cure, format string, args ...any) {
	r.add(Warning, subject, cure, format, args...)
}

func (r *report) fault(subject, cure, format string, args ...any) {
	r.add(Fault, subject, cure, format, args...)
}

// manyFine is how many lines of one check may say that all is well.
const manyFine = 4

// short returns the findings, the worst first, with one line for the rest of
// many that are fine.
func (r *report) short() []Finding {
	slices.SortStableFunc(r.findings, func(a, b Finding) int { return int(b.Level) - int(a.Level) })
	fine := Count(r.findings, OK)
	if fine <= manyFine {
		return r.findings
	}
	keep := len(r.findings) - fine + manyFine - 1
	rest := len(r.findings) - keep
	r.findings = r.findings[:keep]
	r.ok("", "and %d more like these", rest)
	return r.findings
}
