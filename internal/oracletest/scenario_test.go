package oracletest

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// oracleDir is where scenarios and recordings are.
const oracleDir = "../../tools/oracle"

// step is one step of a scenario, as its file has it.
type step map[string]any

func (s step) op() string { return s.text("op", "") }

// has reports whether the step says something about key.
func (s step) has(key string) bool { _, ok := s[key]; return ok }

func (s step) text(key, otherwise string) string {
	if v, ok := s[key].(string); ok {
		return v
	}
	return otherwise
}

func (s step) number(key string, otherwise float64) float64 {
	if v, ok := s[key].(float64); ok {
		return v
	}
	return otherwise
}

func (s step) flag(key string, otherwise bool) bool {
	if v, ok := s[key].(bool); ok {
		return v
	}
	return otherwise
}

// list returns the texts of key: one, several or none.
func (s step) list(key string) []string {
	switch v := s[key].(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			t, _ := e.(string)
			out = append(out, t)
		}
		return out
	}
	return nil
}

// data is the text of key `data`, as often as `times` says.
func (s step) data(otherwise string) []byte {
	return []byte(strings.Repeat(s.text("data", otherwise), int(s.number("times", 1))))
}

func (s step) addr(key string) netip.Addr {
	a, _ := netip.ParseAddr(s.text(key, ""))
	return a
}

// result is what a step has brought about: numbers, texts and lists of texts.
type result map[string]any

// played is a step with its result, and the second at which it began.
type played struct {
	Step   step    `json:"step"`
	At     float64 `json:"at"`
	Result result  `json:"result"`
}

// record is a recording.
type record struct {
	Name  string   `json:"name"`
	Group string   `json:"group"`
	Plan  string   `json:"plan"`
	Sport float64  `json:"sport"` // source ports count up from here
	V6    int      `json:"v6"`
	Steps []played `json:"steps"`
}

// readRecord reads a recording and makes sure that it is one of the scenario as
// it stands.
func readRecord(t *testing.T, name string) *record {
	t.Helper()
	var rec record
	var scenario struct{ Steps []step }
	readJSON(t, filepath.Join(oracleDir, "records", setOf(name), name+".json"), &rec)
	readJSON(t, filepath.Join(oracleDir, "scenarios", setOf(name), name+".json"), &scenario)
	if len(scenario.Steps) != len(rec.Steps) {
		t.Fatalf("%s: the scenario has %d steps, its recording %d", name, len(scenario.Steps), len(rec.Steps))
	}
	if plans[rec.Plan] == nil {
		t.Fatalf("%s: no plan %q", name, rec.Plan)
	}
	for i := range scenario.Steps {
		if a, b := asJSON(scenario.Steps[i]), asJSON(rec.Steps[i].Step); a != b {
			t.Fatalf("%s: step %d is %s, recorded is %s", name, i, a, b)
		}
	}
	return &rec
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
