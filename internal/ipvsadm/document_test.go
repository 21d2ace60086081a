package ipvsadm

import (
	"os"
	"strings"
	"testing"
)

// TestDeviationsAreDocumented: every command line that knowingly answers
// otherwise than ipvsadm 1.31 is in docs/differences.md.
func TestDeviationsAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	for args := range deviations {
		if !strings.Contains(string(document), "`"+args+"`") {
			t.Errorf("docs/differences.md does not name `%s`", args)
		}
	}
}

// TestBlankInAddress: an address is one word, and what follows in the same
// argument is not ignored.
func TestBlankInAddress(t *testing.T) {
	for _, service := range []string{"10.0.0.1 junk:80", "10.0.0.1\t:80", "10.0.0.1 :80"} {
		d := newFakeDirector()
		got := script(d, "ipvsadm", "", "-A", "-t", service)
		if got.RC != 2 || len(d.services) != 0 {
			t.Errorf("ipvsadm -A -t %q = %+v and %d services, want status 2 and none", service, got, len(d.services))
		}
	}
}
