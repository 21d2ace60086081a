package ipvsadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"natlb/ipvs"
)

const try = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."

// TestGrammar has what the recordings do not: bundles, glued values, order,
// defaults, and the messages of every value.
func TestGrammar(t *testing.T) {
	for _, c := range []struct {
		args string
		rc   int
		err  string
	}{
		{"-n -L", 255, try},
		{"-nL", 255, try},
		{"--numeric -L", 255, try},
		{"-t 10.0.0.1:80 -A", 255, try},
		{"-Q", 255, try},
		{"--num", 255, try},
		{"foo", 255, try},
		{"-", 255, try},
		{"--", 255, try},
		{"-- -L", 255, try},
		{"--start-daemon", 255, try},
		{"foo -L", 2, "unexpected argument foo"},
		{"-L -", 2, "unexpected argument -"},
		{"-L -- -n", 2, "unexpected argument -n"},
		{"-Lh", 2, "invalid option `-Lh'"},
		{"-L -v", 2, "invalid option `-v'"},
		{"-L --set", 2, "invalid option `--set'"},
		{"-L -R", 2, "invalid option `-R'"},
		{"-LQ", 255, "-LQ: unknown option"},
		{"-L --bogus=3", 255, "--bogus=3: unknown option"},
		{"-L --lis", 255, "--lis: unknown option"},
		{"-L=n", 255, try},
		{"-h=3", 255, try},
		{"-L --numeric=1", 255, "--numeric=1: option does not take an argument"},
		{"-L -n=", 255, "-n=: option does not take an argument"},
		{"-L -nc=3", 255, "-nc=3: option does not take an argument"},
		{"-Lnn=3", 255, "-Lnn=3: option does not take an argument"},
		{"-a -t 1.1.1.1:1 -r 2.2.2.2 -mw", 255, "-mw: missing argument"},
		{"-a -t 1.1.1.1:1 -r 2.2.2.2 -w -n", 2, "illegal weight specified"},
		{"-a -t 1.1.1.1:1 -r 2.2.2.2 -w 0x5", 2, "illegal weight specified"},
		{"-a -t 1.1.1.1:1 -r 2.2.2.2 -w 1.5", 2, "illegal weight specified"},
		{"-a -t 1.1.1.1:1 -r 2.2.2.2 -y 2147483648", 2, "illegal l_threshold specified"},
		{"-list", 2, "Illegal 'scheduler' option with the 'list' command"},
		{"-A -f 5 -t 1.1.1.1:1", 2, "multiple 'service-address' options specified"},
		{"-L -n -n", 2, "multiple 'numeric' options specified"},
		{"-L --sort --sort", 0, ""},
		{"-A -f 7 -6 -6", 0, ""},
		{"-A -t 1.1.1.1:1 -M", 255, "-M: missing argument"},
		{"-A -t 1.1.1.1:1 -b ,", 2, "invalid scheduler flag `,'"},
		{"-A -t 1.1.1.1:1 --sched-flags=", 0, ""},
		{"-A -t 1.1.1.1:1 -b flag-1,,bad", 2, "invalid scheduler flag `bad'"},
		{"-A -b sh-port -s sh -t 1.1.1.1:1", 0, ""},
		{"-L -b nosuch", 2, "invalid scheduler flag `nosuch'"},
		{"-A -t [1.1.1.1", 2, badService},
		{"-A -t [::1]80", 2, badService},
		{"-A -t :::80", 2, badService},
		{"-a -f 3 -r 10.0.0.1:http", 255, "Service not defined"},
		{"-a -r 10.0.0.1:http -f 3", 2, badServer},
		{"-A -t 1.1.1.1.1:80", 2, badService},
		{"-A -t 256.1.1.1:80", 2, badService},
		{"-A -t 1.1.1.1:80x", 2, badService},
		{"-a -r 10.0.0.1:http -t 1.1.1.1:1", 2, badServer},
		{"-A -f +", 2, "invalid fwmark value `+' specified"},
		{"-A -M ::1 -t 1.1.1.1:1", 2, "illegal virtual server persistent mask specified"},
		{"-A -t [::1]:80 -M 64x -p", 0, ""},
		{"-A -t [::1]:80 -M x64 -p", 2, "illegal ipv6 netmask specified"},
		{"-A -t 1.1.1.1:1 -p=", 2, "invalid timeout value `' specified"},
		{"--set 1 2 2678401", 2, "invalid timeout value `2678401' specified"},
		{"--set 1 2 3 4", 2, "unexpected argument 4"},
		{"--set 1 2 3 -n", 2, "Illegal 'numeric' option with the 'set' command"},
		{"--start-daemon=master --syncid 256", 2, "illegal syncid specified"},
		{"--start-daemon master --mcast-group 10.0.0.1", 2, "invalid IPv4 mcast-group `10.0.0.1'"},
		{"--start-daemon master --mcast-group fe80::1", 2, "invalid IPv6 mcast-group `fe80::1'"},
		{"--start-daemon master --mcast-port 0", 2, "illegal mcast-port specified"},
		{"--start-daemon master --mcast-ttl 256", 2, "illegal mcast-ttl specified"},
		{"--start-daemon master --sync-maxlen 65508", 2, "illegal sync-maxlen specified"},
		{"--start-daemon backup --mcast-group ff02::5 --mcast-port 1 --mcast-ttl 255 --sync-maxlen 1 --syncid 0 --mcast-interface x", 255, noDaemons},
		{"--stop-daemon master --mcast-ttl 1", 2, "Illegal 'mcast-ttl' option with the 'stop-daemon' command"},
		{"-L --timeout --persistent-conn", 2, "options conflicts in the list command"},
		{"-L -c --persistent-conn", 0, ""},
		{"-L -c --thresholds", 2, "options conflicts in the list command"},
		{"-e -t 1.1.1.1:1 -r 2.2.2.2 -m", 255, "Service not defined"},
		{"-Z -t 1.1.1.1:1", 255, "No such service"},
	} {
		got := typeLine(newFakeDirector(), c.args, "")
		if text := strings.Join(got.Err, "\n"); got.RC != c.rc || text != c.err {
			t.Errorf("ipvsadm %s = %d, %q, want %d, %q", c.args, got.RC, text, c.rc, c.err)
		}
	}
}

// TestAccepted shows what lines mean, through what -S makes of them.
func TestAccepted(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"-A -t10.1:+80 -s=rr", "-A -t 10.0.0.1:80 -s rr"},
		{"-A -t 010.0.0.1:080", "-A -t 8.0.0.1:80 -s wlc"},
		{"-A -t 0x0a.1.2.3:80 -s ''", "-A -t 10.1.2.3:80 -s wlc"},
		{"-A -u [10.0.0.1]:80", "-A -u 10.0.0.1:80 -s wlc"},
		{"-A -t localhost:http", "-A -t 127.0.0.1:80 -s wlc"},
		{"-A -t [fd00::1]:http -p=600 -M 64", "-A -t [fd00::1]:80 -s wlc -p 600 -M 64"},
		{"-A -f 5 -p", "-A -f 5 -s wlc -p 360"},
		{"-A -f 5 -p 7 -M 255.255.0.0 -6", "-A -f 5 -6 -s wlc -p 7"},
		{"-A -M 255.255.0.0 -t [::1]:1 -p", "-A -t [::1]:1 -s wlc -p 360"},
		{"-A -t 10.0.0.1:1 -p 5 -M 24", "-A -t 10.0.0.1:1 -s wlc -p 5 -M 0.0.0.24"},
		{"-A -t 10.0.0.1:1 -b flag-1,flag-3", "-A -t 10.0.0.1:1 -s wlc -b flag-1,flag-3"},
		{"-A -t 10.0.0.1:80\n-at 10.0.0.1:80 -r 10.0.0.2:8080 -mw=5", "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.0.0.2:8080 -m -w 5"},
		// Without -m the port becomes the service's.
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2:8080", "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -g -w 1"},
		// -r before -t does not know the service's port yet.
		{"-A -t 10.0.0.1:80\n-a -r 10.0.0.2 -m -t 10.0.0.1:80", "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.0.0.2:0 -m -w 1"},
		// What ipvsadm could not read is left out.
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2:8080 --fullnat --toa\n-a -t 10.0.0.1:80 -r 10.0.0.3 -m", "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.0.0.3:80 -m -w 1"},
		// Edits reset what is left out.
		{"-A -t 10.0.0.1:80 -s rr -p 600 -M 255.255.255.0\n-E -t 10.0.0.1:80", "-A -t 10.0.0.1:80 -s wlc"},
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2 -m -w 5\n-e -t 10.0.0.1:80 -r 10.0.0.2", "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -g -w 1"},
	} {
		d := newFakeDirector()
		for _, l := range strings.Split(c.lines, "\n") {
			if got := typeLine(d, l, ""); got.RC != 0 {
				t.Errorf("%s: %+v", l, got)
			}
		}
		if got := strings.Join(typeLine(d, "-Sn", "").Out, "\n"); got != c.want {
			t.Errorf("%s\nsaved: %s\nwant:  %s", c.lines, got, c.want)
		}
	}
}

// TestOptionTable tries every option with every command. legal is a second
// transcription of the tables in commands.go: an option not named there must be
// refused, by its name.
func TestOptionTable(t *testing.T) {
	const service, server, list = "service-address", "service-address real-server", "numeric stats rate thresholds persistent-conn nosort exact tun-info json"
	const changeServer = server + " forwarding-method weight u-threshold l-threshold tun-type tun-port tun-nocsum tun-csum tun-remcsum toa" // toa is natlb's own
	legal := map[string]string{
		"-A":                    service + " scheduler persistent netmask ops pe sched-flags",
		"-E":                    service + " scheduler persistent netmask ops pe sched-flags",
		"-D":                    service,
		"-C":                    "",
		"-L":                    list + " service-address connection timeout daemon syncid", // syncid by accident
		"-a":                    changeServer,
		"-e":                    changeServer,
		"-d":                    server,
		"--set 1 2 3":           "",
		"--start-daemon master": "mcast-interface syncid mcast-group mcast-port mcast-ttl sync-maxlen",
		"--stop-daemon master":  "syncid",
		"-R":                    "",
		"-S":                    "numeric",
		"-Z":                    service,
	}
	names := map[string]string{
		"-A": "add-service", "-E": "edit-service", "-D": "delete-service", "-C": "flush", "-L": "list", "-a": "add-server",
		"-e": "edit-server", "-d": "delete-server", "--set 1 2 3": "set", "--start-daemon master": "start-daemon",
		"--stop-daemon master": "stop-daemon", "-R": "restore", "-S": "save", "-Z": "zero",
	}
	values := map[string]string{
		"tcp-service": "10.0.0.1:80", "udp-service": "10.0.0.1:80", "sctp-service": "10.0.0.1:80", "fwmark-service": "1",
		"real-server": "10.0.0.2:80", "netmask": "255.0.0.0", "sched-flags": "flag-1", "tun-type": "gre", "mcast-group": "224.0.0.1",
	}
	for cmd, allowed := range legal {
		for _, o := range options {
			if o.free {
				continue
			}
			name := optNames[o.id]
			words := cmd + " --" + o.long
			if o.value == needsValue {
				value := values[o.long]
				if value == "" {
					value = "1"
				}
				words += "=" + value
			}
			// The needed options before it, so that only legality is judged.
			if strings.Contains(allowed, service) && cmd != "-L" && o.id != optService {
				words += " -u 10.0.0.1:80"
			}
			if strings.Contains(allowed, server) && o.id != optServer {
				words += " -r 10.0.0.2:80"
			}
			illegal := fmt.Sprintf("Illegal '%s' option with the '%s' command", name, names[cmd])
			got := strings.Join(typeLine(newFakeDirector(), words, "").Err, "\n")
			if isLegal := slices.Contains(strings.Fields(allowed), name); isLegal == (got == illegal) {
				t.Errorf("ipvsadm %s: %q; legal: %v", words, got, isLegal)
			}
		}
	}
}

func TestInetAton(t *testing.T) {
	for _, c := range []struct {
		in, want string
	}{
		{"1.2.3.4", "1.2.3.4"}, {"1.2.3", "1.2.0.3"}, {"10.1", "10.0.0.1"}, {"24", "0.0.0.24"},
		{"4294967295", "255.255.255.255"}, {"0xffffff00", "255.255.255.0"}, {"010.0x10.8.9", "8.16.8.9"},
		{"1.65536", "1.1.0.0"}, {"1.16777216", ""}, {"4294967296", ""}, {"", ""}, {"1..2", ""}, {"1.2.3.4.5", ""},
		{"08.0.0.1", ""}, {"+1.2.3.4", ""}, {"1_0.0.0.1", ""}, {"0b1.0.0.1", ""}, {"0x", ""}, {"1.2.3.256", ""},
	} {
		got := ""
		if a, ok := inetAton(c.in); ok {
			got = a.String()
		}
		if got != c.want {
			t.Errorf("inetAton(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestDirectorFaults(t *testing.T) {
	down := fmt.Errorf("%w (looked for /run/natlb.sock)", ipvs.ErrDirectorNotRunning)
	const downText = "natlb: no director is running (looked for /run/natlb.sock); start one with: natlb run --vip-if IF --dip-if IF"
	unsupported := fmt.Errorf("persistence (-p): %w", ipvs.ErrUnsupported)
	for _, c := range []struct {
		fail error
		args string
		rc   int
		err  string
	}{
		{down, "-A -t 10.0.0.1:80", 2, downText},
		{down, "", 2, downText},
		{down, "-L --timeout", 2, downText},
		{down, "-L --daemon", 2, downText},
		{down, "-Lnc", 2, downText},
		{down, "-S", 2, downText},
		{down, "-R", 2, downText},
		{down, "-A", 2, "You need to supply the 'service-address' option for the 'add-service' command"},
		{down, "-v", 0, ""},
		{down, "-h", 0, ""},
		{ipvs.ErrPermission, "-C", 255, "Permission denied (you must be root)"},
		{ipvs.ErrPermission, "-Ln", 1, "Permission denied (you must be root)"},
		{ipvs.ErrPermission, "-L --timeout", 1, ""},
		{ipvs.ErrPermission, "-L --daemon", 1, ""},
		{&ipvs.ChangeError{Kind: ipvs.AddService, Err: unsupported}, "-A -t 10.0.0.1:80 -p", 255, unsupported.Error()},
		{errors.New("out of chairs"), "-A -t 10.0.0.1:80", 255, "out of chairs"},
	} {
		d := newFakeDirector()
		d.fail = c.fail
		got := typeLine(d, c.args, "-A -t 10.0.0.1:80\n-L\n")
		if text := strings.Join(got.Err, "\n"); got.RC != c.rc || text != c.err {
			t.Errorf("%v: ipvsadm %s = %d, %q, want %d, %q", c.fail, c.args, got.RC, text, c.rc, c.err)
		}
	}
}

func TestRestore(t *testing.T) {
	for _, c := range []struct {
		name, stdin string
		rc          int
		saved, err  string
	}{
		{"crlf, tabs and no last newline", "-A\t-t 10.0.0.1:80\r\n\r\n-A -t 10.0.0.2:80", 0, "-A -t 10.0.0.1:80 -s wlc\n-A -t 10.0.0.2:80 -s wlc", ""},
		{"the word ipvsadm is dropped", "ipvsadm -A -t ipvsadm 10.0.0.1:80\n", 0, "-A -t 10.0.0.1:80 -s wlc", ""},
		{"a path is not", "-A -t 10.0.0.1:80\n/sbin/ipvsadm -A -t 10.0.0.2:80\n-C\n", 2, "-A -t 10.0.0.1:80 -s wlc", "unexpected argument /sbin/ipvsadm"},
		{"unknown option goes on", "-A -t 10.0.0.1:80 -Q\n-A -t 10.0.0.2:80\n", 0, "-A -t 10.0.0.2:80 -s wlc", "-Q: unknown option"},
		{"status is the last line's", "-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80\n", 255, "-A -t 10.0.0.1:80 -s wlc", "Service already exists"},
		{"a fault ends it", "-A -t 10.0.0.1:80\n-A\n-C\n", 2, "-A -t 10.0.0.1:80 -s wlc", "You need to supply the 'service-address' option for the 'add-service' command"},
		{"a listing that fails ends it", "-Ln -t 10.0.0.9:80\n-A -t 10.0.0.1:80\n", 1, "", "No such service"},
		{"a refused change goes on", "-Z -t 10.0.0.9:80\n-A -t 10.0.0.1:80\n", 0, "-A -t 10.0.0.1:80 -s wlc", "No such service"},
		{"a comment behind words", "-A -t 10.0.0.1:80 # web\n", 2, "", "unexpected argument #"},
		{"help ends it", "-A -t 10.0.0.1:80\n-h\n-C\n", 0, "-A -t 10.0.0.1:80 -s wlc", ""},
		{"a long word stays whole", "-A -f 7 -s " + strings.Repeat("r", 5000) + "\n-A -t 10.0.0.1:80\n", 0, "-A -t 10.0.0.1:80 -s wlc", "Scheduler or persistence engine not found"},
		{"no restore inside", "-A -t 10.0.0.1:80\n--restore\n", 255, "-A -t 10.0.0.1:80 -s wlc", try},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newFakeDirector()
			got := typeLine(d, "-R", c.stdin)
			saved := strings.Join(typeLine(d, "-Sn", "").Out, "\n")
			if text := strings.Join(got.Err, "\n"); got.RC != c.rc || text != c.err || saved != c.saved {
				t.Errorf("-R = %d, %q, saved %q, want %d, %q, %q", got.RC, text, saved, c.rc, c.err, c.saved)
			}
		})
	}
}

func TestVersionLine(t *testing.T) {
	for prog, want := range map[string]string{
		"/usr/local/sbin/ipvsadm": "ipvsadm v1.31 compatible, natlb v1.2.3\n",
		"natlb":                   "natlb v1.2.3 (ipvsadm 1.31 command line)\n",
	} {
		if got := versionLine(&Env{Prog: prog, Version: "1.2.3"}); got != want {
			t.Errorf("versionLine(%s) = %q, want %q", prog, got, want)
		}
	}
}

// FuzzParse: no text makes the grammar panic, and what it takes as a change can
// be judged by the director.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"-A -t 10.0.0.1:80 -s rr -p 5 -M 24", "-at [::1]:80 -r :: -w=5", "-Lnc --sort", "--set 1 2 3", "-L - -- x",
		"-b , -A", "-A -f 1 -6 -M 1", "-p", "-A -t [1.1.1.1]:1 -b sh-port,,", "--start-daemon master --mcast-group ::",
	} {
		f.Add(seed)
	}
	p := newParser(context.Background(), "natlb", fakeLookup{})
	f.Fuzz(func(t *testing.T, text string) {
		p.restoring = len(text)%2 == 0
		if ln, err := p.parse(fields(text)); err == nil && ln.cmd.kind != 0 {
			_, _ = ln.change()
		}
		_, _ = parseRules(context.Background(), strings.NewReader(text), "fuzz", fakeLookup{})
	})
}

// FuzzRun: no command line ends otherwise than with a status of ipvsadm's, and
// hints add lines of their own, nothing else.
func FuzzRun(f *testing.F) {
	for _, seed := range []string{"-Ln", "-e -t 192.0.2.1:80 -r 10.0.0.2:80", "-E -f 5", "-d -f 6 -r 1", "-L --x", "-A -f 9 -s x", "-Z -t ::", "-a -f 5 -r ::1 -i"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := fields(text)
		plain := play(tableDirector(), args, text)
		if !slices.Contains([]int{0, 1, 2, 255}, plain.RC) {
			t.Errorf("ipvsadm %q: status %d", args, plain.RC)
		}
		var kept []string
		for l := range strings.Lines(hinted(tableDirector(), args, text)) {
			if !strings.HasPrefix(l, "hint: ") {
				kept = append(kept, l)
			}
		}
		if got := strings.Join(kept, ""); got != plain.Err {
			t.Errorf("ipvsadm %q: with hints %q, without %q", args, got, plain.Err)
		}
	})
}

func TestRunReportsWriteErrors(t *testing.T) {
	var errs strings.Builder
	env := &Env{Prog: "natlb", Client: newFakeDirector(), Lookup: fakeLookup{}, Stdout: brokenWriter{}, Stderr: &errs}
	if rc := Run(context.Background(), env, []string{"-L", "-t", "10.0.0.1:80"}); rc != 1 {
		t.Errorf("-L of no service = %d, want 1", rc)
	}
	if rc := Run(context.Background(), env, []string{"-Lnc"}); rc != 1 || !strings.Contains(errs.String(), io.ErrShortWrite.Error()) {
		t.Errorf("-Lnc to a full disk = %d, %q, want 1 and the write error", rc, errs.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestFullNATWords: what the words say that ipvsadm does not have.
func TestFullNATWords(t *testing.T) {
	d := newFakeDirector()
	for _, l := range []string{"-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 10.0.0.2:8080 --fullnat --toa"} {
		if got := typeLine(d, l, ""); got.RC != 0 {
			t.Fatalf("%s: %+v", l, got)
		}
	}
	const left = "left out, since ipvsadm could not read them: real servers with --fullnat (1); natlb save has them"
	if got := typeLine(d, "-Sn", ""); got.RC != 0 || strings.Join(got.Err, "\n") != left {
		t.Errorf("-S: %d %q, want %q", got.RC, got.Err, left)
	}
	if got := strings.Join(typeLine(d, "-Ln", "").Out, "\n"); !strings.Contains(got, "-> 10.0.0.2:8080                FullNat 1 ") {
		t.Errorf("-L prints\n%s", got)
	}
	if got, want := ServerRule(d.services[0].Key, &d.services[0].Destinations[0].Destination), "-a -t 10.0.0.1:80 -r 10.0.0.2:8080 --fullnat --toa -w 1"; got != want {
		t.Errorf("ServerRule = %q, want %q", got, want)
	}
	if got := typeLine(d, "-a -t 10.0.0.1:80 -r 10.0.0.3 --fullnat -m", ""); got.RC == 0 {
		t.Error("-m and --fullnat were taken together")
	}
	if got := typeLine(d, "-a -t 10.0.0.1:80 -r 10.0.0.3 -m --toa", ""); got.RC == 0 {
		t.Error("--toa was taken without --fullnat")
	}
}
