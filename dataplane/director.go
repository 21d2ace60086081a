package dataplane

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"natlb/internal/classify"
	"natlb/ipvs"
)

// Side says what lies behind a link. A one-arm director has both on one.
type Side uint8

// Sides of the director.
const (
	VIPSide Side = 1 << iota // clients
	DIPSide                  // real servers
)

// Link is one network interface of the director.
type Link struct {
	Name string
	Side Side
	Caps Caps
}

// Config sets up a director. Random sources and limits come in here, so that a
// replay is the same everywhere.
type Config struct {
	Links    []Link
	Shards   int        // 0 means 1
	Seed     uint64     // of the connection table's hash
	Rand     *rand.Rand // for schedulers that draw; nil: a fixed seed
	MaxConns int        // cap on entries of each shard; 0: conntrack.DefaultMax
	NoRoute  bool       // do not act as the real servers' gateway
	Quiesce  bool       // sysctl quiesce_unreachable is 1 unless it is set
	FTPPorts []uint16   // virtual ports whose TCP connections get the FTP helper; none: no helper
	ICMP     ICMPLimits // limits on ICMP answers; the zero value: none
	Wake     func()     // there are events to take: called by any goroutine, must not block or call back; may be nil

	// Clock reads the shards' clock for listings, which may come between
	// batches; nil: the time of the last batch stands.
	Clock func() time.Duration
}

// Director is what the shards share: services with their schedulers, real
// servers, and the one published view of them. All methods may be called from
// any goroutine.
type Director struct {
	cfg    Config
	shards []*Shard
	view   atomic.Pointer[view]

	mu       sync.Mutex // the one writer
	services []*service // in order of creation
	byKey    map[ipvs.ServiceKey]*service
	servers  []*destination // by server ID; nil: free
	live     map[destKey]*destination
	trash    map[destKey]*destination
	roles    roleBook
	timeouts ipvs.Timeouts
	settings settings
	host     Host
	marks    classify.Ruleset
	program  *classify.Program // of marks
	markVIPs []netip.Addr      // addresses that marks are given to
	sources  sourceBook

	book      viewBook
	templates templates
	defence   defence
	limiter   limiter
	taps      []*Tap // replaced, never written to
	stream    stream
	following bool // somebody wants the events of connections and changes
	paths     pathMTUs
	paths6    pathMTUs
	ident     atomic.Uint32 // of the last outer packet that may be cut

	freeServers  []uint32
	freeServices []uint32
	nservice     uint32 // service IDs handed out, 0 being none
	trashNext    time.Duration
	meters       meters
	reach        reachBook

	// For the end of a transaction.
	unlisted bool // services has some that are gone
	remarked bool // marks are not compiled yet
}

// destination is the live object of a destination: what the operator asked for
// and the server behind it.
type destination struct {
	cfg     ipvs.Destination
	server  *ipvs.RealServer
	service uint32 // ID of its service, or of the last one
	key     destKey
	idle    time.Duration // when the trash found it unused; 0: in use
	lostAt  time.Duration // when it could no longer be reached
}

type destKey struct {
	service ipvs.ServiceKey
	addr    netip.AddrPort
}

// NewDirector returns a director without services.
func NewDirector(cfg Config) *Director {
	if cfg.Shards <= 0 {
		cfg.Shards = 1
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(1, 2))
	}
	d := &Director{
		cfg:      cfg,
		byKey:    map[ipvs.ServiceKey]*service{},
		servers:  []*destination{nil}, // ID 0 means none
		live:     map[destKey]*destination{},
		trash:    map[destKey]*destination{},
		roles:    newRoleBook(),
		timeouts: ipvs.DefaultTimeouts,
		settings: defaultSettings(cfg.Quiesce),
		host:     noHost{},
		nservice: 1,
		limiter:  limiter{limits: cfg.ICMP},
	}
	d.templates.init(d)
	for i := range cfg.Shards {
		d.shards = append(d.shards, newShard(d, i, arenaSize))
	}
	d.publish()
	return d
}

// Shards returns the number of shards.
func (d *Director) Shards() int { return len(d.shards) }

// Shard returns shard i.
func (d *Director) Shard(i int) *Shard { return d.shards[i] }

// SetHost publishes a new picture of the host.
func (d *Director) SetHost(h Host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host = h
	d.reach.stale = true
	d.roles.hostChanged()
	d.publish()
}

// Timeouts returns the settable timeouts.
func (d *Director) Timeouts() ipvs.Timeouts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.timeouts
}

// freeze stops all shards between two batches and returns a function that lets
// them go on, so that a change of several live objects is seen as one.
func (d *Director) freeze() (thaw func()) {
	for _, s := range d.shards {
		s.mu.Lock()
	}
	return func() {
		for _, s := range d.shards {
			s.mu.Unlock()
		}
	}
}
