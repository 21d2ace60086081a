package arrows

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed says, for each production room, which rooms of natlb it may import,
// directly or through others.
var allowed = map[string][]string{
	"ipvs":                 {},
	"rewrite":              {},
	"sched":                {"ipvs"},
	"conntrack":            {"ipvs", "rewrite"},
	"dataplane":            {"ipvs", "internal/sources", "rewrite", "sched", "conntrack", "internal/classify", "internal/ftp"},
	"internal/ftp":         {},
	"internal/classify":    {"ipvs"},
	"internal/sources":     {},
	"internal/control":     {"ipvs", "internal/sources", "internal/pcapfile"},
	"internal/ipvsadm":     {"ipvs", "internal/sources", "sched", "internal/control", "internal/classify", "internal/pcapfile"},
	"internal/hostnet":     {"ipvs"},
	"internal/lab":         {"internal/hostnet", "ipvs"},
	"internal/lab/labtest": {"internal/lab", "internal/hostnet", "ipvs"},
	"internal/demo":        {"internal/lab", "internal/hostnet", "internal/terminal", "ipvs"},
	"internal/daemon":      {"ipvs", "internal/sources", "rewrite", "sched", "conntrack", "dataplane", "internal/classify", "internal/ftp", "internal/control", "internal/ipvsadm", "internal/rules", "internal/hostnet", "internal/pcapfile"},
	"internal/doctor":      {"ipvs", "internal/sources", "sched", "rewrite", "internal/control", "internal/ipvsadm", "internal/classify", "internal/hostnet", "internal/pcapfile"},
	"internal/terminal":    {},
	"internal/drain":       {"ipvs"},
	"internal/watch":       {"ipvs", "internal/sources", "internal/control", "internal/terminal", "internal/pcapfile"},
	"internal/rules":       {"ipvs", "internal/sources", "rewrite", "sched", "conntrack", "dataplane", "internal/classify", "internal/ftp", "internal/control", "internal/ipvsadm", "internal/pcapfile"},
	"internal/words": {"ipvs", "internal/sources", "rewrite", "sched", "conntrack", "dataplane", "internal/classify", "internal/ftp", "internal/control", "internal/ipvsadm",
		"internal/rules", "internal/hostnet", "internal/doctor", "internal/drain", "internal/watch", "internal/terminal", "internal/pcapfile"},
	"internal/pcapfile": {},
	"internal/replay": {"ipvs", "internal/sources", "sched", "conntrack", "rewrite", "dataplane", "internal/classify", "internal/ftp", "internal/control", "internal/ipvsadm",
		"internal/terminal", "internal/pcapfile"},
	"cmd/natlb":           {"*"},
	"bench":               {"*"},
	"bench/mkpcap":        {"*"},
	"docs":                {},
	"internal/arrows":     {},
	"internal/e2e":        {},
	"internal/packettest": {"*"},
	"internal/oracletest": {"*"},
}

// testRooms are for tests only: no production room may reach them.
var testRooms = []string{"internal/packettest", "internal/lab/labtest", "internal/e2e", "internal/oracletest", "internal/arrows", "bench", "bench/mkpcap", "docs"}

// forwarding rooms must stay free of gopacket, of netlink and of HTTP.
var forbidden = map[string][]string{
	"ipvs":              {"github.com/", "golang.org/x/", "net/http"},
	"rewrite":           {"github.com/", "golang.org/x/", "net/http"},
	"sched":             {"github.com/", "golang.org/x/", "net/http"},
	"conntrack":         {"github.com/google/gopacket", "golang.org/x/sys", "net/http"},
	"dataplane":         {"github.com/google/gopacket", "github.com/vishvananda", "github.com/google/nftables", "net/http"},
	"internal/pcapfile": {"github.com/", "golang.org/x/", "net/http"},
	"cmd/natlb":         {"github.com/google/gopacket", "testing"},
}

func TestArrows(t *testing.T) {
	for room, deps := range dependencies(t) {
		may, known := allowed[room]
		if !known {
			t.Errorf("room %s is not in the table of arrows: add it here and to docs/design.md", room)
			continue
		}
		for _, dep := range deps {
			inside, ok := strings.CutPrefix(dep, "natlb/")
			if ok && inside != room && !slices.Contains(may, inside) && !slices.Contains(may, "*") {
				t.Errorf("%s imports %s, which design.md does not draw", room, inside)
			}
			if ok && inside != room && slices.Contains(testRooms, inside) && !slices.Contains(testRooms, room) {
				t.Errorf("production room %s imports %s, which is for tests", room, inside)
			}
			for _, f := range forbidden[room] {
				if dep == f || strings.HasSuffix(f, "/") && strings.HasPrefix(dep, f) || strings.HasPrefix(dep, f+"/") {
					t.Errorf("%s imports %s", room, dep)
				}
			}
		}
	}
}

// dependencies returns all dependencies of each room, test files not counted.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	readSources(t)
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "natlb/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		deps[strings.TrimPrefix(words[0], "natlb/")] = words[1:]
	}
	if len(deps) < 10 {
		t.Fatalf("go list names %d rooms, want all of natlb", len(deps))
	}
	return deps
}

// readSources opens every source file, so that the go command knows what this
// test depends on and does not take an old result for it.
func readSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
