package watch

import (
	"net/netip"
	"strings"
	"time"

	"natlb/ipvs"
)

// The table as JSON: names are those of the control socket. Rates are per
// second, and absent in a table without an interval.
type tableJSON struct {
	Schema   int                `json:"schema"`
	Time     time.Time          `json:"time"`
	Interval float64            `json:"interval_seconds"`
	Entries  int                `json:"entries"`
	Services []serviceJSON      `json:"services"`
	Drops    map[string]dropRow `json:"drops"`
}

type dropRow struct {
	PerSecond float64 `json:"per_second"`
	Frames    uint64  `json:"frames"`
}

type serviceJSON struct {
	Protocol  string         `json:"protocol,omitempty"`
	Address   netip.AddrPort `json:"address,omitzero"`
	Mark      uint32         `json:"mark,omitempty"`
	IPv6      bool           `json:"ipv6,omitempty"` // the family of a mark
	Scheduler string         `json:"scheduler"`
	Counts
	PerSecond    *PerSecond   `json:"per_second,omitempty"`
	Destinations []serverJSON `json:"destinations"`
}

type serverJSON struct {
	Address netip.AddrPort `json:"address"`
	Weight  int32          `json:"weight"`
	State   string         `json:"state"`
	Counts
	PerSecond *PerSecond `json:"per_second,omitempty"`
}

// schema is the version of the JSON that natlb's own words print.
const schema = 1

// JSON returns what says in JSON what the table says.
func (t *Table) JSON() any {
	out := tableJSON{
		Schema: schema, Time: t.Time, Interval: t.Interval.Seconds(), Entries: t.Entries,
		Services: []serviceJSON{}, Drops: map[string]dropRow{},
	}
	rates := func(p PerSecond) *PerSecond {
		if t.Interval == 0 {
			return nil
		}
		return &p
	}
	for i := range t.Services {
		s := &t.Services[i]
		row := serviceJSON{
			Address: s.Key.VIP, Mark: s.Key.Mark, IPv6: s.Key.V6, Scheduler: s.Scheduler, Counts: s.Counts,
			PerSecond: rates(s.PerSecond), Destinations: []serverJSON{},
		}
		if s.Key.Proto != ipvs.AnyProtocol {
			row.Protocol = strings.ToLower(s.Key.Proto.String())
		}
		for j := range s.Servers {
			d := &s.Servers[j]
			row.Destinations = append(row.Destinations, serverJSON{d.Addr, d.Weight, d.State, d.Counts, rates(d.PerSecond)})
		}
		out.Services = append(out.Services, row)
	}
	for _, d := range t.Drops {
		out.Drops[d.Name] = dropRow{d.Rate, d.Frames}
	}
	return out
}
