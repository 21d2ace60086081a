package doctor

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChecksAreDocumented: docs/doctor.md says of every check, in their order,
// what it looks at, what is a fault and what cures it; and it names every member
// of the JSON.
func TestChecksAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, c := range Checks {
		want = append(want, c.Name)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| [^|]+ \\| [^|]+ \\| [^|]+ \\|$")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows of docs/doctor.md (-doctor +document):\n%s", diff)
	}
	var out strings.Builder
	if err := WriteJSON(&out, &Facts{}, []Finding{{"a", Fault, "b", "c", "d"}}); err != nil {
		t.Fatal(err)
	}
	var object map[string]json.RawMessage
	var findings []map[string]any
	if err := json.Unmarshal([]byte(out.String()), &object); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(object["findings"], &findings); err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## JSON")
	for name := range object {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("docs/doctor.md does not name the member %q", name)
		}
	}
	for name := range findings[0] {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("docs/doctor.md does not name the member %q of a finding", name)
		}
	}
}
