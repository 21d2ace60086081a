package dataplane

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"natlb/ipvs"
	"natlb/sched"
)

// witness stands before the scheduler of a trial and writes down what it is
// asked, what it compared and what it picked.
type witness struct {
	sched.Scheduler
	trial *trial
	pick  *ipvs.ExplainedPick // nil until it is asked
}

// Schedule asks the scheduler.
func (w *witness) Schedule(f *sched.Flow, now time.Duration) *ipvs.RealServer {
	w.pick = &ipvs.ExplainedPick{Scheduler: schedulerName(w.trial.service.cfg)}
	servers := w.trial.service.servers
	if e, ok := w.Scheduler.(sched.Explainer); ok {
		w.write(e.Explain(f, now))
	}
	for _, s := range servers {
		if !slices.ContainsFunc(w.pick.Candidates, func(c ipvs.ExplainedCandidate) bool { return c.Address == s.Addr }) {
			w.pick.Candidates = append(w.pick.Candidates, w.trial.candidate(s))
		}
	}
	s := w.Scheduler.Schedule(f, now)
	if s == nil {
		return nil
	}
	w.pick.Server = addrOf(s)
	for i := range w.pick.Candidates {
		if c := &w.pick.Candidates[i]; c.Address == s.Addr {
			c.Picked = true
		}
	}
	return s
}

// write takes down the reasons for a pick.
func (w *witness) write(r sched.Reasons) {
	w.pick.Rule, w.pick.Compares, w.pick.Most = r.Rule, r.Compares, r.Most
	for _, f := range r.Facts {
		w.pick.Facts = append(w.pick.Facts, ipvs.ExplainedFact(f))
	}
	for _, c := range r.Candidates {
		x := w.trial.candidate(c.Server)
		x.Out, x.Note = c.Out, c.Note
		if c.Out == "" {
			x.Load, x.Per = c.Load, c.Per
		}
		w.pick.Candidates = append(w.pick.Candidates, x)
	}
}

// candidate returns the numbers of a server as they are now.
func (t *trial) candidate(s *ipvs.RealServer) ipvs.ExplainedCandidate {
	c := ipvs.ExplainedCandidate{
		Address: s.Addr, Weight: s.ConfiguredWeight(), Active: s.Active(), Inactive: s.Inactive(), PersistConns: s.PersistConns(),
		Overloaded: s.Overloaded(), Deleted: !s.Available(),
	}
	c.UpperThreshold, c.LowerThreshold = s.Thresholds()
	if int(s.ID) < len(t.view.servers) && t.view.servers[s.ID].RealServer == s {
		c.Method = strings.ToLower(t.view.servers[s.ID].method.String())
	}
	return c
}

func addrOf(s *ipvs.RealServer) *netip.AddrPort {
	addr := s.Addr
	return &addr
}
