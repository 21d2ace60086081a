package control

import (
	"net/netip"

	"natlb/ipvs"
)

// ProtocolVersion is the version of the protocol: it is in every request with a
// body and in every reply, and it changes when old readers would misread.
const ProtocolVersion = 1

// The types of this file and its neighbours are the protocol: what they say in
// JSON is what the socket speaks, and docs/json.md tells it to people. Names are snake_case, addresses are text ("192.0.2.1:80"),
// methods and flags are words, durations and timeouts seconds.

// header opens every reply; in a stream it is the first line.
type header struct {
	Version int    `json:"version"`
	Natlb   string `json:"natlb"`
}

type failure struct {
	header
	Code    string `json:"code"`
	Message string `json:"message"`
	Index   *int   `json:"index,omitempty"` // of the refused change
}

type applyRequest struct {
	Version int          `json:"version"`
	Changes []ChangeJSON `json:"changes"`

	Generation uint64 `json:"generation,omitempty"` // apply to this state only; 0: to any
	DryRun     bool   `json:"dry_run,omitempty"`    // only say whether it would be refused
}

type stateReply struct {
	header
	Generation uint64        `json:"generation"`
	Timeouts   ipvs.Timeouts `json:"timeouts"`
	Sysctls    []Sysctl      `json:"sysctls"`
	Marks      []string      `json:"marks"`
	Sources    []string      `json:"sources"` // addresses and ranges
	Services   []ServiceJSON `json:"services"`
}

type servicesReply struct {
	header
	Services []ServiceJSON `json:"services"`
}

type snapshotReply struct {
	header
	Clock    int64         `json:"clock_ns"` // the director's clock: rates are told from two readings
	Entries  int           `json:"entries"`  // connections and persistence templates
	Services []ServiceJSON `json:"services"`
	Counters []Counter     `json:"counters"`
}

type countsReply struct {
	header
	Counts
}

type timeoutsReply struct {
	header
	ipvs.Timeouts
}

type countersReply struct {
	header
	Counters []Counter `json:"counters"`
}

type marksReply struct {
	header
	Text string `json:"text"`
}

// SourceJSON is a source address of FullNAT, on the socket and wherever natlb prints
// JSON.
type SourceJSON struct {
	Address     netip.Addr `json:"address"`
	Connections int64      `json:"connections"`
	Deleted     bool       `json:"deleted,omitempty"` // no new connections
	Local       bool       `json:"local,omitempty"`   // an address of the host by now: no new connections
}

type sourcesReply struct {
	header
	Sources []SourceJSON `json:"sources"`
}

// JSONOfSources returns what says in JSON what list says, never nil.
func JSONOfSources(list []ipvs.SourceStatus) []SourceJSON {
	wire := make([]SourceJSON, len(list))
	for i, s := range list {
		wire[i] = SourceJSON{s.Addr, s.Conns, s.Deleted, s.Local}
	}
	return wire
}

type sysctlsReply struct {
	header
	Sysctls []Sysctl `json:"sysctls"`
}

type statusReply struct {
	Version int `json:"version"`
	Status
}

// ChangeJSON is one change, on the socket and wherever natlb prints JSON; Op is the word of ipvs.ChangeKind.String.
type ChangeJSON struct {
	Op          string           `json:"op"`
	Service     *wireService     `json:"service,omitempty"`
	Destination *wireDestination `json:"destination,omitempty"` // of break-persistence the address alone
	Timeouts    *ipvs.Timeouts   `json:"timeouts,omitempty"`
	Name        string           `json:"name,omitempty"`
	Value       string           `json:"value,omitempty"`
	Words       []string         `json:"words,omitempty"` // mark and source: a command line of natlb mark, or of natlb source
	Order       []netip.AddrPort `json:"order,omitempty"` // order-servers: newest first
}

// JSONOfChange returns what says in JSON what c says.
func JSONOfChange(c *ipvs.Change) ChangeJSON {
	w := ChangeJSON{Op: c.Kind.String(), Name: c.Name, Value: c.Value, Words: c.Words, Order: c.Order}
	switch c.Kind {
	case ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination, ipvs.BreakPersistence:
		d := wireDestinationOf(&c.Destination)
		w.Destination = &d
		fallthrough
	case ipvs.AddService, ipvs.EditService, ipvs.DeleteService, ipvs.OrderDestinations:
		s := wireServiceOf(&c.Service)
		w.Service = &s
	case ipvs.ZeroStats:
		if c.Service.Key != (ipvs.ServiceKey{}) {
			s := wireServiceOf(&c.Service)
			w.Service = &s
		}
	case ipvs.SetTimeouts:
		w.Timeouts = &c.Timeouts
	}
	return w
}

func (w *ChangeJSON) change() (c ipvs.Change, err error) {
	if c.Kind, err = kinds.value(w.Op); err != nil {
		return c, err
	}
	c.Name, c.Value, c.Words, c.Order = w.Name, w.Value, w.Words, w.Order
	if w.Service != nil {
		if c.Service, err = w.Service.service(); err != nil {
			return c, err
		}
	}
	if w.Destination != nil {
		if c.Destination, err = w.Destination.destination(); err != nil {
			return c, err
		}
	}
	if w.Timeouts != nil {
		c.Timeouts = *w.Timeouts
	}
	return c, nil
}
