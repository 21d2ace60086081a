package ipvsadm

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"natlb/ipvs"
)

// list is -L in all its forms.
func (s *invocation) list(ln *line) error {
	asJSON := ln.given.has(optJSON)
	switch {
	case ln.given.has(optConnection) && asJSON:
		return s.listConnsJSON()
	case ln.given.has(optConnection):
		return s.listConns(ln)
	case asJSON:
		return s.listJSON(ln)
	case ln.given.has(optTimeout):
		return s.listTimeouts()
	case ln.given.has(optDaemon):
		return s.listDaemons()
	}
	return s.listTable(ln)
}

// listTimeouts prints nothing when it fails, unless there is no director.
func (s *invocation) listTimeouts() error {
	t, err := s.env.Client.Timeouts(s.ctx)
	if err != nil {
		return silent(refusal(err, statusListing))
	}
	fmt.Fprintf(s.env.Stdout, "Timeout (tcp tcpfin udp): %d %d %d\n", t.TCP, t.TCPFin, t.UDP)
	return nil
}

// listDaemons has nothing to list as long as there are no sync daemons, but the
// director must be there.
func (s *invocation) listDaemons() error {
	_, err := s.env.Client.TableSize(s.ctx)
	return silent(refusal(err, statusListing))
}

// silent takes the words from a fault that does not end the program.
func silent(err error) error {
	if f, ok := err.(*fault); ok && !f.ends {
		return &fault{status: f.status}
	}
	return err
}

func (s *invocation) listTable(ln *line) error {
	if !ln.given.has(optService) {
		size, err := s.env.Client.TableSize(s.ctx)
		if err != nil {
			return refusal(err, statusListing)
		}
		fmt.Fprintf(s.env.Stdout, "IP Virtual Server version 1.2.1 (size=%d)\n", size)
	}
	services, err := s.listed(ln)
	if err != nil {
		return err
	}
	names, stop := newNamer(s.ctx, s.lookup, ln.given.has(optNumeric))
	defer stop()
	t := &table{form: formOf(ln.given), names: names, exact: ln.given.has(optExact)}
	return s.output(func(w io.Writer) { t.print(w, services) })
}

// listed returns the services that a line asks for, in its order.
func (s *invocation) listed(ln *line) ([]ipvs.ServiceStatus, error) {
	services, err := s.env.Client.Services(s.ctx)
	if err != nil {
		return nil, refusal(err, statusListing)
	}
	if ln.given.has(optService) {
		services = slices.DeleteFunc(services, func(v ipvs.ServiceStatus) bool { return v.Key != ln.service.Key })
		if len(services) == 0 {
			return nil, refusal(ipvs.ErrNoSuchService, statusListing)
		}
	}
	if !ln.given.has(optNosort) {
		sortServices(services)
	}
	return services, nil
}

// output buffers what print writes to standard output, and sees whether it
// arrived there.
func (s *invocation) output(print func(w io.Writer)) error {
	w := bufio.NewWriter(s.env.Stdout)
	print(w)
	if err := w.Flush(); err != nil {
		return &fault{text: err.Error(), status: statusListing}
	}
	return nil
}

// sortServices puts services and their servers in ipvsadm's order: by mark
// (services with an address first), family, protocol, address, port; servers by
// address and port. Deviation: 1.31 compares by signed differences, so that
// addresses more than 2^31 apart come out reversed; this order is true.
func sortServices(services []ipvs.ServiceStatus) {
	slices.SortStableFunc(services, func(a, b ipvs.ServiceStatus) int { return a.Key.Compare(b.Key) })
	for i := range services {
		slices.SortStableFunc(services[i].Destinations, func(a, b ipvs.DestinationStatus) int {
			return a.Addr.Compare(b.Addr)
		})
	}
}

// table prints services in one form.
type table struct {
	form  *form
	names *namer
	exact bool
}

func (t *table) print(w io.Writer, services []ipvs.ServiceStatus) {
	fmt.Fprintln(w, t.form.header)
	fmt.Fprintln(w, t.form.servers)
	for i := range services {
		s := &services[i]
		t.form.service(t, w, s)
		for j := range s.Destinations {
			d := &s.Destinations[j]
			fmt.Fprintf(w, "  -> %s", t.serverName(d, s.Key))
			t.form.server(t, w, d)
			fmt.Fprintln(w)
		}
	}
}

// The widths of a service's and a server's name; IPv4 names are cut at them.
const (
	serviceWidth = 33
	serverWidth  = 28
)

func (t *table) serviceName(k ipvs.ServiceKey) string {
	if k.IsMark() {
		name := fmt.Sprintf("FWM  %d", k.Mark)
		if k.V6 {
			name += " IPv6"
		}
		return name
	}
	name := fmt.Sprintf("%-4s %s", k.Proto, t.names.endpoint(k.VIP, k.Proto))
	if !k.Is6() {
		name = name[:min(len(name), serviceWidth)]
	}
	return name
}

// serverName shows a mark's servers with port numbers: a mark has no protocol.
func (t *table) serverName(d *ipvs.DestinationStatus, k ipvs.ServiceKey) string {
	name := t.names.endpoint(d.Addr, k.Proto)
	if d.Addr.Addr().Is4() {
		name = name[:min(len(name), serverWidth)]
	}
	return fmt.Sprintf("%-*s", serverWidth, name)
}

// describe prints a service with its scheduler and flags.
func (t *table) describe(w io.Writer, s *ipvs.ServiceStatus) {
	fmt.Fprintf(w, "%s %s", t.serviceName(s.Key), s.Scheduler)
	if s.Flags&schedFlags != 0 {
		fmt.Fprintf(w, " (%s)", schedFlagList(&s.Service)) // "()" for a flag that the scheduler has no word for
	}
	if s.Persistent() {
		fmt.Fprintf(w, " persistent %d", s.PersistTimeout)
		if mask := maskOf(&s.Service); mask != "" {
			fmt.Fprintf(w, " mask %s", mask)
		}
		if s.Engine != "" {
			fmt.Fprintf(w, " pe %s", s.Engine)
		}
	}
	if s.OnePacket() {
		fmt.Fprint(w, " ops")
	}
	fmt.Fprintln(w)
}

const schedFlags = ipvs.FlagSched1 | ipvs.FlagSched2 | ipvs.FlagSched3

// schedFlagList returns the scheduler flags as -b takes them, joined by commas.
// The third flag is not shown with sh and mh, which have words for two only.
func schedFlagList(s *ipvs.Service) string {
	own := ""
	if s.Scheduler == "sh" || s.Scheduler == "mh" {
		own = s.Scheduler
	}
	var words []string
	for _, f := range schedFlagNames {
		if f.scheduler == own && s.Flags&f.flag != 0 {
			words = append(words, f.word)
		}
	}
	return strings.Join(words, ",")
}

// maskOf returns the persistence mask, or "" for the default.
func maskOf(s *ipvs.Service) string {
	if s.Key.Is6() {
		if s.PrefixLen == 0 || s.PrefixLen == 128 {
			return ""
		}
		return fmt.Sprint(s.PrefixLen)
	}
	if m := ^s.Wildcard; s.Wildcard != 0 {
		return fmt.Sprintf("%d.%d.%d.%d", m>>24, m>>16&255, m>>8&255, m&255)
	}
	return ""
}
