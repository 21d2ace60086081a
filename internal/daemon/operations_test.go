package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// served is a director as the control server wants it, without a host to guard.
type served struct {
	control.Director // nil: what is not asked here
	atomic.Pointer[dataplane.Director]
}

func (s *served) Apply(changes []ipvs.Change) error            { return s.Load().Apply(changes) }
func (s *served) Services() []ipvs.ServiceStatus               { return s.Load().Services() }
func (s *served) Connections(yield func(ipvs.ConnStatus) bool) { s.Load().Connections(yield) }
func (s *served) Timeouts() ipvs.Timeouts                      { return s.Load().Timeouts() }
func (s *served) TableSize() int                               { return s.Load().TableSize() }
func (s *served) Marks(words []string) (string, error)         { return s.Load().Marks(words) }

func (s *served) Sysctls() (out []control.Sysctl) {
	for _, c := range s.Load().Sysctls() {
		out = append(out, control.Sysctl(c))
	}
	return out
}

// operations is an operator at the control socket, and what the director should
// have made of all that was asked so far.
type operations struct {
	client   *control.Client
	services []modelService // in order of creation
	timeouts ipvs.Timeouts
	sysctls  map[string]string // of those that are changed here
	marks    int               // rules

	about *ipvs.Change // what changes are mostly about, if anything
}

type modelService struct {
	ipvs.Service
	servers []ipvs.Destination // newest first
}

// TestRandomOperations types and sends random operations, good and bad ones, over
// a real socket to a real director. Each has to be carried out or refused with the
// error that semantics 1.3 and ipvsadm's own texts give, a transaction as a whole;
// after each the listings are those of the model.
func TestRandomOperations(t *testing.T) {
	director := new(served)
	path := filepath.Join(t.TempDir(), "natlb.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(director, "v0.0.0-test", slog.New(slog.DiscardHandler))
	go server.Serve(l)
	defer server.Shutdown(context.Background())
	client := control.Dial(path)
	defer client.Close()

	rapid.Check(t, func(t *rapid.T) {
		director.Store(dataplane.NewDirector(dataplane.Config{Shards: 2}))
		o := &operations{
			client: client, timeouts: ipvs.Timeouts{TCP: 900, TCPFin: 120, UDP: 300},
			sysctls: map[string]string{"conn_reuse_mode": "1", "expire_nodest_conn": "0", "am_droprate": "10", "lblc_expiration": "86400"},
		}
		t.Repeat(map[string]func(*rapid.T){
			"":          o.check,
			"type":      o.typeOne,
			"type more": o.typeOne,
			"list":      o.listOne,
			"transact":  o.transact,
		})
	})
}

// run types a command line and returns its exit status and what it says, on either
// stream.
func (o *operations) run(args ...string) (status int, out, says string) {
	var stdout, stderr bytes.Buffer
	env := &ipvsadm.Env{Prog: "ipvsadm", Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Client: o.client}
	status = ipvsadm.Run(context.Background(), env, args)
	return status, stdout.String(), strings.TrimSuffix(stderr.String(), "\n")
}

var byValue = cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})

// check compares all that can be asked with the model.
func (o *operations) check(t *rapid.T) {
	ctx := context.Background()
	listed, err := o.client.Services(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []modelService
	for _, s := range listed {
		m := modelService{Service: s.Service}
		for _, d := range s.Destinations {
			if d.Active != 0 || d.Inactive != 0 || d.PersistConns != 0 || d.Stats != (ipvs.Stats{}) {
				t.Fatalf("%v server %v has connections: %+v", s.Key, d.Addr, d)
			}
			m.servers = append(m.servers, d.Destination)
		}
		got = append(got, m)
	}
	if diff := cmp.Diff(o.services, got, byValue, cmp.AllowUnexported(modelService{}), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("services (-want +got):\n%s", diff)
	}
	status, saved, says := o.run("-S", "-n")
	want := o.saved()
	lines := strings.Split(strings.TrimSuffix(saved, "\n"), "\n")
	slices.Sort(lines)
	if diff := cmp.Diff(want, lines); status != 0 || says != "" || diff != "" {
		t.Fatalf("ipvsadm -S -n = %d, %q; its lines, sorted (-want +got):\n%s", status, says, diff)
	}
	if got, err := o.client.Timeouts(ctx); err != nil || got != o.timeouts {
		t.Fatalf("timeouts = %v, %v, want %v", got, err, o.timeouts)
	}
	sysctls, err := o.client.Sysctls(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sysctls {
		if want, mine := o.sysctls[s.Name]; mine && s.Value != want {
			t.Fatalf("sysctl %s = %s, want %s", s.Name, s.Value, want)
		}
	}
	if text, err := o.client.Marks(ctx, []string{"-S"}); err != nil || strings.Count(text, "-A PREROUTING") != o.marks {
		t.Fatalf("%d mark rules wanted, there are: %s, %v", o.marks, text, err)
	}
}

// saved returns the lines of -S, sorted.
func (o *operations) saved() []string {
	lines := []string{}
	for _, s := range o.services {
		lines = append(lines, strings.Join(typed(&ipvs.Change{Kind: ipvs.AddService, Service: s.Service}), " "))
		for _, d := range s.servers {
			d.UpperThreshold, d.LowerThreshold = 0, 0 // -S loses them
			lines = append(lines, strings.Join(typed(&ipvs.Change{Kind: ipvs.AddDestination, Service: s.Service, Destination: d}), " "))
		}
	}
	if len(lines) == 0 {
		return []string{""}
	}
	slices.Sort(lines)
	return lines
}

// typed returns the words of a change on ipvsadm's command line.
func typed(c *ipvs.Change) []string {
	letters := map[ipvs.ChangeKind]string{
		ipvs.AddService: "-A", ipvs.EditService: "-E", ipvs.DeleteService: "-D", ipvs.AddDestination: "-a",
		ipvs.EditDestination: "-e", ipvs.DeleteDestination: "-d", ipvs.FlushServices: "-C", ipvs.ZeroStats: "-Z",
	}
	words := []string{letters[c.Kind]}
	add := func(w ...string) { words = append(words, w...) }
	s, d := &c.Service, &c.Destination
	switch {
	case c.Kind == ipvs.SetTimeouts:
		number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
		return []string{"--set", number(c.Timeouts.TCP), number(c.Timeouts.TCPFin), number(c.Timeouts.UDP)}
	case s.Key == (ipvs.ServiceKey{}):
		return words
	case s.Key.IsMark():
		add("-f", fmt.Sprint(s.Key.Mark))
	default:
		add(map[ipvs.Protocol]string{ipvs.TCP: "-t", ipvs.UDP: "-u", ipvs.SCTP: "--sctp-service"}[s.Key.Proto], s.Key.VIP.String())
	}
	switch c.Kind {
	case ipvs.AddService, ipvs.EditService:
		add("-s", s.Scheduler)
		if s.Flags&ipvs.FlagPersistent != 0 {
			add("-p", fmt.Sprint(s.PersistTimeout))
		}
		if m := ^s.Wildcard; s.Wildcard != 0 {
			add("-M", fmt.Sprintf("%d.%d.%d.%d", m>>24, m>>16&255, m>>8&255, m&255))
		}
		if s.Engine != "" {
			add("--pe", s.Engine)
		}
		if s.Flags&ipvs.FlagOnePacket != 0 {
			add("-o")
		}
		flags := map[bool]string{true: s.Scheduler + "-fallback", false: "flag-1"}[s.Scheduler == "sh" || s.Scheduler == "mh"]
		if s.Flags&ipvs.FlagSched1 != 0 {
			add("-b", flags)
		}
	case ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination:
		add("-r", d.Addr.String())
		if c.Kind == ipvs.DeleteDestination {
			break
		}
		add(map[ipvs.ForwardMethod]string{ipvs.Masq: "-m", ipvs.Route: "-g", ipvs.Tunnel: "-i"}[d.Method], "-w", fmt.Sprint(d.Weight))
		if d.Method == ipvs.Tunnel {
			add("--tun-type", d.Tunnel.Type.String())
			if d.Tunnel.Type == ipvs.TunnelGUE {
				add("--tun-port", fmt.Sprint(d.Tunnel.Port))
			}
			if d.Tunnel.Type != ipvs.TunnelIPIP {
				add("--tun-nocsum")
			}
		}
		if d.UpperThreshold != 0 {
			add("-x", fmt.Sprint(d.UpperThreshold))
		}
		if d.LowerThreshold != 0 {
			add("-y", fmt.Sprint(d.LowerThreshold))
		}
	}
	return words
}

// typeOne types one change.
func (o *operations) typeOne(t *rapid.T) {
	c := o.drawChange(t, typable)
	if (c.Kind == ipvs.AddDestination || c.Kind == ipvs.EditDestination) && c.Destination.Method != ipvs.Masq && !c.Service.Key.IsMark() {
		// Without -m the server's port is the service's, whatever was typed.
		c.Destination.Addr = netip.AddrPortFrom(c.Destination.Addr.Addr(), c.Service.Key.VIP.Port())
	}
	args := typed(&c)
	wantStatus, wantSays := mistyped(&c)
	if wantStatus == 0 {
		if err := o.carryOut([]ipvs.Change{c}); err != nil {
			wantStatus, wantSays = 255, refusals[err.Err]
			if err.Err == ipvs.ErrNoSuchService && about(c.Kind) == "server" {
				wantSays = "Service not defined"
			}
			if err.Err == ipvs.ErrUnsupported {
				wantSays = lacks(&c) + ": not supported by this version of natlb"
			}
		}
	}
	if status, out, says := o.run(args...); status != wantStatus || out != "" || says != wantSays {
		t.Fatalf("ipvsadm %q = %d, %q, %q, want %d, %q", args, status, out, says, wantStatus, wantSays)
	}
}

// refusals are ipvsadm's texts for what a kernel answers.
var refusals = map[error]string{
	ipvs.ErrServiceExists:     "Service already exists",
	ipvs.ErrDestinationExists: "Destination already exists",
	ipvs.ErrNoSuchService:     "No such service",
	ipvs.ErrNoSuchDestination: "No such destination",
	ipvs.ErrUnknownScheduler:  "Scheduler or persistence engine not found",
	ipvs.ErrInvalid:           "Invalid operation.  Possibly wrong module version, address not unicast, ...",
	ipvs.ErrRange:             "Numerical result out of range",
}

// mistyped returns what ipvsadm itself refuses, 0 if nothing.
func mistyped(c *ipvs.Change) (status int, says string) {
	seconds := func(n, least uint32) bool { return n >= least && n <= 2678400 }
	badSeconds := func(n uint32) (int, string) { return 2, fmt.Sprintf("invalid timeout value `%d' specified", n) }
	switch s := &c.Service; c.Kind {
	case ipvs.AddService, ipvs.EditService:
		persistent := s.Flags&ipvs.FlagPersistent != 0
		switch {
		case persistent && !seconds(s.PersistTimeout, 1):
			return badSeconds(s.PersistTimeout)
		case s.Key.IsMark():
		case s.Key.VIP.Port() == 0 && !persistent:
			return 2, "Zero port specified for non-persistent service"
		case s.Flags&ipvs.FlagOnePacket != 0 && s.Key.Proto != ipvs.UDP:
			return 2, "One-Packet Scheduling is only for UDP virtual services"
		}
	case ipvs.AddDestination, ipvs.EditDestination:
		if c.Destination.Weight < 0 {
			return 2, "illegal weight specified"
		}
		if c.Destination.Tunnel.Type == ipvs.TunnelGUE && c.Destination.Tunnel.Port == 0 {
			return 2, "illegal tunnel port specified"
		}
	case ipvs.SetTimeouts:
		for _, n := range []uint32{c.Timeouts.TCP, c.Timeouts.TCPFin, c.Timeouts.UDP} {
			if !seconds(n, 0) {
				return badSeconds(n)
			}
		}
	}
	return 0, ""
}

func about(k ipvs.ChangeKind) string {
	switch k {
	case ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination:
		return "server"
	}
	return ""
}

// lacks names what this version of natlb cannot do of a change, "" if nothing.
func lacks(c *ipvs.Change) string {
	switch {
	case c.Kind != ipvs.AddService && c.Kind != ipvs.EditService:
		return ""
	case c.Service.Engine == "sip":
		return "persistence engines (--pe)"
	}
	return ""
}

// listOne lists one service.
func (o *operations) listOne(t *rapid.T) {
	key := someKeys.Draw(t, "service")
	args := append([]string{"-L", "-n"}, typed(&ipvs.Change{Kind: ipvs.DeleteService, Service: ipvs.Service{Key: key}})[1:]...)
	status, out, says := o.run(args...)
	i := o.find(key)
	if i < 0 {
		if status != 1 || says != "No such service" {
			t.Fatalf("ipvsadm %q = %d, %q, want 1, No such service", args, status, says)
		}
		return
	}
	if got, want := strings.Count(out, "\n"), 3+len(o.services[i].servers); status != 0 || says != "" || got != want {
		t.Fatalf("ipvsadm %q = %d, %q and %d lines, want %d:\n%s", args, status, says, got, want, out)
	}
}

// transact sends several changes at once, also such as cannot be typed.
func (o *operations) transact(t *rapid.T) {
	var changes []ipvs.Change
	about := ipvs.Change{Service: ipvs.Service{Key: o.key(t)}}
	about.Destination.Addr = o.server(t, about.Service.Key)
	o.about = &about
	defer func() { o.about = nil }()
	trial, careful := o.clone(), rapid.Bool().Draw(t, "careful")
	for range rapid.IntRange(1, 20).Draw(t, "changes") {
		c := o.drawChange(t, sendable)
		good := faulty(&c) == nil && trial.do(&c) == nil
		if good || !careful && dice.Draw(t, "refused") == 0 { // one that is refused is enough to refuse all
			changes = append(changes, c)
		}
	}
	want := o.carryOut(changes)
	err := o.client.Apply(context.Background(), changes)
	var refused *ipvs.ChangeError
	switch {
	case want == nil && err == nil:
	case want == nil || err == nil || !errors.As(err, &refused):
		t.Fatalf("Apply(%+v) = %v, want %v", changes, err, want)
	case !errors.Is(err, want.Err) || refused.Index != want.Index || refused.Kind != want.Kind:
		t.Fatalf("Apply(%+v) = %v of change %d, want %v of change %d", changes, err, refused.Index, want, want.Index)
	}
}

// carryOut does what a transaction asks for to the model, or nothing, and returns
// the refusal that is due: first what is wrong with a change by itself, then what
// does not fit what is there.
func (o *operations) carryOut(changes []ipvs.Change) *ipvs.ChangeError {
	trial := o.clone()
	for i := range changes {
		c := &changes[i]
		if err := faulty(c); err != nil {
			// A server is not looked at when its service is not there.
			if about(c.Kind) == "server" && !o.wouldExist(c.Service.Key, changes[:i]) {
				err = ipvs.ErrNoSuchService
			}
			return &ipvs.ChangeError{Index: i, Kind: c.Kind, Err: err}
		}
	}
	for i := range changes {
		if err := trial.do(&changes[i]); err != nil {
			return &ipvs.ChangeError{Index: i, Kind: changes[i].Kind, Err: err}
		}
	}
	*o = *trial
	return nil
}

func (o *operations) clone() *operations {
	trial := *o
	trial.services, trial.about = nil, nil
	for _, s := range o.services {
		s.servers = slices.Clone(s.servers)
		trial.services = append(trial.services, s)
	}
	trial.sysctls = map[string]string{}
	for k, v := range o.sysctls {
		trial.sysctls[k] = v
	}
	return &trial
}

// wouldExist reports whether a service is there after changes.
func (o *operations) wouldExist(key ipvs.ServiceKey, changes []ipvs.Change) bool {
	exists := o.find(key) >= 0
	for _, c := range changes {
		switch {
		case c.Kind == ipvs.AddService && c.Service.Key == key:
			exists = true
		case c.Kind == ipvs.DeleteService && c.Service.Key == key || c.Kind == ipvs.FlushServices:
			exists = false
		}
	}
	return exists
}

func (o *operations) find(key ipvs.ServiceKey) int {
	return slices.IndexFunc(o.services, func(s modelService) bool { return s.Key == key })
}

// faulty returns what is wrong with a change whatever is there.
func faulty(c *ipvs.Change) error {
	switch d := &c.Destination; c.Kind {
	case ipvs.AddService, ipvs.EditService:
		if status, _ := mistyped(c); status != 0 {
			return ipvs.ErrInvalid
		}
		if lacks(c) != "" {
			return ipvs.ErrUnsupported
		}
	case ipvs.AddDestination, ipvs.EditDestination:
		switch {
		case d.Weight < 0 || d.LowerThreshold > d.UpperThreshold:
			return ipvs.ErrRange
		case d.Tunnel.Type == ipvs.TunnelGUE && d.Tunnel.Port == 0:
			return ipvs.ErrInvalid
		case slices.Contains(noServers, d.Addr.Addr().String()) && c.Kind == ipvs.AddDestination:
			return ipvs.ErrInvalid
		case slices.Contains(noServers, d.Addr.Addr().String()):
			return ipvs.ErrNoSuchDestination
		case d.Method != ipvs.Masq && !c.Service.Key.IsMark() && d.Addr.Port() != c.Service.Key.VIP.Port():
			return ipvs.ErrInvalid // cannot be typed, and so not be saved
		}
	case ipvs.SetTimeouts:
		if status, _ := mistyped(c); status != 0 {
			return ipvs.ErrInvalid
		}
	case ipvs.DeleteService, ipvs.DeleteDestination, ipvs.FlushServices, ipvs.ZeroStats, ipvs.SetSysctl, ipvs.ChangeMarks:
	default:
		return ipvs.ErrInvalid
	}
	return nil
}

// do carries out one change, or says why it does not fit.
func (o *operations) do(c *ipvs.Change) error {
	switch c.Kind {
	case ipvs.AddService:
		if o.find(c.Service.Key) >= 0 {
			return ipvs.ErrServiceExists
		}
		if c.Service.Scheduler == "nosuch" || c.Service.Engine == "nosuch" {
			return ipvs.ErrUnknownScheduler
		}
		o.services = append(o.services, modelService{Service: named(c.Service)})
		return nil
	case ipvs.FlushServices:
		o.services = nil
		return nil
	case ipvs.ZeroStats:
		if c.Service.Key != (ipvs.ServiceKey{}) && o.find(c.Service.Key) < 0 {
			return ipvs.ErrNoSuchService
		}
		return nil
	case ipvs.SetTimeouts:
		set := func(to *uint32, n uint32) {
			if n != 0 {
				*to = n
			}
		}
		set(&o.timeouts.TCP, c.Timeouts.TCP)
		set(&o.timeouts.TCPFin, c.Timeouts.TCPFin)
		set(&o.timeouts.UDP, c.Timeouts.UDP)
		return nil
	case ipvs.SetSysctl:
		if err := someSysctls[c.Name+"="+c.Value]; err != nil {
			return err
		}
		o.sysctls[c.Name] = c.Value
		return nil
	case ipvs.ChangeMarks:
		switch c.Words[0] {
		case "-F":
			o.marks = 0
		case "-A":
			o.marks++
		default:
			return ipvs.ErrInvalid
		}
		return nil
	}
	i := o.find(c.Service.Key)
	if i < 0 {
		return ipvs.ErrNoSuchService
	}
	return o.doWith(i, c)
}

// doWith carries out a change of service i or its servers.
func (o *operations) doWith(i int, c *ipvs.Change) error {
	s := &o.services[i]
	j := slices.IndexFunc(s.servers, func(d ipvs.Destination) bool { return d.Addr == c.Destination.Addr })
	switch {
	case c.Kind == ipvs.EditService:
		if c.Service.Scheduler == "nosuch" || c.Service.Engine == "nosuch" {
			return ipvs.ErrUnknownScheduler
		}
		s.Service = named(c.Service)
	case c.Kind == ipvs.DeleteService:
		o.services = slices.Delete(o.services, i, i+1)
	case c.Kind == ipvs.AddDestination && j >= 0:
		return ipvs.ErrDestinationExists
	case c.Kind == ipvs.AddDestination:
		s.servers = slices.Insert(s.servers, 0, c.Destination)
	case j < 0:
		return ipvs.ErrNoSuchDestination
	case c.Kind == ipvs.EditDestination:
		s.servers[j] = c.Destination
	case c.Kind == ipvs.DeleteDestination:
		s.servers = slices.Delete(s.servers, j, j+1)
	}
	return nil
}

// named is a service as a listing shows it: it has a scheduler.
func named(s ipvs.Service) ipvs.Service {
	if s.Scheduler == "" {
		s.Scheduler = "wlc"
	}
	return s
}

// What operations are made of: few services and servers, so that most changes
// are about something that is there.
var (
	dice     = rapid.IntRange(0, 5)
	someKeys = rapid.SampledFrom([]ipvs.ServiceKey{
		{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:80")}, {Proto: ipvs.UDP, VIP: netip.MustParseAddrPort("192.0.2.1:80")},
		{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:0")}, {Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("0.0.0.0:80")},
		{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("224.0.0.9:80")}, {Proto: ipvs.SCTP, VIP: netip.MustParseAddrPort("192.0.2.1:80")},
		{Mark: 1}, {Mark: 1<<32 - 1},
	})
	someServers = rapid.SampledFrom([]string{
		"198.51.100.1:80", "198.51.100.1:8080", "198.51.100.2:0", "198.51.100.2:80", "198.51.100.3:80", "198.51.100.4:8080", "127.0.0.1:80",
		"0.0.0.0:80", "224.0.0.5:80", "255.255.255.255:80",
	})
	noServers      = []string{"0.0.0.0", "224.0.0.5", "255.255.255.255"}
	someSchedulers = rapid.SampledFrom([]string{"rr", "wrr", "wlc", "sh", "mh", "lblcr", "none", "lc", "nosuch"})
	someFlags      = rapid.SampledFrom([]ipvs.ServiceFlags{
		0, 0, ipvs.FlagPersistent, ipvs.FlagPersistent, ipvs.FlagOnePacket, ipvs.FlagSched1, ipvs.FlagPersistent | ipvs.FlagSched1,
	})
	somePersist   = rapid.SampledFrom([]uint32{1, 30, 300, 360, 2678400, 0, 2678401})
	someWildcards = rapid.SampledFrom([]uint32{0, 0, 0xff, 0xffffffff, 0x18})
	someEngines   = rapid.SampledFrom([]string{"", "", "", "", "", "", "sip", "nosuch"})
	someWeights   = rapid.SampledFrom([]int32{0, 1, 2, 5, 7, 9, 1<<31 - 1, -1})
	someLimits    = rapid.SampledFrom([]uint32{0, 0, 1, 7, 1<<31 - 1})
	someMethods   = rapid.SampledFrom([]ipvs.ForwardMethod{ipvs.Masq, ipvs.Masq, ipvs.Route, ipvs.Tunnel})
	someTunnels   = rapid.SampledFrom([]ipvs.TunnelOptions{
		{}, {Type: ipvs.TunnelGRE}, {Type: ipvs.TunnelGUE, Port: 6080}, {Type: ipvs.TunnelGUE},
	})
	someSeconds = rapid.SampledFrom([]uint32{0, 1, 60, 900, 2678400, 2678401})
	someSysctls = map[string]error{
		"conn_reuse_mode=0": nil, "conn_reuse_mode=2": nil, "conn_reuse_mode=-1": ipvs.ErrInvalid, "expire_nodest_conn=1": nil,
		"expire_nodest_conn=2": ipvs.ErrInvalid, "am_droprate=0": ipvs.ErrInvalid, "am_droprate=7": nil, "am_droprate=x": ipvs.ErrInvalid,
		"lblc_expiration=60": nil, "no_such=1": ipvs.ErrUnknownSysctl, "sync_ports=1": ipvs.ErrUnsupportedSysctl,
	}
	sysctlWords = rapid.SampledFrom(slices.Sorted(func(yield func(string) bool) {
		for k := range someSysctls {
			if !yield(k) {
				return
			}
		}
	}))
	someMarks = rapid.SampledFrom([]string{
		"-A PREROUTING -d 192.0.2.1/32 -p tcp -j MARK --set-mark 1", "-A PREROUTING -p udp -j MARK --set-mark 7", "-F", "-X nothing", "mark",
	})

	typable = rapid.SampledFrom([]ipvs.ChangeKind{
		ipvs.AddService, ipvs.AddService, ipvs.AddService, ipvs.EditService, ipvs.DeleteService,
		ipvs.AddDestination, ipvs.AddDestination, ipvs.AddDestination, ipvs.AddDestination, ipvs.AddDestination,
		ipvs.EditDestination, ipvs.EditDestination, ipvs.DeleteDestination, ipvs.ZeroStats, ipvs.SetTimeouts,
	})
	sendable = rapid.SampledFrom([]ipvs.ChangeKind{
		ipvs.AddService, ipvs.AddService, ipvs.EditService, ipvs.DeleteService, ipvs.DeleteService,
		ipvs.AddDestination, ipvs.AddDestination, ipvs.AddDestination, ipvs.EditDestination, ipvs.EditDestination,
		ipvs.DeleteDestination, ipvs.DeleteDestination, ipvs.ZeroStats, ipvs.SetTimeouts, ipvs.FlushServices, ipvs.SetSysctl, ipvs.ChangeMarks,
	})
)

// key draws a service, mostly one that is there.
func (o *operations) key(t *rapid.T) ipvs.ServiceKey {
	if o.about != nil && dice.Draw(t, "the same") < 5 {
		return o.about.Service.Key
	}
	if len(o.services) > 0 && dice.Draw(t, "there") < 5 {
		return o.services[rapid.IntRange(0, len(o.services)-1).Draw(t, "service")].Key
	}
	return someKeys.Draw(t, "service")
}

// server draws the server of a service, perhaps one that is there.
func (o *operations) server(t *rapid.T, key ipvs.ServiceKey) netip.AddrPort {
	if o.about != nil && dice.Draw(t, "the same") < 5 {
		return o.about.Destination.Addr
	}
	if i := o.find(key); i >= 0 && len(o.services[i].servers) > 0 && dice.Draw(t, "there") < 3 {
		servers := o.services[i].servers
		return servers[rapid.IntRange(0, len(servers)-1).Draw(t, "server")].Addr
	}
	return netip.MustParseAddrPort(someServers.Draw(t, "server"))
}

func (o *operations) drawChange(t *rapid.T, kinds *rapid.Generator[ipvs.ChangeKind]) ipvs.Change {
	c := ipvs.Change{Kind: kinds.Draw(t, "kind")}
	switch c.Kind {
	case ipvs.FlushServices:
		return c
	case ipvs.SetTimeouts:
		c.Timeouts = ipvs.Timeouts{TCP: someSeconds.Draw(t, "tcp"), TCPFin: someSeconds.Draw(t, "tcpfin"), UDP: someSeconds.Draw(t, "udp")}
		return c
	case ipvs.SetSysctl:
		c.Name, c.Value, _ = strings.Cut(sysctlWords.Draw(t, "sysctl"), "=")
		return c
	case ipvs.ChangeMarks:
		c.Words = strings.Fields(someMarks.Draw(t, "words"))
		return c
	case ipvs.ZeroStats:
		if rapid.Bool().Draw(t, "all") {
			return c
		}
	}
	c.Service.Key = o.key(t)
	switch c.Kind {
	case ipvs.AddService:
		if o.about == nil {
			c.Service.Key = someKeys.Draw(t, "service")
		}
		drawService(t, &c.Service)
	case ipvs.EditService:
		drawService(t, &c.Service)
	case ipvs.AddDestination, ipvs.EditDestination:
		c.Destination.Addr = o.server(t, c.Service.Key)
		drawServer(t, &c.Destination)
	case ipvs.DeleteDestination:
		c.Destination.Addr = o.server(t, c.Service.Key)
	}
	return c
}

func drawService(t *rapid.T, s *ipvs.Service) {
	s.Scheduler, s.Flags, s.Engine = someSchedulers.Draw(t, "scheduler"), someFlags.Draw(t, "flags"), someEngines.Draw(t, "engine")
	if s.Flags&ipvs.FlagPersistent != 0 {
		s.PersistTimeout, s.Wildcard = somePersist.Draw(t, "persist"), someWildcards.Draw(t, "wildcard")
	}
}

func drawServer(t *rapid.T, d *ipvs.Destination) {
	d.Method, d.Weight = someMethods.Draw(t, "method"), someWeights.Draw(t, "weight")
	if dice.Draw(t, "limits") == 0 {
		d.UpperThreshold, d.LowerThreshold = someLimits.Draw(t, "upper"), someLimits.Draw(t, "lower")
	}
	if d.Method == ipvs.Tunnel {
		d.Tunnel = someTunnels.Draw(t, "tunnel")
	}
}
