package packettest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// headers6 is what stands between an IPv6 header and what it carries.
type headers6 struct {
	proto      uint8 // behind them
	at         int   // where that begins, from the IPv6 header
	extensions string
	fragment   bool
	offset     int // of a piece, in bytes
	more       bool
}

// walk6 reads the extension headers of the IPv6 packet b, of at least 40 bytes.
func walk6(b []byte) headers6 {
	h := headers6{proto: b[6], at: 40}
	for len(b) >= h.at+8 && h.offset == 0 {
		switch h.proto {
		case 44:
			field := binary.BigEndian.Uint16(b[h.at+2:])
			h.fragment, h.offset, h.more = true, int(field&0xfff8), field&1 != 0
			h.proto, h.at = b[h.at], h.at+8
		case 0, 43, 60:
			h.extensions += fmt.Sprintf(" ext=%d", h.proto)
			h.proto, h.at = b[h.at], h.at+8+int(b[h.at+1])*8
		default:
			return h
		}
	}
	return h
}

// describe6 is DescribeIP for IPv6.
func describe6(b []byte) string {
	if len(b) < 40 {
		return "short"
	}
	h := walk6(b)
	total := 40 + int(binary.BigEndian.Uint16(b[4:]))
	whole := len(b) >= total && !h.fragment && total >= h.at
	from := min(h.at, len(b))
	p := b[from:max(from, min(total, len(b)))]
	bad := func() bool { return whole && !l4SumOK(b, h.proto, p) }

	out := fmt.Sprintf("%v > %v hop=%d%s", netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[7], h.extensions)
	if h.fragment {
		out += fmt.Sprintf(" frag off=%d", h.offset)
		if h.more {
			out += " MF"
		}
	}
	switch {
	case h.offset != 0:
	case h.proto == 6 && len(p) >= 14:
		return out + describeTCP(p, whole, bad())
	case h.proto == 17 && len(p) >= 8:
		return out + describeUDP(p, whole, bad())
	case h.proto == 58 && len(p) >= 8:
		return out + describeICMP6(p, bad())
	case h.proto == 4 && whole:
		return out + fmt.Sprintf(" IPIP6 { %s }", DescribeIP(p))
	case h.proto == 41 && whole:
		return out + fmt.Sprintf(" IP6IP6 { %s }", DescribeIP(p))
	}
	return out + fmt.Sprintf(" proto=%d len=%d", h.proto, len(p))
}

func describeICMP6(p []byte, bad bool) string {
	const anError = 128 // types below
	switch {
	case p[0] < anError:
		return fmt.Sprintf(" ICMP6 type=%d code=%d rest=%x%s { %s }", p[0], p[1], p[4:8], badIf(bad), DescribeIP(p[8:]))
	case (p[0] == 135 || p[0] == 136) && len(p) >= 24:
		return describeND(p) + badIf(bad)
	}
	return fmt.Sprintf(" ICMP6 type=%d code=%d len=%d%s", p[0], p[1], len(p)-8, badIf(bad))
}

// describeND describes a neighbour solicitation or advertisement: " NS fd10::1
// 02:00:00:00:00:01", " NA RSO fd10::1 02:00:00:00:00:01".
func describeND(p []byte) string {
	out := " NS"
	if p[0] == 136 {
		out = " NA "
		for i, c := range "RSO" {
			if p[4]>>(7-i)&1 != 0 {
				out += string(c)
			}
		}
	}
	out += fmt.Sprintf(" %v", netip.AddrFrom16([16]byte(p[8:24])))
	if len(p) >= 32 && p[25] == 1 {
		out += fmt.Sprintf(" %v", net.HardwareAddr(p[26:32]))
	}
	return out
}
