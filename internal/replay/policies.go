package replay

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"natlb/ipvs"
)

// Policies is how the balance of one capture would have differed between two
// policies. Times in JSON are whole nanoseconds since the first packet.
type Policies struct {
	Schema   int           `json:"schema"`
	Started  string        `json:"started"` // as in Result
	Duration time.Duration `json:"duration_ns"`
	Span     time.Duration `json:"span_ns"` // length of each span of the series
	Inputs   []InputResult `json:"inputs"`
	Policies [2]Policy     `json:"policies"`
	Moved    Moved         `json:"moved"`
}

// Policy is what one of the two did.
type Policy struct {
	Rules       string          `json:"rules"` // file
	Connections uint64          `json:"connections_total"`
	Packets     PacketCounts    `json:"packets"`
	Verdicts    []VerdictCount  `json:"verdicts"`
	Services    []ServiceShare  `json:"services"` // at the end
	Servers     []*ServerSeries `json:"servers"`  // in the order of the rules
}

// Moved says how many connections went elsewhere. A connection is the same in
// both replays when the same packet opened it.
type Moved struct {
	Both       uint64 `json:"both"`        // connections of both policies
	Moved      uint64 `json:"moved"`       // of these to another server
	OnlyFirst  uint64 `json:"only_first"`  // that the second policy did not have
	OnlySecond uint64 `json:"only_second"` // that the first one did not have
	Left       uint64 `json:"left_out"`    // too many to compare one by one
	Moves      []Move `json:"moves"`       // the most frequent first
}

// Move is a server's connections that another one got.
type Move struct {
	From  netip.AddrPort `json:"from"`
	To    netip.AddrPort `json:"to"`
	Conns uint64         `json:"conns"`
}

// RunPolicies replays the same captures by two policies, the one after the
// other. Each config has its own inputs, opened anew; their events and rules'
// names are taken as they are.
func RunPolicies(ctx context.Context, names [2]string, configs [2]Config) (*Policies, error) {
	out := &Policies{Schema: Schema}
	met := map[flowKey]*flowEnd{}
	left := uint64(0)
	for i := range configs {
		t := newTally(configs[i].Rules, met, i == 1)
		configs[i].Event, configs[i].Keep = t.event, 1
		r, err := Run(ctx, configs[i])
		if err != nil {
			return nil, err
		}
		t.end(r.Duration)
		out.Started, out.Duration, out.Span, out.Inputs = r.Started, r.Duration, t.span, r.Inputs
		out.Policies[i] = Policy{names[i], r.Total, r.Packets, r.Verdicts, r.Services, t.servers}
		left = max(left, t.left)
	}
	out.Moved = movedOf(met)
	out.Moved.Left = left
	return out, nil
}

func movedOf(met map[flowKey]*flowEnd) (m Moved) {
	moves := map[[2]netip.AddrPort]uint64{}
	for _, end := range met {
		switch {
		case !end.second.IsValid():
			m.OnlyFirst++
		case !end.first.IsValid():
			m.OnlySecond++
		default:
			m.Both++
			if end.first != end.second {
				m.Moved++
				moves[[2]netip.AddrPort{end.first, end.second}]++
			}
		}
	}
	m.Moves = []Move{}
	for ends, n := range moves {
		m.Moves = append(m.Moves, Move{ends[0], ends[1], n})
	}
	slices.SortFunc(m.Moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(b.Conns, a.Conns), a.From.Compare(b.From), a.To.Compare(b.To))
	})
	return m
}

// spread is one service under both policies, for those who look at it.
type spread struct {
	Service    string
	Schedulers [2]string // "-": the policy has no such service
	Servers    []pair
}

// pair is one server of it; a policy that does not have it has nil.
type pair struct {
	Address netip.AddrPort
	Of      [2]*ServerSeries
}

// spreads pairs the services and servers of both policies: in the order of the
// first one, and then what only the second one has.
func (p *Policies) spreads() (all []*spread) {
	find := func(key ipvs.ServiceKey) *spread {
		name := key.String()
		for _, b := range all {
			if b.Service == name {
				return b
			}
		}
		b := &spread{Service: name, Schedulers: [2]string{"-", "-"}}
		all = append(all, b)
		return b
	}
	for i := range p.Policies {
		for j := range p.Policies[i].Services {
			s := &p.Policies[i].Services[j]
			find(s.Key).Schedulers[i] = s.Scheduler
		}
		for _, s := range p.Policies[i].Servers {
			b := find(s.Service)
			at := slices.IndexFunc(b.Servers, func(x pair) bool { return x.Address == s.Address })
			if at < 0 {
				at = len(b.Servers)
				b.Servers = append(b.Servers, pair{Address: s.Address})
			}
			b.Servers[at].Of[i] = s
		}
	}
	return all
}
