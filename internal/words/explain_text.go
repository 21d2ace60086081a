package words

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"natlb/ipvs"
)

const (
	lineWidth = 80
	nameWidth = 12 // the column of section names
	mostRows  = 20 // servers that people get to see
)

// sheet is a text of named sections, wrapped at 80 columns.
type sheet struct{ strings.Builder }

// line adds a line to a section; the first of them carries its name.
func (s *sheet) line(name, format string, args ...any) {
	indent := strings.Repeat(" ", nameWidth)
	at := 0 // columns used; 0 at the start of the line
	for _, word := range strings.Fields(fmt.Sprintf(format, args...)) {
		switch {
		case at == 0:
			fmt.Fprintf(s, "%-*s%s", nameWidth, name, word)
			at = nameWidth + len(word)
		case at+1+len(word) > lineWidth:
			fmt.Fprintf(s, "\n%s%s", indent, word)
			at = nameWidth + len(word)
		default:
			s.WriteString(" " + word)
			at += 1 + len(word)
		}
	}
	s.WriteByte('\n')
}

// explanationText is an explanation for people.
func explanationText(x *ipvs.Explanation) string {
	var s sheet
	s.line("packet", "%s", packetText(&x.Received))
	s.line("verdict", "%s: %s", x.Verdict, x.Meaning)
	for _, why := range x.Why {
		s.line("", "%s", why)
	}
	s.WriteByte('\n')
	s.search(x)
	s.connection(x)
	switch {
	case x.Pick != nil:
		s.pick(x.Pick)
	case x.Service != nil || x.Connection != nil:
		s.line("scheduler", "is not asked")
	}
	s.outcome(x)
	return s.String()
}

// search says which service takes the packet, and why no other one.
func (s *sheet) search(x *ipvs.Explanation) {
	if x.Mark != 0 {
		s.line("mark", "%d", x.Mark)
	}
	if x.Search == nil {
		return
	}
	if v := x.Service; v != nil {
		text := serviceName(v.Protocol, v.Address, v.Mark, v.IPv6) + ", scheduler " + v.Scheduler
		if v.PersistTimeout != 0 {
			text += fmt.Sprintf(", persistent for %d s", v.PersistTimeout)
		}
		if v.OnePacket {
			text += ", each datagram by itself"
		}
		s.line("service", "%s", text)
	} else {
		s.line("service", "none")
	}
	for _, step := range x.Search {
		if step.Found {
			s.line("", "looked for %s: found", step.Looked)
		} else {
			s.line("", "looked for %s: %s", step.Looked, step.Why)
		}
	}
	for _, m := range x.NearMisses {
		s.line("", "not %s: %s", serviceName(m.Protocol, m.Address, m.Mark, m.IPv6), m.Why)
	}
	if x.LeftOut > 0 {
		s.line("", "nor %d more that are near", x.LeftOut)
	}
}

// connection says what there was already.
func (s *sheet) connection(x *ipvs.Explanation) {
	if x.Connection == nil {
		s.line("connection", "none")
	} else {
		s.line("connection", "there is one: %s", entryText(x.Connection))
	}
	if t := x.Template; t != nil {
		text := map[string]string{"found": "there is one", "made": "a new one", "replaced": "a new one, not the old one", "none": "none"}[t.Outcome]
		if t.Why != "" {
			text += " (" + t.Why + ")"
		}
		if t.Entry != nil {
			text += ": " + entryText(t.Entry)
		}
		s.line("template", "%s", text)
	}
}

// pick shows the numbers that the scheduler compared.
func (s *sheet) pick(p *ipvs.ExplainedPick) {
	rule := p.Scheduler
	if p.Rule != "" {
		rule += ": " + p.Rule
	}
	s.line("scheduler", "%s", rule)
	for _, f := range p.Facts {
		s.line("", "%s: %s", f.Name, f.Value)
	}
	if len(p.Candidates) == 0 {
		s.line("", "the service has no real servers")
		return
	}
	if p.Server == nil {
		s.line("", "nobody may take the connection")
	}
	head := fmt.Sprintf("  %-21s %6s %6s %8s  %s", "server", "weight", "active", "inactive", p.Compares)
	fmt.Fprintln(s, strings.TrimRight(head, " "))
	rows, left := 0, 0
	for i := range p.Candidates {
		// The pick has a place in the list however long that is.
		if c := &p.Candidates[i]; rows < mostRows-1 || c.Picked || rows < mostRows && p.Server == nil {
			fmt.Fprintln(s, candidateText(c))
			rows++
		} else {
			left++
		}
	}
	if left > 0 {
		fmt.Fprintf(s, "  and %d more (--json shows all)\n", left)
	}
}

func candidateText(c *ipvs.ExplainedCandidate) string {
	mark := " "
	if c.Picked {
		mark = ">"
	}
	var says []string
	switch {
	case c.Out != "":
		says = append(says, "out: "+c.Out)
	case c.Per == 1:
		says = append(says, strconv.FormatInt(c.Load, 10))
	case c.Per != 0:
		says = append(says, fmt.Sprintf("%d/%d = %.4g", c.Load, c.Per, float64(c.Load)/float64(c.Per)))
	}
	if c.Note != "" {
		says = append(says, c.Note)
	}
	text := fmt.Sprintf("%s %-21s %6d %6d %8d  %s", mark, c.Address, c.Weight, c.Active, c.Inactive, strings.Join(says, ", "))
	return strings.TrimRight(text, " ")
}

// outcome says what the packet leaves behind and where it goes.
func (s *sheet) outcome(x *ipvs.Explanation) {
	s.WriteByte('\n')
	if x.Entry != nil {
		s.line("entry", "%s", entryText(x.Entry))
	}
	for i := range x.Sent {
		s.line("sent", "%s", packetText(&x.Sent[i]))
	}
	if x.Held != nil {
		s.line("waits", "%s", packetText(x.Held))
	}
	if len(x.Sent) == 0 && x.Held == nil {
		s.line("sent", "nothing")
	}
	if x.NextHop != nil {
		s.line("next hop", "%s", hopText(x.NextHop))
	}
}

func packetText(p *ipvs.Packet) string {
	way := p.Src.String() + " > " + p.Dst.String()
	what := strings.ToUpper(p.Protocol)
	if p.Protocol == "ipv6" {
		what = "IPv6"
	}
	switch {
	case p.Flags != "":
		what += " " + p.Flags
	case p.Chunk != "":
		what += " " + p.Chunk
	case p.ICMP != "":
		what += " " + p.ICMP
	}
	if p.Src.Port() == 0 && p.Dst.Port() == 0 { // ICMP, a tunnel's outer packet, a later fragment
		way = p.Src.Addr().String() + " > " + p.Dst.Addr().String()
	}
	sums := "checksums good"
	if !p.ChecksumsOK {
		sums = "CHECKSUMS WRONG"
	}
	return fmt.Sprintf("%s: %s %s, TTL %d, %d bytes, %s", p.Link, way, what, p.TTL, p.Length, sums)
}

func entryText(e *ipvs.ExplainedEntry) string {
	text := strings.ToUpper(e.Protocol)
	if e.State != text { // UDP has one state, of the same name
		text += " " + e.State
	}
	text += fmt.Sprintf(", %v > %v > %v", e.Client, e.Virtual, e.Dest)
	if e.Source.IsValid() {
		text += fmt.Sprintf(" from %v", e.Source)
	}
	if !slices.Contains(e.Flags, "one-packet") { // which ends with its packet
		text += fmt.Sprintf(", ends in %g s", e.Expires)
	}
	for _, f := range e.Flags {
		text += ", " + f
	}
	return text
}

func hopText(h *ipvs.ExplainedHop) string {
	if h.Link == "" {
		return fmt.Sprintf("%v: %s", h.To, h.Kind)
	}
	text := h.To.String()
	if h.Via != h.To && h.Via.IsValid() {
		text += " by way of " + h.Via.String()
	}
	switch {
	case h.Resolved && h.Stale:
		text += " at " + h.MAC + " (to be confirmed)"
	case h.Resolved:
		text += " at " + h.MAC
	case h.Failed:
		text += ", which does not answer ARP"
	default:
		text += ", whose MAC address is not known yet"
	}
	return fmt.Sprintf("%s, by %s, MTU %d", text, h.Link, h.MTU)
}

// serviceName is a service as a listing has it.
func serviceName(proto string, addr netip.AddrPort, mark uint32, ipv6 bool) string {
	if mark != 0 {
		return ipvs.ServiceKey{Mark: mark, V6: ipv6}.String()
	}
	return strings.ToUpper(proto) + " " + addr.String()
}
