package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"natlb/internal/control"
)

// Drops is what natlb drops shows: what became of every frame received.
type Drops struct {
	Ledger   *control.Ledger
	Time     time.Time
	Interval time.Duration // that the rates are of; 0: there are none yet
	All      bool          // verdicts that no frame has met, too
	before   map[string]uint64
}

// Ledgers makes a table of each ledger and the one before it. A ledger that does
// not balance is an error.
func Ledgers(all bool, read func(context.Context) (*control.Ledger, error)) Next {
	var before *control.Ledger
	return func(ctx context.Context) (Shown, error) {
		now, err := read(ctx)
		if err == nil {
			err = now.Balance()
		}
		if err != nil {
			return nil, err
		}
		d := DropsBetween(before, now, time.Now())
		d.All = all
		before = now
		return d, nil
	}
}

// DropsBetween makes a table of a ledger and the one before it, which may be nil.
func DropsBetween(before, now *control.Ledger, at time.Time) *Drops {
	d := &Drops{Ledger: now, Time: at, before: map[string]uint64{}}
	if before == nil || now.Clock <= before.Clock {
		return d // the first one, or another director
	}
	d.Interval = time.Duration(now.Clock - before.Clock)
	d.before[received] = before.Received
	for _, class := range control.LedgerClasses() {
		d.before[class] = before.Sum(class)
	}
	for i := range before.Verdicts {
		d.before[before.Verdicts[i].Name] = before.Verdicts[i].Count
	}
	return d
}

const received = "received"

// Rated implements [Shown].
func (d *Drops) Rated() bool { return d.Interval > 0 }

// Sort implements [Shown]: the order is that of the verdicts.
func (d *Drops) Sort(string) bool { return false }

// rate is per second. What waits may become fewer, which is no rate.
func (d *Drops) rate(name string, now uint64) float64 {
	if d.Interval == 0 || now < d.before[name] {
		return 0
	}
	return float64(now-d.before[name]) / d.Interval.Seconds()
}

// Lines implements [Shown].
func (d *Drops) Lines(columns int) []string {
	rates := "rates follow"
	if d.Interval > 0 {
		rates = "rates of " + d.Interval.Round(10*time.Millisecond).String()
	}
	l := d.Ledger
	lines := []string{fmt.Sprintf("natlb %s  %s received  %s", d.Time.Format(time.TimeOnly), frames(l.Received), rates), "", ""}
	row := func(name string, count uint64) {
		rate := "-"
		if d.Interval > 0 {
			rate = number(d.rate(name, count), widest)
		}
		lines = append(lines, fmt.Sprintf("%-26s %20d %12s", name, count, rate))
	}
	lines = append(lines, fmt.Sprintf("%-26s %20s %12s", "", "FRAMES", "PER SECOND"))
	for _, class := range control.LedgerClasses() {
		row(class, l.Sum(class))
	}
	row(received, l.Received)
	lines = append(lines, d.lost(columns)...)
	for i := range l.Verdicts {
		v := &l.Verdicts[i]
		sentOn := v.Class == "forwarded" || v.Class == "routed"
		if v.Count == 0 && v.Last == nil && !d.All || sentOn && !d.All {
			continue
		}
		lines = append(lines, "")
		row(v.Name, v.Count)
		lines = append(lines, wrap("    ", v.Meaning, columns)...)
		if v.Last != nil {
			lines = append(lines, wrap("    last: ", d.sighting(v.Last), columns)...)
		}
		if v.Advice != "" {
			lines = append(lines, wrap("    hint: ", v.Advice, columns)...)
		}
	}
	return lines
}

// mostLost is how many servers that cannot be reached are named.
const mostLost = 10

// lost says which real servers cannot be reached.
func (d *Drops) lost(columns int) (lines []string) {
	all := d.Ledger.Unreachable
	if len(all) == 0 {
		return nil
	}
	lines = []string{"", plural(len(all), "real server") + " cannot be reached"}
	for i := range all[:min(len(all), mostLost)] {
		s := &all[i]
		text := fmt.Sprintf("%s, for %v, %s lost", s.Name(), time.Duration(s.For)*time.Second, plural(int(s.Packets), "packet"))
		if s.Withheld {
			text += ", quiesced"
		}
		lines = append(lines, wrap("    ", text, columns)...)
	}
	if rest := len(all) - mostLost; rest > 0 {
		lines = append(lines, fmt.Sprintf("    and %d more (natlb watch)", rest))
	}
	return lines
}

func frames(n uint64) string {
	if n == 1 {
		return "1 frame"
	}
	return fmt.Sprintf("%d frames", n)
}

// sighting says which packet was the last, and when.
func (d *Drops) sighting(s *control.Sighting) string {
	ago := time.Duration(max(d.Ledger.Clock-s.Clock, 0))
	return fmt.Sprintf("%s, %d bytes by %s, %s ago", packet(s), s.Length, s.Link, ago.Round(100*time.Millisecond))
}

// packet names a packet by its ends.
func packet(s *control.Sighting) string {
	if s.Protocol == "" {
		return fmt.Sprintf("ethertype 0x%04x", s.EtherType)
	}
	what := strings.ToUpper(s.Protocol)
	if what[0] <= '9' {
		what = "protocol " + what
	}
	src, dst := s.Source.Addr().String(), s.Destination.Addr().String()
	if s.Source.Port() != 0 || s.Destination.Port() != 0 {
		src, dst = s.Source.String(), s.Destination.String()
	}
	what += " " + src + " > " + dst
	if s.ICMPType != nil && s.ICMPCode != nil {
		what += fmt.Sprintf(" type %d code %d", *s.ICMPType, *s.ICMPCode)
	}
	return what
}

// wrap breaks text into lines of so many columns, between its words.
func wrap(first, text string, columns int) (lines []string) {
	line, rest := first, strings.Repeat(" ", len(first))
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > columns && len(line) > len(rest) {
			lines = append(lines, strings.TrimRight(line, " "))
			line = rest
		}
		line += word + " "
	}
	return append(lines, strings.TrimRight(line, " "))
}

// dropsJSON is the table as JSON: the ledger as the control socket has it, with
// rates.
type dropsJSON struct {
	Schema   int       `json:"schema"`
	Time     time.Time `json:"time"`
	Interval float64   `json:"interval_seconds"`
	*control.Ledger
	Classes  map[string]uint64 `json:"classes"`  // frames of each class: received is their sum
	Verdicts []verdictJSON     `json:"verdicts"` // in place of the ledger's
}

type verdictJSON struct {
	control.LedgerEntry
	PerSecond float64 `json:"per_second"`
}

// JSON implements [Shown]. All verdicts are there.
func (d *Drops) JSON() any {
	out := dropsJSON{
		Schema: schema, Time: d.Time, Interval: d.Interval.Seconds(), Ledger: d.Ledger, Classes: map[string]uint64{}, Verdicts: []verdictJSON{},
	}
	for _, class := range control.LedgerClasses() {
		out.Classes[class] = d.Ledger.Sum(class)
	}
	for _, v := range d.Ledger.Verdicts {
		out.Verdicts = append(out.Verdicts, verdictJSON{v, d.rate(v.Name, v.Count)})
	}
	return out
}
