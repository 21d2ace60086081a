package classify

import (
	"strings"
	"testing"
)

// FuzzParse: no line makes Split or Parse panic, errors are one line, and what
// is taken prints as lines that are read back and print the same.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"-A PREROUTING -d 192.0.2.1/32 -p tcp -m multiport --dports 80,443,1000:2000 -j MARK --set-mark 1",
		`iptables -t mangle -I PREROUTING 2 ! -s 10/8 -i eth+ -p udp ! --sport :53 -m comment --comment "a \"b\"" -j RETURN`,
		"-A PREROUTING -p sctp --dport 0: -m mark ! --mark 0x10/017 -j MARK --and-mark 5",
		"ip6tables -t mangle -A PREROUTING ! -s 2001:db8::/33 -d fe80::1/ffff::ff -p icmpv6 -j MARK --set-mark 1", "-6 -F",
		"-nL PREROUTING 3 --line", "-D PREROUTING 1", "-w5 -F", "-S", "-P PREROUTING ACCEPT", "! -- - '' -=",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Split(line)
		if err != nil {
			return
		}
		c, err := Parse(words)
		if err != nil {
			if text := err.Error(); text == "" || strings.ContainsAny(text, "\n\r") {
				t.Fatalf("Parse(%q): error %q is not one line", words, text)
			}
			return
		}
		s, err := Ruleset{}.Apply(Command{Verb: Append, Rules: c.Rules, V6: c.V6})
		if err != nil {
			t.Fatal(err)
		}
		var again Ruleset
		for _, saved := range s.Lines() {
			again = apply(t, again, strings.TrimPrefix(saved, "mark "))
		}
		list := Command{Verb: ListRules, V6: c.V6}
		if got, want := again.Text(list), s.Text(list); got != want {
			t.Fatalf("%q prints\n%sand that, read back,\n%s", line, want, got)
		}
	})
}
