package rewrite

// Problem is why a packet does not get through, in words that IPv4 and IPv6 share.
type Problem uint8

// The problems, with what ICMP and ICMPv6 call them.
const (
	NoRoute             Problem = iota // 3/0 net unreachable; 1/0 no route to destination
	HostUnreachable                    // 3/1 host unreachable; 1/3 address unreachable
	ProtocolUnreachable                // 3/2 protocol unreachable; 4/1 unrecognized next header
	PortUnreachable                    // 3/3; 1/4
	TooBig                             // 3/4 fragmentation needed; 2/0 packet too big
	TTLExceeded                        // 11/0; 3/0
)

var problemTypes = [...][2]struct{ icmpType, code uint8 }{ // IPv4, IPv6
	NoRoute:             {{ICMPUnreachable, 0}, {ICMPv6Unreachable, 0}},
	HostUnreachable:     {{ICMPUnreachable, 1}, {ICMPv6Unreachable, 3}},
	ProtocolUnreachable: {{ICMPUnreachable, 2}, {ICMPv6Parameter, 1}},
	PortUnreachable:     {{ICMPUnreachable, 3}, {ICMPv6Unreachable, 4}},
	TooBig:              {{ICMPUnreachable, 4}, {ICMPv6TooBig, 0}},
	TTLExceeded:         {{ICMPTimeExceeded, 0}, {ICMPv6TimeExceeded, 0}},
}

// About returns what the ICMP error of p's family says about p; mtu is for
// [TooBig]. It is from p's destination: a router that speaks for itself puts its own
// address instead.
func (b Problem) About(p *Packet, mtu int) ICMPAnswer {
	a := ICMPAnswer{Src: p.Dst, Src6: p.Dst6}
	family := 0
	if p.V6 {
		family = 1
	}
	a.Type, a.Code = problemTypes[b][family].icmpType, problemTypes[b][family].code
	switch {
	case b == TooBig:
		a.Rest = uint32(mtu)
	case b == ProtocolUnreachable && p.V6:
		a.Rest = uint32(int(p.ProtoName) - p.L3)
	}
	return a
}
