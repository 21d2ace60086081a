package ipvsadm

import (
	"context"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/ipvs"
)

var update = flag.Bool("update", false, "write the golden files")

// TestListings compares each form of -L with its golden file: all columns
// filled, numbers at their limits, names that are cut.
func TestListings(t *testing.T) {
	d := listingDirector()
	for name, args := range map[string]string{
		"plain": "-Ln", "names": "-L", "stats": "-Ln --stats", "stats-exact": "-Ln --stats --exact", "rate": "-Ln --rate",
		"thresholds": "-Ln --thresholds", "persistent-conn": "-Ln --persistent-conn", "tun-info": "-Ln --tun-info",
		"save": "-Sn", "save-names": "-S", "conns": "-Lnc", "conns-names": "-Lc", "conns-engine": "-Lnc --persistent-conn",
		"one": "-Ln -t 192.168.0.1:80", "nosort": "-Ln --nosort",
	} {
		t.Run(name, func(t *testing.T) {
			got := typeLine(d, args, "")
			if got.RC != 0 || got.Err != nil {
				t.Fatalf("ipvsadm %s = %d, %q", args, got.RC, got.Err)
			}
			text := strings.Join(got.Out, "\n") + "\n"
			golden := filepath.Join("testdata", "list-"+name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text); diff != "" {
				t.Errorf("ipvsadm %s: (-want +got)\n%s", args, diff)
			}
		})
	}
}

func listingDirector() *fakeDirector {
	server := func(addr string, m ipvs.ForwardMethod, weight int32) ipvs.DestinationStatus {
		return ipvs.DestinationStatus{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Method: m, Weight: weight}}
	}
	service := func(proto ipvs.Protocol, addr, scheduler string) ipvs.ServiceStatus {
		return ipvs.ServiceStatus{Service: ipvs.Service{
			Key: ipvs.ServiceKey{Proto: proto, VIP: netip.MustParseAddrPort(addr)}, Scheduler: scheduler,
		}}
	}
	web := service(ipvs.TCP, "192.168.0.1:80", "wrr")
	web.Stats = ipvs.Stats{Conns: 99999999, InPkts: 100000000, OutPkts: 999999999, InBytes: 1000000000, OutBytes: 99999999999}
	web.Rates = ipvs.Rates{CPS: 100000000, InPPS: 1, OutPPS: 2, InBPS: 100000000000, OutBPS: 99999999999999}
	nat := server("10.0.0.2:8080", ipvs.Masq, 2147483647)
	nat.Active, nat.Inactive, nat.PersistConns, nat.UpperThreshold, nat.LowerThreshold = 1, 22, 333, 4444, 55555
	nat.Stats = ipvs.Stats{Conns: 1 << 33, InPkts: 100000000000000, OutPkts: 18446744073709551615}
	nat.Rates = ipvs.Rates{CPS: 100000000, InPPS: 4294967296, OutPPS: 3, InBPS: 123456789, OutBPS: 5}
	local := server("10.0.0.1:80", ipvs.Local, 0)
	gue := server("10.0.0.3:80", ipvs.Tunnel, 1)
	gue.Tunnel = ipvs.TunnelOptions{Type: ipvs.TunnelGUE, Port: 6080, Checksum: ipvs.TunnelRemoteChecksum}
	gre := server("10.0.0.4:80", ipvs.Tunnel, 1)
	gre.Tunnel = ipvs.TunnelOptions{Type: ipvs.TunnelGRE, Checksum: ipvs.TunnelChecksummed}
	web.Destinations = []ipvs.DestinationStatus{gre, local, gue, server("10.0.0.5:80", ipvs.Route, 1), nat, server("10.0.0.6:80", ipvs.Tunnel, 9)}

	sip := service(ipvs.UDP, "10.9.9.9:5060", "sh")
	sip.Flags = ipvs.FlagPersistent | ipvs.FlagOnePacket | ipvs.FlagSched1 | ipvs.FlagSched2 | ipvs.FlagSched3
	sip.PersistTimeout, sip.Wildcard, sip.Engine = 600, 0xff, "sip"
	six := service(ipvs.TCP, "[fd10:10:1:14:1414:7:403c:14]:443", "mh")
	six.Flags, six.PersistTimeout, six.PrefixLen = ipvs.FlagPersistent|ipvs.FlagSched3, 360, 64
	six.Destinations = []ipvs.DestinationStatus{server("[fd20:0:0:1::11]:8443", ipvs.Masq, 1)}
	far := service(ipvs.TCP, "127.0.0.1:8080", "rr")
	far.Engine, far.Flags = "sip", ipvs.FlagSched1|ipvs.FlagSched3
	mark := ipvs.ServiceStatus{Service: ipvs.Service{Key: ipvs.ServiceKey{Mark: 4294967295}, Scheduler: "fo"}}
	mark.Destinations = []ipvs.DestinationStatus{server("10.0.0.2:0", ipvs.Masq, 1), server("10.0.0.2:80", ipvs.Masq, 1)}
	mark6 := ipvs.ServiceStatus{Service: ipvs.Service{Key: ipvs.ServiceKey{Mark: 7, V6: true}, Scheduler: "rr"}}
	sctp := service(ipvs.SCTP, "9.0.0.1:2905", "lc")

	conn := func(c ipvs.ConnStatus, client, virtual, dest string) ipvs.ConnStatus {
		c.Client, c.Virtual, c.Dest = netip.MustParseAddrPort(client), netip.MustParseAddrPort(virtual), netip.MustParseAddrPort(dest)
		return c
	}
	d := newFakeDirector()
	d.services = []ipvs.ServiceStatus{mark, sctp, web, six, sip, far, mark6}
	d.conns = []ipvs.ConnStatus{
		conn(ipvs.ConnStatus{Proto: ipvs.TCP, State: "ESTABLISHED", Expires: 899*time.Second + 999*time.Millisecond}, "10.0.2.1:20001", "192.168.0.1:80", "10.0.0.2:8080"),
		conn(ipvs.ConnStatus{Proto: ipvs.UDP, State: "UDP", Expires: 1000 * time.Minute}, "203.0.113.200:65535", "192.168.100.100:53", "10.0.0.2:5353"),
		conn(ipvs.ConnStatus{Proto: ipvs.AnyProtocol, State: "NONE", Expires: -time.Second, Mark: 7, Template: true}, "10.0.2.1:0", "0.0.0.0:0", "10.0.0.2:0"),
		conn(ipvs.ConnStatus{Proto: ipvs.AnyProtocol, State: "NONE", Mark: 7, Template: true}, "[fd00::1]:0", "[::]:0", "[fd00::2]:0"),
		conn(ipvs.ConnStatus{Proto: ipvs.UDP, State: "ASSURED", Expires: 5 * time.Second, Template: true, Engine: "sip", Data: "a84b4c76e66710"}, "10.0.2.1:0", "10.9.9.9:5060", "10.0.0.2:5060"),
		conn(ipvs.ConnStatus{Proto: ipvs.SCTP, State: "C-REPLIED"}, "127.0.0.1:1", "9.0.0.1:2905", "10.0.0.2:2905"),
	}
	return d
}

func TestListTimeoutsAndDaemons(t *testing.T) {
	d := newFakeDirector()
	if got := typeLine(d, "--set 0 5 2678400", ""); got.RC != 0 {
		t.Fatalf("--set: %+v", got)
	}
	if got, want := typeLine(d, "-L --timeout", ""), []string{"Timeout (tcp tcpfin udp): 900 5 2678400"}; !slices.Equal(got.Out, want) {
		t.Errorf("-L --timeout = %q, want %q", got.Out, want)
	}
	if got := typeLine(d, "-Ln --daemon", ""); got.RC != 0 || got.Out != nil || got.Err != nil {
		t.Errorf("-L --daemon = %+v, want nothing", got)
	}
}

func TestLarge(t *testing.T) {
	for _, c := range []struct {
		n           uint64
		short, full string
	}{
		{0, "        0", "        0"},
		{99999999, " 99999999", " 99999999"},
		{100000000, "  100000K", " 100000000"},
		{999999999, "  999999K", " 999999999"},
		{1000000000, "    1000M", " 1000000000"},
		{99999999999, "   99999M", " 99999999999"},
		{100000000000, "     100G", " 100000000000"},
		{99999999999999, "   99999G", " 99999999999999"},
		{100000000000000, "     100T", " 100000000000000"},
	} {
		if got := large(c.n, false); got != c.short {
			t.Errorf("large(%d, short) = %q, want %q", c.n, got, c.short)
		}
		if got := large(c.n, true); got != c.full {
			t.Errorf("large(%d, exact) = %q, want %q", c.n, got, c.full)
		}
	}
}

// slowLookup answers no name before its caller gives up.
type slowLookup struct {
	fakeLookup
	asked int
}

func (l *slowLookup) Name(ctx context.Context, _ netip.Addr) (string, bool) {
	l.asked++
	<-ctx.Done()
	return "", false
}

func TestNamesHaveABudget(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &slowLookup{}
	names, stop := newNamer(ctx, l, false)
	defer stop()
	if deadline, ok := names.ctx.Deadline(); !ok || time.Until(deadline) > nameBudget {
		t.Errorf("a listing's names end at %v, %v, want within %v", deadline, ok, nameBudget)
	}
	cancel() // the budget is spent
	for range 3 {
		if got, want := names.endpoint(netip.MustParseAddrPort("127.0.0.1:80"), ipvs.TCP), "127.0.0.1:http"; got != want {
			t.Errorf("endpoint without time = %q, want %q", got, want)
		}
	}
	if l.asked != 0 {
		t.Errorf("%d lookups without time, want 0", l.asked)
	}
}

// longLookup knows one very long name.
type longLookup struct{ fakeLookup }

func (longLookup) Name(context.Context, netip.Addr) (string, bool) {
	return strings.Repeat("long", 20), true
}

func TestLongNamesAreCut(t *testing.T) {
	names, stop := newNamer(context.Background(), longLookup{}, false)
	defer stop()
	table := &table{names: names}
	key := ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.0.0.1:80")}
	if got := len(table.serviceName(key)); got != serviceWidth {
		t.Errorf("an IPv4 service's name has %d characters, want %d", got, serviceWidth)
	}
	d := &ipvs.DestinationStatus{Destination: ipvs.Destination{Addr: key.VIP}}
	if got := len(table.serverName(d, key)); got != serverWidth {
		t.Errorf("an IPv4 server's name has %d characters, want %d", got, serverWidth)
	}
	d.Addr = netip.MustParseAddrPort("[::1]:80")
	if got := len(table.serverName(d, key)); got != endpointLen {
		t.Errorf("an IPv6 server's name has %d characters, want %d", got, endpointLen)
	}
}

func TestParseServices(t *testing.T) {
	db := parseServices(strings.NewReader("# names\nhttp 80/tcp www # web\nother 80/tcp\ndomain\t53/udp\nbad x/tcp\nhttp 81/tcp\nhigh 65536/tcp\nodd 7/ddp\n"))
	for _, c := range []struct {
		name string
		want uint16
	}{{"http", 80}, {"www", 80}, {"other", 80}, {"domain", 0}, {"bad", 0}, {"high", 0}, {"odd", 0}} {
		if got := db.ports[serviceName{c.name, ipvs.TCP}]; got != c.want {
			t.Errorf("port of %s/tcp = %d, want %d", c.name, got, c.want)
		}
	}
	if got := db.names[servicePort{80, ipvs.TCP}]; got != "http" {
		t.Errorf("name of 80/tcp = %q, want http", got)
	}
}
