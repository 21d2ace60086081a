package ipvsadm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"natlb/ipvs"
	"natlb/sched"
)

// A hint is one line for people, below the words that scripts read. It says
// what ipvsadm's messages leave out, and warns of what its defaults have done.

const startDirector = "start one with: natlb run --vip-if IF --dip-if IF"

// Hint returns what helps against a fault that a director, or the way to it,
// has reported, and "" if nothing is known to help.
func Hint(err error) string {
	switch {
	case errors.Is(err, ipvs.ErrDirectorNotRunning):
		return startDirector + "; if it has a socket of its own, name that with --socket or NATLB_SOCKET"
	case errors.Is(err, ipvs.ErrPermission):
		return "changes are for root, the director's own user and members of the group that its socket has (natlb, where there is one)"
	case errors.Is(err, ipvs.ErrUnsupported), errors.Is(err, ipvs.ErrUnsupportedSysctl):
		return "docs/differences.md lists what natlb does not do yet; nothing was changed"
	case errors.Is(err, ipvs.ErrUnknownSysctl):
		return "natlb sysctl -a lists them"
	case errors.Is(err, ipvs.ErrUnknownScheduler):
		return "schedulers: " + strings.Join(sched.Names(), " ")
	}
	return ""
}

// scene is what the hint for a command line is drawn from.
type scene struct {
	ln       *line                // nil if its words could not be read, or for a script
	err      error                // what came of it; nil: it was carried out
	services []ipvs.ServiceStatus // what the director had before; nil if nobody asked
	sources  []ipvs.SourceStatus  // that FullNAT can speak from, if they were asked for
	asked    bool
}

// asks reports whether the hint will look at the services.
func (s *scene) asks() bool {
	return s.ln != nil && (errors.Is(s.err, ipvs.ErrNoSuchService) || errors.Is(s.err, ipvs.ErrNoSuchDestination))
}

func (s *scene) hint() string {
	var f *fault
	switch {
	case s.err == nil && s.ln != nil:
		return s.afterwards()
	case s.err == nil:
		return ""
	case errors.As(s.err, &f) && f.cause == nil:
		return s.usageHint(f.text)
	case errors.Is(s.err, ipvs.ErrDirectorNotRunning): // how to start one is in its words already
		return "a director with a socket of its own is named with --socket PATH in front of all else, or with NATLB_SOCKET"
	case s.ln == nil:
		return Hint(s.err)
	case errors.Is(s.err, ipvs.ErrUnknownScheduler):
		return s.known()
	case errors.Is(s.err, ipvs.ErrServiceExists):
		return "-E changes it, and resets what is left out"
	case errors.Is(s.err, ipvs.ErrDestinationExists):
		return "-e changes it, and resets what is left out: repeat -m, -w, -x and -y"
	case errors.Is(s.err, ipvs.ErrNoSuchService):
		return s.nearServices()
	case errors.Is(s.err, ipvs.ErrNoSuchDestination):
		return s.nearServers()
	case errors.Is(s.err, ipvs.ErrInvalid), errors.Is(s.err, ipvs.ErrRange):
		return reason(f.cause)
	}
	return Hint(s.err)
}

// reason returns what a director says beyond the sentinel at the end.
func reason(err error) string {
	var change *ipvs.ChangeError
	if errors.As(err, &change) {
		err = change.Err
	}
	text := err.Error()
	for _, sentinel := range []error{ipvs.ErrInvalid, ipvs.ErrRange} {
		text = strings.TrimSuffix(text, sentinel.Error())
	}
	return strings.TrimSuffix(text, ": ")
}

// known lists the schedulers, those spelled most alike first, or says that it
// is the engine that is not known.
func (s *scene) known() string {
	wanted := s.ln.service.Scheduler
	names := sched.Names()
	if slices.Contains(names, wanted) || wanted == "" {
		return "persistence engines: sip"
	}
	return "schedulers, the closest first: " + strings.Join(nearest(wanted, names), " ")
}

// Few names say more than all of them.
const shown = 4

func (s *scene) nearServices() string {
	if len(s.services) == 0 {
		return "there are no virtual services: -A adds one"
	}
	var here, elsewhere []string // at the line's VIP, and not
	wanted := s.ln.service.Key
	for i := range s.services {
		key := s.services[i].Key
		if key.VIP.Addr() == wanted.VIP.Addr() {
			here = append(here, serviceArgs(numbers, key))
		} else {
			elsewhere = append(elsewhere, serviceArgs(numbers, key))
		}
	}
	form := serviceArgs(numbers, wanted)
	return "there is: " + list(append(nearest(form, here), nearest(form, elsewhere)...))
}

func (s *scene) nearServers() string {
	service := s.service()
	if service == nil {
		return ""
	}
	if len(service.Destinations) == 0 {
		return "this service has no real servers: -a adds one"
	}
	if s.replacedPort() && find(service, s.ln.server.Addr.String()) != nil {
		return fmt.Sprintf("%s: %v was looked for, not %v, which is there: add -m", s.keepsPort(), s.target().Addr, s.ln.server.Addr)
	}
	var here, elsewhere []string // at the line's RIP, and not
	wanted := s.target().Addr
	for i := range service.Destinations {
		addr := service.Destinations[i].Addr
		if addr.Addr() == wanted.Addr() {
			here = append(here, addr.String())
		} else {
			elsewhere = append(elsewhere, addr.String())
		}
	}
	return "this service has: " + list(append(nearest(wanted.String(), here), nearest(wanted.String(), elsewhere)...))
}

// list joins the first few names.
func list(names []string) string {
	if len(names) > shown {
		return fmt.Sprintf("%s, and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}

// service returns the service of the line as it was, or nil.
func (s *scene) service() *ipvs.ServiceStatus {
	i := slices.IndexFunc(s.services, func(v ipvs.ServiceStatus) bool { return v.Key == s.ln.service.Key })
	if i < 0 {
		return nil
	}
	return &s.services[i]
}

func find(service *ipvs.ServiceStatus, addr string) *ipvs.DestinationStatus {
	i := slices.IndexFunc(service.Destinations, func(d ipvs.DestinationStatus) bool { return d.Addr.String() == addr })
	if i < 0 {
		return nil
	}
	return &service.Destinations[i]
}

// target returns the real server that the line stands for in the end.
func (s *scene) target() ipvs.Destination {
	c, _ := s.ln.change()
	return c.Destination
}

// replacedPort reports whether the port on the line gave way to the service's.
func (s *scene) replacedPort() bool {
	switch s.ln.cmd.kind {
	case ipvs.AddDestination, ipvs.EditDestination:
		return s.target().Addr != s.ln.server.Addr
	}
	return false
}

// keepsPort says why the port on the line does not count.
func (s *scene) keepsPort() string {
	switch {
	case s.ln.server.Method == ipvs.Tunnel:
		return "-i keeps the packet's port"
	case s.ln.given.has(optForward):
		return "-g keeps the packet's port"
	}
	return "without -m it is -g, which keeps the packet's port"
}

// afterwards warns of what a line has done beyond its words.
func (s *scene) afterwards() string {
	switch s.ln.cmd.kind {
	case ipvs.AddDestination, ipvs.EditDestination:
		return s.serverChanged()
	case ipvs.EditService:
		return s.serviceChanged()
	}
	return ""
}

func (s *scene) serverChanged() string {
	var parts []string
	d := s.target()
	if s.replacedPort() {
		parts = append(parts, fmt.Sprintf("%s: the server is %v, not %v", s.keepsPort(), d.Addr, s.ln.server.Addr))
	}
	if d.Method == ipvs.Route && !s.replacedPort() && !s.ln.given.has(optForward) {
		parts = append(parts, "without -m it is -g: the server needs the VIP on its own lo, and answers the clients itself")
	}
	if s.asked && !slices.ContainsFunc(s.sources, func(a ipvs.SourceStatus) bool { return a.Addr.Is6() == d.Addr.Addr().Is6() }) {
		parts = append(parts, "--fullnat needs a source address, and there is none of this family yet: natlb source add ADDRESS, a free one of the servers' network")
	}
	if lost := s.lostByServer(&d); lost != nil {
		parts = append(parts, "-e replaces everything: "+strings.Join(lost, ", "))
	}
	return strings.Join(parts, "; ")
}

// lostByServer names what an edit has changed without being asked, and a change
// of the forwarding method in any case.
func (s *scene) lostByServer(now *ipvs.Destination) (lost []string) {
	service := s.service()
	if service == nil || s.ln.cmd.kind != ipvs.EditDestination {
		return nil
	}
	was := find(service, now.Addr.String())
	if was == nil {
		return nil
	}
	if was.Method != now.Method {
		lost = append(lost, fmt.Sprintf("forwarding was %v and is %v", was.Method, now.Method))
	}
	for _, x := range []struct {
		id       opt
		name     string
		was, now int64
	}{
		{optWeight, "weight", int64(was.Weight), int64(now.Weight)},
		{optUpper, "upper threshold", int64(was.UpperThreshold), int64(now.UpperThreshold)},
		{optTOA, "--toa", flagNumber(was.TOA), flagNumber(now.TOA)},
		{optLower, "lower threshold", int64(was.LowerThreshold), int64(now.LowerThreshold)},
	} {
		if x.was != x.now && !s.ln.given.has(x.id) {
			lost = append(lost, fmt.Sprintf("%s was %d and is %d", x.name, x.was, x.now))
		}
	}
	return lost
}

// flagNumber returns a flag as lostByServer's table has it.
func flagNumber(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

func (s *scene) serviceChanged() string {
	was := s.service()
	if was == nil {
		return ""
	}
	c, _ := s.ln.change()
	now := &c.Service
	var lost []string
	for _, x := range []struct {
		id   opt
		text string
		gone bool
	}{
		{optScheduler, fmt.Sprintf("the scheduler was %s and is %s", was.Scheduler, now.Scheduler), was.Scheduler != now.Scheduler},
		{optPersistent, "persistence (-p) is off", was.Persistent() && !now.Persistent()},
		{optNetmask, "the persistence mask (-M) is gone", was.Persistent() && now.Persistent() && maskOf(&was.Service) != maskOf(now)},
		{optOps, "one-packet scheduling (-o) is off", was.OnePacket() && !now.OnePacket()},
		{optEngine, "the persistence engine (--pe) is gone", was.Engine != "" && now.Engine == ""},
		{optSchedFlags, "the scheduler's flags (-b) are gone", was.Flags&schedFlags != 0 && now.Flags&schedFlags == 0},
	} {
		if x.gone && !s.ln.given.has(x.id) {
			lost = append(lost, x.text)
		}
	}
	if lost == nil {
		return ""
	}
	return "-E replaces everything: " + strings.Join(lost, ", ")
}
