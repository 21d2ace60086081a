package ipvsadm

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"natlb/ipvs"
)

// record is a recording of a real ipvsadm 1.31 on a real kernel: what was
// typed, and what came out.
type record struct {
	Name  string
	Steps []struct {
		Step struct {
			Op    string
			Args  string
			Cmds  []string
			Stdin string
		}
		Result struct {
			RC     int
			Out    []string
			Err    []string
			Failed []struct {
				Cmd string
				RC  int
				Err []string
			}
		}
	}
}

type outcome struct {
	RC  int
	Out []string
	Err []string
}

const noDaemons = "connection synchronization (--start-daemon, --stop-daemon): not supported by this version of natlb"

// deviations are the steps at which natlb knowingly does otherwise.
var deviations = map[string]outcome{
	"-Ln -6":                      {RC: 2, Err: []string{"-6 must follow -f"}},
	"-A -6 -t 10.10.1.3:80 -s rr": {RC: 2, Err: []string{"-6 must follow -f"}},
	"--start-daemon master":       {RC: 255, Err: []string{noDaemons}},
	"--start-daemon master --mcast-interface nosuch0": {RC: 255, Err: []string{noDaemons}},
	"--stop-daemon master":                            {RC: 255, Err: []string{noDaemons}},
	"--stop-daemon backup":                            {RC: 255, Err: []string{noDaemons}},
	"-v":                                              {Out: []string{"ipvsadm v1.31 compatible, natlb v0.0.0-test"}},
	"--version":                                       {Out: []string{"ipvsadm v1.31 compatible, natlb v0.0.0-test"}},
	"-h":                                              {Out: helpLines()},
	"--help":                                          {Out: helpLines()},
}

func helpLines() []string {
	return lines("ipvsadm v1.31 compatible, natlb v0.0.0-test\n" + helpText("ipvsadm"))
}

// TestReplay types the recorded command lines and compares exit status, output
// and messages, trailing blanks included.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/records/*.json")
	if err != nil || len(files) != 9 {
		t.Fatalf("records: %v, %v; want 9", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(r.Name, func(t *testing.T) { replay(t, &r) })
	}
}

func replay(t *testing.T, r *record) {
	director := newFakeDirector()
	judged := 0
	for i, s := range r.Steps {
		switch s.Step.Op {
		case "dirs":
			for _, cmd := range s.Step.Cmds {
				want := outcome{}
				for _, f := range s.Result.Failed {
					if f.Cmd == cmd {
						want = outcome{RC: f.RC, Err: f.Err}
					}
				}
				if got := typeLine(director, cmd, ""); !same(got, want) {
					t.Errorf("step %d: %s: %s", i, cmd, cmp.Diff(want, got))
				}
				judged++
			}
		case "dir", "show":
			want := outcome{s.Result.RC, s.Result.Out, s.Result.Err}
			if w, ok := deviations[s.Step.Args]; ok {
				want = w
			}
			pretendTraffic(director, s.Step.Args+s.Step.Stdin, want.Out)
			got := typeLine(director, s.Step.Args, s.Step.Stdin)
			nosort := strings.Contains(s.Step.Args, "--nosort") // services follow a per-boot hash
			if farApart := r.Name == "o-cli-bad" || r.Name == "o6-cli-list"; farApart || nosort {
				want.Out, got.Out = blocks(want.Out, !nosort), blocks(got.Out, !nosort)
			}
			if !same(got, want) {
				t.Errorf("step %d: ipvsadm %s: (-recorded +got)\n%s", i, s.Step.Args, cmp.Diff(want, got))
			}
			judged++
		}
	}
	if judged == 0 {
		t.Error("no step was judged")
	}
}

func same(a, b outcome) bool {
	return a.RC == b.RC && slices.Equal(a.Out, b.Out) && slices.Equal(a.Err, b.Err)
}

// typeLine runs one command line, split as a shell does (the records quote
// nothing but empty words).
func typeLine(c Client, args, stdin string) outcome {
	words := strings.Fields(strings.ReplaceAll(args, "%%", "%"))
	for i, w := range words {
		if w == "''" {
			words[i] = ""
		}
	}
	var out, errs bytes.Buffer
	env := &Env{
		Prog: "ipvsadm", Version: "v0.0.0-test", Client: c, Lookup: fakeLookup{},
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
	}
	rc := Run(context.Background(), env, words)
	return outcome{rc, lines(out.String()), lines(errs.String())}
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// blocks sorts services, and the servers of each if asked, and writes the mark
// that 1.31 shows as -1 as what it is: these are the two ways in which natlb's
// listing of addresses more than 2^31 apart knowingly differs. What natlb
// refuses is not expected.
func blocks(out []string, servers bool) []string {
	var head []string
	var services [][]string
	for _, l := range out {
		l = strings.Replace(l, "FWM  -1        ", "FWM  4294967295", 1)
		l = strings.Replace(strings.Replace(l, "FWM  -1", "FWM  4294967295", 1), "-f -1", "-f 4294967295", 1)
		switch {
		case strings.Contains(l, "10.10.1.36:80"):
		case strings.HasPrefix(l, "-A ") || tableRow.MatchString(l) && !strings.HasPrefix(l, " "):
			services = append(services, []string{l})
		case services == nil:
			head = append(head, l)
		default:
			services[len(services)-1] = append(services[len(services)-1], l)
		}
	}
	for _, s := range services {
		if servers {
			slices.Sort(s[1:])
		}
	}
	slices.SortFunc(services, slices.Compare)
	return slices.Concat(head, slices.Concat(services...))
}

// pretendTraffic gives the director the numbers that the recorded listing
// shows: the fake one has no traffic, but must print them in their places.
func pretendTraffic(f *fakeDirector, args string, want []string) {
	if !strings.Contains(args, "-L") || strings.Contains(args, "--nosort") {
		return
	}
	if strings.Contains(args, "c") && len(want) == 3 && strings.HasPrefix(want[2], "TCP 14:59") {
		f.conns = []ipvs.ConnStatus{{
			Proto: ipvs.TCP, State: "ESTABLISHED", Expires: 14*time.Minute + 59*time.Second,
			Client: netip.MustParseAddrPort("10.10.2.1:20001"), Virtual: netip.MustParseAddrPort("10.10.1.1:80"),
			Dest: netip.MustParseAddrPort("10.20.0.11:8080"),
		}}
	}
	var rows [][]uint64
	for _, l := range want {
		if tableRow.MatchString(l) && !strings.Contains(l, "RemoteAddress") {
			rows = append(rows, numbersOf(l))
		}
	}
	sorted, _ := f.Services(context.Background())
	sortServices(sorted)
	for _, view := range sorted {
		if len(rows) < 1+len(view.Destinations) {
			return // another number of rows: the comparison will say so
		}
		s := &f.services[f.index(view.Key)]
		pretend(args, rows[0], &s.Stats, &s.Rates)
		for i, d := range view.Destinations {
			pretendServer(args, rows[1+i], s, d.Addr)
		}
		rows = rows[1+len(view.Destinations):]
	}
}

var tableRow = regexp.MustCompile(`^(TCP |UDP |SCTP|FWM |  -> )`)

func numbersOf(l string) (n []uint64) {
	for _, w := range strings.Fields(l) {
		if v, err := strconv.ParseUint(w, 10, 64); err == nil {
			n = append(n, v)
		}
	}
	return n
}

func pretendServer(args string, n []uint64, s *ipvs.ServiceStatus, addr netip.AddrPort) {
	i := slices.IndexFunc(s.Destinations, func(d ipvs.DestinationStatus) bool { return d.Addr == addr })
	d := &s.Destinations[i]
	pretend(args, n, &d.Stats, &d.Rates)
	if len(n) == 3 {
		d.Active, d.Inactive = int32(n[1]), int32(n[2])
	}
}

func pretend(args string, n []uint64, s *ipvs.Stats, r *ipvs.Rates) {
	if len(n) < 5 {
		return
	}
	n = n[len(n)-5:]
	switch {
	case strings.Contains(args, "--stats"):
		*s = ipvs.Stats{Conns: n[0], InPkts: n[1], OutPkts: n[2], InBytes: n[3], OutBytes: n[4]}
	case strings.Contains(args, "--rate"):
		*r = ipvs.Rates{CPS: n[0], InPPS: n[1], OutPPS: n[2], InBPS: n[3], OutBPS: n[4]}
	}
}
