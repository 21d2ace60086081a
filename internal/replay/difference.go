package replay

import (
	"fmt"
	"io"
	"text/tabwriter"

	"natlb/internal/pcapfile"
)

// Difference is the first packet that a replay has sent otherwise than stored,
// side by side with the stored one.
type Difference struct {
	Side   string          `json:"side"`          // vip or dip: by which link it was sent
	Number int             `json:"number"`        // of the packet of this side, from 1
	Time   string          `json:"time"`          // RFC 3339
	Why    string          `json:"why,omitempty"` // verdict and connection, of a replayed packet
	Rows   []DifferenceRow `json:"fields"`
}

// DifferenceRow is one field of both packets, empty where one has none.
type DifferenceRow struct {
	Name     string `json:"name"`
	Stored   string `json:"stored"`
	Replayed string `json:"replayed"`
	Differs  bool   `json:"differs"`
}

const clock = "15:04:05.000000000"

// Comparison says whether a replay is as stored.
type Comparison struct {
	Schema int         `json:"schema"`
	Same   bool        `json:"same"`
	Packet *Difference `json:"packet,omitempty"` // the first that is not
	Tables []string    `json:"tables,omitempty"` // what the tables say otherwise, a line each
}

// WriteText writes the comparison for people.
func (c *Comparison) WriteText(w io.Writer) error {
	const most = 10
	if c.Packet != nil {
		if err := c.Packet.WriteText(w); err != nil {
			return err
		}
	}
	for i, line := range c.Tables {
		if i == most {
			_, err := fmt.Fprintf(w, "and %d more differences of tables\n", len(c.Tables)-most)
			return err
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if c.Same {
		_, err := fmt.Fprintln(w, "as stored: all packets and tables")
		return err
	}
	return nil
}

// compare sets two packets side by side; nil is none.
func compare(stored, replayed *pcapfile.Packet) (rows []DifferenceRow) {
	fields := func(p *pcapfile.Packet) []Field {
		if p == nil {
			return nil
		}
		return append([]Field{{"frame.time", p.When().Format(clock)}}, Decode(p)...)
	}
	a, b := fields(stored), fields(replayed)
	for len(a) > 0 || len(b) > 0 {
		var row DifferenceRow
		switch {
		case len(a) > 0 && len(b) > 0 && a[0].Name == b[0].Name:
			row = DifferenceRow{a[0].Name, a[0].Value, b[0].Value, a[0].Value != b[0].Value}
			a, b = a[1:], b[1:]
		case len(a) > 0 && !has(b, a[0].Name):
			row = DifferenceRow{a[0].Name, a[0].Value, "", true}
			a = a[1:]
		default:
			row = DifferenceRow{b[0].Name, "", b[0].Value, true}
			b = b[1:]
		}
		rows = append(rows, row)
	}
	return rows
}

func has(fields []Field, name string) bool {
	for _, f := range fields {
		if f.Name == name {
			return true
		}
	}
	return false
}

// WriteText writes both packets side by side, the fields that differ marked with
// a star.
func (d *Difference) WriteText(w io.Writer) error {
	fmt.Fprintf(w, "first difference: packet %d sent on the %s side, at %s\n", d.Number, d.Side, d.Time)
	if d.Why != "" {
		fmt.Fprintf(w, "it was sent for: %s\n", d.Why)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "  \tfield\tstored\treplayed\n")
	for _, r := range d.Rows {
		mark := " "
		if r.Differs {
			mark = "*"
		}
		stored, replayed := window(r.Stored, r.Replayed)
		fmt.Fprintf(t, "%s \t%s\t%s\t%s\n", mark, r.Name, stored, replayed)
	}
	return t.Flush()
}

// window cuts two long values to where they begin to differ.
func window(a, b string) (string, string) {
	const width, before = 28, 8
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	from := 0
	if len(a) > width || len(b) > width {
		from = max(same-before, 0) &^ 1 // whole bytes of hex
		if a == b {
			from = 0
		}
	}
	return cut(a, from, width), cut(b, from, width)
}

func cut(s string, from, width int) string {
	if s == "" {
		return "(none)"
	}
	out := s[min(from, len(s)):]
	if from > 0 {
		out = fmt.Sprintf("+%d:%s", from/2, out)
	}
	if len(out) > width+8 {
		out = out[:width+8] + "..."
	}
	return out
}
