package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"natlb/internal/packettest"
	"natlb/internal/pcapfile"
)

// playText runs the command and returns what it writes.
func (c *Command) playText(t *testing.T) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := c.Run(t.Context(), &out, os.Stderr)
	return out.String(), err
}

// TestExpect: a replay by other rules is told from the stored one by its first
// packet, whose fields that differ are marked, and by its tables.
func TestExpect(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(rules, []byte(strings.Replace(shapes[0].rules, "10.20.0.12:8080", "10.20.0.12:8081", 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	run := func(json bool) string {
		c := commandFor("testdata/http")
		c.RulesFiles, c.Expect, c.JSON = []string{rules}, "testdata/http/expect", json
		out, err := c.playText(t)
		if !errors.Is(err, ErrDiffers) {
			t.Fatalf("%v, want ErrDiffers\n%s", err, out)
		}
		return out
	}
	text := run(false)
	for _, want := range []string{
		"first difference: packet 1 sent on the dip side, at 2025-06-15T15:06:40Z\n",
		"it was sent for: forward: TCP 198.51.100.1:44000 > 192.0.2.10:80 > 10.20.0.12:8081\n",
		"\n ip.src 198.51.100.1 198.51.100.1\n",
		"\n* tcp.dstport 8080 8081\n",
		"connections[0].dest: stored \"10.20.0.12:8080\", replayed \"10.20.0.12:8081\"\n",
		"more differences of tables\n",
	} {
		if spaces := regexp.MustCompile(" +"); !strings.Contains(spaces.ReplaceAllString(text, " "), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n*"); n != 2 { // the port and its checksum
		t.Errorf("%d fields are marked, want 2:\n%s", n, text)
	}
	var c Comparison
	if err := json.Unmarshal([]byte(run(true)), &c); err != nil || c.Same || c.Packet == nil || c.Packet.Number != 1 || len(c.Tables) == 0 {
		t.Errorf("as JSON: %v, %+v", err, c)
	}
}

// TestExpectMissing: packets that are not sent any more, and packets that never
// were, are differences too.
func TestExpectMissing(t *testing.T) {
	for _, tt := range []struct {
		scene, want string
		change      func(*Command)
	}{
		{"http", "first difference: packet 1 sent on the vip side", func(c *Command) { c.DIP = nil }},
		{"syslog", "first difference: packet 1 sent on the dip side", func(c *Command) { c.VIP = nil }},
		{"direct-routing", "first difference: packet 1 sent on the vip side", func(c *Command) { c.VIP = []string{"testdata/no-server/vip.pcap"} }},
	} {
		c := commandFor("testdata/" + tt.scene)
		c.Expect = "testdata/" + tt.scene + "/expect"
		tt.change(c)
		out, err := c.playText(t)
		if !errors.Is(err, ErrDiffers) || !strings.Contains(out, tt.want) || !strings.Contains(out, "(none)") {
			t.Errorf("%s: %v, want %q:\n%s", tt.scene, err, tt.want, out)
		}
	}
}

// TestUpdateIsAllOrNothing: a replay that fails leaves the stored one as it was.
func TestUpdateIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	c := commandFor("testdata/http")
	c.Expect, c.Update = dir, true
	if _, err := c.playText(t); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	broken := filepath.Join(t.TempDir(), "broken.pcap")
	whole, err := os.ReadFile("testdata/dns/vip.pcap")
	if err != nil {
		t.Fatal(err)
	}
	copy(whole[24+8+16+60:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	if err := os.WriteFile(broken, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	c = commandFor("testdata/dns")
	c.VIP, c.Expect, c.Update = []string{broken}, dir, true
	if _, err := c.playText(t); !errors.Is(err, pcapfile.ErrFormat) {
		t.Fatalf("a broken capture: %v", err)
	}
	if after := contents(t, dir); after != before {
		t.Errorf("the folder was:\n%.300s\nand is:\n%.300s", before, after)
	}
}

func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(e.Name() + ":\n" + string(text))
	}
	return b.String()
}

// TestFaults: what is wrong with a command line is said in one line, with what
// helps where somebody can mend it.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	text, empty, cut := filepath.Join(dir, "text"), filepath.Join(dir, "empty"), filepath.Join(dir, "bad.rules")
	os.WriteFile(text, []byte("this is no capture, it is a text"), 0o666)
	os.WriteFile(empty, nil, 0o666)
	os.WriteFile(cut, []byte("-A -t 192.0.2.1:80 -s rr\n-A -t 192.0.2.1:80 -s rr\n"), 0o666)
	for _, tt := range []struct {
		name, want, hint string
		change           func(*Command)
	}{
		{"no rules named", "no rules", "--rules", func(c *Command) { c.RulesFiles = nil }},
		{"standard input twice", "standard input is one", "each but one", func(c *Command) { c.VIP = []string{"-", "-"} }},
		{"writing over a capture", "is a capture to read", "another file", func(c *Command) { c.OutVIP = "testdata/../" + c.DIP[0] }},
		{"no capture", "no capture", "--vip", func(c *Command) { c.VIP, c.DIP = nil, nil }},
		{"no rules", "no such file", "--rules", func(c *Command) { c.RulesFiles = []string{filepath.Join(dir, "none")} }},
		{"rules that contradict", "bad.rules:2", "", func(c *Command) { c.RulesFiles = []string{cut} }},
		{"no such capture", "no such file", "", func(c *Command) { c.VIP = []string{filepath.Join(dir, "none")} }},
		{"a text", "text: not a capture", "tcpdump", func(c *Command) { c.VIP = []string{text} }},
		{"an empty file", "empty: not a capture", "tcpdump", func(c *Command) { c.VIP = []string{empty} }},
		{"nothing stored", "no such file", "--update", func(c *Command) { c.Expect = filepath.Join(dir, "none") }},
		{"update of nothing", "--update without", "--expect", func(c *Command) { c.Update = true }},
		{"out into nowhere", "no such file", "", func(c *Command) { c.OutDIP = filepath.Join(dir, "none", "x.pcap") }},
	} {
		c := commandFor("testdata/http")
		tt.change(c)
		out, err := c.playText(t)
		var h *Hint
		switch {
		case err == nil || !strings.Contains(err.Error(), tt.want) || out != "":
			t.Errorf("%s: %v, want %q; it has written %q", tt.name, err, tt.want, out)
		case errors.As(err, &h) != (tt.hint != "") || h != nil && !strings.Contains(h.Text, tt.hint):
			t.Errorf("%s: the hint is %+v, want %q", tt.name, h, tt.hint)
		}
	}
}

// TestStop: a replay ends when it is told to.
func TestStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	c := commandFor("testdata/http")
	if err := c.Run(ctx, new(bytes.Buffer), os.Stderr); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want an end before the captures'", err)
	}
}

// TestEventsJSON: with --events --json every line is an object, the last one the
// result.
func TestEventsJSON(t *testing.T) {
	c := commandFor("testdata/reuse")
	c.Events, c.JSON = true, true
	out, err := c.playText(t)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(out) {
		var x struct {
			Kind   string `json:"kind"`
			Schema int    `json:"schema"`
			Time   string `json:"time"`
			Why    string `json:"why"`
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if x.Schema != 1 || x.Kind != "" && !strings.HasPrefix(x.Time, "2025-06-15T15:06:4") {
			t.Errorf("schema %d, time %s: %s", x.Schema, x.Time, line)
		}
		counts[x.Kind]++
		counts[x.Why]++
	}
	if counts["born"] != 2 || counts["new"] != 2 || counts["died"] != 1 || counts["state"] < 4 || !strings.HasSuffix(out, "\"events_lost\":0}\n") {
		t.Errorf("events and result: %v\n%s", counts, out)
	}
}

// TestDecodeIsWhole: two frames that differ in any byte differ in a field.
func TestDecodeIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := scenes()[rapid.IntRange(0, len(scenes())-1).Draw(t, "scene")]
		s := &stage{}
		c.play(s)
		all := s.side[rapid.IntRange(0, 1).Draw(t, "side")]
		if len(all) == 0 {
			t.Skip()
		}
		a := all[rapid.IntRange(0, len(all)-1).Draw(t, "packet")]
		if len(a.Data) == 0 {
			t.Skip()
		}
		b := a
		b.Data = bytes.Clone(a.Data)
		b.Data[rapid.IntRange(0, len(b.Data)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		for _, row := range compare(&a, &b) {
			if row.Differs {
				return
			}
		}
		t.Fatalf("no field differs:\n%x\n%x", a.Data, b.Data)
	})
}

// TestConstantMemory: what a replay holds does not grow with the capture.
func TestConstantMemory(t *testing.T) {
	sides, rules := synthetic(t, 20*packettest.SyntheticConns)
	run := func(times int) uint64 {
		var in [2]*Input
		for i, side := range sides {
			r, err := NewInput("endless", Side(i), &again{head: 24, file: side, times: times})
			if err != nil {
				t.Fatal(err)
			}
			in[i] = r
		}
		most := uint64(0)
		_, err := Run(t.Context(), Config{
			Rules: rules, Inputs: in[:], VIPVLAN: AnyVLAN, DIPVLAN: AnyVLAN,
			Progress: func(_, _ int64) {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return most
	}
	short, long := run(2), run(20)
	if long > short+short/4 {
		t.Errorf("a capture of 400,000 packets takes %d bytes, one of 40,000 %d", long, short)
	}
}

// again reads a capture as one that goes on with the same packets.
type again struct {
	head, at, times int
	file            []byte
}

func (a *again) Read(b []byte) (int, error) {
	if a.at == len(a.file) && a.times > 1 {
		a.at, a.times = a.head, a.times-1
	}
	r := bytes.NewReader(a.file[a.at:])
	n, err := r.Read(b)
	a.at += n
	return n, err
}
