package replay

import (
	"net/netip"
	"slices"
	"time"

	"natlb/dataplane"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

// tally follows, while a capture is replayed by one policy, how its services
// spread connections over time. The times are cut into at most mostSpans equal
// spans; when a capture goes on beyond them two become one, so memory does not
// grow with it, and captures of equal length have equal spans.
type tally struct {
	span    time.Duration
	spans   int // begun
	servers []*ServerSeries
	met     map[flowKey]*flowEnd // the connections of this policy, shared with the other one's
	second  bool                 // this is the other one
	left    uint64               // connections that met has no room for
}

const (
	mostSpans    = 96 // even: they are merged in pairs
	shortestSpan = time.Millisecond
	mostFlows    = 1 << 20 // connections that are compared one by one
)

// ServerSeries is a real server's part of a service, over time.
type ServerSeries struct {
	Service ipvs.ServiceKey `json:"-"`
	Name    string          `json:"service"`
	Address netip.AddrPort  `json:"address"` // as configured
	Conns   uint64          `json:"conns"`   // new connections, without those that others announced (FTP)
	Share   float64         `json:"share"`   // of the service's, 0 to 1
	Peak    int64           `json:"peak_active"`
	PeakAt  time.Duration   `json:"peak_at_ns"`

	// New are the connections that began in each span, Active the most that
	// were active at a time in it.
	New    []uint64 `json:"new"`
	Active []int64  `json:"active"`

	now int64 // active
}

// flowKey names a connection in both replays: it is opened by the same packet.
type flowKey struct {
	cip, vip     dataplane.Address
	cport, vport uint16
	proto        ipvs.Protocol
	start        time.Duration
}

// flowEnd is where it went.
type flowEnd struct{ first, second netip.AddrPort }

func newTally(rules *ipvsadm.Rules, met map[flowKey]*flowEnd, second bool) *tally {
	t := &tally{span: shortestSpan, met: met, second: second}
	for i := range rules.Changes {
		if c := &rules.Changes[i]; c.Kind == ipvs.AddDestination {
			t.servers = append(t.servers, &ServerSeries{Service: c.Service.Key, Name: c.Service.Key.String(), Address: c.Destination.Addr})
		}
	}
	return t
}

// server returns the series of the server that a connection went to, nil for
// none. Its port is that of the connection, which the rules may not name.
func (t *tally) server(service ipvs.ServiceKey, dest netip.AddrPort) (found *ServerSeries) {
	for _, s := range t.servers {
		switch {
		case s.Service != service || s.Address.Addr() != dest.Addr():
		case s.Address.Port() == dest.Port():
			return s
		case found == nil || s.Address.Port() == 0:
			found = s
		}
	}
	return found
}

// advance begins the spans up to the one that at is in.
func (t *tally) advance(at time.Duration) {
	for at/t.span >= mostSpans {
		t.merge()
	}
	for t.spans <= int(at/t.span) {
		t.spans++
		for _, s := range t.servers {
			s.New, s.Active = append(s.New, 0), append(s.Active, s.now)
		}
	}
}

// merge makes one span of two.
func (t *tally) merge() {
	t.span *= 2
	t.spans = (t.spans + 1) / 2
	for _, s := range t.servers {
		for i := range t.spans {
			a, b := 2*i, min(2*i+1, len(s.New)-1)
			s.Active[i] = max(s.Active[a], s.Active[b])
			s.New[i] = s.New[a]
			if b > a {
				s.New[i] += s.New[b]
			}
		}
		s.New, s.Active = s.New[:t.spans], s.Active[:t.spans]
	}
}

// activeStates are the states in which a TCP connection counts as active. An
// association of SCTP is while it is established; datagrams never are.
var activeStates = []string{"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"}

func active(proto ipvs.Protocol, state string) int64 {
	if proto == ipvs.TCP && slices.Contains(activeStates, state) || proto == ipvs.SCTP && state == "ESTABLISHED" {
		return 1
	}
	return 0
}

// event is the replay's callback.
func (t *tally) event(e *ipvs.Event, _ *Conn, _ time.Time) {
	if !e.Kind.Connection() || e.Template {
		return
	}
	s := t.server(e.Service, e.Server)
	if s == nil {
		return
	}
	at := e.At - epoch
	t.advance(at)
	last := t.spans - 1
	switch e.Kind {
	case ipvs.EventBorn:
		if e.Reason != ipvs.Awaited { // by no scheduler's pick
			s.Conns++
			s.New[last]++
		}
		s.now += active(e.Proto, e.State)
		t.meet(e, at)
	case ipvs.EventState:
		s.now += active(e.Proto, e.State) - active(e.Proto, e.Before)
	case ipvs.EventDied:
		s.now -= active(e.Proto, e.State)
	}
	s.Active[last] = max(s.Active[last], s.now)
	if s.now > s.Peak {
		s.Peak, s.PeakAt = s.now, at
	}
}

// meet takes down where a connection went.
func (t *tally) meet(e *ipvs.Event, at time.Duration) {
	key := flowKey{dataplane.AddressOf(e.Client.Addr()), dataplane.AddressOf(e.Virtual.Addr()), e.Client.Port(), e.Virtual.Port(), e.Proto, at}
	end := t.met[key]
	if end == nil {
		if len(t.met) >= mostFlows {
			t.left++
			return
		}
		end = new(flowEnd)
		t.met[key] = end
	}
	if t.second {
		end.second = e.Server
	} else {
		end.first = e.Server
	}
}

// end completes the series of a replay that took so long.
func (t *tally) end(took time.Duration) {
	t.advance(took)
	sums := map[ipvs.ServiceKey]uint64{}
	for _, s := range t.servers {
		sums[s.Service] += s.Conns
	}
	for _, s := range t.servers {
		if sums[s.Service] > 0 {
			s.Share = float64(s.Conns) / float64(sums[s.Service])
		}
	}
}
