package classify

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sourcesOf prints a chain of RETURN rules for single sources as their last bytes.
func sourcesOf(s Ruleset) string {
	var names []string
	for _, r := range s.rules {
		names = append(names, strings.TrimPrefix(r.source.text(r.source.addr).String(), "10.0.0."))
	}
	return strings.Join(names, " ")
}

func TestApply(t *testing.T) {
	start := apply(t, Ruleset{}, "-A PREROUTING -s 10.0.0.1,10.0.0.2,10.0.0.3 -j RETURN")
	tests := []struct {
		line, want string
		err        error
	}{
		{line: "-A PREROUTING -s 10.0.0.4 -j RETURN", want: "1 2 3 4"},
		{line: "-I PREROUTING -s 10.0.0.4 -j RETURN", want: "4 1 2 3"},
		{line: "-I PREROUTING 3 -s 10.0.0.4 -j RETURN", want: "1 2 4 3"},
		{line: "-I PREROUTING 4 -s 10.0.0.4 -j RETURN", want: "1 2 3 4"},
		{line: "-I PREROUTING 2 -s 10.0.0.4,10.0.0.5 -j RETURN", want: "1 5 4 2 3"},
		{line: "-I PREROUTING 5 -s 10.0.0.4 -j RETURN", want: "1 2 3", err: ErrNoSuchNumber},
		{line: "-D PREROUTING 1", want: "2 3"},
		{line: "-D PREROUTING 3", want: "1 2"},
		{line: "-D PREROUTING 4", want: "1 2 3", err: ErrNoSuchNumber},
		{line: "-D PREROUTING -s 10.0.0.2/255.255.255.255 -j RETURN", want: "1 3"},
		{line: "-D PREROUTING -s 10.0.0.3,10.0.0.1 -j RETURN", want: "2"},
		{line: "-D PREROUTING -s 10.0.0.2 -j ACCEPT", want: "1 2 3", err: ErrNoSuchRule},
		// All or nothing.
		{line: "-D PREROUTING -s 10.0.0.1,10.0.0.9 -j RETURN", want: "1 2 3", err: ErrNoSuchRule},
		{line: "-D PREROUTING -s 10.0.0.1,10.0.0.1 -j RETURN", want: "1 2 3", err: ErrNoSuchRule},
		{line: "-C PREROUTING -s 10.0.0.2 -j RETURN", want: "1 2 3"},
		{line: "-C PREROUTING -s 10.0.0.2,10.0.0.4 -j RETURN", want: "1 2 3", err: ErrNoSuchRule},
		{line: "-P PREROUTING ACCEPT", want: "1 2 3"},
		{line: "-S", want: "1 2 3"},
		{line: "-F", want: ""},
	}
	for _, tt := range tests {
		s, err := start.Apply(parse(t, tt.line))
		if got := sourcesOf(s); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Apply(%s) = %q, %v, want %q, %v", tt.line, got, err, tt.want, tt.err)
		}
		if got := sourcesOf(start); got != "1 2 3" {
			t.Fatalf("Apply(%s) changed its rule set to %q", tt.line, got)
		}
	}
}

// The first of several equal rules goes, as with iptables.
func TestDeleteTakesTheFirst(t *testing.T) {
	s := apply(t, Ruleset{}, "-A PREROUTING -s 10.0.0.1,10.0.0.2,10.0.0.1 -j RETURN", "-D PREROUTING -s 10.0.0.1 -j RETURN")
	if got, want := sourcesOf(s), "2 1"; got != want || s.Len() != 2 {
		t.Errorf("chain = %q (length %d), want %q", got, s.Len(), want)
	}
}

// Two rule sets made from one must not share the room behind their rules.
func TestRulesetsDoNotShareRoom(t *testing.T) {
	base := apply(t, Ruleset{}, "-A PREROUTING -s 10.0.0.1 -j RETURN",
		"-A PREROUTING -s 10.0.0.2 -j RETURN", "-A PREROUTING -s 10.0.0.3 -j RETURN")
	four := apply(t, base, "-A PREROUTING -s 10.0.0.4 -j RETURN")
	apply(t, base, "-A PREROUTING -s 10.0.0.5 -j RETURN")
	if got, want := sourcesOf(four), "1 2 3 4"; got != want {
		t.Errorf("chain = %q, want %q", got, want)
	}
}

func TestText(t *testing.T) {
	s := apply(t, Ruleset{},
		"-A PREROUTING -d 10.0.0.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1 -m comment --comment web",
		"-A PREROUTING ! -d 10.0.0.1/24 ! -p icmp ! -i eth+ -j RETURN",
		"-A PREROUTING ! -s 192.168.100.100/255.255.0.255 -p ipencap -j ACCEPT")
	const (
		rule1 = "MARK       tcp  --  0.0.0.0/0            10.0.0.1             multiport dports 80,443 /* web */ MARK set 0x1\n"
		rule2 = "RETURN    !icmp --  0.0.0.0/0           !10.0.0.0/24         \n"
		rule3 = "ACCEPT     ipencap -- !192.168.0.100/255.255.0.255  0.0.0.0/0           \n"
		save1 = "-A PREROUTING -d 10.0.0.1/32 -p tcp -m multiport --dports 80,443 -m comment --comment web -j MARK --set-xmark 0x1/0xffffffff\n"
		save2 = "-A PREROUTING ! -d 10.0.0.0/24 ! -i eth+ ! -p icmp -j RETURN\n"
		save3 = "-A PREROUTING ! -s 192.168.0.100/255.255.0.255 -p ipencap -j ACCEPT\n"
		head  = "Chain PREROUTING (policy ACCEPT)\n"
		names = "target     prot opt source               destination         \n"
	)
	tests := []struct{ line, want string }{
		{"-L", head + names + rule1 + rule2 + rule3},
		{"-L PREROUTING -n --line-numbers", head + "num  " + names + "1    " + rule1 + "2    " + rule2 + "3    " + rule3},
		{"-L PREROUTING 2", rule2},
		{"-L PREROUTING 2 --line-numbers", "2    " + rule2},
		{"-L PREROUTING 9", ""},
		{"-S", "-P PREROUTING ACCEPT\n" + save1 + save2 + save3},
		{"-S PREROUTING 3", save3},
		{"-F", ""},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, s.Text(parse(t, tt.line))); diff != "" {
			t.Errorf("Text(%s) (-want +got)\n%s", tt.line, diff)
		}
	}
	want := []string{"mark " + strings.TrimSuffix(save1, "\n"), "mark " + strings.TrimSuffix(save2, "\n"), "mark " + strings.TrimSuffix(save3, "\n")}
	if diff := cmp.Diff(want, s.Lines()); diff != "" {
		t.Errorf("Lines() (-want +got)\n%s", diff)
	}
	if got := (Ruleset{}).Text(parse(t, "-L")); got != head+names {
		t.Errorf("Text(-L) of the empty chain = %q, want %q", got, head+names)
	}
}
