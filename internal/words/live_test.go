package words

import (
	"os"
	"strings"
	"testing"

	"natlb/internal/watch"
	"natlb/ipvs"
)

// TestLiveDocument: docs/live.md names every kind of events, why connections die,
// how servers are, and how watch sorts.
func TestLiveDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/live.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"up", "overloaded", "draining", "quiesced", "unreachable"}
	for _, k := range ipvs.EventKinds() {
		names = append(names, k.String())
	}
	for r := ipvs.Expired; r <= ipvs.Broken; r++ {
		names = append(names, r.String())
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/live.md does not have `%s`", name)
		}
	}
	help := New(&Env{}).env.watch().Flags().Lookup("sort").Usage
	for _, key := range watch.SortKeys() {
		if !strings.Contains(help, key) {
			t.Errorf("the help of --sort does not have %s: %s", key, help)
		}
	}
}
