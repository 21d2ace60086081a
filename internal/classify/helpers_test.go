package classify

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

var unexported = cmp.AllowUnexported(Rule{}, network{}, link{}, protocol{}, target{},
	portMatch{}, portSide{}, span{}, multiport{}, markMatch{}, comment{})

func parse(t testing.TB, line string) Command {
	t.Helper()
	words, err := Split(line)
	if err != nil {
		t.Fatalf("Split(%q): %v", line, err)
	}
	c, err := Parse(words)
	if err != nil {
		t.Fatalf("Parse(%q): %v", line, err)
	}
	return c
}

func apply(t testing.TB, s Ruleset, lines ...string) Ruleset {
	t.Helper()
	for _, line := range lines {
		var err error
		if s, err = s.Apply(parse(t, line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return s
}
