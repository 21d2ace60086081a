package dataplane_test

import (
	"cmp"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"natlb/dataplane"
	"natlb/ipvs"
)

// TestVerdictsAreDocumented: docs/verdicts.md says of every verdict, in their
// order, what it means, in the words of the program, and what to do about it.
func TestVerdictsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/verdicts.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for v := range dataplane.Verdict(dataplane.NumVerdicts) {
		want = append(want, v.String()+": "+v.Meaning()+" | "+cmp.Or(v.Advice(), "nothing"))
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ([^|]+ \\| [^|]+) \\|$")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1]+": "+strings.ReplaceAll(m[2], "`", ""))
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("rows of docs/verdicts.md (-dataplane +document):\n%s", diff)
	}
}

// TestSysctlsOfLaterFeatures: what IPVS has and natlb has not is refused by
// name, not taken for a slip of the pen.
func TestSysctlsOfLaterFeatures(t *testing.T) {
	w := newWorld(nil)
	for _, name := range []string{
		"backup_only", "sync_version", "sync_threshold", "cache_bypass", "ignore_tunneled",
		"snat_reroute", "conntrack", "debug_level", "est_nice", "conn_lfactor",
	} {
		err := w.dir.Apply([]ipvs.Change{{Kind: ipvs.SetSysctl, Name: name, Value: "1"}})
		if !errors.Is(err, ipvs.ErrUnsupportedSysctl) {
			t.Errorf("sysctl %s=1 = %v, want %v", name, err, ipvs.ErrUnsupportedSysctl)
		}
	}
}
