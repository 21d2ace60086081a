// Package docs_test keeps the documents true where a machine can tell.
package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stepsOf returns the steps "3,7,10-14" of a scenario, one "scenario 3" each.
func stepsOf(t *testing.T, scenario, list string) (steps []string) {
	t.Helper()
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || a > b {
			t.Fatalf("steps %q of %s", list, scenario)
		}
		for n := a; n <= b; n++ {
			steps = append(steps, fmt.Sprintf("%s %d", scenario, n))
		}
	}
	return steps
}

// expected returns the steps that a list of expected differences names, with
// the kind of each.
func expected(t *testing.T, file string) map[string]string {
	t.Helper()
	kinds := map[string]string{}
	for line := range strings.Lines(read(t, file)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0][0] == '#' {
			continue
		}
		scenario, _, _ := strings.Cut(f[0], "@")
		for _, step := range stepsOf(t, scenario, f[1]) {
			kinds[step] = strings.TrimSuffix(f[2], ":")
		}
	}
	if len(kinds) == 0 {
		t.Fatalf("%s names no steps", file)
	}
	return kinds
}

// TestDifferences: what natlb does otherwise on purpose, and only that, is in
// docs/differences.md.
func TestDifferences(t *testing.T) {
	documented, known := map[string]bool{}, map[string]bool{}
	recorded := regexp.MustCompile("Recorded:(?:,?\\s`[a-z0-9-]+`\\s[0-9,-]*[0-9])+")
	scenario := regexp.MustCompile("`([a-z0-9-]+)`\\s([0-9,-]*[0-9])")
	for _, list := range recorded.FindAllString(read(t, "differences.md"), -1) {
		for _, m := range scenario.FindAllStringSubmatch(list, -1) {
			for _, step := range stepsOf(t, m[1], m[2]) {
				documented[step] = true
			}
		}
	}
	for _, file := range []string{"../tools/oracle/explained.txt", "../internal/oracletest/testdata/skips.txt"} {
		for step, kind := range expected(t, file) {
			known[step] = true
			if kind == "difference" && !documented[step] {
				t.Errorf("%s: step %s is a difference on purpose and not in differences.md", file, step)
			}
		}
	}
	for step := range documented {
		if !known[step] {
			t.Errorf("differences.md: step %s is in no list of expected differences", step)
		}
	}
}

// TestDifferencesAreTested: every entry of docs/differences.md names tests, and
// they exist.
func TestDifferencesAreTested(t *testing.T) {
	entries := regexp.MustCompile(`\n\n`).Split(read(t, "differences.md"), -1)
	shown := regexp.MustCompile("(`Test[A-Za-z0-9]+`[^`]*)+ in\\s`([a-z0-9/]+)`")
	test := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	for _, entry := range entries[2:] {
		if strings.HasPrefix(entry, "## ") {
			continue
		}
		_, by, _ := strings.Cut(entry, "Shown by:")
		places := shown.FindAllStringSubmatch(by, -1)
		if len(places) == 0 {
			t.Errorf("no test is named by %q", entry)
		}
		for _, place := range places {
			for _, name := range test.FindAllStringSubmatch(place[0], -1) {
				if !hasTest(t, place[2], name[1]) {
					t.Errorf("differences.md names %s in %s, which is not there", name[1], place[2])
				}
			}
		}
	}
}

// hasTest reports whether a package has a test of that name.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.Contains(read(t, file), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

// TestLinks: what the documents link to is there.
func TestLinks(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	for _, file := range append(files, "../README.md", "../README.zh.md", "../CHANGELOG.md") {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

// TestRecipes: the recipes that the documents name are in the Makefile.
func TestRecipes(t *testing.T) {
	makefile := read(t, "../Makefile")
	recipe := regexp.MustCompile("(?m)(?:`|^    (?:sudo )?)(?:sudo )?make ([a-z][a-z0-9-]*)")
	for _, file := range []string{"../README.md", "../README.zh.md", "../CHANGELOG.md", "differences.md"} {
		for _, m := range recipe.FindAllStringSubmatch(read(t, file), -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which the Makefile does not have", file, m[1])
			}
		}
	}
}

// TestRooms: the plan of the house names the rooms that there are, no others.
func TestRooms(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "design.md"), "## 2. Rooms")
	drawn := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z0-9/]*)/ `).FindAllStringSubmatch(section, -1) {
		drawn[m[1]] = true
		if entry, err := os.Stat(filepath.Join("..", m[1])); err != nil || !entry.IsDir() {
			t.Errorf("design.md draws a room %s, which is not there", m[1])
		}
	}
	for _, pattern := range []string{"../*/*.go", "../*/*/*.go", "../*/*/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files like %s: %v", pattern, err)
		}
		for _, file := range files {
			if room := strings.TrimPrefix(filepath.Dir(file), "../"); !drawn[room] {
				t.Errorf("design.md does not draw the room %s", room)
				drawn[room] = true // once is enough
			}
		}
	}
}
