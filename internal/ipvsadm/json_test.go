package ipvsadm

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"natlb/internal/control"
	"natlb/ipvs"
)

// listedAsJSON is what -L --json prints, whatever it is a listing of.
type listedAsJSON struct {
	Schema      int                   `json:"schema"`
	TableSize   int                   `json:"table_size"`
	Services    []control.ServiceJSON `json:"services"`
	Connections []control.ConnJSON    `json:"connections"`
	Timeouts    *ipvs.Timeouts        `json:"timeouts"`
	Daemons     []struct{}            `json:"daemons"`
}

func readJSON(t *testing.T, d Client, line string) (got listedAsJSON) {
	t.Helper()
	o := typeLine(d, line, "")
	in := json.NewDecoder(strings.NewReader(strings.Join(o.Out, "\n")))
	in.DisallowUnknownFields()
	if err := in.Decode(&got); err != nil || o.RC != 0 || len(o.Err) > 0 || got.Schema != Schema {
		t.Fatalf("natlb %s: %v, status %d, %q, schema %d", line, err, o.RC, o.Err, got.Schema)
	}
	return got
}

// TestListingsAsJSON: the same services, servers and connections as in text, in
// the same order, with exact numbers.
func TestListingsAsJSON(t *testing.T) {
	d := listingDirector()
	d.services[0].Stats.InBytes = math.MaxUint64
	for _, columns := range []string{"", " --stats", " --rate --exact", " --thresholds -n", " --persistent-conn --nosort", " --tun-info"} {
		got := readJSON(t, d, "-L --json"+columns)
		services := d.services
		if !strings.Contains(columns, "nosort") {
			services, _ = d.Services(t.Context())
			sortServices(services)
		}
		if len(got.Services) != len(services) || got.TableSize != 4096 {
			t.Fatalf("-L --json%s: %d services of %d, size %d", columns, len(got.Services), len(services), got.TableSize)
		}
		for i, s := range got.Services {
			if want := control.JSONOfService(&services[i]); s.Address != want.Address || s.Mark != want.Mark || s.Stats != want.Stats ||
				len(s.Destinations) != len(want.Destinations) || len(s.Destinations) > 0 && s.Destinations[0].Address != want.Destinations[0].Address {
				t.Errorf("-L --json%s: service %d is %+v, want %+v", columns, i, s, want)
			}
		}
	}
	if got := readJSON(t, d, "-L -c --json -n"); len(got.Connections) != len(d.conns) || len(got.Connections) == 0 {
		t.Errorf("-L -c --json: %d connections, want %d", len(got.Connections), len(d.conns))
	}
	if got := readJSON(t, newFakeDirector(), "-Lc --json"); got.Connections == nil || len(got.Connections) != 0 {
		t.Errorf("-L -c --json without connections: %v, want an empty list", got.Connections)
	}
	if got := readJSON(t, d, "-L --timeout --json"); got.Timeouts == nil || *got.Timeouts != d.timeouts {
		t.Errorf("-L --timeout --json: %v, want %v", got.Timeouts, d.timeouts)
	}
	if got := readJSON(t, d, "-L --daemon --json"); got.Daemons == nil {
		t.Error("-L --daemon --json: no list of daemons")
	}
	one := newFakeDirector()
	typeLine(one, "-A -t 10.0.0.1:80", "")
	typeLine(one, "-A -t 10.0.0.2:80", "")
	if got := readJSON(t, one, "-L -t 10.0.0.2:80 --json"); len(got.Services) != 1 || got.Services[0].Address.String() != "10.0.0.2:80" {
		t.Errorf("-L -t 10.0.0.2:80 --json: %+v", got.Services)
	}
}

// TestFaultsOfJSONListings: they fail as the listings in text do.
func TestFaultsOfJSONListings(t *testing.T) {
	for _, line := range []string{"-L -t 10.9.9.9:80", "-L --timeout --stats", "-L -c --json", "-S", "-A -t 10.0.0.1:80", "-Z"} {
		text, asJSON := typeLine(newFakeDirector(), line, ""), typeLine(newFakeDirector(), line+" --json", "")
		switch command, _, _ := strings.Cut(line, " "); {
		case command != "-L":
			if want := "Illegal 'json' option with the '"; asJSON.RC != 2 || !strings.HasPrefix(strings.Join(asJSON.Err, ""), want) {
				t.Errorf("natlb %s --json = %+v, want %s...", line, asJSON, want)
			}
		case strings.Contains(line, "--json"):
			if asJSON.RC != 2 || asJSON.Err[0] != "multiple 'json' options specified" {
				t.Errorf("natlb %s --json = %+v", line, asJSON)
			}
		case asJSON.RC != text.RC || strings.Join(asJSON.Err, "") != strings.Join(text.Err, "") || asJSON.Out != nil:
			t.Errorf("natlb %s = %+v, with --json %+v", line, text, asJSON)
		}
	}
	broken := listingDirector()
	broken.fail = errors.New("cut short")
	if got := typeLine(broken, "-L -c --json", ""); got.RC != 1 || json.Valid([]byte(strings.Join(got.Out, "\n"))) {
		t.Errorf("a listing that was cut short = %+v, want a fault and no JSON", got)
	}
}
