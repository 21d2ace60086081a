package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/ipvs"
)

// compareFor returns the command line that compares two policies on a scene's
// captures.
func compareFor(t *testing.T, c *scene, b string) *Command {
	t.Helper()
	cmd := commandFor(filepath.Join("testdata", c.name))
	other := filepath.Join(t.TempDir(), "b.rules")
	if err := os.WriteFile(other, []byte(b), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd.RulesFiles, cmd.Compare = append(cmd.RulesFiles, other), true
	return cmd
}

func comparison(t *testing.T, cmd *Command) *Policies {
	t.Helper()
	cmd.JSON = true
	out, err := cmd.playText(t)
	var p Policies
	if err == nil {
		err = json.Unmarshal([]byte(out), &p)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return &p
}

// TestComparePolicies: of the customers of docs/replay.md who are persistent for
// both ports, one pays elsewhere and takes another's place.
func TestComparePolicies(t *testing.T) {
	cmd := commandFor("testdata/hunt")
	cmd.RulesFiles, cmd.DIP, cmd.Compare = append(cmd.RulesFiles, "testdata/hunt/fixed.rules"), nil, true
	p := comparison(t, cmd)
	if m := p.Moved; m.Both != 5 || m.Moved != 2 || m.OnlyFirst != 0 || m.OnlySecond != 0 || len(m.Moves) != 2 || m.Moves[0] != (Move{ap("10.20.0.11:443"), ap("10.20.0.12:443"), 1}) {
		t.Errorf("moved: %+v", m)
	}
	servers := p.Policies[1].Servers
	if p.Schema != 1 || len(p.Policies[0].Servers) != 4 || len(servers) != 2 || servers[1].Conns != 3 || servers[1].Share != 0.6 || servers[1].Address != ap("10.20.0.12:0") ||
		p.Policies[1].Connections != 5 || p.Policies[1].Rules != "fixed.rules" {
		t.Errorf("policies: %+v, servers of the second: %+v", p.Policies, servers)
	}
}

// TestComparePeaks: what one server gets that sh gives everything, and what two
// get in turn.
func TestComparePeaks(t *testing.T) {
	c := &shapes[0]
	p := comparison(t, compareFor(t, c, strings.ReplaceAll(strings.ReplaceAll(c.rules, "-s rr", "-s sh"), "10.20.0.12:8080 -m", "10.20.0.12:8080 -m -w 0")))
	b := p.Policies[1]
	for _, s := range b.Servers {
		if idle := s.Address.Addr() == netip.MustParseAddr("10.20.0.12"); idle != (s.Conns == 0) || idle != (s.Peak == 0) {
			t.Errorf("with weight 0 for .12: %+v", s)
		}
	}
	if p.Policies[0].Connections != b.Connections && p.Moved.OnlyFirst == 0 {
		t.Errorf("connections %d and %d: %+v", p.Policies[0].Connections, b.Connections, p.Moved)
	}
}

// TestTallyIsTheDirectors: in every scene the series say what the director's own
// counters say, and a policy does not differ from itself.
func TestTallyIsTheDirectors(t *testing.T) {
	for _, c := range scenes() {
		s := c.perform(t)
		rules := c.parsed(t)
		tally := newTally(rules, map[flowKey]*flowEnd{}, false)
		r, _ := runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), func(cfg *Config) { cfg.Event = tally.event })
		tally.end(r.Duration)
		for _, service := range r.Services {
			for _, d := range service.Servers {
				at := slices.IndexFunc(tally.servers, func(s *ServerSeries) bool { return s.Service == service.Key && s.Address == d.Address })
				if at < 0 {
					t.Fatalf("%s: no series of %v", c.name, d.Address)
				}
				series, sum := tally.servers[at], uint64(0)
				for _, n := range series.New {
					sum += n
				}
				if series.Conns != d.Stats.Conns || sum != series.Conns || series.now != int64(d.Active) || slices.Max(series.Active) != series.Peak || len(series.New) > mostSpans {
					t.Errorf("%s: %v has %d connections, %d active; the series have %d (%v) and %d of at most %d (%v)", c.name, d.Address,
						d.Stats.Conns, d.Active, series.Conns, series.New, series.now, series.Peak, series.Active)
				}
			}
		}
		if p := comparison(t, compareFor(t, &c, c.rules)); p.Moved.Moved+p.Moved.OnlyFirst+p.Moved.OnlySecond != 0 || p.Moved.Both != r.Total {
			t.Errorf("%s: of %d connections a policy moves by itself: %+v", c.name, r.Total, p.Moved)
		}
	}
}

// TestTallySpans: however long it takes, the spans are those that would have been
// made had the length been known.
func TestTallySpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := ipvs.ServiceKey{Mark: 1}
		dest := ap("10.20.0.11:80")
		s := &ServerSeries{Service: key, Address: dest}
		y := &tally{span: shortestSpan, met: map[flowKey]*flowEnd{}, servers: []*ServerSeries{s}}
		gaps := rapid.SliceOfN(rapid.Int64Range(0, int64(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(t, "gap"))), 1, 60).Draw(t, "gaps")
		now, level := time.Duration(0), int64(0)
		type change struct {
			at    time.Duration
			born  bool
			level int64
		}
		var all []change
		for _, gap := range gaps {
			now += time.Duration(gap)
			e := ipvs.Event{Kind: ipvs.EventBorn, At: now + epoch, Service: key, Server: dest, Client: ap("198.51.100.1:1"), Virtual: ap("192.0.2.1:80"), Proto: ipvs.TCP, State: "ESTABLISHED"}
			if level > 0 && rapid.Bool().Draw(t, "ends") {
				e.Kind = ipvs.EventDied
				level -= 2
			}
			level++
			all = append(all, change{now, e.Kind == ipvs.EventBorn, level})
			y.event(&e, nil, time.Time{})
		}
		y.end(now)
		span := shortestSpan
		for now/span >= mostSpans {
			span *= 2
		}
		births, most := make([]uint64, now/span+1), make([]int64, now/span+1)
		level = 0
		for i, at := 0, 0; i < len(most); i++ {
			most[i] = level
			for ; at < len(all) && int(all[at].at/span) == i; at++ {
				if level = all[at].level; all[at].born {
					births[i]++
				}
				most[i] = max(most[i], level)
			}
		}
		if y.span != span || !slices.Equal(s.New, births) || !slices.Equal(s.Active, most) {
			t.Fatalf("spans of %v: %v %v, want spans of %v: %v %v", y.span, s.New, s.Active, span, births, most)
		}
	})
}

// TestCompareFaults: what does not go together is said.
func TestCompareFaults(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(*Command)
	}{
		{"one policy", "two policies", func(c *Command) { c.RulesFiles = c.RulesFiles[:1] }},
		{"three", "two policies", func(c *Command) { c.RulesFiles = append(c.RulesFiles, c.RulesFiles[0]) }},
		{"standard input", "read once", func(c *Command) { c.VIP = []string{"-"} }},
		{"out", "--compare goes with", func(c *Command) { c.OutVIP = "x" }},
		{"two and no comparison", "more than one", func(c *Command) { c.Compare = false }},
		{"a picture of nothing", "--html without", func(c *Command) { c.Compare, c.RulesFiles, c.HTML = false, c.RulesFiles[:1], "x" }},
		{"a picture over a capture", "is a capture to read", func(c *Command) { c.HTML = c.VIP[0] }},
		{"a picture over rules", "is a file of rules", func(c *Command) { c.HTML = c.RulesFiles[0] }},
	} {
		c := compareFor(t, &shapes[0], shapes[0].rules)
		tt.change(c)
		var h *Hint
		if out, err := c.playText(t); err == nil || !strings.Contains(err.Error(), tt.want) || out != "" || !errors.As(err, &h) {
			t.Errorf("%s: %v, want %q and a hint; it has written %q", tt.name, err, tt.want, out)
		}
	}
}

// TestComparePage: the page needs nothing else, and a browser draws it, on light
// and on dark paper.
func TestComparePage(t *testing.T) {
	cmd := compareFor(t, &shapes[0], strings.ReplaceAll(shapes[0].rules, "-s rr", "-s sh"))
	cmd.DIP = nil
	dir := t.TempDir()
	cmd.HTML = filepath.Join(dir, "page.html")
	if _, err := cmd.playText(t); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(cmd.HTML)
	if err != nil {
		t.Fatal(err)
	}
	for _, outside := range []string{"http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link"} {
		if bytes.Contains(page, []byte(outside)) {
			t.Errorf("the page has %q", outside)
		}
	}
	dom := browser(t, dir, "--dump-dom", "file://"+cmd.HTML)
	if n := strings.Count(dom, "<rect "); n < 2 || strings.Count(dom, "<svg ") != 4 || !strings.Contains(dom, `id="moved"`) || strings.Contains(dom, "ZgotmplZ") {
		t.Errorf("the browser has read %d bars and %d pictures:\n%s", n, strings.Count(dom, "<svg "), dom)
	}
	for name, scheme := range map[string]struct {
		flag  string
		paper uint32 // red of the page's corner, 0 to 255
	}{"light": {"1", 0xff}, "dark": {"0", 0x14}} {
		shot := filepath.Join(dir, name+".png")
		browser(t, dir, "--blink-settings=preferredColorScheme="+scheme.flag, "--window-size=820,1200", "--screenshot="+shot, "file://"+cmd.HTML)
		f, err := os.Open(shot)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		colours := map[[3]uint32]int{}
		for y := range picture.Bounds().Dy() {
			for x := range picture.Bounds().Dx() {
				r, g, b, _ := picture.At(x, y).RGBA()
				colours[[3]uint32{r >> 8, g >> 8, b >> 8}]++
			}
		}
		bar := map[string][3]uint32{"light": {0x1f, 0x6f, 0xb4}, "dark": {0x6d, 0xb3, 0xf2}}[name] // --c0 of the page
		if r, _, _, _ := picture.At(2, 2).RGBA(); r>>8 != scheme.paper || colours[bar] < 1000 {
			t.Errorf("%s: the paper is %#x, %d points have the first server's colour", name, r>>8, colours[bar])
		}
	}
}

// browser runs a headless Chromium and returns what it prints.
func browser(t *testing.T, home string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("CI has to be able to run this: %v", err)
	case err != nil:
		t.Skip("chromium is not installed (Debian: apt-get install chromium)")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--user-data-dir=" + filepath.Join(home, "profile")}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium %q: %v", args, err)
	}
	return string(out)
}
