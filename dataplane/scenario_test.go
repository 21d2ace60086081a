package dataplane_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what came out into the scenario files")

// TestScenarios plays testdata/*.txt. A line at the margin does something, the
// indented lines below it are what comes of it:
//
//	# comment
//	-A -t 10.10.1.1:80 -s rr                    rules; those that follow each other are one transaction
//	sysctl conn_reuse_mode=0
//	director max-conns=4 no-route plain-dip limits ftp=21,2121     before anything else
//	host local ADDR | neighbour ADDR STATE | mtu LINK N | forwarding LINK | route PREFIX KIND
//	in LINK PACKET                              one batch; see packet
//	source add ADDR
//	advance 61s
//	announce VIP
//	conns | services | counters | sources
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")); diff != "" && !*update {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// play returns the scenario with the outcomes that it really has.
func play(t *testing.T, text string) string {
	var w *world
	var out, rules []string
	flush := func() {
		if len(rules) == 0 {
			return
		}
		if err := w.rules(strings.Join(rules, "\n")); err != nil {
			out = append(out, "    error: "+err.Error())
		}
		for _, e := range w.output() {
			if strings.HasPrefix(e, "event") {
				out = append(out, "    "+e)
			}
		}
		rules = nil
	}
	for number, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, "    ") {
			continue // an old outcome
		}
		if w == nil && !strings.HasPrefix(line, "#") && line != "" {
			w = directorFor(t, line)
		}
		if !strings.HasPrefix(line, "-") {
			flush()
		}
		out = append(out, line)
		switch {
		case line == "" || line[0] == '#' || strings.HasPrefix(line, "director "):
		case line[0] == '-':
			rules = append(rules, line)
		default:
			for _, o := range act(t, w, number+1, strings.Fields(line)) {
				out = append(out, "    "+o)
			}
		}
		if err := w.ledgerOrNil(); err != nil {
			t.Errorf("line %d: %s: %v", number+1, line, err)
		}
	}
	flush()
	w.settle()
	if err := w.leftovers(); err != nil {
		t.Errorf("two hours later: %v", err)
	}
	return strings.Join(out, "\n") + "\n"
}

func (w *world) ledgerOrNil() error {
	if w == nil {
		return nil
	}
	return w.ledger()
}

// directorFor reads a first line that sets up the director.
func directorFor(t *testing.T, line string) *world {
	words := strings.Fields(line)
	if words[0] != "director" {
		return newWorld(nil)
	}
	return newWorld(func(c *dataplane.Config) {
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "max-conns":
				c.MaxConns = number(t, value)
			case "ftp":
				for port := range strings.SplitSeq(value, ",") {
					c.FTPPorts = append(c.FTPPorts, uint16(number(t, port)))
				}
			case "no-route":
				c.NoRoute = true
			case "plain-dip":
				c.Links[dipLink].Caps = dataplane.Caps{}
			case "plain-vip":
				c.Links[vipLink].Caps = dataplane.Caps{}
			case "limits":
				c.ICMP = dataplane.DefaultICMPLimits
			default:
				t.Fatalf("director %q", word)
			}
		}
	})
}

// act does one thing and returns what came of it.
func act(t *testing.T, w *world, line int, words []string) (lines []string) {
	t.Helper()
	switch words[0] {
	case "sysctl":
		name, value, _ := strings.Cut(words[1], "=")
		if err := w.sysctl(name, value); err != nil {
			return []string{"error: " + err.Error()}
		}
		return nil
	case "mark":
		if err := w.apply([]ipvs.Change{{Kind: ipvs.ChangeMarks, Words: words[1:]}}); err != nil {
			return []string{"error: " + err.Error()}
		}
		return nil
	case "source":
		if err := w.apply([]ipvs.Change{{Kind: ipvs.ChangeSources, Words: words[1:]}}); err != nil {
			return []string{"error: " + err.Error()}
		}
		return nil
	case "sources":
		for _, s := range w.dir.Sources() {
			line := fmt.Sprintf("%v conns=%d", s.Addr, s.Conns)
			if s.Deleted {
				line += " deleted"
			}
			if s.Local {
				line += " local"
			}
			lines = append(lines, line)
		}
		return lines
	case "host":
		w.setHost(func(h *packettest.Host) { changeHost(t, h, words[1:]) })
		return nil
	case "in":
		fs := packet(t, w, words[1:])
		var verdicts []string
		var out []string
		for _, f := range fs { // a batch each: outputs borrow the shard's memory
			for _, v := range w.batch(f) {
				verdicts = append(verdicts, v.String())
			}
			out = append(out, w.output()...)
		}
		return append(out, strings.Join(verdicts, " "))
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		w.now += d
		w.dir.Housekeep(w.now)
		w.batch()
		return w.output()
	case "announce":
		w.shard.Announce([]netip.Addr{netip.MustParseAddr(words[1])})
		w.batch()
		return w.output()
	case "conns":
		return w.connLines()
	case "services":
		return w.serviceLines()
	case "counters":
		return w.counterLines()
	}
	t.Fatalf("line %d: unknown word %q", line, words[0])
	return nil
}

func changeHost(t *testing.T, h *packettest.Host, words []string) {
	switch words[0] {
	case "local":
		h.Locals[netip.MustParseAddr(words[1])] = true
	case "neighbour":
		h.Neighbours[netip.MustParseAddr(words[1])] = map[string]packettest.Neighbour{
			"reachable": packettest.Reachable, "stale": packettest.Stale,
			"unresolved": packettest.Unresolved, "failed": packettest.Failed,
		}[words[2]]
	case "mtu":
		h.Links[slices.Index(linkNames, words[1])].MTU = number(t, words[2])
	case "forwarding":
		state := &h.Links[slices.Index(linkNames, words[1])]
		state.Forwarding, state.Forwarding6 = true, true
	case "route":
		h.Routes = append(h.Routes, packettest.Route{Prefix: netip.MustParsePrefix(words[1]), Kind: map[string]dataplane.HopKind{
			"none": dataplane.HopNone, "elsewhere": dataplane.HopElsewhere, "vip": dataplane.HopForward,
		}[words[2]]})
	default:
		t.Fatalf("host %q", words)
	}
}

func (w *world) connLines() (lines []string) {
	for _, c := range w.conns() {
		left := int(c.Expires / time.Second)
		lines = append(lines, fmt.Sprintf("%v %02d:%02d %s %v %v %v", c.Proto, left/60, left%60, c.State, c.Client, c.Virtual, c.Dest))
	}
	slices.Sort(lines)
	return lines
}

func (w *world) serviceLines() (lines []string) {
	stats := func(s ipvs.Stats) string {
		return fmt.Sprintf("conns=%d in=%d/%d out=%d/%d", s.Conns, s.InPkts, s.InBytes, s.OutPkts, s.OutBytes)
	}
	for _, s := range w.dir.Services() {
		lines = append(lines, fmt.Sprintf("%v %s %s", s.Key, s.Scheduler, stats(s.Stats)))
		for _, d := range s.Destinations {
			over := ""
			if d.Overloaded {
				over = " overloaded"
			}
			lines = append(lines, fmt.Sprintf("  -> %v %v w=%d active=%d inactive=%d %s%s", d.Addr, d.Method, d.Weight, d.Active, d.Inactive, stats(d.Stats), over))
		}
	}
	return lines
}

func (w *world) counterLines() (lines []string) {
	for _, c := range w.dir.Counters() {
		if c.Frames != 0 {
			lines = append(lines, fmt.Sprintf("%v %d", c.Verdict, c.Frames))
		}
	}
	return lines
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		t.Fatalf("%q is no number", text)
	}
	return int(n)
}
