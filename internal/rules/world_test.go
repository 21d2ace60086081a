package rules

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"natlb/internal/classify"
	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/sources"
	"natlb/ipvs"
)

// front is a director of the data path as a control server wants it.
type front struct {
	scratch
	rest
}

func (f front) Counters() []control.Counter { return nil }
func (f front) Ledger() control.Ledger      { return control.Ledger{} }

// rest has the methods that nobody calls here. It lies deeper than scratch, whose
// methods go first.
type (
	rest   struct{ unused }
	unused struct{ control.Director }
)

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// served is a real director behind a real socket.
type served struct {
	scratch
	client *control.Client
}

// serve starts a director; stop ends it.
func serve(t fataler) (d *served, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rules-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "natlb.sock")
	listener, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	d = &served{newScratch(), control.Dial(path)}
	server := control.NewServer(front{scratch: d.scratch}, "test", slog.New(slog.DiscardHandler))
	go server.Serve(listener)
	return d, func() {
		d.client.Close()
		server.Shutdown(context.Background())
		os.RemoveAll(dir)
	}
}

func (d *served) state(t fataler) *control.State {
	t.Helper()
	s, err := d.client.State(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// save is natlb save.
func (d *served) save(t fataler) string {
	t.Helper()
	var out strings.Builder
	ipvsadm.WriteRules(&out, d.state(t))
	return out.String()
}

// apply is natlb apply; it returns what it did.
func (d *served) apply(t fataler, text string) *Diff {
	t.Helper()
	file := mustRead(t, text)
	shown := 0
	diff, err := Apply(context.Background(), d.client, file.Wanted, func(*Diff) error { shown++; return nil })
	if err != nil {
		t.Fatalf("Apply of\n%s= %v", text, err)
	}
	if want := 1; shown != want && !diff.Empty() || shown != 0 && diff.Empty() {
		t.Fatalf("the difference was shown %d times", shown)
	}
	return diff
}

func mustRead(t fataler, text string) *File {
	t.Helper()
	file, err := Read(strings.NewReader(text), "rules")
	if err != nil {
		t.Fatalf("Read of\n%s= %v", text, err)
	}
	return file
}

// text is how a difference is shown.
func (d *Diff) text() string {
	var b strings.Builder
	for _, s := range d.Steps {
		fmt.Fprintf(&b, "%s %s", s.Sign, s.Rule)
		if s.Was != "" {
			fmt.Fprintf(&b, " (was %s)", s.Was)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// drawTransaction draws what makes a state on a director without services.
func drawTransaction(t *rapid.T) []ipvs.Change {
	changes := []ipvs.Change{{Kind: ipvs.SetTimeouts, Timeouts: ipvs.Timeouts{
		TCP: drawSeconds(t, "tcp"), TCPFin: drawSeconds(t, "tcpfin"), UDP: drawSeconds(t, "udp"),
	}}}
	for _, s := range newScratch().Sysctls() {
		if n, _ := strconv.Atoi(s.Default); rapid.Bool().Draw(t, s.Name) {
			value := strconv.Itoa(max(0, n+rapid.IntRange(-1, 0).Draw(t, "value")))
			if s.Name == "am_droprate" || s.Name == "conn_tab_bits" {
				value = strconv.Itoa(n + 1)
			}
			changes = append(changes, ipvs.Change{Kind: ipvs.SetSysctl, Name: s.Name, Value: value})
		}
	}
	for _, rule := range rapid.SliceOfN(rapid.Custom(drawMark), 0, 4).Draw(t, "marks") {
		words, err := classify.Split(rule)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, ipvs.Change{Kind: ipvs.ChangeMarks, Words: words})
	}
	addrs := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"10.20.0.6", "10.20.0.240-10.20.0.242", "10.20.0.244/30", "10.20.0.243", "fd20::f0", "10.10.1.1"}), 0, 4, rapid.ID).Draw(t, "sources")
	source, _ := sources.Of(addrs)
	if len(addrs) > 0 {
		changes = append(changes, ipvs.Change{Kind: ipvs.ChangeSources, Words: append([]string{"add"}, addrs...)})
	}
	for _, s := range rapid.SliceOfNDistinct(rapid.Custom(drawService), 0, 5, func(s ipvs.Service) ipvs.ServiceKey { return s.Key }).Draw(t, "services") {
		if !s.Key.IsMark() && source.Has(s.Key.VIP.Addr()) {
			continue
		}
		changes = append(changes, ipvs.Change{Kind: ipvs.AddService, Service: s})
		servers := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) ipvs.Destination { return drawServer(t, s.Key) }), 0, 5,
			func(d ipvs.Destination) netip.AddrPort { return d.Addr }).Draw(t, "servers")
		for _, d := range servers {
			if source.Has(d.Addr.Addr()) || d.Method == ipvs.FullNAT && s.OnePacket() {
				continue
			}
			changes = append(changes, ipvs.Change{Kind: ipvs.AddDestination, Service: s, Destination: d})
		}
	}
	return changes
}

func drawSeconds(t *rapid.T, label string) uint32 {
	return rapid.SampledFrom([]uint32{0, 1, 30, 900, ipvs.MaxTimeout}).Draw(t, label)
}

func drawMark(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		"-A PREROUTING -d 10.10.1.9 -p tcp --dport 80 ", "-A PREROUTING -s 10.0.0.0/8 -i eth0 ",
		"-A PREROUTING ! -d 10.10.1.0/24 -p udp -m multiport --dports 1,2:9 ", "-A PREROUTING ",
		"-6 -A PREROUTING -d fd10::9 -p tcp --dport 80 ", "-6 -A PREROUTING ",
	}).Draw(t, "match") + rapid.SampledFrom([]string{
		"", `-m comment --comment "two words" `, `-m comment --comment "# no comment" `, `-m comment --comment "it's \"quoted\" \\ ipvsadm" `,
	}).Draw(t, "comment") + rapid.SampledFrom([]string{
		"-j MARK --set-mark 1", "-j MARK --set-xmark 0x10/0xff", "-j ACCEPT", "-j RETURN",
	}).Draw(t, "target")
}

func drawService(t *rapid.T) ipvs.Service {
	s := ipvs.Service{Scheduler: rapid.SampledFrom([]string{"rr", "wlc", "sh", "mh", "wrr"}).Draw(t, "scheduler")}
	s.Flags = rapid.Custom(func(t *rapid.T) ipvs.ServiceFlags {
		return ipvs.ServiceFlags(rapid.IntRange(0, 7).Draw(t, "bits")) * ipvs.FlagSched1
	}).Draw(t, "flags")
	if rapid.Bool().Draw(t, "persistent") {
		s.Flags |= ipvs.FlagPersistent
		s.PersistTimeout = rapid.Uint32Range(1, ipvs.MaxTimeout).Draw(t, "timeout")
		s.Wildcard = rapid.SampledFrom([]uint32{0, 0xff, 1<<32 - 1, 0xf0f0f0}).Draw(t, "wildcard")
	}
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		s.Key = ipvs.ServiceKey{Mark: rapid.SampledFrom([]uint32{1, 2, 1<<32 - 1}).Draw(t, "mark")}
		return s
	}
	port := rapid.SampledFrom([]uint16{80, 443}).Draw(t, "port")
	if s.Persistent() && rapid.Bool().Draw(t, "all ports") {
		port = 0
	}
	vip := netip.AddrFrom4([4]byte{10, 10, 1, rapid.ByteRange(1, 3).Draw(t, "vip")})
	s.Key = ipvs.ServiceKey{Proto: rapid.SampledFrom([]ipvs.Protocol{ipvs.TCP, ipvs.UDP}).Draw(t, "proto"), VIP: netip.AddrPortFrom(vip, port)}
	if s.Key.Proto == ipvs.UDP && rapid.Bool().Draw(t, "one packet") {
		s.Flags |= ipvs.FlagOnePacket
	}
	return s
}

func drawServer(t *rapid.T, of ipvs.ServiceKey) ipvs.Destination {
	rip := netip.AddrFrom4([4]byte{10, 20, 0, rapid.ByteRange(1, 6).Draw(t, "rip")})
	d := ipvs.Destination{
		Addr:   netip.AddrPortFrom(rip, rapid.SampledFrom([]uint16{80, 8080}).Draw(t, "port")),
		Method: rapid.SampledFrom([]ipvs.ForwardMethod{ipvs.Masq, ipvs.Masq, ipvs.FullNAT, ipvs.Route, ipvs.Tunnel}).Draw(t, "method"),
		Weight: rapid.SampledFrom([]int32{0, 1, 7, 1<<31 - 1}).Draw(t, "weight"),
	}
	if d.Method != ipvs.Masq && d.Method != ipvs.FullNAT && !of.IsMark() {
		d.Addr = netip.AddrPortFrom(rip, of.VIP.Port())
	}
	if rapid.Bool().Draw(t, "thresholds") {
		d.UpperThreshold = rapid.Uint32Range(0, 1<<31-1).Draw(t, "upper")
		d.LowerThreshold = rapid.Uint32Range(0, d.UpperThreshold).Draw(t, "lower")
	}
	d.TOA = d.Method == ipvs.FullNAT && rapid.Bool().Draw(t, "toa")
	if d.Method == ipvs.Tunnel {
		d.Tunnel = rapid.SampledFrom([]ipvs.TunnelOptions{
			{}, {Type: ipvs.TunnelGRE}, {Type: ipvs.TunnelGRE, Checksum: ipvs.TunnelChecksummed},
			{Type: ipvs.TunnelGUE, Port: 6080}, {Type: ipvs.TunnelGUE, Port: 1, Checksum: ipvs.TunnelRemoteChecksum},
		}).Draw(t, "tunnel")
	}
	return d
}

var _ fataler = (*testing.T)(nil)
