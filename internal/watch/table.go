package watch

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"natlb/internal/control"
	"natlb/ipvs"
)

// Reading is one look at a director.
type Reading struct {
	ipvs.Snapshot
	Counters []control.Counter
	Time     time.Time // of day
}

// PerSecond are rates, bytes (not bits) in the last two.
type PerSecond struct {
	Conns    float64 `json:"conns"`
	InPkts   float64 `json:"in_packets"`
	OutPkts  float64 `json:"out_packets"`
	InBytes  float64 `json:"in_bytes"`
	OutBytes float64 `json:"out_bytes"`
}

// Counts are the connections of a server, or of all servers of a service.
type Counts struct {
	Active       int64 `json:"active"`
	Inactive     int64 `json:"inactive"`
	PersistConns int64 `json:"persist_conns"`
}

// Service is a service with its servers.
type Service struct {
	Key       ipvs.ServiceKey
	Scheduler string
	Counts
	PerSecond
	Servers []Server
}

// Server is a real server of a service.
type Server struct {
	ipvs.Destination
	State string // see StateOf
	Counts
	PerSecond
}

// Drop is a reason for which frames were dropped.
type Drop struct {
	Name   string
	Rate   float64 // per second
	Frames uint64  // since the director started
}

// Table is what natlb watch shows.
type Table struct {
	Time     time.Time
	Interval time.Duration // that the rates are of; 0: there are none yet
	Entries  int
	Services []Service
	Drops    []Drop // those that have happened at all, most frequent first
}

// Tables makes a table of each reading and the one before it.
func Tables(read func(context.Context) (*Reading, error)) Next {
	var before *Reading
	return func(ctx context.Context) (Shown, error) {
		now, err := read(ctx)
		if err != nil {
			return nil, err
		}
		t := Between(before, now)
		before = now
		return t, nil
	}
}

// Rated implements [Shown].
func (t *Table) Rated() bool { return t.Interval > 0 }

// StateOf says in a word how a server is: up, overloaded (at its upper
// threshold), draining (weight 0 and active connections left), quiesced (weight 0
// and none), or whatever its weight unreachable.
func StateOf(d *ipvs.DestinationStatus) string {
	switch {
	case d.Reach.Unreachable:
		return "unreachable"
	case d.Weight == 0 && d.Active > 0:
		return "draining"
	case d.Weight == 0:
		return "quiesced"
	case d.Overloaded:
		return "overloaded"
	}
	return "up"
}

type serverKey struct {
	service ipvs.ServiceKey
	server  string
}

// Between makes a table of a reading and the one before it, which may be nil.
func Between(before, now *Reading) *Table {
	t := &Table{Time: now.Time, Entries: now.Entries}
	old := map[serverKey]ipvs.Stats{}
	if before != nil && now.At > before.At { // else it is another director
		t.Interval = now.At - before.At
		for i := range before.Services {
			s := &before.Services[i]
			old[serverKey{s.Key, ""}] = s.Stats
			for j := range s.Destinations {
				old[serverKey{s.Key, s.Destinations[j].Addr.String()}] = s.Destinations[j].Stats
			}
		}
	}
	for i := range now.Services {
		s := &now.Services[i]
		row := Service{Key: s.Key, Scheduler: s.Scheduler, PerSecond: t.rates(old[serverKey{s.Key, ""}], s.Stats)}
		for j := range s.Destinations {
			d := &s.Destinations[j]
			counts := Counts{int64(d.Active), int64(d.Inactive), int64(d.PersistConns)}
			row.Servers = append(row.Servers, Server{
				Destination: d.Destination, State: StateOf(d), Counts: counts,
				PerSecond: t.rates(old[serverKey{s.Key, d.Addr.String()}], d.Stats),
			})
			row.Active += counts.Active
			row.Inactive += counts.Inactive
			row.PersistConns += counts.PersistConns
		}
		t.Services = append(t.Services, row)
	}
	t.drops(before, now)
	return t
}

// rates are what has passed in the interval. Counters that went back were set to
// zero in between.
func (t *Table) rates(before, now ipvs.Stats) PerSecond {
	return PerSecond{
		t.rate(before.Conns, now.Conns), t.rate(before.InPkts, now.InPkts), t.rate(before.OutPkts, now.OutPkts),
		t.rate(before.InBytes, now.InBytes), t.rate(before.OutBytes, now.OutBytes),
	}
}

func (t *Table) rate(before, now uint64) float64 {
	if t.Interval == 0 {
		return 0
	}
	if now < before {
		before = 0
	}
	return float64(now-before) / t.Interval.Seconds()
}

// drops finds the counters of frames that went nowhere.
func (t *Table) drops(before, now *Reading) {
	old := map[string]uint64{}
	if t.Interval > 0 {
		for _, c := range before.Counters {
			old[c.Name] = c.Count
		}
	}
	for _, c := range now.Counters {
		lost := strings.HasPrefix(c.Name, "drop-") || strings.HasSuffix(c.Name, "-dropped") || strings.HasSuffix(c.Name, "-failed")
		if lost && c.Count > 0 {
			t.Drops = append(t.Drops, Drop{c.Name, t.rate(old[c.Name], c.Count), c.Count})
		}
	}
	slices.SortStableFunc(t.Drops, func(a, b Drop) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(b.Frames, a.Frames))
	})
}

// SortKeys are the words for [Table.Sort], in the order in which a key press goes
// through them.
func SortKeys() []string { return []string{"name", "conns", "in", "out", "active"} }

// Sort puts services, and the servers of each, in order of one of [SortKeys]: by
// name, or the greatest first by new connections, bytes in, bytes out per
// second, or active connections.
func (t *Table) Sort(key string) bool {
	by := func(c *Counts, p *PerSecond) float64 {
		switch key {
		case "conns":
			return p.Conns
		case "in":
			return p.InBytes
		case "out":
			return p.OutBytes
		case "active":
			return float64(c.Active)
		}
		return 0
	}
	slices.SortStableFunc(t.Services, func(a, b Service) int {
		return cmp.Or(cmp.Compare(by(&b.Counts, &b.PerSecond), by(&a.Counts, &a.PerSecond)), compareKeys(a.Key, b.Key))
	})
	for i := range t.Services {
		slices.SortStableFunc(t.Services[i].Servers, func(a, b Server) int {
			return cmp.Or(cmp.Compare(by(&b.Counts, &b.PerSecond), by(&a.Counts, &a.PerSecond)), a.Addr.Compare(b.Addr))
		})
	}
	return true
}

func compareKeys(a, b ipvs.ServiceKey) int {
	return cmp.Or(cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.Proto, b.Proto), a.VIP.Compare(b.VIP))
}
