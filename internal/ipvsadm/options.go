package ipvsadm

// opt is one option of ipvsadm's table. Several spellings can stand for one:
// -t, -u and -f are all service-address. The order is the one in which faults
// are looked for and reported.
type opt uint8

const (
	optNumeric opt = iota
	optConnection
	optService
	optScheduler
	optPersistent
	optNetmask
	optServer
	optForward
	optWeight
	optUpper
	optLower
	optMcastInterface
	optTimeout
	optDaemon
	optStats
	optRate
	optThresholds
	optPersistConn
	optNosort
	optSyncID
	optExact
	optOps
	optEngine
	optSchedFlags
	optMcastGroup
	optMcastPort
	optMcastTTL
	optSyncMaxlen
	optTunInfo
	optTunType
	optTunPort
	optTunNocsum
	optTunCsum
	optTunRemcsum
	optJSON
	optTOA // natlb's own
	optCount
)

// optNames are the names that messages use.
var optNames = [optCount]string{
	"numeric", "connection", "service-address", "scheduler", "persistent", "netmask", "real-server",
	"forwarding-method", "weight", "u-threshold", "l-threshold", "mcast-interface", "timeout", "daemon",
	"stats", "rate", "thresholds", "persistent-conn", "nosort", "syncid", "exact", "ops", "pe",
	"sched-flags", "mcast-group", "mcast-port", "mcast-ttl", "sync-maxlen", "tun-info", "tun-type",
	"tun-port", "tun-nocsum", "tun-csum", "tun-remcsum", "json", "toa",
}

// optSet is a set of options.
type optSet uint64

func of(opts ...opt) (s optSet) {
	for _, o := range opts {
		s |= 1 << o
	}
	return s
}

func (s optSet) has(o opt) bool        { return s&(1<<o) != 0 }
func (s optSet) any(other optSet) bool { return s&other != 0 }

// valueKind says whether an option has a value.
type valueKind uint8

const (
	noValue valueKind = iota
	needsValue
	mayHaveValue // taken only if the next word does not start with a dash
)

// option is one spelling on the command line.
type option struct {
	long   string
	short  byte // 0: none
	value  valueKind
	absent string // the value of mayHaveValue when there is none

	cmd *command // the option is a command; else the rest says what it does

	id   opt
	free bool // may repeat and goes with every command: not in the table
	set  func(p *parser, ln *line, value string) error
}

// options are all spellings but those of the commands.
var options = []option{
	{long: "tcp-service", short: 't', value: needsValue, id: optService, set: setTCP},
	{long: "udp-service", short: 'u', value: needsValue, id: optService, set: setUDP},
	{long: "sctp-service", value: needsValue, id: optService, set: setSCTP},
	{long: "fwmark-service", short: 'f', value: needsValue, id: optService, set: setMark},
	{long: "ipv6", short: '6', free: true, set: setIPv6},
	{long: "scheduler", short: 's', value: needsValue, id: optScheduler, set: setScheduler},
	{long: "persistent", short: 'p', value: mayHaveValue, absent: defaultPersist, id: optPersistent, set: setPersistent},
	{long: "netmask", short: 'M', value: needsValue, id: optNetmask, set: setNetmask},
	{long: "ops", short: 'o', id: optOps, set: setOps},
	{long: "pe", value: needsValue, id: optEngine, set: setEngine},
	{long: "sched-flags", short: 'b', value: needsValue, id: optSchedFlags, set: setSchedFlags},
	{long: "real-server", short: 'r', value: needsValue, id: optServer, set: setServer},
	{long: "gatewaying", short: 'g', id: optForward, set: setRoute},
	{long: "ipip", short: 'i', id: optForward, set: setTunnel},
	{long: "masquerading", short: 'm', id: optForward, set: setMasq},
	{long: "fullnat", id: optForward, set: setFullNAT}, // natlb's own
	{long: "toa", id: optTOA, set: setTOA},
	{long: "weight", short: 'w', value: needsValue, id: optWeight, set: setWeight},
	{long: "u-threshold", short: 'x', value: needsValue, id: optUpper, set: setUpper},
	{long: "l-threshold", short: 'y', value: needsValue, id: optLower, set: setLower},
	{long: "tun-type", value: needsValue, id: optTunType, set: setTunType},
	{long: "tun-port", value: needsValue, id: optTunPort, set: setTunPort},
	{long: "tun-nocsum", id: optTunNocsum, set: setNothing},
	{long: "tun-csum", id: optTunCsum, set: setTunCsum},
	{long: "tun-remcsum", id: optTunRemcsum, set: setTunRemcsum},
	{long: "numeric", short: 'n', id: optNumeric, set: setNothing},
	{long: "connection", short: 'c', id: optConnection, set: setNothing},
	{long: "timeout", id: optTimeout, set: setNothing},
	{long: "daemon", id: optDaemon, set: setNothing},
	{long: "stats", id: optStats, set: setNothing},
	{long: "rate", id: optRate, set: setNothing},
	{long: "thresholds", id: optThresholds, set: setNothing},
	{long: "persistent-conn", id: optPersistConn, set: setNothing},
	{long: "nosort", id: optNosort, set: setNothing},
	{long: "sort", free: true, set: setNothing},
	{long: "exact", short: 'X', id: optExact, set: setNothing},
	{long: "tun-info", id: optTunInfo, set: setNothing},
	{long: "json", id: optJSON, set: setNothing},
	{long: "syncid", value: needsValue, id: optSyncID, set: setSyncID},
	{long: "sync-maxlen", value: needsValue, id: optSyncMaxlen, set: setSyncMaxlen},
	{long: "mcast-interface", value: needsValue, id: optMcastInterface, set: setNothing},
	{long: "mcast-group", value: needsValue, id: optMcastGroup, set: setMcastGroup},
	{long: "mcast-port", value: needsValue, id: optMcastPort, set: setMcastPort},
	{long: "mcast-ttl", value: needsValue, id: optMcastTTL, set: setMcastTTL},
}
