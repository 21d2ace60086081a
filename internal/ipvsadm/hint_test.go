package ipvsadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"natlb/ipvs"
	"natlb/sched"
)

const hintTable = `-A -t 192.0.2.1:80 -s wrr -p 600 -M 255.255.255.0
-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 5 -x 10 -y 3
-a -t 192.0.2.1:80 -r 10.0.0.3:80 -m
-a -t 192.0.2.1:80 -r 10.0.0.4:80 -g
-A -u 192.0.2.1:53 -o
-A -t 192.0.2.2:80 -s sh -b sh-port
-A -t 192.0.2.2:443
-A -t 192.0.2.3:80
-A -f 5
`

// TestHints: what a person reads below ipvsadm's words, or below none when a
// line has done more than it says.
func TestHints(t *testing.T) {
	const asRoute = "without -m it is -g: the server needs the VIP on its own lo, and answers the clients itself"
	for _, c := range []struct{ args, want string }{
		// The director refused.
		{"-A -t 192.0.2.9:80 -s rrr", "schedulers, the closest first: rr wrr "},
		{"-A -u 192.0.2.9:80 -p --pe nosuch", "persistence engines: sip"},
		{"-A -t 192.0.2.1:80", "-E changes it, and resets what is left out"},
		{"-a -t 192.0.2.1:80 -r 10.0.0.3 -m", "-e changes it, and resets what is left out: repeat -m, -w, -x and -y"},
		{"-D -t 192.0.2.1:53", "there is: -u 192.0.2.1:53, -t 192.0.2.1:80, "},
		{"-Ln -t 192.0.2.1:81", "there is: -t 192.0.2.1:80, "},
		{"-a -f 6 -r 10.0.0.3 -m", "there is: -f 5, -t 192.0.2.1:80, -u 192.0.2.1:53, -t 192.0.2.2:80, and 2 more"},
		{"-d -t 192.0.2.1:80 -r 10.0.0.2", "this service has: 10.0.0.2:8080, 10.0.0.4:80, 10.0.0.3:80"},
		{"-d -f 5 -r 10.0.0.2", "this service has no real servers: -a adds one"},
		{"-e -t 192.0.2.1:80 -r 10.0.0.2:8080 -w 3", "without -m it is -g, which keeps the packet's port: 10.0.0.2:80 was looked for, not 10.0.0.2:8080, which is there: add -m"},
		{"-e -t 192.0.2.1:80 -r 10.0.0.9:8080 -w 3", "this service has: 10.0.0.4:80, "},
		{"-a -t 192.0.2.1:80 -r 224.0.0.1 -m", "real server address 224.0.0.1 is not unicast"},
		{"-a -t 192.0.2.1:80 -r 10.0.0.9 -m -y 5", "lower threshold 5 above the upper one, 0"},
		{"--start-daemon master", "docs/differences.md lists what natlb does not do yet; nothing was changed"},

		// The line is wrong.
		{"-n -L", "the command comes first: -L -n, not -n -L"},
		{"-L --num", "options are not abbreviated: --numeric"},
		{"-L --stat", "options are not abbreviated: --stats"},
		{"-L --rates", "meant --rate?"},
		{"-L --numeric=1", ""},
		{"-L -Q", ""},
		{"-L --bogus", ""},
		{"-A -t 80", addressForm},
		{"-A -t 192.0.2.9:0", "port 0 stands for all ports and needs -p"},
		{"-d -t 192.0.2.1:80 -r 10.0.0.3 -m", "-d takes -t -u --sctp-service -f -r"},
		{"-C -n", "-C takes no options"},
		{"--set 1 2 3 -n", "--set takes no options"},
		{"-a -t 192.0.2.1:80 -r [fd00::2]:80 -m", "-i leads to a server of the other family"},
		{"-A -t 192.0.2.9:80 -b mh-port", "sh-... goes with -s sh, mh-... with -s mh"},

		// It was carried out.
		{"-Ln", ""},
		{"-A -t 192.0.2.9:80", ""},
		{"-a -t 192.0.2.3:80 -r 10.0.0.9:80 -m", ""},
		{"-a -t 192.0.2.3:80 -r 10.0.0.9:80", asRoute},
		{"-a -t 192.0.2.3:80 -r 10.0.0.9:8080", "without -m it is -g, which keeps the packet's port: the server is 10.0.0.9:80, not 10.0.0.9:8080"},
		{"-a -t 192.0.2.3:80 -r 10.0.0.9:8080 -g", "-g keeps the packet's port: the server is 10.0.0.9:80, not 10.0.0.9:8080"},
		{"-a -t 192.0.2.3:80 -r 10.0.0.9:8080 -i", "-i keeps the packet's port: the server is 10.0.0.9:80, not 10.0.0.9:8080"},
		{"-a -f 5 -r 10.0.0.9:8080 -g", ""},
		{"-a -f 5 -r 10.0.0.9:8080", asRoute},
		{"-e -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 5 -x 10 -y 3", ""},
		{"-e -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 9", "-e replaces everything: upper threshold was 10 and is 0, lower threshold was 3 and is 0"},
		{"-e -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -x 20 -y 2", "-e replaces everything: weight was 5 and is 1"},
		{"-e -t 192.0.2.1:80 -r 10.0.0.3 -w 2", asRoute + "; -e replaces everything: forwarding was Masq and is Route"},
		{"-e -t 192.0.2.1:80 -r 10.0.0.4 -m", "-e replaces everything: forwarding was Route and is Masq"},
		{"-E -t 192.0.2.1:80 -s rr", "-E replaces everything: persistence (-p) is off"},
		{"-E -t 192.0.2.1:80 -p 600", "-E replaces everything: the scheduler was wrr and is wlc, the persistence mask (-M) is gone"},
		{"-E -t 192.0.2.1:80 -s wrr -p 300 -M 255.255.0.0", ""},
		{"-E -u 192.0.2.1:53", "-E replaces everything: one-packet scheduling (-o) is off"},
		{"-E -t 192.0.2.2:80 -s sh", "-E replaces everything: the scheduler's flags (-b) are gone"},
	} {
		text := hinted(tableDirector(), strings.Fields(c.args), "")
		words := play(tableDirector(), strings.Fields(c.args), "").Err
		hint, more := strings.CutPrefix(text, words)
		hint, isHint := strings.CutPrefix(hint, "hint: ")
		switch {
		case !more:
			t.Errorf("ipvsadm %s: %q does not begin with ipvsadm's words, %q", c.args, text, words)
		case c.want == "" && hint != "", c.want != "" && (!isHint || !strings.HasPrefix(hint, c.want)):
			t.Errorf("ipvsadm %s: hint %q, want %q", c.args, hint, c.want)
		case strings.Count(hint, "\n") > 1 || hint != "" && !strings.HasSuffix(hint, "\n"):
			t.Errorf("ipvsadm %s: hint %q is not one line", c.args, hint)
		}
	}
}

func tableDirector() *fakeDirector {
	d := newFakeDirector()
	if made := play(d, []string{"-R"}, hintTable); made.RC != 0 || made.Err != "" {
		panic(made.Err)
	}
	return d
}

// hinted returns what a person sees on standard error.
func hinted(c Client, args []string, stdin string) string {
	var errs bytes.Buffer
	env := &Env{
		Prog: "ipvsadm", Client: c, Lookup: fakeLookup{}, Hints: true,
		Stdin: strings.NewReader(stdin), Stdout: new(bytes.Buffer), Stderr: &errs,
	}
	Run(context.Background(), env, args)
	return errs.String()
}

// TestHintsOfRestore: each line of -R has its own; what was there before is not
// asked for line by line.
func TestHintsOfRestore(t *testing.T) {
	want := "hint: without -m it is -g: the server needs the VIP on its own lo, and answers the clients itself\n" +
		"Service already exists\nhint: -E changes it, and resets what is left out\n" +
		badService + "\nhint: " + addressForm + "\n"
	const stdin = "-e -t 192.0.2.1:80 -r 10.0.0.3\n-A -t 192.0.2.1:80\n-A -t 80\n"
	if got := hinted(tableDirector(), []string{"-R"}, stdin); got != want {
		t.Errorf("-R: %q, want %q", got, want)
	}
}

// TestHintsOfFaults: the director is away, refuses, or has nothing.
func TestHintsOfFaults(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w (looked for /run/natlb.sock)", ipvs.ErrDirectorNotRunning), "hint: a director with a socket of its own is named with --socket"},
		{ipvs.ErrPermission, "hint: changes are for root, "},
		{ipvs.ErrUnsupported, "hint: docs/differences.md lists"},
		{errors.New("out of chairs"), ""},
	} {
		d := tableDirector()
		d.fail = c.err
		_, hint, _ := strings.Cut(hinted(d, []string{"-E", "-t", "192.0.2.1:80"}, ""), "\n")
		if !strings.HasPrefix(hint, c.want) || (c.want == "") != (hint == "") {
			t.Errorf("%v: hint %q, want %q", c.err, hint, c.want)
		}
	}
	if got := hinted(newFakeDirector(), []string{"-D", "-f", "5"}, ""); !strings.Contains(got, "\nhint: there are no virtual services: -A adds one\n") {
		t.Errorf("-D without services: %q", got)
	}
}

// TestHintsOfScripts: ipvsadm-save and ipvsadm-restore have them too.
func TestHintsOfScripts(t *testing.T) {
	for _, prog := range []string{"ipvsadm-save", "/sbin/ipvsadm-restore"} {
		for fail, want := range map[error]string{nil: "", ipvs.ErrPermission: "Permission denied (you must be root)\nhint: changes are for root"} {
			d := newFakeDirector()
			d.fail = fail
			var errs strings.Builder
			env := &Env{Prog: prog, Client: d, Lookup: fakeLookup{}, Hints: true, Stdin: strings.NewReader(""), Stdout: new(bytes.Buffer), Stderr: &errs}
			Run(context.Background(), env, nil)
			if got := errs.String(); !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s, %v: %q, want %q", prog, fail, got, want)
			}
		}
	}
}

func TestHelpNamesSchedulers(t *testing.T) {
	for _, name := range sched.Names() {
		if name != "none" && !slices.Contains(strings.Fields(usageText), name) {
			t.Errorf("-h does not name the scheduler %s", name)
		}
	}
}

func TestNearest(t *testing.T) {
	if got := strings.Join(nearest("wr", []string{"lc", "rr", "wlc", "wrr"}), " "); got != "wrr rr wlc lc" {
		t.Errorf("nearest to wr: %s", got)
	}
	if got := nearest("", nil); len(got) != 0 {
		t.Errorf("nearest of none: %q", got)
	}
}
