package sched

import (
	"time"

	"natlb/ipvs"
)

// Explainer is implemented by schedulers that can say why they pick whom they
// pick: all of IPVS's.
type Explainer interface {
	// Explain returns what Schedule would look at if it were asked for f at
	// now, and changes nothing. Serialized with the other calls.
	Explain(f *Flow, now time.Duration) Reasons
}

// Reasons are the numbers that decide a pick: of the candidates that are not
// out the one with the least Load/Per wins, or with Most the greatest, the first
// of them among equals. When all are out nobody is picked.
type Reasons struct {
	Rule       string // who wins, for people
	Compares   string // a name for Load/Per
	Most       bool
	Facts      []Fact      // what the comparison starts from
	Candidates []Candidate // in the order in which they are compared
}

// Fact is something that a scheduler remembers or computes for one pick.
type Fact struct{ Name, Value string }

// Candidate is one server in a comparison.
type Candidate struct {
	Server    *ipvs.RealServer
	Load, Per int64  // what is compared is Load/Per; Per is above 0 unless Out says why not
	Out       string // why the server cannot be picked; empty if it can
	Note      string // what else there is to say, or empty
}

// Why a server may not be picked.
const (
	outQuiesced   = "quiesced"
	outOverloaded = "overloaded"
	outDeleted    = "deleted"

	outUnreachable = "unreachable" // withheld for that
)

// unfit says why the rule that most schedulers share keeps a server from being
// picked, or returns "".
func unfit(s *ipvs.RealServer) string {
	switch {
	case s.Weight() <= 0:
		return weightless(s)
	case s.Overloaded():
		return outOverloaded
	}
	return ""
}

// weightless says why a server's weight is 0.
func weightless(s *ipvs.RealServer) string {
	if s.ConfiguredWeight() > 0 {
		return outUnreachable
	}
	return outQuiesced
}

// compared returns the candidates of a comparison of all servers.
func compared(servers []*ipvs.RealServer, load, per func(*ipvs.RealServer) int64) []Candidate {
	candidates := make([]Candidate, 0, len(servers))
	for _, s := range servers {
		candidates = append(candidates, Candidate{Server: s, Load: load(s), Per: per(s), Out: unfit(s)})
	}
	return candidates
}

// others appends the servers that are not among the candidates yet, out for the
// reason given.
func others(candidates []Candidate, servers []*ipvs.RealServer, why string) []Candidate {
	in := make(map[*ipvs.RealServer]bool, len(candidates))
	for i := range candidates {
		in[candidates[i].Server] = true
	}
	for _, s := range servers {
		if !in[s] {
			candidates = append(candidates, Candidate{Server: s, Out: why})
		}
	}
	return candidates
}

// one is what is compared when only the load counts.
func one(*ipvs.RealServer) int64 { return 1 }

// byWeight is what loads are divided by where the weight counts.
func byWeight(s *ipvs.RealServer) int64 { return int64(s.Weight()) }

// named returns how facts speak of a server.
func named(s *ipvs.RealServer) string {
	if s == nil {
		return "none"
	}
	return s.Addr.String()
}
