package words

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"natlb/ipvs"
)

// typed runs one command line against the director at socket.
func typed(socket, stdin string, args ...string) (out, errs string, status int) {
	var o, e strings.Builder
	env := &Env{Stdin: strings.NewReader(stdin), Stdout: &o, Stderr: &e, Version: "test"}
	status = New(env).Run(context.Background(), append(args, "--socket", socket))
	return o.String(), e.String(), status
}

func TestSetIsOneTransaction(t *testing.T) {
	d := newDirector()
	d.services = nil
	socket := d.serve(t)
	for _, tt := range []struct {
		args    string
		status  int
		applied int // transactions
		says    string
	}{
		{"tcp 15m tcpfin 90 udp=1h30m drop_entry=3 lblc_expiration 2d net.ipv4.vs.sloppy_tcp=1", 0, 1, ""},
		{"tcp 10 no_such=1", 1, 0, "unknown sysctl: net.ipv4.vs.no_such"},
		{"drop_entry=0 sloppy_tcp=7", 1, 0, "sloppy_tcp takes 0 to 1"},
		{"tcp 0", 1, 0, "timeout tcp takes 1s to 31d"},
		{"udp 32d", 1, 0, "timeout udp takes 1s to 31d"},
		{"tcp 1.5s", 1, 0, "timeout tcp takes"},
		{"tcp 5 tcp=6", 1, 0, "tcp is given twice"},
		{"drop_entry=1 tcp", 1, 0, "tcp has no value"},
		{"lblc_expiration=", 1, 0, "lblc_expiration takes"},
		{"nonsense", 1, 0, "unknown sysctl"},
		{"tcp 5 --json", 1, 0, "--json shows"},
	} {
		d.applied = 0
		out, errs, status := typed(socket, "", append([]string{"set"}, strings.Fields(tt.args)...)...)
		if status != tt.status || d.applied != tt.applied || !strings.Contains(errs, tt.says) || out != "" {
			t.Errorf("natlb set %s: %q %q, status %d, %d transactions; want %q, %d, %d", tt.args, out, errs, status, d.applied, tt.says, tt.status, tt.applied)
		}
		if status != 0 && !strings.Contains(errs, "\nhint: ") {
			t.Errorf("natlb set %s: no hint in %q", tt.args, errs)
		}
	}
	if got, want := d.Timeouts(), (ipvs.Timeouts{TCP: 900, TCPFin: 90, UDP: 5400}); got != want {
		t.Errorf("the timeouts are %v, want %v", got, want)
	}
	out, _, _ := typed(socket, "", "set")
	for _, want := range []string{"tcpfin  ", "1m30s*  (default 2m)", "2d*     (default 1d)", "drop_entry"} {
		if !strings.Contains(out, want) {
			t.Errorf("natlb set does not show %q:\n%s", want, out)
		}
	}
	if out, _, _ := typed(socket, "", "set", "sloppy_tcp"); !strings.HasPrefix(out, "sloppy_tcp  1*") || strings.Count(out, "\n") != 1 {
		t.Errorf("natlb set sloppy_tcp = %q", out)
	}
}

func TestSeconds(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "90": 90, "90s": 90, "15m": 900, "1h30m": 5400, "2d": 172800, "1d1s": 86401, "31d": ipvs.MaxTimeout,
		"": -1, "d": -1, "5x": -1, "1.5s": -1, "1d2d": -1, "99999999999999999999": -1, "1e3": -1,
	} {
		got, err := readSeconds(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("readSeconds(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for n, want := range map[int64]string{0: "0s", 59: "59s", 60: "1m", 90: "1m30s", 86400: "1d", 90061: "1d1h1m1s"} {
		if got := writeSeconds(n); got != want {
			t.Errorf("writeSeconds(%d) = %s, want %s", n, got, want)
		}
		if back, err := readSeconds(writeSeconds(n)); err != nil || back != n {
			t.Errorf("writeSeconds(%d) is read as %d, %v", n, back, err)
		}
	}
}

// TestApplyIsOneTransaction: what is shown is done at once, or nothing is.
func TestApplyIsOneTransaction(t *testing.T) {
	d := newDirector()
	d.services = nil
	socket := d.serve(t)
	saved, _, _ := typed(socket, "", "save")
	want, _, status := typed(socket, wantedRules, "apply", "-", "--diff")
	if status != statusDiffers || d.applied != 0 {
		t.Errorf("apply --diff ends with %d after %d transactions, want %d and none", status, d.applied, statusDiffers)
	}
	if out, errs, status := typed(socket, wantedRules, "apply", "-"); status != 0 || d.applied != 1 || out != want || errs != "" {
		t.Errorf("apply ends with %d after %d transactions and says %s%s", status, d.applied, out, errs)
	}
	if out, errs, status := typed(socket, wantedRules, "apply", "-"); status != 0 || d.applied != 1 || out+errs != "" {
		t.Errorf("applied again: %d, %d transactions, %s%s", status, d.applied, out, errs)
	}
	path := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(path, []byte(saved+"-A -t 10.10.1.1:80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, status := typed(socket, "", "apply", path)
	if status != 1 || d.applied != 1 || out != "" || !strings.HasPrefix(errs, path+":") || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("apply of a faulty file: %d, %d transactions, %s%s", status, d.applied, out, errs)
	}
	if out, errs, status := typed(socket, saved, "apply", "-", "--json"); status != 0 || d.applied != 2 || !strings.HasPrefix(out, `{"schema":1,"applied":true,`) {
		t.Errorf("apply --json: %d, %d transactions, %s%s", status, d.applied, out, errs)
	}
	if again, _, _ := typed(socket, "", "save"); again != saved {
		t.Errorf("saved, applied, saved:\n%sand\n%s", saved, again)
	}
}

// TestApplyShowsFirst: what cannot be shown is not done.
func TestApplyShowsFirst(t *testing.T) {
	d := newDirector()
	d.services = nil
	socket := d.serve(t)
	var errs strings.Builder
	env := &Env{Stdin: strings.NewReader(wantedRules), Stdout: full{}, Stderr: &errs}
	if status := New(env).Run(context.Background(), []string{"apply", "-", "--socket", socket}); status != 1 || d.applied != 0 {
		t.Errorf("apply to a full disk: status %d, %d transactions, %s", status, d.applied, &errs)
	}
}

// full is a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestHarmless: the lines of a file cannot speak to the terminal.
func TestHarmless(t *testing.T) {
	if got, want := harmless("a\tb\x1b[31mc\x00\xff é"), "a b\uFFFD[31mc\uFFFD\uFFFD é"; got != want {
		t.Errorf("harmless = %q, want %q", got, want)
	}
}
