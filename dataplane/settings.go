package dataplane

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"natlb/ipvs"
)

// settings are the sysctls of net.ipv4.vs that steer the path of a packet, and
// what follows from them.
type settings struct {
	amDroprate              int
	amemthresh              int
	connReuseMode           int
	connTabBits             int
	dropEntry               int
	dropPacket              int
	expireNodestConn        int
	expireQuiescentTemplate int
	lblcExpiration          int
	lblcrExpiration         int
	natICMPSend             int
	pmtuDisc                int
	quiesceUnreachable      int
	runEstimation           int
	scheduleICMP            int
	secureTCP               int
	sloppySCTP              int
	sloppyTCP               int

	dropRate int  // one of so many new connections is dropped; 0: none
	secure   bool // the secure TCP tables are in force
}

// sysctl describes one setting: its range, its default and what it does.
type sysctl struct {
	name     string
	value    func(*settings) *int
	min, max int
	initial  int
	meaning  string
}

const (
	mostInt       = 1<<31 - 1
	mostSeconds   = 10 * 365 * 86400
	defenceModes  = "0 never, 1 and 2 when memory is short (natlb changes one to the other), 3 always"
	pageUnit      = "in pages of 4 KiB"
	secondsOfIdle = "seconds after which an unused mapping is forgotten"
)

var sysctls = []sysctl{
	{"am_droprate", func(s *settings) *int { return &s.amDroprate }, 1, mostInt, 10,
		"with drop_packet 3, one of so many new connections is dropped"},
	{"amemthresh", func(s *settings) *int { return &s.amemthresh }, 0, mostInt, 1024,
		"free memory below which the automatic defence modes act, " + pageUnit},
	{"conn_reuse_mode", func(s *settings) *int { return &s.connReuseMode }, 0, mostInt, 1,
		"a new SYN on a finished connection with the same client port: 0 reuses the entry, other values schedule anew"},
	{"conn_tab_bits", func(s *settings) *int { return &s.connTabBits }, 8, 27, 12,
		"listings show 2^this as the size of the table; natlb's own table grows by itself"},
	{"drop_entry", func(s *settings) *int { return &s.dropEntry }, 0, 3, 0,
		"end half-open and idle connections each second: " + defenceModes},
	{"drop_packet", func(s *settings) *int { return &s.dropPacket }, 0, 3, 0,
		"drop some of the packets that would open a connection: " + defenceModes},
	{"expire_nodest_conn", func(s *settings) *int { return &s.expireNodestConn }, 0, 1, 0,
		"1: connections of a deleted server end at once instead of being dropped silently"},
	{"expire_quiescent_template", func(s *settings) *int { return &s.expireQuiescentTemplate }, 0, 1, 0,
		"1: persistence does not bring new connections to a server of weight 0"},
	{"lblc_expiration", func(s *settings) *int { return &s.lblcExpiration }, 0, mostSeconds, 86400,
		"scheduler lblc: " + secondsOfIdle},
	{"lblcr_expiration", func(s *settings) *int { return &s.lblcrExpiration }, 0, mostSeconds, 86400,
		"scheduler lblcr: " + secondsOfIdle},
	{"nat_icmp_send", func(s *settings) *int { return &s.natICMPSend }, 0, 1, 0,
		"1: a real server that sends outside of connections gets port unreachable"},
	{"pmtu_disc", func(s *settings) *int { return &s.pmtuDisc }, 0, 1, 1,
		"1: a client hears of packets too big for the tunnel to its server; 0: they are cut, whatever the client forbids"},
	{quiesceUnreachable, func(s *settings) *int { return &s.quiesceUnreachable }, 0, 1, 0,
		"1: a server that cannot be reached is as if its weight were 0 until it can be; natlb's own, the kernel has none like it"},
	{"run_estimation", func(s *settings) *int { return &s.runEstimation }, 0, 1, 1,
		"0: rates stand still"},
	{"schedule_icmp", func(s *settings) *int { return &s.scheduleICMP }, 0, 1, 0,
		"1: an ICMP error about a connection that is not known makes one, so that a real server hears of it"},
	{"secure_tcp", func(s *settings) *int { return &s.secureTCP }, 0, 3, 0,
		"TCP tables in which only the server's packets establish a connection: " + defenceModes},
	{"sloppy_sctp", func(s *settings) *int { return &s.sloppySCTP }, 0, 1, 0,
		"1: an SCTP packet without INIT may open a connection"},
	{"sloppy_tcp", func(s *settings) *int { return &s.sloppyTCP }, 0, 1, 0,
		"1: a TCP packet without SYN may open a connection"},
}

// quiesceUnreachable is the one sysctl whose default natlb run may change.
const quiesceUnreachable = "quiesce_unreachable"

// later are sysctls of IPVS that natlb knows by name and does not have.
var later = map[string]string{
	"backup_only": "synchronization", "sync_version": "synchronization", "sync_ports": "synchronization",
	"sync_persist_mode": "synchronization", "sync_qlen_max": "synchronization", "sync_sock_size": "synchronization",
	"sync_threshold": "synchronization", "sync_refresh_period": "synchronization", "sync_retries": "synchronization",
	"cache_bypass": "forwarding to the original destination", "ignore_tunneled": "packets that the director itself takes out of tunnels",
	"conntrack": "netfilter's connection tracking", "snat_reroute": "source-policy routing",
	"debug_level": "kernel logging", "est_cpulist": "estimator threads", "est_nice": "estimator threads",
	"conn_lfactor": "the kernel's own table", "svc_lfactor": "the kernel's own table",
}

func defaultSettings(quiesce bool) (s settings) {
	for i := range sysctls {
		*sysctls[i].value(&s) = sysctls[i].initially(quiesce)
	}
	return s
}

// initially returns the default of a director that is started with or without
// Config.Quiesce.
func (d *sysctl) initially(quiesce bool) int {
	if quiesce && d.name == quiesceUnreachable {
		return 1
	}
	return d.initial
}

// set changes one setting by its name.
func (s *settings) set(name, value string) error {
	i := slices.IndexFunc(sysctls, func(d sysctl) bool { return d.name == name })
	if i < 0 {
		if what, ok := later[name]; ok {
			return fmt.Errorf("%w: net.ipv4.vs.%s (%s)", ipvs.ErrUnsupportedSysctl, name, what)
		}
		return fmt.Errorf("%w: net.ipv4.vs.%s", ipvs.ErrUnknownSysctl, name)
	}
	d := &sysctls[i]
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < d.min || n > d.max {
		return fmt.Errorf("%w: net.ipv4.vs.%s takes %d to %d, not %q", ipvs.ErrInvalid, name, d.min, d.max, value)
	}
	*d.value(s) = n
	return nil
}

// Sysctl is one setting with its value, as a listing shows it.
type Sysctl struct {
	Name, Value, Default, Meaning string
}

// Sysctls returns the settings in order of their names.
func (d *Director) Sysctls() []Sysctl {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Sysctl, len(sysctls))
	for i, c := range sysctls {
		out[i] = Sysctl{c.name, strconv.Itoa(*c.value(&d.settings)), strconv.Itoa(c.initially(d.cfg.Quiesce)), c.meaning}
	}
	return out
}

// TableSize returns the number that listings show as the size of the
// connection table.
func (d *Director) TableSize() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return 1 << d.settings.connTabBits
}
