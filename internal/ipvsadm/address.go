package ipvsadm

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"natlb/ipvs"
)

// hostPort reads host[:port], as a service or a server is written: an IPv4
// address in any of its forms, a host name, [IPv6]:port, or a bare IPv6 address
// without port. Digits alone are refused. portGiven tells port 0 from
// none. proto is for port names; without one they are refused.
func (p *parser) hostPort(text string, proto ipvs.Protocol) (addr netip.Addr, port uint16, portGiven, ok bool) {
	if strings.Trim(text, "0123456789") == "" {
		return addr, 0, false, false
	}
	host, portText := text, ""
	if inner, found := strings.CutPrefix(text, "["); found {
		host, portText, portGiven = strings.Cut(inner, "]:")
		if !portGiven || strings.Contains(host, "]") {
			return addr, 0, false, false
		}
		addr, ok = addr6(host)
	} else if addr, ok = addr6(text); !ok {
		if i := strings.LastIndexByte(text, ':'); i >= 0 {
			host, portText, portGiven = text[:i], text[i+1:], true
		}
	}
	if !ok {
		// Deviation: [10.0.0.1]:80 keeps its port, which 1.31 loses.
		if addr, ok = p.host4(host); !ok {
			return addr, 0, false, false
		}
	}
	if portGiven {
		port, ok = p.port(portText, proto)
	}
	return addr, port, portGiven, ok
}

func addr6(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	return a, err == nil && a.Is6() && a.Zone() == ""
}

// host4 reads an IPv4 address in any form that inet_aton(3) takes, or asks for
// the first IPv4 address of a host name. Deviation: junk after a blank is
// refused, not ignored.
func (p *parser) host4(text string) (netip.Addr, bool) {
	if a, ok := inetAton(text); ok {
		return a, true
	}
	if text == "" || strings.ContainsAny(text, ": \t\r\n") { // no host's name has a colon; a resolver may take it for IPv6
		return netip.Addr{}, false
	}
	return p.lookup.Host(p.ctx, text)
}

// inetAton reads one to four parts, each decimal, octal (0...) or hexadecimal
// (0x...); the last one fills the bytes that are left (inet_aton(3)): 10.1 is
// 10.0.0.1, 010.0.0.1 is 8.0.0.1.
func inetAton(text string) (netip.Addr, bool) {
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, part := range parts {
		base := 10
		if hex := strings.TrimPrefix(strings.ToLower(part), "0x"); len(hex) < len(part) {
			part, base = hex, 16
		} else if strings.HasPrefix(part, "0") {
			base = 8
		}
		room := uint(8)
		if i == len(parts)-1 {
			room = uint(8 * (5 - len(parts)))
		}
		n, err := strconv.ParseUint(part, base, 32)
		if err != nil || n >= 1<<room {
			return netip.Addr{}, false
		}
		sum = sum<<room | n
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(sum))
	return netip.AddrFrom4(b), true
}

func (p *parser) port(text string, proto ipvs.Protocol) (uint16, bool) {
	if n, ok := number(text, 0, 65535); ok {
		return uint16(n), true
	}
	if text == "" || proto == ipvs.AnyProtocol {
		return 0, false
	}
	return p.lookup.Port(text, proto)
}

// number reads a whole string as strtol(3) does in base 10: leading blanks and
// a sign are fine, anything behind the digits is not.
func number(text string, low, high int64) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimLeft(text, " \t\n\v\f\r"), 10, 64)
	return n, err == nil && n >= low && n <= high
}

func within(text string, low, high int64, fault string) (int64, error) {
	n, ok := number(text, low, high)
	if !ok {
		return 0, usage("%s", fault)
	}
	return n, nil
}

// leadingNumber reads the digits at the start of text as atoi(3) does, 0 if
// there are none or too many.
func leadingNumber(text string) int {
	text = strings.TrimPrefix(strings.TrimLeft(text, " \t\n\v\f\r"), "+")
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		text = text[:end]
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
