package ipvsadm

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"natlb/ipvs"
)

var byValue = cmpopts.EquateComparable(netip.AddrPort{})

func TestParseRules(t *testing.T) {
	const file = "# natlb rules\n\n--set 600 60 30   # seconds\r\n-A -t 192.0.2.1:80 -s wrr\n" +
		"-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 3 -x 10 -y 5\n  -a -t 192.0.2.1:80 -r 10.0.0.3"
	got, err := ParseRules(strings.NewReader(file), "rules")
	if err != nil {
		t.Fatal(err)
	}
	service := ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:80")}}
	withScheduler := service
	withScheduler.Scheduler = "wrr"
	want := []ipvs.Change{
		{Kind: ipvs.SetTimeouts, Timeouts: ipvs.Timeouts{TCP: 600, TCPFin: 60, UDP: 30}},
		{Kind: ipvs.AddService, Service: withScheduler},
		{Kind: ipvs.AddDestination, Service: service, Destination: ipvs.Destination{
			Addr: netip.MustParseAddrPort("10.0.0.2:8080"), Method: ipvs.Masq, Weight: 3, UpperThreshold: 10, LowerThreshold: 5}},
		{Kind: ipvs.AddDestination, Service: service, Destination: ipvs.Destination{
			Addr: netip.MustParseAddrPort("10.0.0.3:80"), Method: ipvs.Route, Weight: 1}},
	}
	if diff := cmp.Diff(want, got.Changes, byValue); diff != "" {
		t.Errorf("ParseRules: (-want +got)\n%s", diff)
	}
}

func TestParseRulesNamesEveryFault(t *testing.T) {
	const file = "-A -t 192.0.2.1:80\nbogus\n-A\n-L\n-a -t 192.0.2.1:80 -r 10.0.0.2 -m -w x\n" +
		"-a -t 192.0.2.1:80 -r 224.0.0.1 -m\n-A -t 192.0.2.1:81 --pe sip\n-C -Q\n-a -t 192.0.2.1:80 -r 10.0.0.2 -y 3\n-R\n"
	changes, err := ParseRules(strings.NewReader(file), "natlb.rules")
	if len(changes.Changes) != 1 || changes.Changes[0].Kind != ipvs.AddService {
		t.Errorf("the good lines are %v, want the first", changes.Changes)
	}
	want := `natlb.rules:2:1: "bogus" does not start with a command (-A, -a, ...)
natlb.rules:3:1: You need to supply the 'service-address' option for the 'add-service' command
natlb.rules:4:1: the 'list' command does not belong into rules
natlb.rules:5:38: illegal weight specified
natlb.rules:6:23: real server address 224.0.0.1 is not unicast: invalid argument
natlb.rules:7:25: persistence engines (--pe): not supported by this version of natlb
natlb.rules:8:4: -Q: unknown option
natlb.rules:9:35: lower threshold 3 above the upper one, 0: value out of range
natlb.rules:10:1: the 'restore' command does not belong into rules`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("faults: (-want +got)\n%s", diff)
	}
	var faults RuleFaults
	if !errors.As(err, &faults) || len(faults) != 9 || faults[0].Line != 2 {
		t.Errorf("faults are %#v, want nine RuleFaults", err)
	}
}

// TestFamilyHint: a server of the other family is not refused for being of IPv6.
func TestFamilyHint(t *testing.T) {
	_, err := ParseRules(strings.NewReader("-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r [fd00::2]:80 -m\n"), "rules")
	var faults RuleFaults
	if !errors.As(err, &faults) || len(faults) != 1 || !strings.HasPrefix(faults[0].Hint, "-i leads to a server of the other family") {
		t.Errorf("faults are %#v, want one that hints at tunnels", err)
	}
}

func TestParseRulesReadError(t *testing.T) {
	disk := errors.New("disk on fire")
	if _, err := ParseRules(iotest.ErrReader(disk), "rules"); !errors.Is(err, disk) {
		t.Errorf("ParseRules of a broken file = %v, want %v", err, disk)
	}
}

func script(d Client, prog, stdin string, args ...string) outcome {
	var out, errs strings.Builder
	env := &Env{Prog: prog, Client: d, Lookup: fakeLookup{}, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs}
	rc := Run(context.Background(), env, args)
	return outcome{rc, lines(out.String()), lines(errs.String())}
}

func TestScripts(t *testing.T) {
	d := newFakeDirector()
	if got := script(d, "/sbin/ipvsadm-restore", "# saved\n-A -t 127.0.0.1:80 -s rr\n"); got.RC != 0 {
		t.Fatalf("ipvsadm-restore = %+v", got)
	}
	before := "-A -t 127.0.0.1:80 -s rr"
	for _, bad := range []string{"-A -t 10.0.0.1:80\n-A\n", "-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80\n"} {
		if got := script(d, "ipvsadm-restore", bad); got.RC != 2 || len(got.Err) != 1 {
			t.Errorf("ipvsadm-restore of %q = %+v, want status 2 and one line", bad, got)
		}
		if got := script(d, "ipvsadm-save", "", "-n", "word"); strings.Join(got.Out, "\n") != before {
			t.Errorf("after a bad restore the table is %q, want %q", got.Out, before)
		}
	}
	if got := script(d, "ipvsadm-save", ""); strings.Join(got.Out, "\n") != "-A -t localhost:http -s rr" {
		t.Errorf("ipvsadm-save = %q", got.Out)
	}
	if got := script(d, "ipvsadm-save", "", "-x"); got.RC != 1 || len(got.Err) != 2 {
		t.Errorf("ipvsadm-save -x = %+v, want status 1 and two lines", got)
	}
}

// TestSaveRestoreSave: what -S writes, -R reads, and it comes out the same.
func TestSaveRestoreSave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newFakeDirector()
		key := func(s ipvs.ServiceStatus) ipvs.ServiceKey { return s.Key }
		d.services = rapid.SliceOfNDistinct(rapid.Custom(drawService), 0, 6, key).Draw(t, "services")
		args := rapid.SampledFrom([]string{"-S", "-Sn"}).Draw(t, "save")
		saved := typeLine(d, args, "")
		other := newFakeDirector()
		restored := typeLine(other, "-R", strings.Join(saved.Out, "\n"))
		again := typeLine(other, args, "")
		if diff := cmp.Diff(saved, again); diff != "" || restored.RC != 0 || restored.Err != nil {
			t.Fatalf("restored %+v; (-saved +saved again)\n%s", restored, diff)
		}
	})
}

func drawService(t *rapid.T) ipvs.ServiceStatus {
	endpoint := func(name string, six bool) netip.AddrPort {
		port := rapid.SampledFrom([]uint16{1, 22, 53, 80, 4321, 8080, 65535}).Draw(t, name+" port")
		if six {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: rapid.Byte().Draw(t, name)}), port)
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteRange(1, 250).Draw(t, name)}), port)
	}
	six := rapid.Bool().Draw(t, "six")
	s := ipvs.ServiceStatus{Service: ipvs.Service{Scheduler: rapid.SampledFrom([]string{"rr", "wlc", "sh", "mh"}).Draw(t, "scheduler")}}
	if rapid.Bool().Draw(t, "marked") {
		s.Key = ipvs.ServiceKey{Mark: rapid.Uint32Min(1).Draw(t, "mark"), V6: six}
	} else {
		s.Key = ipvs.ServiceKey{Proto: rapid.SampledFrom([]ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP}).Draw(t, "proto"), VIP: endpoint("vip", six)}
	}
	if rapid.Bool().Draw(t, "persistent") {
		s.Flags |= ipvs.FlagPersistent
		s.PersistTimeout = rapid.Uint32Range(1, ipvs.MaxTimeout).Draw(t, "timeout")
		if six {
			s.PrefixLen = rapid.Uint8Range(0, 127).Draw(t, "prefix")
		} else {
			s.Wildcard = rapid.Uint32().Draw(t, "wildcard")
		}
	}
	if s.Key.Proto == ipvs.UDP {
		s.Flags |= rapid.SampledFrom([]ipvs.ServiceFlags{0, ipvs.FlagOnePacket}).Draw(t, "ops")
	}
	s.Flags |= rapid.SampledFrom([]ipvs.ServiceFlags{0, ipvs.FlagSched1, ipvs.FlagSched2, ipvs.FlagSched1 | ipvs.FlagSched2}).Draw(t, "flags")
	rip := func(d ipvs.DestinationStatus) netip.Addr { return d.Addr.Addr() }
	s.Destinations = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) ipvs.DestinationStatus {
		d := ipvs.Destination{
			Addr:   endpoint("rip", six),
			Weight: rapid.Int32Min(0).Draw(t, "weight"),
			Method: rapid.SampledFrom([]ipvs.ForwardMethod{ipvs.Masq, ipvs.Route, ipvs.Tunnel}).Draw(t, "method"),
		}
		if d.Method != ipvs.Masq && !s.Key.IsMark() {
			d.Addr = netip.AddrPortFrom(d.Addr.Addr(), s.Key.VIP.Port())
		}
		if d.Method == ipvs.Tunnel {
			d.Tunnel = rapid.SampledFrom([]ipvs.TunnelOptions{
				{}, {Type: ipvs.TunnelGRE}, {Type: ipvs.TunnelGRE, Checksum: ipvs.TunnelChecksummed},
				{Type: ipvs.TunnelGUE, Port: 6080, Checksum: ipvs.TunnelRemoteChecksum},
			}).Draw(t, "tunnel")
		}
		return ipvs.DestinationStatus{Destination: d}
	}), 0, 3, rip).Draw(t, "servers")
	return s
}

// TestRulesOfOtherEditors: a byte order mark in front and carriage returns at the
// ends of lines do not matter, and do not shift the places of faults.
func TestRulesOfOtherEditors(t *testing.T) {
	rules, err := ParseRules(strings.NewReader("\ufeff-A -t 192.0.2.1:80 -s rr\r\n-a -t 192.0.2.1:80 -r 10.0.0.1 -m\r\n"), "rules")
	if err != nil || len(rules.Changes) != 2 {
		t.Errorf("ParseRules = %+v, %v", rules, err)
	}
	_, err = ParseRules(strings.NewReader("\ufeff-a -t 192.0.2.1:80 -r 10.0.0.1 -w many\r\n"), "rules")
	var faults RuleFaults
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Line != 1 || faults[0].Column != 35 {
		t.Errorf("ParseRules = %+v", err)
	}
}
