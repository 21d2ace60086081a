package doctor

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"natlb/internal/hostnet"
)

// mostHostile bounds the rules that are kept: a node of a cluster has thousands.
const mostHostile = 4096

// What a rule of the host does.
const (
	dnat       = "dnat"
	redirect   = "redirect"
	tproxy     = "tproxy"
	egressDrop = "egress-drop"
)

// readRules reads the host's nftables, iptables-nft included, in the calling
// thread's namespace. It needs CAP_NET_ADMIN.
func readRules() (h HostRules) {
	for command, names := range map[string]string{"iptables-legacy": legacyNames, "ip6tables-legacy": legacyNames6} {
		if b, err := os.ReadFile(names); err == nil && slices.Contains(strings.Fields(string(b)), "nat") {
			h.Legacy = append(h.Legacy, command+" -t nat")
		}
	}
	slices.Sort(h.Legacy)
	conn, err := nftables.New()
	if err != nil {
		h.Why = err.Error()
		return h
	}
	chains, err := conn.ListChains()
	if err != nil {
		h.Why = err.Error()
		return h
	}
	h.Known = true
	for _, c := range chains {
		if c.Table.Family == nftables.TableFamilyNetdev && c.Table.Name == hostnet.GuardTable {
			h.Guard = true
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			continue // changed under our feet
		}
		h.Hostile = append(h.Hostile, hostileRules(c, rules)...)
		if len(h.Hostile) >= mostHostile {
			h.Hostile = h.Hostile[:mostHostile]
			break
		}
	}
	return h
}

// hostileRules returns what of a chain concerns natlb.
func hostileRules(c *nftables.Chain, rules []*nftables.Rule) (out []HostRule) {
	place := familyWord(c.Table.Family) + " " + c.Table.Name + " " + c.Name
	egress := c.Table.Family == nftables.TableFamilyNetdev && c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookEgress
	drops := egress && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
	for _, r := range rules {
		does := translation(r.Exprs)
		if does != "" {
			vip, port := destination(c.Table.Family, r.Exprs)
			out = append(out, HostRule{Place: place, Does: does, VIP: vip, Port: port})
		}
		for _, e := range r.Exprs {
			if v, ok := e.(*expr.Verdict); ok && v.Kind == expr.VerdictDrop && egress {
				drops = true
			}
		}
	}
	if drops {
		out = append(out, HostRule{Place: place, Does: egressDrop})
	}
	return out
}

func familyWord(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyARP:
		return "arp"
	case nftables.TableFamilyBridge:
		return "bridge"
	case nftables.TableFamilyNetdev:
		return "netdev"
	}
	return "?"
}

// translation says in which way a rule changes the destination, if it does.
func translation(exprs []expr.Any) string {
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.NAT:
			if e.Type == expr.NATTypeDestNAT {
				return dnat
			}
		case *expr.Redir:
			return redirect
		case *expr.TProxy:
			return tproxy
		case *expr.Target: // of iptables
			switch e.Name {
			case "DNAT", "REDIRECT", "TPROXY":
				return strings.ToLower(strings.Replace(e.Name, "REDIRECT", redirect, 1))
			}
		}
	}
	return ""
}

// destination returns what a rule of a table of that family asks of the destination
// address and port, as far as it is written as a comparison.
func destination(family nftables.TableFamily, exprs []expr.Any) (vip netip.Prefix, port uint16) {
	loaded := map[uint32]*expr.Payload{}
	masks := map[uint32][]byte{}
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Payload:
			loaded[e.DestRegister] = e
			delete(masks, e.DestRegister)
		case *expr.Bitwise:
			loaded[e.DestRegister], masks[e.DestRegister] = loaded[e.SourceRegister], e.Mask
		case *expr.Match:
			if p := matchedPort(e.Info); p != 0 {
				port = p
			}
		case *expr.Cmp:
			p := loaded[e.Register]
			switch {
			case p == nil || e.Op != expr.CmpOpEq:
			case p.Base == expr.PayloadBaseNetworkHeader && isDestination(family, p) && int(p.Len) == len(e.Data):
				vip = prefixOf(e.Data, masks[e.Register], p.Offset == destination6)
			case p.Base == expr.PayloadBaseTransportHeader && p.Offset == 2 && len(e.Data) == 2 && masks[e.Register] == nil:
				port = binary.BigEndian.Uint16(e.Data)
			}
		}
	}
	return vip, port
}

// Where the destination is in the headers of either family.
const (
	destination4 = 16
	destination6 = 24
)

// isDestination reports whether p is the destination address, or its first bytes, in
// a table of that family; one of both families has asked which it is.
func isDestination(family nftables.TableFamily, p *expr.Payload) bool {
	switch p.Offset {
	case destination4:
		return p.Len <= 4 && family != nftables.TableFamilyIPv6
	case destination6:
		return p.Len <= 16 && family != nftables.TableFamilyIPv4
	}
	return false
}

// prefixOf reads a comparison with the first bytes of an address, masked or not.
func prefixOf(data, mask []byte, v6 bool) netip.Prefix {
	var ip [16]byte
	copy(ip[:], data)
	bits := 8 * len(data)
	if mask != nil {
		bits = 0
		for _, m := range mask {
			for ; m&0x80 != 0; m <<= 1 {
				bits++
			}
		}
	}
	if v6 {
		return netip.PrefixFrom(netip.AddrFrom16(ip), min(bits, 128)).Masked()
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(ip[:4])), min(bits, 32)).Masked()
}

// matchedPort returns the one destination port that iptables' -m tcp or -m udp
// asks for, 0 when it asks for none or for several.
func matchedPort(info xt.InfoAny) uint16 {
	var ports [2]uint16
	switch m := info.(type) {
	case *xt.Tcp:
		ports = m.DstPorts
	case *xt.Udp:
		ports = m.DstPorts
	}
	if ports[0] == ports[1] {
		return ports[0]
	}
	return 0
}
