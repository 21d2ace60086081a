package classify

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// network is one -s or -d: the addresses that equal addr under mask, or with
// not all others. Host byte order. The zero value is every address.
type network struct {
	addr, mask uint32
	not        bool
}

func (n network) any() bool { return n == network{} }

func (n network) String() string {
	addr := address(n.addr)
	if ones := bits.LeadingZeros32(^n.mask); n.mask == prefixMask(ones) {
		return fmt.Sprintf("%s/%d", addr, ones)
	}
	return fmt.Sprintf("%s/%s", addr, address(n.mask))
}

// listed is how -L shows a network: one address without its length.
func (n network) listed() string {
	return strings.TrimSuffix(n.String(), "/32")
}

// cover returns the smallest prefix around every address that n can match.
func (n network) cover() netip.Prefix {
	if n.not {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	ones := bits.LeadingZeros32(^n.mask)
	return netip.PrefixFrom(address(n.addr), ones).Masked()
}

func prefixMask(ones int) uint32 { return uint32(uint64(0xffffffff) << (32 - ones)) }

func address(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
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
	if strings.Contains(text, ":") {
		return network{}, fmt.Errorf("%q is an IPv6 address: %s", text, ipv6Later)
	}
	host, maskText, masked := strings.Cut(text, "/")
	addr, parts := dotted(host)
	if parts == 0 {
		return network{}, fmt.Errorf("%q is not an IPv4 address (host names are not looked up)", host)
	}
	if !masked {
		return network{addr: addr, mask: 0xffffffff}, nil
	}
	if ones, ok := number(maskText, 32); ok {
		mask := prefixMask(int(ones))
		return network{addr: addr & mask, mask: mask}, nil
	}
	mask, parts := dotted(maskText)
	if parts != 4 {
		return network{}, fmt.Errorf("invalid mask %q", maskText)
	}
	return network{addr: addr & mask, mask: mask}, nil
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
