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

func readRecorded(t *testing.T) []recorded {
	t.Helper()
	data, err := os.ReadFile("testdata/recorded.txt")
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
	all := readRecorded(t)
	if len(all) < 100 {
		t.Fatalf("testdata/recorded.txt has %d command lines, want at least 100", len(all))
	}
	for _, r := range all {
		s := apply(t, Ruleset{}, r.command)
		wantS := "-P PREROUTING ACCEPT\n" + strings.Join(r.rules, "\n") + "\n"
		if diff := cmp.Diff(wantS, s.Text(parse(t, "-S"))); diff != "" {
			t.Errorf("%s: -S (-iptables +natlb)\n%s", r.command, diff)
		}
		wantL := "Chain PREROUTING (policy ACCEPT)\n" + listHead + strings.Join(r.list, "\n") + "\n"
		if diff := cmp.Diff(wantL, s.Text(parse(t, "-L -n"))); diff != "" {
			t.Errorf("%s: -L (-iptables +natlb)\n%s", r.command, diff)
		}
	}
}

// What iptables printed must be read back as the very rule that it was
// printed for.
func TestReadsWhatIptablesPrints(t *testing.T) {
	for _, r := range readRecorded(t) {
		s := apply(t, Ruleset{}, r.command)
		again := apply(t, Ruleset{}, r.rules...)
		if diff := cmp.Diff(s.rules, again.rules, unexported); diff != "" {
			t.Errorf("%s: rules of its -S text differ\n%s", r.command, diff)
		}
	}
}
