package classify

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRule(t *testing.T) {
	tests := []struct{ line, want string }{
		{"-A PREROUTING -d 192.0.2.1/32 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1",
			"-d 192.0.2.1/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x1/0xffffffff"},
		{"iptables -t mangle -A PREROUTING -j ACCEPT", "-j ACCEPT"},
		{"/usr/sbin/iptables-legacy -w 5 --table mangle -A PREROUTING -j ACCEPT", "-j ACCEPT"},
		{"iptables-nft --wait -tmangle -A PREROUTING -j ACCEPT", "-j ACCEPT"},
		{"-4 -w5 --table=mangle -A PREROUTING -j ACCEPT", "-j ACCEPT"},
		{"-APREROUTING -ptcp -ieth0 --dport=80 -jMARK --set-mark=7",
			"-i eth0 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"},
		// A value may look like an option.
		{"-A PREROUTING -m comment --comment -j -j ACCEPT", "-m comment --comment -j -j ACCEPT"},
		// iptables prints these three as rules that they are not.
		{"-A PREROUTING -p tcp ! --dport 0:65535 -j ACCEPT", "-p tcp -m tcp ! --dport 0:65535 -j ACCEPT"},
		{"-A PREROUTING -p udp ! --sport : -j ACCEPT", "-p udp -m udp ! --sport 0:65535 -j ACCEPT"},
		{"-A PREROUTING ! -s 0/0 -j ACCEPT", "! -s 0.0.0.0/0 -j ACCEPT"},
		{"-A PREROUTING -m comment --comment 'größer, é' -j ACCEPT", `-m comment --comment "größer, é" -j ACCEPT`},
		{"-A PREROUTING -p ALL -j RETURN", "-j RETURN"},
		{"-A PREROUTING -p sctp --dport domain:http -j RETURN", "-p sctp -m sctp --dport 53:80 -j RETURN"},
		{"-A PREROUTING -p ospf -j RETURN", "-p ospf -j RETURN"},
		{"-A PREROUTING -p 200 -j RETURN", "-p 200 -j RETURN"},
	}
	for _, tt := range tests {
		c := parse(t, tt.line)
		if len(c.Rules) != 1 || c.Verb != Append {
			t.Errorf("Parse(%q) = verb %d with %d rules, want one to append", tt.line, c.Verb, len(c.Rules))
			continue
		}
		if got := c.Rules[0].String(); got != tt.want {
			t.Errorf("Parse(%q) = %q, want %q", tt.line, got, tt.want)
		}
	}
}

func TestParseCommand(t *testing.T) {
	tests := []struct {
		line    string
		want    Command
		changes bool
	}{
		{"-I PREROUTING -j ACCEPT", Command{Verb: Insert, Number: 1}, true},
		{"-I PREROUTING 3 -j ACCEPT", Command{Verb: Insert, Number: 3}, true},
		{"-D PREROUTING 2", Command{Verb: Delete, Number: 2}, true},
		{"-D PREROUTING -j ACCEPT", Command{Verb: Delete}, true},
		{"--check PREROUTING -j ACCEPT", Command{Verb: Check}, false},
		{"-F", Command{Verb: Flush}, true},
		{"--flush PREROUTING", Command{Verb: Flush}, true},
		{"-nL", Command{Verb: List}, false},
		{"-L -n", Command{Verb: List}, false},
		{"-L PREROUTING 2 -n --line-numbers", Command{Verb: List, Number: 2, LineNumbers: true}, false},
		{"-n -L --line", Command{Verb: List, LineNumbers: true}, false},
		{"-S", Command{Verb: ListRules}, false},
		{"--list-rules PREROUTING 4", Command{Verb: ListRules, Number: 4}, false},
		{"-P PREROUTING ACCEPT", Command{Verb: Policy}, false},
	}
	for _, tt := range tests {
		c := parse(t, tt.line)
		if got := c.Changes(); got != tt.changes {
			t.Errorf("Parse(%q).Changes() = %v, want %v", tt.line, got, tt.changes)
		}
		c.Rules = nil
		if diff := cmp.Diff(tt.want, c); diff != "" {
			t.Errorf("Parse(%q) (-want +got)\n%s", tt.line, diff)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const rule = "-A PREROUTING "
	tests := []struct{ line, want string }{
		{"", "no command given: -A, -I, -D, -C, -F, -L or -S"},
		{"-n", "no command given: -A, -I, -D, -C, -F, -L or -S"},
		{"-A", "option -A needs a value"},
		{"-A INPUT -j ACCEPT", `chain "INPUT": natlb has one chain of marks, PREROUTING`},
		{"-L OUTPUT", `chain "OUTPUT": natlb has one chain of marks, PREROUTING`},
		{"-A '' -j ACCEPT", `chain "": natlb has one chain of marks, PREROUTING`},
		{"-N web", "option -N is not supported: natlb has one chain of marks, PREROUTING"},
		{"-R PREROUTING 1 -j ACCEPT", "option -R is not supported: delete the rule with -D and insert the new one with -I"},
		{"-Z", "option -Z is not supported: natlb counts no packets for its mark rules"},
		{"-L -nv", "option -v is not supported: natlb counts no packets for its mark rules (-S shows every part of a rule)"},
		{"-P PREROUTING DROP", "-P PREROUTING: the policy is ACCEPT, always"},
		{"-P PREROUTING", "-P PREROUTING: the policy is ACCEPT, always"},
		{"-t nat -L", `table "nat": natlb has the marks of table mangle only`},
		{"-6 -L -4", "-4 cannot go with -6"},
		{"ip6tables-save -4 -L", "-4 cannot go with ip6tables-save"},
		{"-L -S", "-S cannot go with -L"},
		{"-F -n", "option -n does not go with -F"},
		{"-L -p tcp", "option -p does not go with -L"},
		{"-D PREROUTING 1 -j ACCEPT", "option -j does not go with -D"},
		{"-S --line-numbers", "option --line-numbers does not go with -S"},
		{"-D PREROUTING 0", `invalid rule number "0"`},
		{"-I PREROUTING x -j ACCEPT", `invalid rule number "x"`},
		{"-I PREROUTING 1 2 -j ACCEPT", `bad argument "2"`},
		{"-F PREROUTING extra", `bad argument "extra"`},
		{"! -A PREROUTING -j ACCEPT", `"!" cannot go before -A`},

		{rule, "the rule has no target: -j MARK, ACCEPT or RETURN"},
		{rule + "-j DROP", `target "DROP" is not supported: natlb marks packets and filters none (-j MARK, ACCEPT or RETURN)`},
		{rule + "-j ''", `target "" is not supported: natlb marks packets and filters none (-j MARK, ACCEPT or RETURN)`},
		{rule + "-j", "option -j needs a value"},
		{rule + "-j ACCEPT -j RETURN", "only one -j in a rule"},
		{rule + "-j MARK", "-j MARK needs one of --set-mark, --set-xmark, --and-mark, --or-mark, --xor-mark"},
		{rule + "-j ACCEPT --set-mark 1", "--set-mark belongs behind -j MARK"},
		{rule + "--set-mark 1 -j MARK", "--set-mark belongs behind -j MARK"},
		{rule + "-j MARK --set-mark 1 --or-mark 2", "only one number for a MARK target (--or-mark)"},
		{rule + "-j MARK --set-mark 4294967296", `--set-mark needs VALUE[/MASK], 32 bits each, not "4294967296"`},
		{rule + "-j MARK --set-mark -1", `--set-mark needs VALUE[/MASK], 32 bits each, not "-1"`},
		{rule + "-j MARK --set-mark 1/0xg", `--set-mark needs VALUE[/MASK], 32 bits each, not "1/0xg"`},
		{rule + "-j MARK --set-mark 5/", `--set-mark needs VALUE[/MASK], 32 bits each, not "5/"`},
		{rule + "-j MARK --set-mark ''", `--set-mark needs VALUE[/MASK], 32 bits each, not ""`},
		{rule + "-j MARK --set-mark 08", `--set-mark needs VALUE[/MASK], 32 bits each, not "08"`},
		{rule + "-j MARK --set-mark 1_0", `--set-mark needs VALUE[/MASK], 32 bits each, not "1_0"`},
		{rule + "-j MARK --or-mark 5/1", `--or-mark needs a number of 32 bits, not "5/1"`},
		{rule + "-j MARK ! --set-mark 1", `"!" cannot go before --set-mark`},
		{rule + "-j MARK --set 1", `option "--set" could be any of --set-xmark, --set-mark`},
		{rule + "-j ACCEPT --frob", `unknown option "--frob"`},
		{rule + "-j ACCEPT -q", `unknown option "-q"`},
		{rule + "-j ACCEPT -é", `unknown option "-\xc3"`},
		{rule + "-p tcp --syn -j ACCEPT", `unknown option "--syn"`},
		{rule + "-p icmp --icmp-type 8 -j ACCEPT", `unknown option "--icmp-type"`},
		{rule + "-f -j ACCEPT", "option -f is not supported: natlb marks packets whole, after their fragments have come together"},
		{rule + "-o eth0 -j ACCEPT", "option -o is not supported: the way out is not known in PREROUTING"},
		{rule + "-4=x -j ACCEPT", `unknown option "-="`},
		{rule + "--ipv4=x -j ACCEPT", "option --ipv4 takes no value"},
		{rule + "-j ACCEPT !", `nothing behind the last "!"`},
		{rule + "! ! -s 10.0.0.1 -j ACCEPT", `"!" twice in a row`},
		{rule + "! -j ACCEPT", `"!" cannot go before -j`},
		{rule + "-s ! 10.0.0.1 -j ACCEPT", `"!" is not an IP address (host names are not looked up)`},

		{rule + "-d fe80::1 -j ACCEPT", "fe80::1 is an IPv6 address: rules for them have -6, or begin with ip6tables"},
		{"-6 " + rule + "-s 10.0.0.0/8 -j ACCEPT", "10.0.0.0 is an IPv4 address, in a rule of IPv6"},
		{"-6 " + rule + "-d fe80::1%eth0 -j ACCEPT", `"fe80::1%eth0" is not an IPv6 address`},
		{"-6 " + rule + "-d fe80::/129 -j ACCEPT", `invalid mask "129"`},
		{"-6 " + rule + "-d fe80:::1 -j ACCEPT", `"fe80:::1" is not an IPv6 address`},
		{rule + "-d 10.0.0.1/33 -j ACCEPT", `invalid mask "33"`},
		{rule + "-d 10.0.0.1/ -j ACCEPT", `invalid mask ""`},
		{rule + "-d 10.0.0.1/255.0.0 -j ACCEPT", `invalid mask "255.0.0"`},
		{rule + "-d 10.0.0.256 -j ACCEPT", `"10.0.0.256" is not an IP address (host names are not looked up)`},
		{rule + "-d 1.2.3.4.5 -j ACCEPT", `"1.2.3.4.5" is not an IP address (host names are not looked up)`},
		{rule + "-d www.example.com -j ACCEPT", `"www.example.com" is not an IP address (host names are not looked up)`},
		{rule + "-d 10.0.0.1, -j ACCEPT", `"" is not an IP address (host names are not looked up)`},
		{rule + "-d 10.0.0.1 -d 10.0.0.2 -j ACCEPT", "only one -d in a rule"},
		{rule + "-d 10.0.0.1 --dst 10.0.0.2 -j ACCEPT", "only one --dst in a rule"},
		{rule + "! -s 10.0.0.1,10.0.0.2 -j ACCEPT", `"!" cannot go before a list of addresses ("10.0.0.1,10.0.0.2")`},
		{rule + "-s " + strings.Repeat("1.1.1.1,", 64) + "1.1.1.1 -d " + strings.Repeat("1.1.1.1,", 64) + "1.1.1.1 -j ACCEPT",
			"the address lists stand for 4225 rules, at most 4096 are taken at once"},

		{rule + "-p nope -j ACCEPT", `unknown protocol "nope"`},
		{rule + "-p 256 -j ACCEPT", `unknown protocol "256"`},
		{rule + "-p '' -j ACCEPT", `unknown protocol ""`},
		{rule + "! -p all -j ACCEPT", `a rule with "! -p all" would never match`},
		{rule + "-i thisnameis16char -j ACCEPT", `interface name "thisnameis16char" is longer than 15 bytes`},
		{rule + "-i '' -j ACCEPT", "empty interface name"},
		{rule + "-i 'a b' -j ACCEPT", `interface name "a b" has a blank, a quote, or one of / : \`},
		{rule + "-i a/b -j ACCEPT", `interface name "a/b" has a blank, a quote, or one of / : \`},
		{rule + "! -i + -j ACCEPT", `a rule with "! -i +" would never match`},

		{rule + "--dport 80 -j ACCEPT", "--dport needs -p tcp, udp or sctp before it"},
		{rule + "! -p tcp --dport 80 -j ACCEPT", "--dport needs -p tcp, udp or sctp before it"},
		{rule + "-p icmp --sport 80 -j ACCEPT", "--sport needs -p tcp, udp or sctp before it"},
		{rule + "-p udp -m tcp --dport 80 -j ACCEPT", "-m tcp needs -p tcp"},
		{rule + "-m tcp --dport 80 -j ACCEPT", "-m tcp needs -p tcp"},
		{rule + "-p tcp --dport 1,2 -j ACCEPT", `invalid port or service "1,2"`},
		{rule + "-p tcp --dport nope -j ACCEPT", `invalid port or service "nope"`},
		{rule + "-p tcp --dport 65536 -j ACCEPT", `invalid port or service "65536"`},
		{rule + "-p tcp --dport +5 -j ACCEPT", `invalid port or service "+5"`},
		{rule + "-p tcp --dport '' -j ACCEPT", `invalid port or service ""`},
		{rule + "-p tcp --dport 1:2:3 -j ACCEPT", `invalid port or service "2:3"`},
		{rule + "-p tcp --dport 5:1 -j ACCEPT", `port range "5:1" runs backwards`},
		{rule + "-p tcp --dport 1 --dport 2 -j ACCEPT", "only one --dport"},
		{rule + "-p tcp --dports 1,2 -j ACCEPT", "--dports needs -m multiport before it"},
		{rule + "-m multiport --dports 1 -j ACCEPT", "--dports needs -p tcp, udp or sctp before it"},
		{rule + "-p icmp -m multiport --dports 1 -j ACCEPT", "--dports needs -p tcp, udp or sctp before it"},
		{rule + "-p tcp -m multiport -j ACCEPT", "-m multiport needs --sports, --dports or --ports"},
		{rule + "-p tcp -m multiport --dports 1 --sports 2 -j ACCEPT", "only one list of ports in a multiport match (--sports)"},
		{rule + "-p tcp -m multiport --dports 1 --sport 2 -j ACCEPT", "only one list of ports in a multiport match (--sport)"},
		{rule + "-p tcp -m multiport --dports 1:1 -j ACCEPT", `invalid port range "1:1"`},
		{rule + "-p tcp -m multiport --dports 1: -j ACCEPT", `invalid port or service ""`},
		{rule + "-p tcp -m multiport --dports 1, -j ACCEPT", `invalid port or service ""`},
		{rule + "-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15:16 -j ACCEPT",
			"too many ports in a multiport list (at most 15, a range counts twice)"},
		{rule + "-m mark -j ACCEPT", "-m mark needs --mark"},
		{rule + "--mark 1 -j ACCEPT", "--mark needs -m mark before it"},
		{rule + "-m mark --mark 1 --mark 2 -j ACCEPT", "only one --mark in a mark match"},
		{rule + "-m mark --mark 5/ -j ACCEPT", `--mark needs VALUE[/MASK], 32 bits each, not "5/"`},
		{rule + "-m comment -j ACCEPT", "-m comment needs --comment"},
		{rule + "--comment x -j ACCEPT", "--comment needs -m comment before it"},
		{rule + "-m comment --comment a --comment b -j ACCEPT", "only one --comment in a comment match"},
		{rule + "-m comment ! --comment a -j ACCEPT", `"!" cannot go before --comment`},
		{rule + "-m comment --comment 'a\nb' -j ACCEPT", `a comment is printable text in one line, not "a\nb"`},
		{rule + "-m comment --comment \xff -j ACCEPT", `a comment is printable text in one line, not "\xff"`},
		{rule + "-m comment --comment " + strings.Repeat("x", 256) + " -j ACCEPT", "a comment has at most 255 bytes, this one has 256"},
		{rule + "-m frob -j ACCEPT", `match "frob" is not supported (tcp, udp, sctp, multiport, mark, comment)`},
		{rule + "! -m tcp -j ACCEPT", `"!" cannot go before -m`},
	}
	for _, tt := range tests {
		words, err := Split(tt.line)
		if err != nil {
			t.Fatalf("Split(%q): %v", tt.line, err)
		}
		c, err := Parse(words)
		if err == nil {
			t.Errorf("Parse(%q) = %+v, want error %q", tt.line, c, tt.want)
		} else if err.Error() != tt.want {
			t.Errorf("Parse(%q): error %q, want %q", tt.line, err, tt.want)
		}
	}
}

func TestParseSpreadsAddressLists(t *testing.T) {
	c := parse(t, "-A PREROUTING -s 10.0.0.1,10.0.0.2 -d 10.1.0.1,10.1.0.2/24 -j RETURN")
	want := []string{
		"-s 10.0.0.1/32 -d 10.1.0.1/32 -j RETURN", "-s 10.0.0.1/32 -d 10.1.0.0/24 -j RETURN",
		"-s 10.0.0.2/32 -d 10.1.0.1/32 -j RETURN", "-s 10.0.0.2/32 -d 10.1.0.0/24 -j RETURN",
	}
	var got []string
	for _, r := range c.Rules {
		got = append(got, r.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got)\n%s", diff)
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		line, fault string
		want        []string
	}{
		{line: " \t\r\n"},
		{line: " -A  PREROUTING\t-j MARK\n", want: []string{"-A", "PREROUTING", "-j", "MARK"}},
		{line: `--comment "a b" ""`, want: []string{"--comment", "a b", ""}},
		{line: `"a\"b\\c\'d" 'e"\f' g\ h i"j k"l`, want: []string{`a"b\c'd`, `e"\f`, "g h", "ij kl"}},
		{line: `a "b`, fault: `unclosed quote "`},
		{line: `a 'b`, fault: `unclosed quote '`},
		{line: `a b\`, fault: `nothing behind the last "\"`},
	}
	for _, tt := range tests {
		got, err := Split(tt.line)
		fault := ""
		if err != nil {
			fault = err.Error()
		}
		if fault != tt.fault || !cmp.Equal(got, tt.want) {
			t.Errorf("Split(%q) = %q, %q, want %q, %q", tt.line, got, fault, tt.want, tt.fault)
		}
	}
}
