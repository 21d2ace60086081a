package ftp

import "net/netip"

// Mode is the way in which a client asks the server to name an endpoint.
type Mode uint8

// The passive modes. Their replies have the codes 227 and 229.
const (
	None Mode = iota
	PASV
	EPSV
)

// Passive returns the first passive command in a segment of the client, None if
// there is none. It is looked for anywhere in the segment, in any case, as the
// kernel's helper does it (ip_vs_ftp.c): PASV, EPSV or EPSV 1, to the line's end.
// EPSV for IPv6 and EPSV ALL ask for no IPv4 endpoint.
func Passive(segment []byte) Mode {
	for i := range segment {
		s := scanner{segment[i:]}
		switch {
		case s.word("PASV"):
			if s.lineEnd() {
				return PASV
			}
		case s.word("EPSV"):
			if s.lineEnd() || s.word(" 1") && s.lineEnd() {
				return EPSV
			}
		}
	}
	return None
}

// Active returns the endpoint that the client announces at the beginning of its
// segment by PORT or EPRT. Port 0 is nowhere to connect to, and not accepted.
func Active(segment []byte) (client netip.AddrPort, ok bool) {
	s := scanner{segment}
	switch {
	case s.word("PORT "):
		s.blanks()
		client, ok = s.sixNumbers()
	case s.word("EPRT "):
		s.blanks()
		client, ok = s.extended()
	}
	return client, ok && s.lineEnd() && client.Port() != 0
}

// extended reads |1|address|port| with any delimiter (RFC 2428 section 2).
func (s *scanner) extended() (netip.AddrPort, bool) {
	if len(s.rest) == 0 || !delimiter(s.rest[0]) {
		return netip.AddrPort{}, false
	}
	d := s.rest[0]
	if !s.byte(d) || !s.byte('1') || !s.byte(d) {
		return netip.AddrPort{}, false
	}
	addr, ok := s.numbers4('.')
	if !ok || !s.byte(d) {
		return netip.AddrPort{}, false
	}
	port, ok := s.number(65535)
	return netip.AddrPortFrom(netip.AddrFrom4(addr), uint16(port)), ok && s.byte(d)
}

// delimiter reports whether RFC 2428 lets c delimit fields. A digit or a dot could not
// be told from what it delimits.
func delimiter(c byte) bool {
	return c >= 33 && c <= 126 && c != '.' && !digit(c)
}
