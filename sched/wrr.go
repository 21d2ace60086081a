package sched

import (
	"fmt"
	"time"

	"natlb/ipvs"
)

// wrr is weighted round robin by levels: a walk through the list serves every
// server whose weight reaches the current level; at the end of the list the
// level sinks by the greatest common divisor of the weights, and from the
// bottom it returns to the top. Weights 5, 1, 1 so give the first server a run
// of turns (this is not the smooth variant).
//
// Any change of the list starts the walk again at the newest server, at the
// level reached (rounded to a level that still exists). A service filled one
// server at a time therefore begins at the bottom level, with a turn for each.
//
// Source: ip_vs_wrr.c.
type wrr struct {
	heights
	at    int // index of the last pick; -1 is the place before the first server
	level int // a server takes its turn if its weight is at least this
	top   int // the highest level: max weight - (step - 1); 0: nobody has weight
	step  int // greatest common divisor of the positive weights, 1 if none
}

func newWRR() *wrr { return &wrr{heights: heights{of: reach, on: ipvs.Fitness}, at: -1, step: 1} }

// reach is the highest level at which a server takes its turn; 0: none.
func reach(s *ipvs.RealServer) int32 {
	if s.Overloaded() {
		return 0
	}
	return s.Weight()
}

// Schedule walks on from the last pick, down the levels and once round to where
// it began. It gives up when everybody was offered a turn at the bottom level;
// place and level then stay where the walk ended.
func (w *wrr) Schedule(*Flow, time.Duration) *ipvs.RealServer {
	if w.top == 0 {
		return nil
	}
	w.Prepare()
	begin := w.at
	for whole := begin < 0; ; whole = true {
		if s := w.walk(len(w.servers) - 1); s != nil {
			return s
		}
		w.at = -1
		restarted := w.sink()
		if restarted && whole {
			return nil
		}
		w.skip()
		if restarted {
			// Behind begin nobody takes a turn even at the bottom level.
			// Before it somebody reaches this one, or this is the bottom.
			return w.walk(begin)
		}
	}
}

// walk goes on from the current place up to and including index end. It returns
// the first server that takes its turn, or nil with the place at end.
func (w *wrr) walk(end int) *ipvs.RealServer {
	if i := w.next(w.at+1, int32(w.level)); i >= 0 && i <= end {
		w.at = i
		return w.servers[i]
	}
	w.at = max(w.at, end)
	return nil
}

// sink goes to the next level and reports whether that meant a restart from the
// top.
func (w *wrr) sink() (restarted bool) {
	w.level -= w.step
	if w.level <= 0 {
		w.level, restarted = w.top, true
	}
	return restarted
}

// skip leaves out the levels that nobody reaches, but never the bottom one. The
// picks are the same without it; but with a heavy server overloaded, walking
// through a million empty levels would hold up a packet.
func (w *wrr) skip() {
	if highest := int(w.highest()); w.level > highest {
		unreached := (w.level - highest + w.step - 1) / w.step
		above := (w.level - 1) / w.step
		w.level -= min(unreached, above) * w.step
	}
}

// Update takes the new weights and restarts the walk.
func (w *wrr) Update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer) {
	w.heights.Update(servers, how, changed)
	w.at = -1
	divisor, highest := 0, 0
	for _, s := range servers {
		weight := int(s.Weight())
		if divisor != 1 {
			divisor = gcd(divisor, weight)
		}
		highest = max(highest, weight)
	}
	w.step = max(divisor, 1)
	w.top = highest - (w.step - 1)
	switch {
	case how == Init || w.level > w.top || w.level == 0:
		w.level = w.top
	case w.step > 1:
		w.level = w.level/w.step*w.step + 1
	}
}

// Merges is false: the level depends on every list that there was.
func (w *wrr) Merges(UpdateKind) bool { return false }

// gcd returns the greatest common divisor; 0 is neutral.
func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Fork implements [Scheduler].
func (w *wrr) Fork(_ *Flow, twin Twins) Scheduler {
	c := *w
	c.heights = w.heights.fork(twin)
	return &c
}

// Explain implements [Explainer]: it counts the steps of the walk to each
// server's next turn.
func (w *wrr) Explain(*Flow, time.Duration) Reasons {
	var place *ipvs.RealServer
	if w.at >= 0 {
		place = w.servers[w.at]
	}
	r := Reasons{
		Rule:     "the next turn on the walk down the levels wins; a server's weight must reach the level",
		Compares: "places",
		Facts: []Fact{
			{"the walk goes on behind", named(place)},
			{"level", fmt.Sprintf("%d of %d, in steps of %d", w.level, w.top, w.step)},
		},
	}
	for i, s := range w.servers {
		c := Candidate{Server: s, Per: 1, Out: unfit(s)}
		if c.Out == "" {
			rounds, level := w.turn(i, int(s.Weight()))
			c.Load = int64(rounds*len(w.servers) + i - w.at)
			c.Note = fmt.Sprintf("at level %d", level)
		}
		r.Candidates = append(r.Candidates, c)
	}
	return r
}

// turn returns after how many ends of the list the walk offers server i a turn
// that its weight is enough for, and at which level.
func (w *wrr) turn(i, weight int) (rounds, level int) {
	if i > w.at && weight >= w.level {
		return 0, w.level
	}
	below := (w.level - 1) / w.step // levels that are left before the restart
	if n := max(1, (w.level-weight+w.step-1)/w.step); n <= below {
		return n, w.level - n*w.step
	}
	n := max(0, (w.top-weight+w.step-1)/w.step)
	return below + 1 + n, w.top - n*w.step
}
