package ipvsadm

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/ipvs"
)

// typed is a command line that was typed to ipvsadm 1.31 on a real kernel's
// IPVS, and what came of it (tools/oracle/lines.py).
type typed struct {
	Args     []string
	Table    string // what there was before
	Stdin    string
	RC       int
	Out, Err string
	After    string // what there was then; empty: the same
}

func readLines(t *testing.T) (tables map[string]string, lines []typed) {
	t.Helper()
	f, err := os.Open("testdata/lines.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(text)
	if err := d.Decode(&tables); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		var l typed
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		l.Out, l.Err, l.After = latin1(l.Out), latin1(l.Err), latin1(l.After)
		lines = append(lines, l)
	}
	return tables, lines
}

// latin1 turns the records' way to write bytes that are no text back.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// desk types command lines to a director, whose table it makes anew when a line
// has changed it.
type desk struct {
	client Client
	tables map[string]string
	quick  bool   // do not look whether a refused line has changed it
	table  string // the name of the one that there is, or empty
	before string
}

func (d *desk) typeIn(want typed) typed {
	if d.table != want.Table {
		play(d.client, []string{"-R"}, "-C\n--set 900 120 300\n")
		play(d.client, []string{"-R"}, d.tables[want.Table])
		d.table, d.before = want.Table, tableOf(d.client)
	}
	got := play(d.client, want.Args, want.Stdin)
	got.Table = want.Table
	if refused := got.RC != 0 && want.Stdin == ""; !refused || !d.quick {
		if after := tableOf(d.client); after != d.before {
			got.After = after
			d.table = ""
		}
	}
	if head, _, ok := strings.Cut(got.Out, "Usage:"); ok {
		got.Out = head // of the help, that it came
	}
	return got
}

func play(c Client, args []string, stdin string) typed {
	var out, errs bytes.Buffer
	env := &Env{
		Prog: "ipvsadm", Version: "v0.0.0-test", Client: c, Lookup: fakeLookup{},
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
	}
	rc := Run(context.Background(), env, args)
	return typed{Args: args, Stdin: stdin, RC: rc, Out: out.String(), Err: errs.String()}
}

func tableOf(c Client) string {
	return play(c, []string{"-R"}, "-S -n\n-L -n --thresholds\n-L --timeout\n").Out
}

// lineDeviations are the ways in which natlb's answer knowingly differs: each
// makes of the recorded answer the one that is wanted, if it is about that.
var lineDeviations = []struct {
	why  string
	want func(w *typed)
}{
	{"version and help are natlb's own", func(w *typed) {
		if version, _, ok := strings.Cut(w.Out, "ipvsadm v1.31 2019"); ok {
			w.Out = version + "ipvsadm v1.31 compatible, natlb v0.0.0-test\n"
		}
	}},
	{"the message about -6 is that of later versions", func(w *typed) {
		w.Err = strings.ReplaceAll(w.Err, "-6 used before -f\n\n", "-6 must follow -f\n")
	}},
	{"sync daemons are not there yet", func(w *typed) {
		text := strings.Join(w.Args, " ")
		if strings.Contains(text, "--start-daemon") && w.RC == 0 && w.Out == "" || w.Err == "No daemon is running\n" || w.Err == "No such device\n" || w.Err == "Daemon has already run\n" {
			w.RC, w.Err = 255, noDaemons+"\n"
		}
	}},
	{"marks are not negative", func(w *typed) {
		for wrong, right := range map[string]string{"-f -1 ": "-f 4294967295 ", "FWM  -1 ": "FWM  4294967295 ", "-2147483648": "2147483648"} {
			w.Out, w.After = strings.ReplaceAll(w.Out, wrong, right), strings.ReplaceAll(w.After, wrong, right)
		}
	}},
	{"no -b without flags is saved", func(w *typed) {
		w.After = strings.ReplaceAll(w.After, " -b \n", "\n")
	}},
	{"a blank in an address is refused", func(w *typed) {
		if strings.Contains(strings.Join(w.Args, " "), "10.0.0.1\t:80") {
			w.RC, w.Out, w.After, w.Err = 2, "", "", badService+"\n"
		}
	}},
	{"a port behind brackets counts (TestAccepted)", func(w *typed) {
		if text := strings.Join(w.Args, " "); strings.Contains(text, "[localhost]:80") {
			w.RC = notJudged
		}
	}},
}

// notJudged is the exit status of no command.
const notJudged = -1

// TestLines types what was typed to the real thing, to a director that can all
// that the kernel can.
func TestLines(t *testing.T) {
	tables, lines := readLines(t)
	d := &desk{client: newFakeDirector(), tables: tables}
	used := map[string]bool{}
	for _, want := range lines {
		for _, x := range lineDeviations {
			before := want
			if x.want(&want); !cmp.Equal(before, want) {
				used[x.why] = true
			}
		}
		if want.RC == notJudged {
			continue
		}
		got := d.typeIn(want)
		if diff := cmp.Diff(inOrder(want), inOrder(got)); diff != "" {
			t.Errorf("ipvsadm %q: (-recorded +got)\n%s", want.Args, diff)
		}
	}
	for _, x := range lineDeviations {
		if !used[x.why] {
			t.Errorf("no line shows that %s", x.why)
		}
	}
}

// inOrder sorts the lines of listings for which the order is not ipvsadm's:
// --nosort is the kernel's hash order, addresses more than 2^31 apart and
// families side by side come out wrong from 1.31.
func inOrder(l typed) typed {
	words := strings.Join(l.Args, " ")
	for _, mixed := range []string{"--nosort", "255.255.255.255", "224.0.0.1", "::", "FD00", "42949672", "2147483648"} {
		if strings.Contains(words, mixed) {
			l.Out, l.After = sorted(l.Out), sorted(l.After)
		}
	}
	return l
}

func sorted(text string) string {
	l := strings.SplitAfter(text, "\n")
	slices.Sort(l)
	return strings.Join(l, "")
}

// TestLinesOverTheSocket types them to a real director behind a real socket:
// what it cannot do yet is refused, all else is as recorded.
func TestLinesOverTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "natlb.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(realDirector{dataplane.NewDirector(dataplane.Config{})}, "v0.0.0-test", slog.New(slog.DiscardHandler))
	go server.Serve(l)
	defer server.Shutdown(context.Background())
	client := control.Dial(path)
	defer client.Close()
	tables, lines := readLines(t)
	d := &desk{client: client, tables: tables, quick: true}
	refused := 0
	for _, want := range lines {
		for _, x := range lineDeviations {
			x.want(&want)
		}
		if want.RC == notJudged {
			continue
		}
		got := d.typeIn(want)
		if beyond(want) {
			// The words about the line come first, then that it cannot be done,
			// or that what it is about is not there.
			if want.RC == 2 && (got.RC != 2 || got.Err != want.Err) || want.RC != 2 && got.After != "" {
				t.Errorf("ipvsadm %q: got %d %q, recorded %d %q", want.Args, got.RC, got.Err, want.RC, want.Err)
			}
			refused++
			continue
		}
		if diff := cmp.Diff(inOrder(want), inOrder(got)); diff != "" {
			t.Errorf("ipvsadm %q: (-recorded +got)\n%s", want.Args, diff)
		}
	}
	if refused == 0 || refused > len(lines)/4 {
		t.Errorf("%d of %d lines ask for what is not there yet", refused, len(lines))
	}
}

// realDirector is a data path without ports.
type realDirector struct{ *dataplane.Director }

func (realDirector) Counters() []control.Counter { return nil }
func (realDirector) Ledger() control.Ledger      { return control.Ledger{} }
func (realDirector) Sysctls() []control.Sysctl   { return nil }
func (realDirector) Setup() control.Setup        { return control.Setup{} }
func (realDirector) Capture(control.Capture) (control.CaptureFeed, error) {
	return nil, ipvs.ErrUnsupported
}

// beyond reports whether a line is about what a director does not have in this
// version: the persistence engine.
func beyond(l typed) bool {
	ln, err := newParser(context.Background(), "ipvsadm", fakeLookup{}).parse(l.Args)
	if err != nil {
		return false
	}
	return ln.service.Engine != ""
}
