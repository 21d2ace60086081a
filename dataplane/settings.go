package dataplane

import (
	"fmt"
	"slices"
	"strconv"

	"natlb/ipvs"
)

// settings are the sysctls of net.ipv4.vs that steer the path of a packet.
type settings struct {
	connReuseMode    int
	expireNodestConn int
	sloppyTCP        int
	secureTCP        int
}

// sysctl describes one setting: its values, its default and what it does.
type sysctl struct {
	name    string
	value   func(*settings) *int
	takes   []int // the values it can be set to
	initial int
	meaning string
}

var sysctls = []sysctl{
	{"conn_reuse_mode", func(s *settings) *int { return &s.connReuseMode }, []int{0, 1, 2, 3}, 1,
		"a new SYN on a finished connection with the same client port: 0 reuses the entry, other values schedule anew"},
	{"expire_nodest_conn", func(s *settings) *int { return &s.expireNodestConn }, []int{0, 1}, 0,
		"1: connections of a deleted or quiesced server end at their next packet instead of being dropped silently"},
	{"secure_tcp", func(s *settings) *int { return &s.secureTCP }, []int{0, 3}, 0,
		"3: the stricter TCP state tables, in which only the server's packets establish a connection"},
	{"sloppy_tcp", func(s *settings) *int { return &s.sloppyTCP }, []int{0, 1}, 0,
		"1: a TCP packet without SYN may open a connection"},
}

func defaultSettings() (s settings) {
	for _, d := range sysctls {
		*d.value(&s) = d.initial
	}
	return s
}

// set changes one setting by its name.
func (s *settings) set(name, value string) error {
	i := slices.IndexFunc(sysctls, func(d sysctl) bool { return d.name == name })
	if i < 0 {
		return fmt.Errorf("%w: net.ipv4.vs.%s", ipvs.ErrUnknownSysctl, name)
	}
	n, err := strconv.Atoi(value)
	if err != nil || !slices.Contains(sysctls[i].takes, n) {
		return fmt.Errorf("%w: net.ipv4.vs.%s takes one of %v, not %q", ipvs.ErrInvalid, name, sysctls[i].takes, value)
	}
	*sysctls[i].value(s) = n
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
		out[i] = Sysctl{c.name, strconv.Itoa(*c.value(&d.settings)), strconv.Itoa(c.initial), c.meaning}
	}
	return out
}
