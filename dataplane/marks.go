package dataplane

import (
	"fmt"
	"net/netip"

	"natlb/internal/classify"
	"natlb/ipvs"
	"natlb/rewrite"
)

// marks gives packets the firewall marks by which services of the kind -f are
// found. The host's own netfilter marks are invisible to a packet socket.
type marks struct{ program *classify.Program }

// of returns the mark of a packet that came in by link, 0 for none.
func (m *marks) of(p *rewrite.Packet, link string) uint32 {
	if m == nil {
		return 0
	}
	return m.program.Mark(&classify.Packet{
		Src: p.Src, Dst: p.Dst, Src6: classify.Addr6(p.Src6), Dst6: classify.Addr6(p.Dst6), V6: p.V6,
		SrcPort: p.SrcPort, DstPort: p.DstPort, Proto: p.Proto, Link: link,
	})
}

// singleAddrs returns the prefixes that are one address. A rule for one
// destination says that it is a VIP; rules for whole networks, or without a
// destination, name none.
func singleAddrs(prefixes []netip.Prefix) (addrs []netip.Addr) {
	for _, p := range prefixes {
		if p.IsSingleIP() {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}

// changeMarks carries out a command that the plan has found good.
func (d *Director) changeMarks(words []string) {
	d.marks, _ = markRules(d.marks, words)
	d.remarked = true
}

// compileMarks makes the rules take effect.
func (d *Director) compileMarks() {
	d.remarked = false
	d.program = d.marks.Compile()
	d.markVIPs = singleAddrs(d.program.VIPs())
	d.roles.setMarked(d.markVIPs)
}

// markRules returns the rules after one command of natlb mark.
func markRules(rules classify.Ruleset, words []string) (classify.Ruleset, error) {
	c, err := classify.Parse(words)
	if err != nil {
		return rules, fmt.Errorf("%w: %w", ipvs.ErrInvalid, err)
	}
	if rules, err = rules.Apply(c); err != nil {
		return rules, fmt.Errorf("%w: %w", ipvs.ErrInvalid, err)
	}
	return rules, nil
}

// Marks answers a command of natlb mark that only asks (-L, -S, -C) with its
// text.
func (d *Director) Marks(words []string) (string, error) {
	c, err := classify.Parse(words)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ipvs.ErrInvalid, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.marks.Apply(c); err != nil {
		return "", fmt.Errorf("%w: %w", ipvs.ErrInvalid, err)
	}
	return d.marks.Text(c), nil
}
