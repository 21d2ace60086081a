package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"natlb/internal/control"
	"natlb/ipvs"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// at is a reading of two services, n seconds after the director's start: of the
// first server 10 connections, 100 packets and 1000 bytes in come each second,
// twice of that goes out.
func at(n int) *Reading {
	counted := func(x int) ipvs.Stats {
		u := uint64(n * x)
		return ipvs.Stats{Conns: 10 * u, InPkts: 100 * u, OutPkts: 200 * u, InBytes: 1000 * u, OutBytes: 2000 * u}
	}
	server := func(addr string, weight, active int32, x int) ipvs.DestinationStatus {
		return ipvs.DestinationStatus{
			Destination: ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Weight: weight}, Active: active, Inactive: 1, PersistConns: 2, Stats: counted(x),
		}
	}
	return &Reading{
		Snapshot: ipvs.Snapshot{At: time.Duration(n) * time.Second, Entries: 7, Services: []ipvs.ServiceStatus{
			{
				Service: ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:443")}, Scheduler: "wlc"}, Stats: counted(3),
				Destinations: []ipvs.DestinationStatus{server("10.0.0.3:80", 1, 0, 1), server("10.0.0.2:80", 0, 5, 2)},
			},
			{
				Service: ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:80")}, Scheduler: "rr"},
			},
		}},
		Counters: []control.Counter{{Name: "forward", Count: uint64(n)}, {Name: "drop-martian", Count: uint64(2 * n)}, {Name: "drop-ttl", Count: 40}, {Name: "link-eth0-kernel-dropped", Count: 0}},
		Time:     noon,
	}
}

func TestRates(t *testing.T) {
	for _, tt := range []struct {
		name        string
		before, now *Reading
		interval    time.Duration
		conns, out  float64 // of the service
	}{
		{"two seconds", at(5), at(7), 2 * time.Second, 30, 6000},
		{"no reading before", nil, at(7), 0, 0, 0},
		{"the same reading", at(7), at(7), 0, 0, 0},
		{"another director", at(7), at(2), 0, 0, 0},
	} {
		table := Between(tt.before, tt.now)
		if s := table.Services[0]; table.Interval != tt.interval || s.Conns != tt.conns || s.OutBytes != tt.out {
			t.Errorf("%s: interval %v, rates %+v", tt.name, table.Interval, s.PerSecond)
		}
	}
	zeroed := at(7)
	zeroed.Services[0].Stats = ipvs.Stats{Conns: 4}
	if got := Between(at(5), zeroed).Services[0].PerSecond; got != (PerSecond{Conns: 2}) {
		t.Errorf("counters set to zero in between: %+v", got)
	}
	fresh := at(5)
	fresh.Services = fresh.Services[:0]
	if got := Between(fresh, at(7)).Services[0].Conns; got != 105 {
		t.Errorf("a service that is new: %v connections per second, want all it has had", got)
	}
}

func TestLines(t *testing.T) {
	got := strings.Join(Between(at(5), at(7)).Lines(80), "\n")
	want := `natlb 12:00:00  2 services, 2 servers, 7 connections  rates of 2s
dropped per second: martian 2

SERVICE / SERVER        WGT STATE        ACT INAC PERS CONN PKIN PKOU  BIN BOUT
TCP 192.0.2.1:443 wlc                      5    2    4   30  300  600 3000 6000
  10.0.0.3:80             1 up             0    1    2   10  100  200 1000 2000
  10.0.0.2:80             0 draining       5    1    2   20  200  400 2000 4000
TCP 192.0.2.1:80 rr                        0    0    0    0    0    0    0    0`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("80 columns (-want +got):\n%s", diff)
	}
	first := Between(nil, at(7)).Lines(120)
	if !strings.HasSuffix(first[4], " -") || !strings.Contains(first[1], "nothing now; 54 frames since the start, most for ttl") {
		t.Errorf("the first table:\n%s", strings.Join(first, "\n"))
	}
	empty := Between(nil, &Reading{Time: noon}).Lines(80)
	if !slices.Contains(empty, "no services") || !slices.Contains(empty, "dropped: nothing") {
		t.Errorf("an empty table:\n%s", strings.Join(empty, "\n"))
	}
}

// TestLinesFit: whatever the numbers, a table is as wide as it may be.
func TestLinesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := at(1)
		s := &r.Services[0]
		s.Key.VIP = netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 65535)
		big := rapid.Uint64Max(1 << 50)
		s.Stats = ipvs.Stats{Conns: big.Draw(t, "conns"), InPkts: big.Draw(t, "in"), OutBytes: big.Draw(t, "out")}
		d := &s.Destinations[0]
		d.Addr = s.Key.VIP
		d.Weight, d.Active = rapid.Int32Min(0).Draw(t, "weight"), rapid.Int32Min(0).Draw(t, "active")
		before := at(0)
		before.At = time.Second - time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Second)).Draw(t, "interval"))
		columns := rapid.IntRange(79, 200).Draw(t, "columns")
		for _, line := range Between(before, r).Lines(columns)[3:] {
			if len(line) > columns {
				t.Fatalf("%d columns, want at most %d: %q", len(line), columns, line)
			}
		}
	})
}

func TestNumber(t *testing.T) {
	for _, tt := range []struct {
		x     float64
		width int
		want  string
	}{
		{0, 4, "0"}, {0.04, 4, "0.0"}, {1, 4, "1"}, {2.5, 4, "2.5"}, {9.96, 4, "10"}, {9999, 4, "9999"}, {9999.7, 4, "10k"},
		{12345, 4, "12k"}, {12345, 5, "12345"}, {999_949, 4, "1.0M"}, {999_400, 4, "999k"}, {1_234_567, 4, "1.2M"}, {1e10, 4, "10G"}, {65535, 3, "66k"}, {2e9, 3, "2G"},
	} {
		if got := number(tt.x, tt.width); got != tt.want {
			t.Errorf("number(%v, %d) = %q, want %q", tt.x, tt.width, got, tt.want)
		}
	}
}

func TestStateOf(t *testing.T) {
	for _, tt := range []struct {
		weight, active int32
		overloaded     bool
		want           string
		unreachable    bool
	}{
		{1, 9, false, "up", false}, {1, 9, true, "overloaded", false}, {0, 9, true, "draining", false}, {0, 0, false, "quiesced", false},
		{1, 9, true, "unreachable", true}, {0, 0, false, "unreachable", true},
	} {
		d := ipvs.DestinationStatus{Destination: ipvs.Destination{Weight: tt.weight}, Active: tt.active, Overloaded: tt.overloaded, Reach: ipvs.Reach{Unreachable: tt.unreachable}}
		if got := StateOf(&d); got != tt.want {
			t.Errorf("StateOf(%+v) = %s, want %s", tt, got, tt.want)
		}
	}
}

func TestSort(t *testing.T) {
	for key, want := range map[string]string{
		"name": "192.0.2.1:80 192.0.2.1:443 10.0.0.2:80", "conns": "192.0.2.1:443 192.0.2.1:80 10.0.0.2:80",
		"in": "192.0.2.1:443 192.0.2.1:80 10.0.0.2:80", "out": "192.0.2.1:443 192.0.2.1:80 10.0.0.2:80",
		"active": "192.0.2.1:443 192.0.2.1:80 10.0.0.2:80",
	} {
		table := Between(at(5), at(7))
		table.Sort(key)
		got := fmt.Sprint(table.Services[0].Key.VIP, " ", table.Services[1].Key.VIP)
		for _, s := range table.Services {
			if len(s.Servers) > 0 {
				got += " " + s.Servers[0].Addr.String()
			}
		}
		if got != want {
			t.Errorf("Sort(%s): %s, want %s", key, got, want)
		}
	}
	if len(SortKeys()) != 5 {
		t.Errorf("there are %d keys, 5 are tested", len(SortKeys()))
	}
}

func TestRunBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		n := 0
		cfg := Config{Interval: 2 * time.Second, Sort: "name", Out: &out, Next: Tables(func(context.Context) (*Reading, error) {
			n += 2
			if n > 6 {
				return nil, errors.New("gone")
			}
			return at(n), nil
		})}
		if err := Run(t.Context(), cfg); err == nil || err.Error() != "gone" {
			t.Errorf("Run = %v", err)
		}
		if got := strings.Count(out.String(), "rates of 2s"); got != 2 {
			t.Errorf("%d tables of three readings, want 2:\n%s", got, &out)
		}
		out.Reset()
		n, cfg.Once, cfg.JSON = 0, true, true
		var table struct {
			Schema   int
			Interval float64 `json:"interval_seconds"`
			Drops    map[string]dropRow
		}
		if err := Run(t.Context(), cfg); err != nil || json.Unmarshal(out.Bytes(), &table) != nil || table.Schema != 1 || table.Interval != 2 ||
			table.Drops["drop-martian"] != (dropRow{2, 8}) {
			t.Errorf("one as JSON: %v, %+v\n%s", err, table, &out)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		n, cfg.Once, cfg.JSON = -1000, false, false
		if err := Run(ctx, cfg); err != nil {
			t.Errorf("Run until it is ended = %v", err)
		}
	})
}

// TestJSONTellsFamilies: one mark may have a service of either family.
func TestJSONTellsFamilies(t *testing.T) {
	table := Table{Services: []Service{{Key: ipvs.ServiceKey{Mark: 7}}, {Key: ipvs.ServiceKey{Mark: 7, V6: true}}}}
	text, err := json.Marshal(table.JSON())
	if err != nil || strings.Count(string(text), `"mark":7,`) != 2 || strings.Count(string(text), `"mark":7,"ipv6":true`) != 1 {
		t.Errorf("%s, %v: want two marks, one of IPv6", text, err)
	}
}
