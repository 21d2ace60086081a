package classify

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// Addr6 is an IPv6 address in two words, host byte order.
type Addr6 struct{ Hi, Lo uint64 }

// network is one -s or -d: the addresses that equal addr under mask, or with
// not all others. Host byte order; of an IPv4 one the low 32 bits count. The zero
// value is every IPv4 address.
type network struct {
	addr, mask Addr6
	v6, not    bool
}

// network4 is an IPv4 network.
func network4(addr, mask uint32, not bool) network {
	return network{addr: Addr6{Lo: uint64(addr)}, mask: Addr6{Lo: uint64(mask)}, not: not}
}

func (n network) any() bool { return n.mask == Addr6{} && !n.not }

// addr4 and mask4 are those of an IPv4 network.
func (n network) addr4() uint32 { return uint32(n.addr.Lo) }
func (n network) mask4() uint32 { return uint32(n.mask.Lo) }

// bits returns how many bits the mask begins with, and whether it has no others.
func (n network) bits() (ones int, prefix bool) {
	if n.v6 {
		if ones = bits.LeadingZeros64(^n.mask.Hi); ones == 64 {
			ones += bits.LeadingZeros64(^n.mask.Lo)
		}
		return ones, n.mask == prefixMask6(ones)
	}
	ones = bits.LeadingZeros32(^n.mask4())
	return ones, n.mask4() == prefixMask(ones)
}

// text returns one of the network's numbers as an address.
func (n network) text(a Addr6) netip.Addr {
	if n.v6 {
		return address6(a)
	}
	return address(uint32(a.Lo))
}

func (n network) String() string {
	if ones, prefix := n.bits(); prefix {
		return fmt.Sprintf("%s/%d", n.text(n.addr), ones)
	}
	return fmt.Sprintf("%s/%s", n.text(n.addr), n.text(n.mask))
}

// listed is how -L shows a network: one address without its length.
func (n network) listed() string {
	if n.v6 {
		return strings.TrimSuffix(n.String(), "/128")
	}
	return strings.TrimSuffix(n.String(), "/32")
}

// cover returns the smallest prefix around every address that n can match.
func (n network) cover() netip.Prefix {
	ones, _ := n.bits()
	if n.not {
		n.addr, ones = Addr6{}, 0
	}
	return netip.PrefixFrom(n.text(n.addr), ones).Masked()
}

// single reports whether n is one address.
func (n network) single() bool {
	ones, _ := n.bits()
	return !n.not && (ones == 128 || ones == 32 && !n.v6)
}

func prefixMask(ones int) uint32 { return uint32(uint64(0xffffffff) << (32 - ones)) }

func prefixMask6(ones int) Addr6 {
	const all = ^uint64(0)
	if ones <= 64 {
		return Addr6{Hi: all << (64 - ones)}
	}
	return Addr6{all, all << (128 - ones)}
}

func address(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

func address6(a Addr6) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b)
}

// parseNetworks reads a comma list of address[/mask].
func parseNetworks(list string, not bool) ([]network, error) {
	parts := strings.Split(list, ",")
	if not && len(parts) > 1 {
		return nil, fmt.Errorf(`"!" cannot go before a list of addresses (%q)`, list)
	}
	networks := make([]network, len(parts))
	for i, part := range parts {
		n, err := parseNetwork(strings.TrimLeft(part, " "))
		if err != nil {
			return nil, err
		}
		n.not = not
		networks[i] = n
	}
	return networks, nil
}

func parseNetwork(text string) (network, error) {
	host, maskText, masked := strings.Cut(text, "/")
	if strings.Contains(host, ":") {
		return parseNetwork6(host, maskText, masked)
	}
	addr, parts := dotted(host)
	if parts == 0 {
		return network{}, fmt.Errorf("%q is not an IP address (host names are not looked up)", host)
	}
	mask := uint32(0xffffffff)
	if ones, ok := number(maskText, 32); masked && ok {
		mask = prefixMask(int(ones))
	} else if masked {
		if mask, parts = dotted(maskText); parts != 4 {
			return network{}, fmt.Errorf("invalid mask %q", maskText)
		}
	}
	return network4(addr&mask, mask, false), nil
}

func parseNetwork6(host, maskText string, masked bool) (network, error) {
	addr, ok := words6(host)
	if !ok {
		return network{}, fmt.Errorf("%q is not an IPv6 address", host)
	}
	mask := prefixMask6(128)
	if ones, ok := number(maskText, 128); masked && ok {
		mask = prefixMask6(int(ones))
	} else if masked {
		if mask, ok = words6(maskText); !ok {
			return network{}, fmt.Errorf("invalid mask %q", maskText)
		}
	}
	return network{addr: Addr6{addr.Hi & mask.Hi, addr.Lo & mask.Lo}, mask: mask, v6: true}, nil
}

// words6 reads an IPv6 address without a zone.
func words6(text string) (Addr6, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return Addr6{}, false
	}
	b := a.As16()
	return Addr6{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}, true
}

// dotted reads one to four parts; those that are missing are zeros at the end, as in
// 10/8 (iptables reads them so, unlike inet_aton). parts is 0 for anything else.
func dotted(text string) (addr uint32, parts int) {
	words := strings.Split(text, ".")
	if len(words) > 4 {
		return 0, 0
	}
	for i, word := range words {
		part, ok := number(word, 255)
		if !ok {
			return 0, 0
		}
		addr |= uint32(part) << (24 - 8*i)
	}
	return addr, len(words)
}

// number reads digits as strtoul(3) does in base 0, without signs or blanks:
// 0x1f, 017, 15.
func number(text string, high uint64) (uint64, bool) {
	base := 10
	if len(text) > 2 && (text[:2] == "0x" || text[:2] == "0X") {
		text, base = text[2:], 16
	} else if len(text) > 1 && text[0] == '0' {
		base = 8
	}
	n, err := strconv.ParseUint(text, base, 64)
	return n, err == nil && n <= high
}
