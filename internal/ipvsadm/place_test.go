package ipvsadm

import (
	"strings"
	"testing"

	"natlb/ipvs"
)

// TestFaultsPointAtTheWord: the caret stands under what is wrong.
func TestFaultsPointAtTheWord(t *testing.T) {
	for _, lines := range []string{
		"-A -t 192.0.2.1:80 -s rr -w 3\n                            ^",
		"-A -t 192.0.2.1:80 -s rr -s wlc\n                            ^^^",
		"\t-A -t 192.0.2.1:80 -r 10.0.0.1:80\n                       ^^^^^^^^^^^",
		"-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -g\n                                     ^^",
		"-a -t 192.0.2.1:80 -m\n^^",
		"-A -t 192.0.2.1:0\n      ^^^^^^^^^^^",
		"-A -t 192.0.2.1:80 -o\n                   ^^",
		"-A -t 192.0.2.1:80 -s rr -b sh-port\n                            ^^^^^^^",
		"-A -t 192.0.2.1:80 rr # a comment\n                   ^^",
		"-A -t nonsense -s rr\n      ^^^^^^^^",
		"-A -u 192.0.2.1:80 --weights=5\n                   ^^^^^^^^^^^",
		"-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -x 3 -y 4\n                                             ^",
		"-a -t 192.0.2.1:80 -r 224.0.0.1 -m\n                      ^^^^^^^^^",
		"-A -t 192.0.2.1:80 --pe sip\n                        ^^^",
		"--set 1 2 drei\n          ^^^^",
		"-Å\n^^",
		"ipvsadm -A -t 192.0.2.1:80 -s rr -w 3\n                                    ^",
		"mark -A PREROUTING -j DROP\n                      ^^^^",
		"mark -A PREROUTING --no-such\n                   ^^^^^^^^^",
		"mark\t-L\n^^^^",
		"sysctl conn_reuse_mode # =1\n       ^^^^^^^^^^^^^^^",
	} {
		text, want, _ := strings.Cut(lines, "\n")
		_, err := ParseRules(strings.NewReader(text), "rules")
		faults, ok := err.(RuleFaults)
		if !ok || len(faults) != 1 {
			t.Errorf("ParseRules(%q) = %v, want one fault", text, err)
			continue
		}
		f := faults[0]
		if got := strings.Repeat(" ", f.Column-1) + strings.Repeat("^", f.Width); got != want || f.Text != text {
			t.Errorf("%s\n%s\n%s, want\n%s", f.Message, f.Text, got, want)
		}
	}
}

// TestRefusalsPointAtTheWord: so does the one under what a director refuses.
func TestRefusalsPointAtTheWord(t *testing.T) {
	const file = "# rules\n-A -t 192.0.2.1:80 -s rrr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m\nsysctl a=b # c\n"
	rules, err := ParseRules(strings.NewReader(file), "rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		index        int
		err          error
		line, column int
	}{
		{0, ipvs.ErrUnknownScheduler, 2, 23},
		{0, ipvs.ErrServiceExists, 2, 7},
		{1, ipvs.ErrNoSuchService, 3, 7},
		{1, ipvs.ErrDestinationExists, 3, 23},
		{1, ipvs.ErrNoSuchDestination, 3, 23},
		{2, ipvs.ErrUnknownSysctl, 4, 8},
		{2, ipvs.ErrPermission, 4, 1},
	} {
		f := rules.Fault(&ipvs.ChangeError{Index: tt.index, Err: tt.err})
		if f.Line != tt.line || f.Column != tt.column || f.Message != tt.err.Error() {
			t.Errorf("refused with %v: %v, want it at %d:%d", tt.err, &f, tt.line, tt.column)
		}
		if f.Hint == "" && tt.err != ipvs.ErrPermission {
			t.Errorf("refused with %v: no hint", tt.err)
		}
	}
}

// TestCommentsOfMarks: in the quotes of a mark line a # is text.
func TestCommentsOfMarks(t *testing.T) {
	for text, want := range map[string]string{
		`mark -A PREROUTING -m comment --comment "a # b" -j ACCEPT # really`: "-A|PREROUTING|-m|comment|--comment|a # b|-j|ACCEPT",
		`mark -A PREROUTING -m comment --comment a\ #b -j ACCEPT`:            "-A|PREROUTING|-m|comment|--comment|a #b|-j|ACCEPT",
		"mark -F # all": "-F",
		"mark -F #":     "-F",
		"mark -F#":      "",
		"# mark -F":     "",
	} {
		rules, err := ParseRules(strings.NewReader(text), "rules")
		got := ""
		if err == nil && len(rules.Changes) == 1 {
			got = strings.Join(rules.Changes[0].Words, "|")
		}
		if got != want {
			t.Errorf("%q has the words %s (%v), want %s", text, got, err, want)
		}
	}
}
