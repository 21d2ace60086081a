package replay

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// mostMoves is how many moves the text and the picture show.
const mostMoves = 20

// WriteText writes the comparison for people.
func (p *Policies) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	a, b := &p.Policies[0], &p.Policies[1]
	fmt.Fprintf(t, "A: %s\nB: %s\n", a.Rules, b.Rules)
	fmt.Fprintf(t, "%d packets played by A, %d by B", a.Packets.Received, b.Packets.Received)
	if p.Started != "" {
		fmt.Fprintf(t, ", from %s on for %s s", p.Started, seconds(p.Duration))
	}
	fmt.Fprintf(t, "\n\n\tA\tB\nconnections\t%d\t%d\n", a.Connections, b.Connections)
	for _, name := range verdictsOf(a, b) {
		fmt.Fprintf(t, "%s\t%d\t%d\n", name, a.verdict(name), b.verdict(name))
	}
	for _, s := range p.spreads() {
		fmt.Fprintf(t, "\n%s: A %s, B %s\n", s.Service, s.Schedulers[0], s.Schedulers[1])
		fmt.Fprintf(t, "server\tconns A\tB\tshare A\tB\tpeak active A\tB\tat A\tB\n")
		for _, x := range s.Servers {
			fmt.Fprintf(t, "%v", x.Address)
			for _, column := range []func(*ServerSeries) string{
				func(s *ServerSeries) string { return fmt.Sprint(s.Conns) },
				func(s *ServerSeries) string { return percent(s.Share) },
				func(s *ServerSeries) string { return fmt.Sprint(s.Peak) },
				func(s *ServerSeries) string { return seconds(s.PeakAt) },
			} {
				for _, of := range x.Of {
					cell := "-"
					if of != nil {
						cell = column(of)
					}
					fmt.Fprintf(t, "\t%s", cell)
				}
			}
			fmt.Fprintln(t)
		}
	}
	fmt.Fprintf(t, "\n%s\n", p.Moved.sentence())
	if len(p.Moved.Moves) > 0 {
		fmt.Fprintf(t, "from\tto\tconns\n")
	}
	for i, m := range p.Moved.Moves {
		if i == mostMoves {
			fmt.Fprintf(t, "and %d more\n", len(p.Moved.Moves)-i)
			break
		}
		fmt.Fprintf(t, "%v\t%v\t%d\n", m.From, m.To, m.Conns)
	}
	return t.Flush()
}

// sentence says how many connections have moved.
func (m *Moved) sentence() string {
	text := fmt.Sprintf("%d of %d connections went to another server", m.Moved, m.Both)
	if m.Both > 0 {
		text += " (" + percent(float64(m.Moved)/float64(m.Both)) + ")"
	}
	if m.OnlyFirst+m.OnlySecond > 0 {
		text += fmt.Sprintf("; %d were with A only, %d with B only", m.OnlyFirst, m.OnlySecond)
	}
	if m.Left > 0 {
		text += fmt.Sprintf("; %d more were not compared one by one", m.Left)
	}
	return text
}

func percent(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) }

// verdictsOf returns the verdicts of either policy, in their order.
func verdictsOf(a, b *Policy) (names []string) {
	for _, v := range a.Verdicts {
		names = append(names, v.Name)
	}
	for _, v := range b.Verdicts {
		if a.verdict(v.Name) == 0 {
			names = append(names, v.Name)
		}
	}
	return names
}

func (p *Policy) verdict(name string) uint64 {
	for _, v := range p.Verdicts {
		if v.Name == name {
			return v.Count
		}
	}
	return 0
}
