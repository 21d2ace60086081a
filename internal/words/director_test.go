package words

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/ipvs"
)

// director is a director of the data path whose listings have something of
// everything, also of what this version of natlb refuses to make.
type director struct {
	odd bool // there are source addresses in every state

	*dataplane.Director
	rest
	mu       sync.Mutex
	services []ipvs.ServiceStatus // shown beside its own
	conns    []ipvs.ConnStatus
	applied  int
	ledgers  int64 // asked for
}

// rest has the methods that nobody calls here; those of the data path lie less
// deep and go first.
type rest struct{ control.Director }

// wantedRules differ from what newDirector has in every way.
const wantedRules = `--set 600 60 30
sysctl drop_entry=3
mark -A PREROUTING -d 10.10.1.9 -j MARK --set-mark 1
-A -t 10.10.1.1:80 -s wrr -p 60 -M 255.255.255.0
-a -t 10.10.1.1:80 -r 10.20.0.2 -m -x 5 -y 3
-a -t 10.10.1.1:80 -r 10.20.0.1 -m -w 3
-a -t 10.10.1.1:80 -r 10.20.0.4 -i --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.10.1.1:80 -r 10.20.0.5 --fullnat --toa
`

func newDirector() *director {
	stats := ipvs.Stats{Conns: 1<<63 + 1, InPkts: 2, OutPkts: 3, InBytes: 4, OutBytes: 5}
	one := netip.MustParseAddrPort("[2001:db8::1]:80")
	return &director{
		Director: dataplane.NewDirector(dataplane.Config{}),
		services: []ipvs.ServiceStatus{
			{
				Service: ipvs.Service{
					Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: one}, Scheduler: "mh", Engine: "sip", PrefixLen: 64,
					Flags: ipvs.FlagPersistent | ipvs.FlagSched1, PersistTimeout: 60, Wildcard: 0xff,
				},
				Stats: stats,
				Destinations: []ipvs.DestinationStatus{{
					Destination: ipvs.Destination{Addr: one, Method: ipvs.Tunnel, UpperThreshold: 9, LowerThreshold: 5,
						Tunnel: ipvs.TunnelOptions{Type: ipvs.TunnelGUE, Port: 6080, Checksum: ipvs.TunnelChecksummed}},
					Overloaded: true, Active: 9, Stats: stats,
					Reach: ipvs.Reach{Unreachable: true, For: 3 * time.Second, Withheld: true, Lost: 7},
				}, {Destination: ipvs.Destination{Addr: one, Method: ipvs.FullNAT, TOA: true}}},
			},
			{Service: ipvs.Service{Key: ipvs.ServiceKey{Mark: 5, V6: true}, Scheduler: "rr"}},
		},
		conns: []ipvs.ConnStatus{
			{Proto: ipvs.TCP, State: "ESTABLISHED", Expires: 90 * time.Second, Client: one, Virtual: one, Dest: one, Source: one, InPkts: 7,
				Service: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: one}},
			{Proto: ipvs.AnyProtocol, State: "NONE", Client: one, Virtual: one, Dest: one, Mark: 5, Template: true, Engine: "sip", Data: "call-1",
				Service: ipvs.ServiceKey{Mark: 5, V6: true}},
		},
	}
}

// Sources returns more than those that were added, once odd is set.
func (d *director) Sources() (list []ipvs.SourceStatus) {
	if d.odd {
		list = []ipvs.SourceStatus{
			{Addr: netip.MustParseAddr("10.0.0.200"), Conns: 12, Deleted: true}, {Addr: netip.MustParseAddr("10.0.0.201"), Local: true},
		}
	}
	return append(list, d.Director.Sources()...)
}

// Apply counts the transactions.
func (d *director) Apply(changes []ipvs.Change) error {
	err := d.Director.Apply(changes)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.applied++
	}
	return err
}

func (d *director) Services() []ipvs.ServiceStatus {
	return append(d.Director.Services(), d.services...)
}

func (d *director) Connections(yield func(ipvs.ConnStatus) bool) {
	for _, c := range d.conns {
		if !yield(c) {
			return
		}
	}
}

// Ledger is a later one at each call.
func (d *director) Ledger() control.Ledger {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledgers++
	zero, one := 0, netip.MustParseAddrPort("192.0.2.1:0")
	lost := []control.LostServer{
		control.LostServerOf(&ipvs.LostServer{Service: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: one}, Server: one}),
		control.LostServerOf(&ipvs.LostServer{Service: ipvs.ServiceKey{Mark: 5, V6: true}, Server: one}),
	}
	return control.Ledger{Unreachable: lost, Clock: d.ledgers, Received: 1, Verdicts: []control.LedgerEntry{{
		Name: "drop-icmp-checksum", Class: "dropped", Count: 1, Meaning: "an ICMP error about a connection with a wrong checksum", Advice: "a broken sender",
		Last: &control.Sighting{Clock: 1, Link: "eth0", Length: 70, EtherType: 0x0800, Protocol: "icmp", Source: one, Destination: one, ICMPType: &zero, ICMPCode: &zero},
	}}}
}

func (d *director) Counters() []control.Counter {
	return []control.Counter{{Name: "forwarded", Count: 1 << 60}}
}

func (d *director) Sysctls() (out []control.Sysctl) {
	for _, s := range d.Director.Sysctls() {
		out = append(out, control.Sysctl(s))
	}
	return out
}

// serve gives the director a socket until the test ends.
func (d *director) serve(t *testing.T) (socket string) {
	t.Helper()
	for _, changes := range [][]ipvs.Change{
		{{Kind: ipvs.ChangeMarks, Words: []string{"-A", "PREROUTING", "-d", "10.10.1.8", "-j", "MARK", "--set-mark", "2"}}},
		{{Kind: ipvs.AddService, Service: webService}},
		{{Kind: ipvs.AddDestination, Service: webService, Destination: webServer("10.20.0.1:80")}},
		{{Kind: ipvs.AddDestination, Service: webService, Destination: webServer("10.20.0.2:80")}},
		{{Kind: ipvs.AddDestination, Service: webService, Destination: webServer("10.20.0.3:80")}},
	} {
		if err := d.Director.Apply(changes); err != nil {
			t.Fatal(err)
		}
	}
	socket = filepath.Join(t.TempDir(), "natlb.sock")
	listener, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(d, "test", slog.New(slog.DiscardHandler))
	go server.Serve(listener)
	t.Cleanup(func() { server.Shutdown(context.Background()) })
	return socket
}

var webService = ipvs.Service{
	Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}, Scheduler: "rr",
}

func webServer(addr string) ipvs.Destination {
	return ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Method: ipvs.Masq, Weight: 1}
}
