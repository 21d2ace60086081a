package sched

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"natlb/ipvs"
)

// setup is what a scheduler may be made with.
type setup struct {
	flags  ipvs.ServiceFlags
	random *rand.PCG
}

// makers is the table of names: every scheduler that a service can ask for.
var makers = map[string]func(setup) Scheduler{
	"dh":    func(setup) Scheduler { return new(dh) },
	"fo":    func(setup) Scheduler { return newFO() },
	"lblc":  func(setup) Scheduler { return newLBLC() },
	"lblcr": func(setup) Scheduler { return newLBLCR() },
	"lc":    func(setup) Scheduler { return newLC() },
	"mh":    func(s setup) Scheduler { return newMH(s.flags) },
	"none":  func(setup) Scheduler { return new(none) },
	"nq":    func(setup) Scheduler { return newNQ() },
	"ovf":   func(setup) Scheduler { return newOVF() },
	"rr":    func(setup) Scheduler { return newRR() },
	"sed":   func(setup) Scheduler { return newSED() },
	"sh":    func(s setup) Scheduler { return newSH(s.flags) },
	"twos":  func(s setup) Scheduler { return newTwos(s.random) },
	"wlc":   func(setup) Scheduler { return newWLC() },
	"wrr":   func(setup) Scheduler { return newWRR() },
}

// New returns a scheduler of the given name without servers; the caller's first
// Update hands it the list. The name is one of [Names] ("" is not: the caller
// knows [ipvs.DefaultScheduler]). An unknown name gives an error that wraps
// [ipvs.ErrUnknownScheduler] and lists the known ones.
//
// Flags are the service's; sh and mh look at Sched1 (fallback) and Sched2
// (port). The random source is for twos alone, which draws from it under the
// caller's serialization: give every scheduler its own. A nil source is one
// with a fixed seed, so that equal inputs give equal picks.
func New(name string, flags ipvs.ServiceFlags, random *rand.PCG) (Scheduler, error) {
	mk, ok := makers[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q (known: %s)",
			ipvs.ErrUnknownScheduler, name, strings.Join(Names(), " "))
	}
	if random == nil {
		random = rand.NewPCG(1, 2)
	}
	return mk(setup{flags: flags, random: random}), nil
}

// Names returns the names that [New] takes, sorted. The slice is the caller's.
func Names() []string {
	return slices.Sorted(maps.Keys(makers))
}
