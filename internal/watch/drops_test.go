package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/control"
	"natlb/ipvs"
)

// ledgerAt is a ledger n seconds after the director's start.
func ledgerAt(n uint64) *control.Ledger {
	of, code := 8, 0
	second := int64(time.Second)
	lost := []control.LostServer{
		control.LostServerOf(&ipvs.LostServer{
			Service: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.80:80")}, Server: netip.MustParseAddrPort("10.0.0.2:80"),
			Reach: ipvs.Reach{For: 75 * time.Second, Lost: 1, Withheld: true},
		}),
		control.LostServerOf(&ipvs.LostServer{Service: ipvs.ServiceKey{Mark: 5, V6: true}, Server: netip.MustParseAddrPort("[2001:db8::2]:80")}),
	}
	return &control.Ledger{Unreachable: lost, Clock: int64(n) * second, Received: 12*n + 3, HandingOver: 1, Verdicts: []control.LedgerEntry{
		{Name: "forward", Class: "forwarded", Count: 10 * n, Meaning: "translated"},
		{Name: "route", Class: "routed", Meaning: "sent on untranslated"},
		{Name: "answer-echo", Class: "answered", Count: n, Meaning: "a ping of a VIP", Last: &control.Sighting{
			Clock: int64(n) * second, Link: "eth0", Length: 98, EtherType: 0x800, Protocol: "icmp", ICMPType: &of, ICMPCode: &code,
			Source: netip.MustParseAddrPort("198.51.100.7:0"), Destination: netip.MustParseAddrPort("192.0.2.80:0"),
		}},
		{Name: "pass-ethertype", Class: "passed", Count: 2, Meaning: "neither IPv4 nor ARP", Last: &control.Sighting{Link: "eth0", Length: 60, EtherType: 0x86dd}},
		{Name: "held-neighbour", Class: "held", Meaning: "the next hop's MAC address is being asked for"},
		{Name: "drop-local-server", Class: "dropped", Count: n, Meaning: "the real server is an address of the director, and it was added with -m, or the host does not have the VIP",
			Advice: "-g and a VIP of the host", Last: &control.Sighting{
				Clock: int64(n)*second - second/2, Link: "eth0", Length: 74, EtherType: 0x800, Protocol: "tcp",
				Source: netip.MustParseAddrPort("198.51.100.7:40001"), Destination: netip.MustParseAddrPort("192.0.2.80:80"),
			}},
		{Name: "drop-ttl", Class: "dropped", Meaning: "TTL used up"},
	}}
}

func TestDropsLines(t *testing.T) {
	want := `natlb 12:00:00  63 frames received  rates of 2s


                                         FRAMES   PER SECOND
forwarded                                    50           10
routed                                        0            0
answered                                      5            1
passed                                        2            0
held                                          1            0
dropped                                       5            1
received                                     63           12

2 real servers cannot be reached
    10.0.0.2:80 of TCP 192.0.2.80:80, for 1m15s, 1 packet lost, quiesced
    [2001:db8::2]:80 of FWM 5 IPv6, for 0s, 0 packets lost

answer-echo                                   5            1
    a ping of a VIP
    last: ICMP 198.51.100.7 > 192.0.2.80 type 8 code 0, 98 bytes by eth0, 0s ago

pass-ethertype                                2            0
    neither IPv4 nor ARP
    last: ethertype 0x86dd, 60 bytes by eth0, 5s ago

drop-local-server                             5            1
    the real server is an address of the director, and it was added with -m, or
    the host does not have the VIP
    last: TCP 198.51.100.7:40001 > 192.0.2.80:80, 74 bytes by eth0, 500ms ago
    hint: -g and a VIP of the host`
	d := DropsBetween(ledgerAt(3), ledgerAt(5), noon)
	if diff := cmp.Diff(want, strings.Join(d.Lines(80), "\n")); diff != "" {
		t.Errorf("80 columns (-want +got):\n%s", diff)
	}
	d.All = true
	if text := strings.Join(d.Lines(80), "\n"); !strings.Contains(text, "\ndrop-ttl ") || !strings.Contains(text, "\nforward ") {
		t.Errorf("not all:\n%s", text)
	}
	for _, before := range []*control.Ledger{nil, ledgerAt(5), ledgerAt(9)} {
		if d := DropsBetween(before, ledgerAt(5), noon); d.Rated() || !strings.HasSuffix(d.Lines(80)[4], " -") {
			t.Errorf("rates without an interval: %q", d.Lines(80)[4])
		}
	}
}

// TestDropsBalance: a ledger that does not balance is a fault, and not shown.
func TestDropsBalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		n, lost := uint64(0), uint64(0)
		cfg := Config{Interval: time.Second, Once: true, JSON: true, Out: &out, Next: Ledgers(false, func(context.Context) (*control.Ledger, error) {
			n++
			l := ledgerAt(n)
			l.Received += lost
			return l, nil
		})}
		var table struct {
			Schema   int
			Received uint64
			Interval float64 `json:"interval_seconds"`
			Classes  map[string]uint64
			Verdicts []map[string]any
		}
		if err := Run(t.Context(), cfg); err != nil || json.Unmarshal(out.Bytes(), &table) != nil || table.Schema != 1 || table.Interval != 1 ||
			table.Received != 27 || table.Classes["dropped"] != 2 || len(table.Verdicts) != 7 || table.Verdicts[0]["per_second"] != 10.0 || table.Verdicts[0]["count"] != 20.0 {
			t.Errorf("as JSON: %v, %+v\n%s", err, table, &out)
		}
		out.Reset()
		lost = 1
		if err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "fault of natlb") || out.Len() > 0 {
			t.Errorf("a frame without a verdict: %v\n%s", err, &out)
		}
	})
}
