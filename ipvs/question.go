package ipvs

import (
	"fmt"
	"net/netip"
	"strings"
)

// Question asks what a director would do with one packet without payload.
type Question struct {
	Proto   Protocol       // TCP, UDP or SCTP
	Client  netip.AddrPort // of a client's packet port 0 stands for any free one
	Virtual netip.AddrPort // where a client's packet goes to; not looked at with Server
	Server  netip.AddrPort // valid: the packet is what this server answers the client
	Flags   TCPFlags       // of TCP; 0 stands for SYN, and for SYN and ACK of an answer
	Chunk   *Chunk         // of SCTP; nil stands for INIT, and for INIT-ACK of an answer
	Mark    *uint32        // the packet's firewall mark; nil: what the director's own rules give it
	Link    string         // interface that it comes in by; "": the one that leads to its sender
}

// TCPFlags are the flags of a TCP segment, the low eight bits (RFC 9293 3.1).
type TCPFlags uint8

var flagNames = [8]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// String returns the names joined by bars, "SYN|ACK", or "none".
func (f TCPFlags) String() string {
	var names []string
	for i, name := range flagNames {
		if f>>i&1 != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

// ParseTCPFlags reads one or more names, as [TCPFlags.String] writes them; case
// does not matter, and a comma or a plus does for a bar. The error wraps
// ErrInvalid.
func ParseTCPFlags(text string) (flags TCPFlags, err error) {
next:
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("|,+", r) }) {
		for i, name := range flagNames {
			if strings.EqualFold(word, name) {
				flags |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("%w: TCP flag %q (known: %s)", ErrInvalid, word, strings.Join(flagNames[:], " "))
	}
	if flags == 0 {
		return 0, fmt.Errorf("%w: no TCP flags in %q", ErrInvalid, text)
	}
	return flags, nil
}
