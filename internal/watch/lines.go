package watch

import (
	"fmt"
	"strings"
	"time"
)

// A line has the name, weight and state of a server in nameWidth columns, and
// then eight numbers of equal width:
//
//	SERVICE / SERVER        WGT STATE        ACT INAC PERS CONN PKIN PKOU  BIN BOUT
//	TCP 192.168.0.178:80 wlc                  12   34    0  120 1.2k 1.1k  88k 1.4M
//	  192.168.56.101:8088     1 up             6   17    0   60  600  550  44k 700k
const (
	nameWidth   = 39
	serverWidth = 23
	numbers     = 8

	narrowest = 4 // columns of a number: 9999, 999k, 1.2M
	widest    = 12
)

// Wide is as wide as a table can be: numbers are exact.
const Wide = nameWidth + numbers*(widest+1)

var titles = [numbers]string{"ACT", "INAC", "PERS", "CONN", "PKIN", "PKOU", "BIN", "BOUT"}

// Lines returns the table as text of so many columns, 79 or more; the first line
// says what the numbers are.
func (t *Table) Lines(columns int) []string {
	width := min(max((columns-nameWidth)/numbers-1, narrowest), widest)
	lines := []string{t.title(), t.dropped(), ""}
	header := fmt.Sprintf("%-*s %3s %-10s ", serverWidth, "SERVICE / SERVER", "WGT", "STATE")
	for _, title := range titles {
		header += fmt.Sprintf(" %*s", width, title)
	}
	lines = append(lines, header)
	for i := range t.Services {
		s := &t.Services[i]
		lines = append(lines, cut(fmt.Sprintf("%v %s", s.Key, s.Scheduler), nameWidth)+t.row(width, &s.Counts, &s.PerSecond))
		for j := range s.Servers {
			d := &s.Servers[j]
			name := fmt.Sprintf("%s %3s %-10s", cut("  "+d.Addr.String(), serverWidth), number(float64(d.Weight), 3), d.State)
			lines = append(lines, cut(name, nameWidth)+t.row(width, &d.Counts, &d.PerSecond))
		}
	}
	if len(t.Services) == 0 {
		lines = append(lines, "no services")
	}
	return lines
}

func (t *Table) title() string {
	servers := 0
	for i := range t.Services {
		servers += len(t.Services[i].Servers)
	}
	rates := "rates follow"
	if t.Interval > 0 {
		rates = "rates of " + t.Interval.Round(10*time.Millisecond).String()
	}
	return fmt.Sprintf("natlb %s  %s, %s, %s  %s", t.Time.Format(time.TimeOnly),
		plural(len(t.Services), "service"), plural(servers, "server"), plural(t.Entries, "connection"), rates)
}

// dropped says what was dropped: in the interval, else ever.
func (t *Table) dropped() string {
	var parts []string
	for _, d := range t.Drops {
		if d.Rate > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", strings.TrimPrefix(d.Name, "drop-"), number(d.Rate, narrowest)))
		}
	}
	if len(parts) > 0 {
		return "dropped per second: " + strings.Join(parts, ", ")
	}
	sum := uint64(0)
	for _, d := range t.Drops {
		sum += d.Frames
	}
	if sum == 0 {
		return "dropped: nothing"
	}
	return fmt.Sprintf("dropped: nothing now; %d frames since the start, most for %s", sum, strings.TrimPrefix(t.most().Name, "drop-"))
}

func (t *Table) most() (most Drop) {
	for _, d := range t.Drops {
		if d.Frames > most.Frames {
			most = d
		}
	}
	return most
}

func (t *Table) row(width int, c *Counts, p *PerSecond) string {
	var b strings.Builder
	for _, n := range []int64{c.Active, c.Inactive, c.PersistConns} {
		fmt.Fprintf(&b, " %*s", width, number(float64(n), width))
	}
	for _, r := range []float64{p.Conns, p.InPkts, p.OutPkts, p.InBytes, p.OutBytes} {
		text := "-"
		if t.Interval > 0 {
			text = number(r, width)
		}
		fmt.Fprintf(&b, " %*s", width, text)
	}
	return b.String()
}

// number writes x in so many columns: exactly if it fits, else in thousands,
// millions and so on. A rate below ten keeps a digit behind its point.
func number(x float64, width int) string {
	text := fmt.Sprintf("%.0f", x)
	if x > 0 && x < 9.95 && x != float64(int64(x)) {
		text = fmt.Sprintf("%.1f", x)
	}
	for _, unit := range "kMGTPE" {
		if len(text) <= width {
			break
		}
		x /= 1000
		text = fmt.Sprintf("%.0f%c", x, unit)
		if x < 9.95 && len(text)+2 <= width {
			text = fmt.Sprintf("%.1f%c", x, unit)
		}
	}
	return text
}

// cut makes text width columns long.
func cut(text string, width int) string {
	if len(text) > width {
		return text[:width-1] + "~"
	}
	return fmt.Sprintf("%-*s", width, text)
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
