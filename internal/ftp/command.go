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
// kernel's helper does it (ip_vs_ftp.c): PASV, or EPSV alone or with the number of the
// family, to the line's end.
// What asks for an endpoint of another family than the connection's, which v6 tells,
// and EPSV ALL are not it.
func Passive(segment []byte, v6 bool) Mode {
	family := " 1"
	if v6 {
		family = " 2"
	}
	for i := range segment {
		s := scanner{segment[i:]}
		switch {
		case s.word("PASV"):
			if s.lineEnd() && !v6 {
				return PASV
			}
		case s.word("EPSV"):
			if s.lineEnd() || s.word(family) && s.lineEnd() {
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

// extended reads |1|address|port|, or 2 for IPv6, with any delimiter (RFC 2428
// section 2).
func (s *scanner) extended() (netip.AddrPort, bool) {
	if len(s.rest) == 0 || !delimiter(s.rest[0]) {
		return netip.AddrPort{}, false
	}
	d := s.rest[0]
	s.byte(d)
	var addr netip.Addr
	ok := true
	switch {
	case s.byte('1') && s.byte(d):
		var four [4]byte
		four, ok = s.numbers4('.')
		addr = netip.AddrFrom4(four)
	case s.byte('2') && s.byte(d):
		addr, ok = s.address6(d)
	default:
		ok = false
	}
	if !ok || !s.byte(d) {
		return netip.AddrPort{}, false
	}
	port, ok := s.number(65535)
	return netip.AddrPortFrom(addr, uint16(port)), ok && s.byte(d)
}

// delimiter reports whether RFC 2428 lets c delimit fields. A digit, a letter of a
// number, a dot or a colon could not be told from what it delimits.
func delimiter(c byte) bool {
	return c >= 33 && c <= 126 && c != '.' && !digit(c)
}
