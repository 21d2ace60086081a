package classify

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// span is an inclusive range of ports.
type span struct{ low, high uint16 }

var allPorts = span{0, 65535}

func (s span) String() string {
	if s.low == s.high {
		return strconv.Itoa(int(s.low))
	}
	return fmt.Sprintf("%d:%d", s.low, s.high)
}

// parsePort reads a number or a service's name: from /etc/services and a few
// built-in ones, those of TCP first, for whatever protocol.
func parsePort(text string) (uint16, error) {
	if n, ok := number(text, 65535); ok {
		return uint16(n), nil
	}
	if strings.ContainsAny(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		if n, err := net.LookupPort("ip", text); err == nil {
			return uint16(n), nil
		}
	}
	return 0, fmt.Errorf("invalid port or service %q", text)
}

// parseSpan reads port[:port]; an end that is left out is 0 or 65535.
func parseSpan(text string) (s span, err error) {
	low, high, ranged := strings.Cut(text, ":")
	if s.low = 0; low != "" || !ranged {
		if s.low, err = parsePort(low); err != nil {
			return s, err
		}
	}
	if !ranged {
		return span{s.low, s.low}, nil
	}
	if s.high = 65535; high != "" {
		if s.high, err = parsePort(high); err != nil {
			return s, err
		}
	}
	if s.low > s.high {
		return s, fmt.Errorf("port range %q runs backwards", text)
	}
	return s, nil
}

// multiportSlots is how many ports one multiport match holds; a range takes two
// (xt_multiport).
const multiportSlots = 15

// parseSpans reads the list of a multiport match: both ends of a range are given
// and differ.
func parseSpans(list string) ([]span, error) {
	var spans []span
	slots := 0
	for part := range strings.SplitSeq(list, ",") {
		low, high, ranged := strings.Cut(part, ":")
		var s span
		var err error
		if s.low, err = parsePort(low); err != nil {
			return nil, err
		}
		s.high = s.low
		if ranged {
			if s.high, err = parsePort(high); err != nil {
				return nil, err
			}
			if s.low >= s.high {
				return nil, fmt.Errorf("invalid port range %q", part)
			}
			slots++
		}
		if slots++; slots > multiportSlots {
			return nil, errors.New("too many ports in a multiport list (at most 15, a range counts twice)")
		}
		spans = append(spans, s)
	}
	return spans, nil
}
