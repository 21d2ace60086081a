package packettest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"natlb/dataplane"
)

// Describe returns the Ethernet frame as one line. An IPv4 packet reads as the
// recordings of real IPVS have it:
//
//	10.10.1.1 > 10.10.3.6 ttl=64 DF TCP 7777>2200 RA seq=0 ack=1001 len=0
//
// with BADIPSUM, BADSUM and nosum for checksums, and the packet that an ICMP
// error quotes, or that is inside an IPIP, GRE or GUE packet, in braces; an IPv6
// packet the same with hop= for ttl=.
func Describe(frame []byte) string {
	if len(frame) < 14 {
		return "short"
	}
	switch t := binary.BigEndian.Uint16(frame[12:]); t {
	case 0x0800, 0x86dd:
		return DescribeIP(frame[14:])
	case 0x0806:
		return describeARP(frame[14:])
	default:
		return fmt.Sprintf("ethertype=%04x", t)
	}
}

// DescribeFrame is Describe for a frame with its offload metadata: a checksum
// that is left to the outlet is judged as such, and shown as "partial" (that of SCTP as
// "BADPARTIAL", which no outlet can be told of), and a
// super-packet shows the payload of its segments as "gso=1448".
func DescribeFrame(f *dataplane.Frame) string {
	if !f.Offload.Partial() {
		return Describe(f.Data) + describeGSO(&f.Offload)
	}
	start, at := int(f.Offload.CsumStart), int(f.Offload.CsumStart)+int(f.Offload.CsumOffset)
	if start < 34 || at+2 > len(f.Data) {
		return Describe(f.Data) + " BADPARTIAL"
	}
	end, proto := 14+int(binary.BigEndian.Uint16(f.Data[16:])), f.Data[23]
	if f.Data[14]>>4 == 6 && len(f.Data) >= 54 {
		h := walk6(f.Data[14:])
		end, proto = 54+int(binary.BigEndian.Uint16(f.Data[18:])), h.proto
		if start != 14+h.at {
			return Describe(f.Data) + " BADPARTIAL"
		}
	}
	if end > len(f.Data) || at+2 > end {
		return Describe(f.Data) + " BADPARTIAL"
	}
	pseudo, verdict := pseudoSum(f.Data[14:start], proto, end-start), " partial"
	if binary.BigEndian.Uint16(f.Data[at:]) != pseudo {
		verdict = " BADPARTIAL"
	}
	done := append([]byte{}, f.Data[:end]...)
	binary.BigEndian.PutUint16(done[at:], pseudo)
	binary.BigEndian.PutUint16(done[at:], ^sum(done[start:]))
	return Describe(done) + verdict + describeGSO(&f.Offload)
}

func describeGSO(o *dataplane.Offload) string {
	if !o.Super() {
		return ""
	}
	return fmt.Sprintf(" gso=%d", o.GSOSize)
}

func describeARP(b []byte) string {
	if len(b) < 28 {
		return "ARP short"
	}
	sender, target := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	if b[7] == 1 {
		return fmt.Sprintf("ARP who-has %v tell %v (%v)", target, sender, net.HardwareAddr(b[8:14]))
	}
	return fmt.Sprintf("ARP %v is-at %v", sender, net.HardwareAddr(b[8:14]))
}

// DescribeIP is Describe for an IP packet without Ethernet header.
func DescribeIP(b []byte) string {
	if len(b) > 0 && b[0]>>4 == 6 {
		return describe6(b)
	}
	if len(b) < 20 || len(b) < int(b[0]&15)*4 {
		return "short"
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	field, proto := binary.BigEndian.Uint16(b[6:]), b[9]
	whole := len(b) >= total && field&0x3fff == 0 && total >= header
	p := b[header:max(header, min(total, len(b)))]

	out := fmt.Sprintf("%v > %v ttl=%d", netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[8])
	if field&0x4000 != 0 {
		out += " DF"
	}
	if field&0x3fff != 0 {
		out += fmt.Sprintf(" frag off=%d", field&0x1fff*8)
		if field&0x2000 != 0 {
			out += " MF"
		}
	}
	if sum(b[:header]) != 0xffff {
		out += " BADIPSUM"
	}
	switch {
	case field&0x1fff != 0:
	case proto == 6 && len(p) >= 14:
		return out + describeTCP(p, whole, whole && !l4SumOK(b[:header], 6, p))
	case proto == 17 && len(p) >= 8:
		return out + describeUDP(p, whole, whole && !l4SumOK(b[:header], 17, p))
	case proto == 132 && len(p) >= 12:
		return out + describeSCTP(p, whole)
	case proto == 1 && len(p) >= 8:
		return out + describeICMP(p, field&0x2000 == 0)
	case proto == 4 && whole:
		return out + fmt.Sprintf(" IPIP { %s }", DescribeIP(p))
	case proto == 41 && whole:
		return out + fmt.Sprintf(" IP6IP { %s }", DescribeIP(p))
	case proto == 47 && whole && len(p) >= 8 && binary.BigEndian.Uint16(p[2:]) == 0x0800:
		return out + describeGRE(p)
	}
	return out + fmt.Sprintf(" proto=%d len=%d", proto, len(p))
}

// describeTCP describes the TCP segment p, whose checksum is known to be bad or not.
func describeTCP(p []byte, whole, bad bool) string {
	flags := ""
	for i, c := range FlagLetters {
		if p[13]>>i&1 != 0 {
			flags += string(c)
		}
	}
	out := fmt.Sprintf(" TCP %d>%d %s", binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), flags)
	if !whole || len(p) < 20 {
		return out + " (truncated)"
	}
	return out + fmt.Sprintf(" seq=%d ack=%d len=%d", binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:]), len(p)-int(p[12]>>4)*4) +
		badIf(bad)
}

func describeUDP(p []byte, whole, bad bool) string {
	length := binary.BigEndian.Uint16(p[4:])
	out := fmt.Sprintf(" UDP %d>%d len=%d", binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), int(length)-8)
	if binary.BigEndian.Uint16(p[6:]) == 0 {
		out += " nosum"
	} else {
		out += badIf(bad && len(p) >= int(length))
	}
	if whole && len(p) >= 32 && binary.BigEndian.Uint32(p[8:]) == 0x40000 && p[12]>>4 == 4 {
		out += fmt.Sprintf(" GUE { %s }", DescribeIP(p[12:]))
	}
	return out
}

func describeGRE(p []byte) string {
	flags, header, bad := binary.BigEndian.Uint16(p), 4, ""
	if flags&0x8000 != 0 {
		header, bad = 8, badIf(sum(p) != 0xffff)
	}
	return fmt.Sprintf(" GRE flags=%04x proto=0800%s { %s }", flags, bad, DescribeIP(p[header:]))
}

func describeICMP(p []byte, whole bool) string {
	bad := badIf(whole && sum(p) != 0xffff)
	switch p[0] {
	case 3, 4, 5, 11, 12:
		return fmt.Sprintf(" ICMP type=%d code=%d rest=%x%s { %s }", p[0], p[1], p[4:8], bad, DescribeIP(p[8:]))
	}
	return fmt.Sprintf(" ICMP type=%d code=%d id=%d seq=%d len=%d%s",
		p[0], p[1], binary.BigEndian.Uint16(p[4:]), binary.BigEndian.Uint16(p[6:]), len(p)-8, bad)
}

func badIf(bad bool) string {
	if bad {
		return " BADSUM"
	}
	return ""
}

func l4SumOK(ip []byte, proto uint8, p []byte) bool {
	pseudo := pseudoSum(ip, proto, len(p))
	return sum(p, []byte{byte(pseudo >> 8), byte(pseudo)}) == 0xffff
}

// pseudoSum returns the sum of the pseudo header, not complemented.
func pseudoSum(ip []byte, proto uint8, length int) uint16 {
	addrs := ip[12:20]
	if ip[0]>>4 == 6 {
		addrs = ip[8:40]
	}
	return sum(addrs, []byte{0, proto, byte(length >> 8), byte(length)})
}

// sum is the ones' complement sum as RFC 1071 words it, one word at a time:
// nothing is shared with the code under test.
func sum(parts ...[]byte) uint16 {
	total := 0
	for _, b := range parts {
		for i, c := range b {
			if i%2 == 0 {
				total += int(c) << 8
			} else {
				total += int(c)
			}
		}
	}
	for total > 0xffff {
		total = total&0xffff + total>>16
	}
	return uint16(total)
}
