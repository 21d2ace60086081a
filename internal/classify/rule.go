package classify

import (
	"fmt"
	"strconv"
	"strings"
)

// Rule is one line of a chain PREROUTING, of one family. It is immutable, and made by [Parse].
type Rule struct {
	source, destination network
	link                link
	proto               protocol
	matches             []match // in the order in which they were loaded
	target              target
}

// String returns the rule as iptables -S prints it, behind its
// "-A PREROUTING ": masks and marks written out, in iptables' order. Two rules are
// the same rule, for -D and -C, exactly if their strings are equal.
func (r *Rule) String() string {
	var words []string
	put := func(not bool, text ...string) {
		if not {
			words = append(words, "!")
		}
		words = append(words, text...)
	}
	if !r.source.any() {
		put(r.source.not, "-s", r.source.String())
	}
	if !r.destination.any() {
		put(r.destination.not, "-d", r.destination.String())
	}
	if r.link.name != "" {
		put(r.link.not, "-i", r.link.name)
	}
	if r.proto.number != 0 {
		put(r.proto.not, "-p", r.proto.String())
	}
	for _, m := range r.matches {
		words = append(words, m.words())
	}
	return strings.Join(append(words, "-j", r.target.words()), " ")
}

// link is one -i: an interface's name, with a "+" at its end every name that
// begins so. The zero value is every interface.
type link struct {
	name string
	not  bool
}

// linkNameMax is the longest name that the kernel gives an interface (IFNAMSIZ
// less the final zero), in bytes.
const linkNameMax = 15

func parseLink(name string, not bool) (link, error) {
	switch {
	case name == "":
		return link{}, fmt.Errorf("empty interface name")
	case len(name) > linkNameMax:
		return link{}, fmt.Errorf("interface name %q is longer than 15 bytes", name)
	case strings.ContainsAny(name, "/:\"'\\") || !printable(name) || strings.Contains(name, " "):
		return link{}, fmt.Errorf("interface name %q has a blank, a quote, or one of / : \\", name)
	case name == "+" && not:
		// Deviation: iptables takes it, and prints a rule without it.
		return link{}, fmt.Errorf(`a rule with "! -i +" would never match`)
	case name == "+":
		return link{}, nil
	}
	return link{name, not}, nil
}

// protocol is one -p: an IANA number; 0 is every protocol.
type protocol struct {
	number uint8
	not    bool
}

// protocolNames are the names that are read and printed, as Debian's
// /etc/protocols has them; other protocols are numbers.
var protocolNames = map[uint8]string{
	1: "icmp", 2: "igmp", 4: "ipencap", 6: "tcp", 17: "udp", 41: "ipv6", 47: "gre", 50: "esp", 51: "ah",
	58: "ipv6-icmp", 89: "ospf", 112: "vrrp", 132: "sctp", 136: "udplite",
}

func (p protocol) String() string {
	if name, ok := protocolNames[p.number]; ok {
		return name
	}
	return strconv.Itoa(int(p.number))
}

func parseProtocol(text string, not bool) (protocol, error) {
	n, ok := number(text, 255)
	if !ok {
		n, ok = protocolNumber(strings.ToLower(text))
	}
	switch {
	case !ok:
		return protocol{}, fmt.Errorf("unknown protocol %q", text)
	case n == 0 && not:
		return protocol{}, fmt.Errorf(`a rule with "! -p all" would never match`)
	}
	return protocol{uint8(n), not}, nil
}

func protocolNumber(name string) (uint64, bool) {
	for n, known := range protocolNames {
		if known == name {
			return uint64(n), true
		}
	}
	if name == "icmpv6" { // what everybody says
		return 58, true
	}
	return 0, name == "all"
}

// ported returns the name of a protocol whose packets have ports, or "": those
// are the ones that multiport and the matches of the same names take.
func (p protocol) ported() string {
	if p.not {
		return ""
	}
	switch p.number {
	case 6, 17, 132:
		return p.String()
	}
	return ""
}
