package bench

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestCompareGoals lets bench/compare judge three repetitions that are written
// down: ratios are taken in each repetition, HAProxy's better one counts, of two
// directions the worse, and less is better for times, CPU and loss.
func TestCompareGoals(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	out, err := exec.Command("python3", "compare", "--from", "testdata/compare.json").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/compare.golden")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(string(out), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("compare --from testdata/compare.json says\n%s\nwant\n%s", out, want)
		}
	}
	if len(got) != strings.Count(string(want), "\n")+1 {
		t.Errorf("compare says more than is wanted:\n%s", out)
	}
}
