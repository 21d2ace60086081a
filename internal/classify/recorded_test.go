package classify

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded is one command line and what iptables made of it.
type recorded struct {
	command     string
	rules, list []string
}

// families are the two recordings: of iptables and ip6tables.
var families = []struct {
	file, option string
	least        int // commands
}{
	{"testdata/recorded.txt", "", 100}, {"testdata/recorded6.txt", "-6 ", 20},
}

func readRecorded(t *testing.T, file string) []recorded {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "> "); ok {
			all = append(all, recorded{command: text})
		} else if text, ok := strings.CutPrefix(line, "| "); ok {
			all[len(all)-1].list = append(all[len(all)-1].list, text)
		} else if strings.HasPrefix(line, "-A") {
			all[len(all)-1].rules = append(all[len(all)-1].rules, line)
		}
	}
	return all
}

func TestPrintsWhatIptablesPrints(t *testing.T) {
	for _, f := range families {
		all := readRecorded(t, f.file)
		if len(all) < f.least {
			t.Fatalf("%s has %d command lines, want at least %d", f.file, len(all), f.least)
		}
		for _, r := range all {
			s := apply(t, Ruleset{}, f.option+r.command)
			wantS := "-P PREROUTING ACCEPT\n" + strings.Join(r.rules, "\n") + "\n"
			if diff := cmp.Diff(wantS, s.Text(parse(t, f.option+"-S"))); diff != "" {
				t.Errorf("%s: -S (-iptables +natlb)\n%s", r.command, diff)
			}
			wantL := "Chain PREROUTING (policy ACCEPT)\n" + listHead + strings.Join(r.list, "\n") + "\n"
			if diff := cmp.Diff(wantL, s.Text(parse(t, f.option+"-L -n"))); diff != "" {
				t.Errorf("%s: -L (-iptables +natlb)\n%s", r.command, diff)
			}
		}
	}
}

// What iptables printed must be read back as the very rule that it was
// printed for.
func TestReadsWhatIptablesPrints(t *testing.T) {
	for _, f := range families {
		for _, r := range readRecorded(t, f.file) {
			s := apply(t, Ruleset{}, f.option+r.command)
			var again Ruleset
			for _, line := range r.rules {
				again = apply(t, again, f.option+line)
			}
			if diff := cmp.Diff(s, again, unexported, cmp.AllowUnexported(Ruleset{})); diff != "" {
				t.Errorf("%s: rules of its -S text differ\n%s", r.command, diff)
			}
		}
	}
}
