package ftp

import "net/netip"

// scanner reads a segment from its front. Its methods report whether what they
// look for is there and take it; after a false the rest is not defined, but for
// word and byte, which then have taken nothing.
type scanner struct{ rest []byte }

// word takes a word in upper or lower case; w is in upper case.
func (s *scanner) word(w string) bool {
	if len(s.rest) < len(w) {
		return false
	}
	for i := range len(w) {
		c := s.rest[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != w[i] {
			return false
		}
	}
	s.rest = s.rest[len(w):]
	return true
}

func (s *scanner) byte(c byte) bool {
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) blanks() {
	for s.byte(' ') {
	}
}

// number takes a decimal number up to limit.
func (s *scanner) number(limit int) (n int, ok bool) {
	for len(s.rest) > 0 && digit(s.rest[0]) && n <= limit {
		n, ok = n*10+int(s.rest[0]-'0'), true
		s.rest = s.rest[1:]
	}
	return n, ok && n <= limit
}

// numbers4 takes four bytes with a separator between them.
func (s *scanner) numbers4(separator byte) (b [4]byte, ok bool) {
	for i := range b {
		if i > 0 && !s.byte(separator) {
			return b, false
		}
		n, ok := s.number(255)
		if !ok {
			return b, false
		}
		b[i] = byte(n)
	}
	return b, true
}

// address6 takes an IPv6 address without a zone, up to the delimiter d.
func (s *scanner) address6(d byte) (netip.Addr, bool) {
	const longest = 45 // of eight groups, the last two as IPv4
	i := 0
	for i < len(s.rest) && i <= longest && s.rest[i] != d {
		if c := s.rest[i]; !digit(c) && c != ':' && c != '.' && (c|0x20 < 'a' || c|0x20 > 'f') {
			return netip.Addr{}, false
		}
		i++
	}
	addr, err := netip.ParseAddr(string(s.rest[:i]))
	if err != nil || !addr.Is6() || addr.Is4In6() {
		return netip.Addr{}, false
	}
	s.rest = s.rest[i:]
	return addr, true
}

// sixNumbers takes h1,h2,h3,h4,p1,p2.
func (s *scanner) sixNumbers() (netip.AddrPort, bool) {
	addr, ok := s.numbers4(',')
	if !ok || !s.byte(',') {
		return netip.AddrPort{}, false
	}
	high, ok := s.number(255)
	if !ok || !s.byte(',') {
		return netip.AddrPort{}, false
	}
	low, ok := s.number(255)
	return netip.AddrPortFrom(netip.AddrFrom4(addr), uint16(high<<8|low)), ok
}

// lineEnd reports whether the line ends here.
func (s *scanner) lineEnd() bool { return len(s.rest) > 0 && newline(s.rest[0]) }

func newline(c byte) bool { return c == '\r' || c == '\n' }

func digit(c byte) bool { return c >= '0' && c <= '9' }
