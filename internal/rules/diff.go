package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"natlb/internal/classify"
	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/sources"
	"natlb/ipvs"
)

// Step is one line of a difference.
type Step struct {
	Sign string `json:"sign"` // "+" new, "-" gone, "~" changed
	// Rule is a line of a rules file: the one that is wanted, or for "-" the one
	// that is there. Where there is no such line it is a comment.
	Rule string `json:"rule"`
	Was  string `json:"was,omitempty"` // for "~": what is there instead
}

// Diff is what turns one state into another.
type Diff struct {
	Steps   []Step        // to show, in the order of a rules file
	Changes []ipvs.Change // to do, as one transaction
}

// Empty reports whether the states are the same.
func (d *Diff) Empty() bool { return len(d.Changes) == 0 }

// Compare returns what turns the state is into wanted. It edits what is in both
// and differs, and does not touch what is the same: connections, counters and
// schedulers of unchanged services stay as they are. The order of services is no
// difference (it decides nothing); that of a service's servers is, and is put
// right without touching the servers.
func Compare(is, wanted *control.State) *Diff {
	d := new(Diff)
	d.timeouts(is.Timeouts, wanted.Timeouts)
	d.sysctls(is.Sysctls, wanted.Sysctls)
	d.marks(is.Marks, wanted.Marks)
	fresh := d.sources(is.Sources, wanted.Sources)
	d.services(is.Services, wanted.Services)
	d.Changes = append(d.Changes, fresh...)
	return d
}

func (d *Diff) show(sign, rule, was string) { d.Steps = append(d.Steps, Step{sign, rule, was}) }

func (d *Diff) do(c ipvs.Change) { d.Changes = append(d.Changes, c) }

func (d *Diff) timeouts(is, wanted ipvs.Timeouts) {
	if is == wanted {
		return
	}
	d.show("~", ipvsadm.TimeoutsRule(wanted), fmt.Sprintf("%d %d %d", is.TCP, is.TCPFin, is.UDP))
	d.do(ipvs.Change{Kind: ipvs.SetTimeouts, Timeouts: wanted})
}

// alternating are the sysctls of which the director turns 1 into 2 and back by
// itself: one wish with two states.
var alternating = []string{"drop_entry", "drop_packet", "secure_tcp"}

func sameSetting(name, a, b string) bool {
	automatic := func(v string) bool { return v == "1" || v == "2" }
	return a == b || slices.Contains(alternating, name) && automatic(a) && automatic(b)
}

// sysctls compares what both have: the directors may be of two versions. A wish that
// is no more than the default means the director's own, which natlb run may have
// changed (--quiesce-unreachable).
func (d *Diff) sysctls(is, wanted []control.Sysctl) {
	for _, w := range wanted {
		i := slices.IndexFunc(is, func(s control.Sysctl) bool { return s.Name == w.Name })
		if i >= 0 && w.Value == w.Default {
			w.Value = is[i].Default
		}
		switch {
		case i < 0 && w.Value == w.Default, i >= 0 && sameSetting(w.Name, is[i].Value, w.Value):
			continue
		case i < 0:
			d.show("+", ipvsadm.SysctlRule(w.Name, w.Value), "")
		default:
			d.show("~", ipvsadm.SysctlRule(w.Name, w.Value), is[i].Value)
		}
		d.do(ipvs.Change{Kind: ipvs.SetSysctl, Name: w.Name, Value: w.Value})
	}
}

// marks replaces all rules when one differs: they have no state that could get
// lost.
func (d *Diff) marks(is, wanted []string) {
	if slices.Equal(is, wanted) {
		return
	}
	for _, line := range lineDiff(is, wanted) {
		d.show(line.sign, ipvsadm.MarkRule(line.text), "")
	}
	six := slices.IndexFunc(is, func(rule string) bool { return strings.HasPrefix(rule, "-6 ") })
	if len(is) > 0 && six != 0 {
		d.do(ipvs.Change{Kind: ipvs.ChangeMarks, Words: []string{"-F"}})
	}
	if six >= 0 {
		d.do(ipvs.Change{Kind: ipvs.ChangeMarks, Words: []string{"-6", "-F"}})
	}
	for _, rule := range wanted {
		words, err := classify.Split(rule)
		if err != nil {
			words = []string{rule} // it is refused, in the words of the rules' room
		}
		d.do(ipvs.Change{Kind: ipvs.ChangeMarks, Words: words})
	}
}

// sources compares the addresses of FullNAT. Those that come, come last: what it
// returns is to be done after the services, one of which may still have the address.
func (d *Diff) sources(is, wanted []string) (last []ipvs.Change) {
	here, err := sources.Of(is)
	there, err2 := sources.Of(wanted)
	if err != nil || err2 != nil {
		return nil // both are of the directors' own making
	}
	change := func(sign, word string, addrs []netip.Addr) (do []ipvs.Change) {
		if len(addrs) == 0 {
			return nil
		}
		ranges := sources.SetOf(addrs).Ranges()
		for _, r := range ranges {
			d.show(sign, ipvsadm.SourceRule(r), "")
		}
		return []ipvs.Change{{Kind: ipvs.ChangeSources, Words: append([]string{word}, ranges...)}}
	}
	d.Changes = append(d.Changes, change("-", "delete", here.Without(there))...)
	return change("+", "add", there.Without(here))
}

func (d *Diff) services(is, wanted []ipvs.ServiceStatus) {
	here, there := byKey(is), byKey(wanted)
	keys := make([]ipvs.ServiceKey, 0, len(is)+len(wanted))
	for i := range is {
		keys = append(keys, is[i].Key)
	}
	for i := range wanted {
		if here[wanted[i].Key] == nil {
			keys = append(keys, wanted[i].Key)
		}
	}
	slices.SortFunc(keys, ipvs.ServiceKey.Compare)
	for _, k := range keys {
		d.service(here[k], there[k])
	}
}

func byKey(services []ipvs.ServiceStatus) map[ipvs.ServiceKey]*ipvs.ServiceStatus {
	m := make(map[ipvs.ServiceKey]*ipvs.ServiceStatus, len(services))
	for i := range services {
		m[services[i].Key] = &services[i]
	}
	return m
}

// service compares one service; is or wanted may be nil.
func (d *Diff) service(is, wanted *ipvs.ServiceStatus) {
	switch {
	case wanted == nil:
		d.show("-", ipvsadm.ServiceRule(&is.Service), "")
		for _, s := range slices.Backward(is.Destinations) {
			d.show("-", ipvsadm.ServerRule(is.Key, &s.Destination), "")
		}
		d.do(ipvs.Change{Kind: ipvs.DeleteService, Service: ipvs.Service{Key: is.Key}})
		return
	case is == nil:
		d.show("+", ipvsadm.ServiceRule(&wanted.Service), "")
		d.do(ipvs.Change{Kind: ipvs.AddService, Service: wanted.Service})
		is = &ipvs.ServiceStatus{Service: wanted.Service}
	case plain(is.Service) != plain(wanted.Service):
		rule := ipvsadm.ServiceRule(&wanted.Service)
		d.show("~", rule, sinceCommon(ipvsadm.ServiceRule(&is.Service), " -s "))
		d.do(ipvs.Change{Kind: ipvs.EditService, Service: wanted.Service})
	}
	d.servers(wanted.Key, is.Destinations, wanted.Destinations)
}

// plain returns a service without what means nothing.
func plain(s ipvs.Service) ipvs.Service {
	if !s.Persistent() {
		s.PersistTimeout, s.Wildcard, s.PrefixLen = 0, 0, 0
	}
	return s
}

// sinceCommon returns the arguments of a rule behind what names its object.
func sinceCommon(rule, first string) string {
	if _, args, ok := strings.Cut(rule, first); ok {
		return strings.TrimPrefix(first, " ") + args
	}
	return rule
}

// servers compares the servers of one service: those that go, then edits and adds
// in the order of the file, then their order.
func (d *Diff) servers(key ipvs.ServiceKey, is, wanted []ipvs.DestinationStatus) {
	service := ipvs.Service{Key: key}
	here, there := byAddr(is), byAddr(wanted)
	for _, s := range slices.Backward(is) {
		if there[s.Addr] == nil {
			d.show("-", ipvsadm.ServerRule(key, &s.Destination), "")
			d.do(ipvs.Change{Kind: ipvs.DeleteDestination, Service: service, Destination: ipvs.Destination{Addr: s.Addr}})
		}
	}
	var order []netip.AddrPort // as it gets by what is done, oldest first
	for _, s := range slices.Backward(is) {
		if there[s.Addr] != nil {
			order = append(order, s.Addr)
		}
	}
	for _, w := range slices.Backward(wanted) {
		old := here[w.Addr]
		switch {
		case old == nil:
			d.show("+", ipvsadm.ServerRule(key, &w.Destination), "")
			d.do(ipvs.Change{Kind: ipvs.AddDestination, Service: service, Destination: w.Destination})
			order = append(order, w.Addr)
		case *old != w.Destination:
			name := " -r " + w.Addr.String() + " "
			_, was, _ := strings.Cut(ipvsadm.ServerRule(key, old), name)
			d.show("~", ipvsadm.ServerRule(key, &w.Destination), was)
			d.do(ipvs.Change{Kind: ipvs.EditDestination, Service: service, Destination: w.Destination})
		}
	}
	d.order(service, order, wanted)
}

func byAddr(servers []ipvs.DestinationStatus) map[netip.AddrPort]*ipvs.Destination {
	m := make(map[netip.AddrPort]*ipvs.Destination, len(servers))
	for i := range servers {
		m[servers[i].Addr] = &servers[i].Destination
	}
	return m
}

// order puts the servers into the order of the file, if it is not theirs already;
// is has the oldest first.
func (d *Diff) order(service ipvs.Service, is []netip.AddrPort, wanted []ipvs.DestinationStatus) {
	list := make([]netip.AddrPort, len(wanted))
	for i := range wanted {
		list[i] = wanted[i].Addr
	}
	oldest := slices.Clone(list)
	slices.Reverse(oldest)
	if slices.Equal(is, oldest) {
		return
	}
	d.show("~", fmt.Sprintf("# servers of %s in the order %s", ipvsadm.ServiceName(service.Key), addrs(oldest)), addrs(is))
	d.do(ipvs.Change{Kind: ipvs.OrderDestinations, Service: service, Order: list})
}

// addrs writes a list of addresses, the middle of a long one left out.
func addrs(list []netip.AddrPort) string {
	const most = 8
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	if len(words) > most {
		words = slices.Concat(words[:most-1], []string{"..."}, words[len(words)-1:])
	}
	return strings.Join(words, " ")
}
