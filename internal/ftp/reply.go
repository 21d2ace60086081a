package ftp

import (
	"net/netip"
	"strconv"
)

// Reply is a server's answer to a passive command.
type Reply struct {
	Mode Mode // of the command that it answers
	// Server is the endpoint to connect to. The reply to EPSV names a port only,
	// the address being the control connection's: then Server has none.
	Server netip.AddrPort
	// From and To are where the endpoint's text is in the segment.
	From, To int
}

// ParseReply reads a passive reply at the beginning of a segment of the server,
// and reports false if there is none. The six numbers of a 227 may be in brackets
// or not: it is for their reader to find them (RFC 1123 section 4.1.2.6). Port 0 is
// not accepted.
func ParseReply(segment []byte) (r Reply, ok bool) {
	s := scanner{segment}
	switch {
	case s.word("227 "):
		r.Mode = PASV
	case s.word("229 "):
		r.Mode = EPSV
	default:
		return r, false
	}
	for ; len(s.rest) > 0 && !newline(s.rest[0]); s.rest = s.rest[1:] {
		at := scanner{s.rest}
		if r.Mode == PASV {
			r.Server, ok = at.sixNumbers()
		} else {
			r.Server, ok = at.portOnly()
		}
		if ok && r.Server.Port() != 0 {
			r.From, r.To = len(segment)-len(s.rest), len(segment)-len(at.rest)
			return r, at.ends()
		}
		// The next place to look begins after a number, not inside of it.
		for len(s.rest) > 1 && digit(s.rest[0]) && digit(s.rest[1]) {
			s.rest = s.rest[1:]
		}
	}
	return Reply{}, false
}

// portOnly reads |||port| with any delimiter (RFC 2428 section 3).
func (s *scanner) portOnly() (netip.AddrPort, bool) {
	if len(s.rest) == 0 || !delimiter(s.rest[0]) {
		return netip.AddrPort{}, false
	}
	d := s.rest[0]
	for range 3 {
		if !s.byte(d) {
			return netip.AddrPort{}, false
		}
	}
	port, ok := s.number(65535)
	return netip.AddrPortFrom(netip.Addr{}, uint16(port)), ok && s.byte(d)
}

// ends reports whether the line ends in the segment, whatever comes before that.
func (s *scanner) ends() bool {
	for _, c := range s.rest {
		if newline(c) {
			return true
		}
	}
	return false
}

// AppendEndpoint appends the six numbers by which PORT and 227 name an IPv4
// endpoint, at most [EndpointLen] bytes, to dst.
func AppendEndpoint(dst []byte, e netip.AddrPort) []byte {
	for _, b := range e.Addr().As4() {
		dst = append(strconv.AppendUint(dst, uint64(b), 10), ',')
	}
	dst = append(strconv.AppendUint(dst, uint64(e.Port()>>8), 10), ',')
	return strconv.AppendUint(dst, uint64(e.Port()&0xff), 10)
}

// EndpointLen is the length of the longest endpoint: 255,255,255,255,255,255.
const EndpointLen = 23
