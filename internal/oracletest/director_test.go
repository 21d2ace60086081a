package oracletest

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

// client is what the command line talks to: the director itself, behind the
// checks that the control room makes.
type client struct{ d *dataplane.Director }

// Apply implements [ipvsadm.Client].
func (c client) Apply(_ context.Context, changes []ipvs.Change) error {
	for i := range changes {
		if err := control.Check(&changes[i]); err != nil {
			return control.MissingFirst(c.d.Services(), changes, &ipvs.ChangeError{Index: i, Kind: changes[i].Kind, Err: err})
		}
	}
	return c.d.Apply(changes)
}

func (c client) Services(context.Context) ([]ipvs.ServiceStatus, error) { return c.d.Services(), nil }
func (c client) Timeouts(context.Context) (ipvs.Timeouts, error)        { return c.d.Timeouts(), nil }
func (c client) Sources(context.Context) ([]ipvs.SourceStatus, error)   { return c.d.Sources(), nil }
func (c client) TableSize(context.Context) (int, error)                 { return c.d.TableSize(), nil }

func (c client) Connections(_ context.Context, yield func(ipvs.ConnStatus) bool) error {
	c.d.Connections(yield)
	return nil
}

// names is what the recorded host knew: a few ports, and itself.
type names struct{}

var portNames = []struct {
	name  string
	port  uint16
	proto ipvs.Protocol
}{
	{"tcpmux", 1, ipvs.TCP}, {"ftp", 21, ipvs.TCP}, {"fsp", 21, ipvs.UDP}, {"ssh", 22, ipvs.TCP}, {"smtp", 25, ipvs.TCP},
	{"domain", 53, ipvs.TCP}, {"domain", 53, ipvs.UDP}, {"tftp", 69, ipvs.UDP}, {"http", 80, ipvs.TCP}, {"www", 80, ipvs.TCP},
	{"ntp", 123, ipvs.UDP}, {"snmp", 161, ipvs.TCP}, {"snmp", 161, ipvs.UDP}, {"ldap", 389, ipvs.TCP}, {"ldap", 389, ipvs.UDP},
	{"https", 443, ipvs.TCP}, {"https", 443, ipvs.UDP}, {"mdns", 5353, ipvs.UDP}, {"http-alt", 8080, ipvs.TCP},
}

func (names) Host(_ context.Context, name string) (netip.Addr, bool) {
	return netip.AddrFrom4([4]byte{127, 0, 0, 1}), name == "localhost"
}

func (names) Name(_ context.Context, a netip.Addr) (string, bool) {
	return "localhost", a.IsLoopback()
}

func (names) Port(name string, proto ipvs.Protocol) (uint16, bool) {
	for _, s := range portNames {
		if s.name == name && s.proto == proto {
			return s.port, true
		}
	}
	return 0, false
}

func (names) Service(port uint16, proto ipvs.Protocol) (string, bool) {
	for _, s := range portNames {
		if s.port == port && s.proto == proto {
			return s.name, true
		}
	}
	return "", false
}

// commandTime is how long a command takes to start: packets that were sent before
// have arrived by then.
const commandTime = time.Millisecond

// typeLine types a command line.
func (p *player) typeLine(args []string, stdin string) (rc int, out, err []string) {
	p.pause(commandTime)
	var stdout, stderr bytes.Buffer
	env := &ipvsadm.Env{
		Prog: "natlb", Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
		Client: client{p.net.director}, Version: "test", Lookup: names{},
	}
	rc = ipvsadm.Run(context.Background(), env, args)
	return rc, lines(stdout.String()), lines(stderr.String())
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// words splits a command line as a shell would, where single quotes are all the
// quoting there is.
func words(line string) (out []string) {
	var word strings.Builder
	inWord, quoted := false, false
	for _, c := range line {
		switch {
		case c == '\'':
			inWord, quoted = true, !quoted
		case !quoted && (c == ' ' || c == '\t'):
			if inWord {
				out = append(out, word.String())
			}
			word.Reset()
			inWord = false
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	if inWord {
		out = append(out, word.String())
	}
	return out
}

func (p *player) dir(s step) result {
	args := s.list("args")
	if line, ok := s["args"].(string); ok {
		args = words(line)
	}
	rc, out, err := p.typeLine(args, s.text("stdin", ""))
	r := result{"rc": rc}
	if out != nil {
		r["out"] = out
	}
	if err != nil {
		r["err"] = err
	}
	return r
}

// dirs types several command lines; only those that say something are noted.
func (p *player) dirs(s step) result {
	var failed []any
	cmds := s.list("cmds")
	for _, c := range cmds {
		if rc, out, err := p.typeLine(words(c), ""); rc != 0 || out != nil || err != nil {
			failed = append(failed, map[string]any{"cmd": c, "rc": rc, "out": append([]string{}, out...), "err": append([]string{}, err...)})
		}
	}
	if failed != nil {
		return result{"failed": failed}
	}
	return result{"ok": len(cmds)}
}

// sysctl sets one of IPVS's settings.
func (p *player) sysctl(s step) result {
	name, ours := strings.CutPrefix(s.text("key", ""), "net.ipv4.vs.")
	if !ours {
		return result{"error": "no setting of IPVS"}
	}
	value := s.text("value", strconv.Itoa(int(s.number("value", 0))))
	err := p.net.director.Apply([]ipvs.Change{{Kind: ipvs.SetSysctl, Name: name, Value: value}})
	if err != nil {
		return result{"error": err.Error()}
	}
	return result{"ok": 1}
}

// mark sets a firewall mark by destination.
func (p *player) mark(s step) result {
	words := []string{"-A", "PREROUTING", "-d", s.text("dst", "")}
	if strings.Contains(s.text("dst", ""), ":") {
		words = append([]string{"-6"}, words...)
	}
	if proto := s.text("proto", ""); proto != "" {
		words = append(words, "-p", proto)
	}
	if s.has("dport") {
		words = append(words, "--dport", strconv.Itoa(int(s.number("dport", 0))))
	}
	words = append(words, "-j", "MARK", "--set-mark", strconv.Itoa(int(s.number("mark", 0))))
	err := p.net.director.Apply([]ipvs.Change{{Kind: ipvs.ChangeMarks, Words: words}})
	if err != nil {
		return result{"error": err.Error()}
	}
	return result{"ok": 1}
}

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                    nil,
		" -L\t-n ":            {"-L", "-n"},
		"-t ''":               {"-t", ""},
		"-w ' 5' '-u a:b c'd": {"-w", " 5", "-u a:b cd"},
	} {
		if got := words(line); !slices.Equal(got, want) {
			t.Errorf("words(%q) = %q, want %q", line, got, want)
		}
	}
}
