package rules

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

const before = `--set 900 120 300
-A -t 10.10.1.1:80 -s wlc
-a -t 10.10.1.1:80 -r 10.20.0.1:8080 -m -w 1
-a -t 10.10.1.1:80 -r 10.20.0.2:8080 -m -w 1
-a -t 10.10.1.1:80 -r 10.20.0.3:8080 -m -w 1
-A -u 10.10.1.1:53 -s rr
-a -u 10.10.1.1:53 -r 10.20.0.1:53 -m -w 1
`

// TestDiff: what is shown for each kind of difference.
func TestDiff(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(before, old) {
			t.Fatalf("%q is not in the rules", old)
		}
		return strings.Replace(before, old, new, 1)
	}
	for _, tt := range []struct{ name, wanted, want string }{
		{"nothing", before, ""},
		{"comments and blank lines", "# rules\n\n" + before, ""},
		{"no timeouts are the defaults", replace("--set 900 120 300\n", ""), ""},
		{"another order of services", "-A -u 10.10.1.1:53 -s rr\n-a -u 10.10.1.1:53 -r 10.20.0.1:53 -m\n" +
			replace("-A -u 10.10.1.1:53 -s rr\n-a -u 10.10.1.1:53 -r 10.20.0.1:53 -m -w 1\n", ""), ""},
		{"what a file takes back itself", "-A -t 10.10.1.1:81\n-C\n" + before + "-Z\n", ""},
		{"timeouts", replace("--set 900", "--set 60"), "~ --set 60 120 300 (was 900 120 300)\n"},
		{"sysctl", before + "sysctl drop_entry=3\n", "~ sysctl net.ipv4.vs.drop_entry=3 (was 0)\n"},
		{"mark", before + "mark -A PREROUTING -d 10.10.1.9 -j MARK --set-mark 1\n",
			"+ mark -A PREROUTING -d 10.10.1.9/32 -j MARK --set-xmark 0x1/0xffffffff\n"},
		{"scheduler", replace("wlc", "wrr -p 30"), "~ -A -t 10.10.1.1:80 -s wrr -p 30 (was -s wlc)\n"},
		{"service goes", replace("-A -u 10.10.1.1:53 -s rr\n-a -u 10.10.1.1:53 -r 10.20.0.1:53 -m -w 1\n", ""),
			"- -A -u 10.10.1.1:53 -s rr\n- -a -u 10.10.1.1:53 -r 10.20.0.1:53 -m -w 1\n"},
		{"service comes", before + "-A -f 5 -s sh\n-a -f 5 -r 10.20.0.9 -m\n",
			"+ -A -f 5 -s sh\n+ -a -f 5 -r 10.20.0.9:0 -m -w 1\n"},
		{"weight", replace("0.2:8080 -m -w 1", "0.2:8080 -m -w 5 -x 9"), "~ -a -t 10.10.1.1:80 -r 10.20.0.2:8080 -m -w 5 -x 9 -y 0 (was -m -w 1)\n"},
		{"server goes", replace("-a -t 10.10.1.1:80 -r 10.20.0.2:8080 -m -w 1\n", ""), "- -a -t 10.10.1.1:80 -r 10.20.0.2:8080 -m -w 1\n"},
		{"server comes last", replace("-A -u", "-a -t 10.10.1.1:80 -r 10.20.0.7 -m\n-A -u"), "+ -a -t 10.10.1.1:80 -r 10.20.0.7:80 -m -w 1\n"},
		{"server comes first", replace("-a -t", "-a -t 10.10.1.1:80 -r 10.20.0.7 -m\n-a -t"),
			"+ -a -t 10.10.1.1:80 -r 10.20.0.7:80 -m -w 1\n" +
				"~ # servers of -t 10.10.1.1:80 in the order 10.20.0.7:80 10.20.0.1:8080 10.20.0.2:8080 10.20.0.3:8080" +
				" (was 10.20.0.1:8080 10.20.0.2:8080 10.20.0.3:8080 10.20.0.7:80)\n"},
		{"only the order", replace("-a -t 10.10.1.1:80 -r 10.20.0.1:8080 -m -w 1\n-a -t 10.10.1.1:80 -r 10.20.0.2:8080 -m -w 1\n",
			"-a -t 10.10.1.1:80 -r 10.20.0.2:8080 -m -w 1\n-a -t 10.10.1.1:80 -r 10.20.0.1:8080 -m -w 1\n"),
			"~ # servers of -t 10.10.1.1:80 in the order 10.20.0.2:8080 10.20.0.1:8080 10.20.0.3:8080" +
				" (was 10.20.0.1:8080 10.20.0.2:8080 10.20.0.3:8080)\n"},
		{"an empty file", "", "- -A -t 10.10.1.1:80 -s wlc\n- -a -t 10.10.1.1:80 -r 10.20.0.1:8080 -m -w 1\n" +
			"- -a -t 10.10.1.1:80 -r 10.20.0.2:8080 -m -w 1\n- -a -t 10.10.1.1:80 -r 10.20.0.3:8080 -m -w 1\n" +
			"- -A -u 10.10.1.1:53 -s rr\n- -a -u 10.10.1.1:53 -r 10.20.0.1:53 -m -w 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, stop := serve(t)
			defer stop()
			d.apply(t, before)
			if diff := cmp.Diff(tt.want, d.apply(t, tt.wanted).text()); diff != "" {
				t.Errorf("the difference (-want +got)\n%s", diff)
			}
			if again := d.apply(t, tt.wanted); !again.Empty() {
				t.Errorf("applied again it does\n%s", again.text())
			}
		})
	}
}

// TestAutomaticModesAreOneWish: the director turns 1 into 2 by itself when memory
// is short; that is no difference to the file.
func TestAutomaticModesAreOneWish(t *testing.T) {
	for _, tt := range []struct {
		is, wanted string
		same       bool
	}{{"1", "2", true}, {"2", "1", true}, {"2", "0", false}, {"3", "2", false}} {
		state := func(value string) *control.State {
			return &control.State{Sysctls: []control.Sysctl{{Name: "drop_packet", Value: value, Default: "0"}}}
		}
		if d := Compare(state(tt.is), state(tt.wanted)); d.Empty() != tt.same {
			t.Errorf("drop_packet %s, wanted %s: %q", tt.is, tt.wanted, d.text())
		}
	}
}

// TestReadNamesEveryFault: of lines that cannot be read, and of those that a
// director would refuse; but not what follows from another fault.
func TestReadNamesEveryFault(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"-A -t 10.10.1.1:80 -s rrr\n-a -t 10.10.1.1:80 -r 10.20.0.1 -m\n-a -t 10.10.1.1:80 -r 10.20.0.1 -m -w x\nsysctl drop_entry=9\n",
			"f:1:23: unknown scheduler f:3:39: illegal weight f:4:8: invalid argument: net.ipv4.vs.drop_entry takes 0 to 3"},
		{"-a -t 10.10.1.1:80 -r 10.20.0.1 -m\n-A -t 10.10.1.2:80\n-A -t 10.10.1.2:80\n-d -t 10.10.1.2:80 -r 10.20.0.1\n",
			"f:1:7: no such service f:3:7: service already exists f:4:23: no such destination"},
		{"-A -t 10.10.1.1:80 -s\n-a -t 10.10.1.1:80 -r 10.20.0.1 -m\n", "f:1:20: -s: missing argument"},
		{"mark -D PREROUTING 7\nsysctl no_such=1\n", "f:1:1: invalid argument f:2:8: unknown sysctl"},
	} {
		_, err := Read(strings.NewReader(tt.file), "f")
		var faults ipvsadm.RuleFaults
		if !errors.As(err, &faults) || len(faults) != strings.Count(tt.want, "f:") {
			t.Errorf("Read(%q) = %v, want the faults %s", tt.file, err, tt.want)
			continue
		}
		rest := tt.want
		for i := range faults {
			_, rest, _ = strings.Cut(rest, "f:")
			want, _, _ := strings.Cut("f:"+rest, " f:")
			if !strings.HasPrefix(faults[i].Error(), want) {
				t.Errorf("Read(%q): %v, want %s", tt.file, &faults[i], want)
			}
		}
	}
	if _, err := Read(strings.NewReader(strings.Repeat("#", MaxFile+1)), "f"); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("Read of a file that is too large = %v", err)
	}
}

// TestBlame: what a running director refuses is a fault of the file's line.
func TestBlame(t *testing.T) {
	file := mustRead(t, before)
	is := &control.State{Timeouts: ipvs.DefaultTimeouts}
	changes := Compare(is, file.Wanted).Changes
	for i, c := range changes {
		f, ok := file.Blame(changes, &ipvs.ChangeError{Index: i, Kind: c.Kind, Err: ipvs.ErrPermission})
		if !ok || f.Line != 2+i {
			t.Errorf("%v of %v is blamed on %v, want line %d", c.Kind, c.Service.Key, &f, 2+i)
		}
	}
	if _, ok := file.Blame(changes, control.ErrChanged); ok {
		t.Error("a line is blamed for what is nobody's fault")
	}
}

// TestWriters: several who apply different files at the same time, and one who
// looks on, never see a mixture. (With two files there is none: a stale difference
// leads from one to the other.)
func TestWriters(t *testing.T) {
	d, stop := serve(t)
	defer stop()
	other := "--set 60 120 300\nsysctl drop_entry=3\n-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.3:8080 -m -w 9\n" +
		"-a -t 10.10.1.1:80 -r 10.20.0.1:8080 -m -w 1\n-A -t 10.10.1.2:80\n"
	third := "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.4:8080 -m -w 9\n-a -t 10.10.1.1:80 -r 10.20.0.3:8080 -m\n"
	files := []*File{mustRead(t, before), mustRead(t, other), mustRead(t, third)}
	d.apply(t, before)
	var writers sync.WaitGroup
	for _, file := range files {
		writers.Go(func() {
			for range 100 {
				if _, err := Apply(context.Background(), d.client, file.Wanted, func(*Diff) error { return nil }); err != nil && !errors.Is(err, control.ErrChanged) {
					t.Errorf("Apply = %v", err)
				}
			}
		})
	}
	idle := make(chan struct{})
	go func() { writers.Wait(); close(idle) }()
	seen := make([]int, len(files))
	for working := true; working; {
		select {
		case <-idle:
			working = false
		default:
		}
		is := d.state(t)
		i := slices.IndexFunc(files, func(f *File) bool { return Compare(is, f.Wanted).Empty() })
		if i < 0 {
			t.Fatalf("a mixture:\n%s", Compare(is, files[0].Wanted).text())
		}
		seen[i]++
	}
	t.Logf("the states were seen so often: %v", seen)
}

// TestDefaultOfTheDirector: a file that does not speak of a setting wants the default
// of the director that it is applied to, which natlb run may have changed.
func TestDefaultOfTheDirector(t *testing.T) {
	state := func(value, initial string) *control.State {
		return &control.State{Sysctls: []control.Sysctl{{Name: "quiesce_unreachable", Value: value, Default: initial}}}
	}
	for _, tt := range []struct {
		is   *control.State
		want string
	}{{state("1", "1"), ""}, {state("0", "1"), "~ sysctl net.ipv4.vs.quiesce_unreachable=1 (was 0)\n"}, {state("1", "0"), "~ sysctl net.ipv4.vs.quiesce_unreachable=0 (was 1)\n"}} {
		if got := Compare(tt.is, state("0", "0")).text(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.is.Sysctls, got, tt.want)
		}
	}
}
