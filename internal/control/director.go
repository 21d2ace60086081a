package control

import "natlb/ipvs"

// Director is the data path as the control room sees it. The server calls
// Apply from one goroutine at a time and the other methods from any.
type Director interface {
	// Apply makes changes as one transaction: all of them or none. A refusal
	// is an *ipvs.ChangeError that wraps a sentinel of package ipvs.
	Apply(changes []ipvs.Change) error

	// Check says what Apply would refuse of a transaction, and changes nothing:
	// all faults, in the order of the changes.
	Check(changes []ipvs.Change) []*ipvs.ChangeError

	// Services returns one consistent snapshot in the director's own order,
	// destinations newest first. The result is the caller's.
	Services() []ipvs.ServiceStatus

	// Snapshot returns the same with the time on the director's clock that it is
	// of.
	Snapshot() ipvs.Snapshot

	// Follow says whether anybody wants the events of connections and of the
	// configuration, which then come by Server.Publish.
	Follow(on bool)

	// Connections calls yield for every connection entry and persistence
	// template in table order, until yield returns false. yield writes to a
	// client and may block for as long as WriteTimeout: no shard may wait for
	// it.
	Connections(yield func(ipvs.ConnStatus) bool)

	// Timeouts returns the three settable timeouts, in seconds.
	Timeouts() ipvs.Timeouts

	// TableSize returns the number that a listing's first line shows as
	// "size=": 2^conn_tab_bits.
	TableSize() int

	// Counters returns the verdict counters, always in the same order.
	Counters() []Counter

	// Ledger returns what became of every frame received, as one consistent
	// look. The result is the caller's.
	Ledger() Ledger

	// Sysctls returns the director's settings, always in the same order.
	Sysctls() []Sysctl

	// Marks answers a command line of natlb mark that only asks (-L, -S, -C)
	// with the text to print. The error wraps ipvs.ErrInvalid.
	Marks(words []string) (string, error)

	// Sources returns the addresses that FullNAT speaks from, in order, with those
	// that were deleted and still have connections. The result is the caller's.
	Sources() []ipvs.SourceStatus

	// Explain says what the director would do with one packet, and changes
	// nothing. The error wraps ipvs.ErrInvalid or ipvs.ErrUnsupported. The
	// result is the caller's.
	Explain(q ipvs.Question) (*ipvs.Explanation, error)

	// Capture begins a capture. The error wraps ipvs.ErrInvalid for a filter that
	// makes no sense, or says that there are too many.
	Capture(want Capture) (CaptureFeed, error)

	// Setup says how the director was started and what it stands on.
	Setup() Setup
}

// Counter is one verdict counter.
type Counter struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// Sysctl is one setting that natlb shares with net.ipv4.vs (the kernel's
// ipvs-sysctl.rst). Name comes without that prefix.
type Sysctl struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Meaning string `json:"meaning"` // one line for people
}

// Status says who answers on the socket.
type Status struct {
	Natlb     string  `json:"natlb"`          // natlb's version
	PID       int     `json:"pid"`            // of the director
	Uptime    float64 `json:"uptime_seconds"` // since the server was made
	TableSize int     `json:"table_size"`     // as Director.TableSize
}
