package oracletest

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// skip is a line of testdata/skips.txt: steps that do not play as recorded, and
// why.
type skip struct {
	line   int
	glob   string
	steps  [][2]int // ranges; nil: all
	kind   string
	reason string
}

// kinds of reasons. Recordings that differ from each other may also be equal to
// what is played; the others must not.
var kinds = []string{"later", "simulation", "difference", "unstable"}

func readSkips(t *testing.T) []skip {
	t.Helper()
	text, err := os.ReadFile("testdata/skips.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []skip
	for i, l := range strings.Split(string(text), "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		s, err := parseSkip(l)
		if err != nil {
			t.Fatalf("skips.txt:%d: %v", i+1, err)
		}
		s.line = i + 1
		out = append(out, s)
	}
	return out
}

func parseSkip(l string) (s skip, err error) {
	f := strings.Fields(l)
	if len(f) < 4 {
		return s, fmt.Errorf("%q is not GLOB STEPS KIND: REASON", l)
	}
	s.glob, s.reason = f[0], strings.Join(f[2:], " ")
	s.kind = strings.TrimSuffix(f[2], ":")
	if s.kind == f[2] || !slices.Contains(kinds, s.kind) {
		return s, fmt.Errorf("%q is none of %v with a colon", f[2], kinds)
	}
	if _, err := path.Match(s.glob, ""); err != nil {
		return s, err
	}
	if f[1] == "*" {
		return s, nil
	}
	for _, part := range strings.Split(f[1], ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || a > b {
			return s, fmt.Errorf("steps %q", f[1])
		}
		s.steps = append(s.steps, [2]int{a, b})
	}
	return s, nil
}

// covers reports whether s is about a step of a scenario.
func (s *skip) covers(name string, i int) bool {
	return s.matches(name) && (s.steps == nil || slices.ContainsFunc(s.steps, func(r [2]int) bool { return r[0] <= i && i <= r[1] }))
}

func (s *skip) matches(name string) bool {
	ok, _ := path.Match(s.glob, name)
	return ok
}

func TestParseSkip(t *testing.T) {
	for _, l := range []string{"o-x 1 later:", "o-x 1 soon: x", "o-x 1-a later: x", "o-x 3-1 later: x", "[ * later: x", "o-x 1 later x y"} {
		if s, err := parseSkip(l); err == nil {
			t.Errorf("parseSkip(%q) = %v, want an error", l, s)
		}
	}
	s, err := parseSkip("o-x* 3,7-9 later: persistence (-p)")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		step int
		want bool
	}{{"o-x", 3, true}, {"o-xy", 8, true}, {"o-x", 4, false}, {"o-x", 10, false}, {"x-o", 3, false}} {
		if got := s.covers(c.name, c.step); got != c.want {
			t.Errorf("covers(%q, %d) = %v, want %v", c.name, c.step, got, c.want)
		}
	}
}
