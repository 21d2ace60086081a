package replay

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed policies.html
var policiesPage string

var policiesTemplate = template.Must(template.New("policies").Funcs(template.FuncMap{
	"percent": percent, "seconds": seconds,
}).Parse(policiesPage))

// The size of a chart, in the units of its SVG.
const (
	chartWidth  = 720
	chartHeight = 150
	lineHeight  = 90
	paletteSize = 10 // colours of the page; with more servers they come again
)

// WriteHTML writes the comparison as one page that needs nothing else: tables,
// and for each service two charts a policy, drawn to the same scales.
func (p *Policies) WriteHTML(w io.Writer) error {
	page := pageData{Policies: p, Moved: p.Moved.sentence(), Moves: p.Moved.Moves[:min(len(p.Moved.Moves), mostMoves)]}
	for _, name := range verdictsOf(&p.Policies[0], &p.Policies[1]) {
		page.Verdicts = append(page.Verdicts, verdictRow{name, p.Policies[0].verdict(name), p.Policies[1].verdict(name)})
	}
	for _, s := range p.spreads() {
		page.Services = append(page.Services, p.draw(s))
	}
	if err := policiesTemplate.Execute(w, page); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

type pageData struct {
	*Policies
	Verdicts []verdictRow
	Services []drawing
	Moved    string
	Moves    []Move
}

type verdictRow struct {
	Name string
	A, B uint64
}

// drawing is a service's table and charts.
type drawing struct {
	*spread
	Charts []chart
}

// Color returns the colour of server i.
func (drawing) Color(i int) int { return i % paletteSize }

// chart is what one policy did: new connections as stacked bars, active ones as
// lines.
type chart struct {
	Policy    string // A or B
	Scheduler string
	MostNew   uint64
	MostLive  int64
	Bars      []bar2D
	Lines     []line2D
}

type bar2D struct {
	X, Y, Width, Height float64
	Color               int
	Title               string
}

type line2D struct {
	Points string
	Color  int
	Title  string
}

// draw draws a service. Both policies have the same scales.
func (p *Policies) draw(s *spread) drawing {
	d := drawing{spread: s}
	mostNew, mostLive := uint64(1), int64(1)
	for policy := range p.Policies {
		sums := map[int]uint64{}
		for _, x := range s.Servers {
			if of := x.Of[policy]; of != nil {
				for i, n := range of.New {
					sums[i] += n
					mostNew = max(mostNew, sums[i])
				}
				mostLive = max(mostLive, of.Peak)
			}
		}
	}
	for policy := range p.Policies {
		c := chart{Policy: string(rune('A' + policy)), Scheduler: s.Schedulers[policy], MostNew: mostNew, MostLive: mostLive}
		stacked := map[int]uint64{}
		for i, x := range s.Servers {
			if of := x.Of[policy]; of != nil {
				p.bars(&c, of, i%paletteSize, stacked)
				p.line(&c, of, i%paletteSize)
			}
		}
		d.Charts = append(d.Charts, c)
	}
	return d
}

// bars puts a server's new connections on top of those of the ones before.
func (p *Policies) bars(c *chart, s *ServerSeries, color int, stacked map[int]uint64) {
	width := float64(chartWidth) / float64(max(len(s.New), 1))
	for i, n := range s.New {
		if n == 0 {
			continue
		}
		height := float64(n) / float64(c.MostNew) * chartHeight
		below := float64(stacked[i]) / float64(c.MostNew) * chartHeight
		stacked[i] += n
		c.Bars = append(c.Bars, bar2D{
			X: float64(i) * width, Y: chartHeight - below - height, Width: width * 0.9, Height: height, Color: color,
			Title: fmt.Sprintf("%v: %d new connections from %s s on", s.Address, n, seconds(p.Span*time.Duration(i))),
		})
	}
}

// line draws a server's active connections.
func (p *Policies) line(c *chart, s *ServerSeries, color int) {
	width := float64(chartWidth) / float64(max(len(s.Active), 1))
	var points strings.Builder
	for i, n := range s.Active {
		y := lineHeight - float64(n)/float64(c.MostLive)*lineHeight
		fmt.Fprintf(&points, "%.1f,%.1f %.1f,%.1f ", float64(i)*width, y, float64(i+1)*width, y)
	}
	c.Lines = append(c.Lines, line2D{
		Points: strings.TrimSpace(points.String()), Color: color,
		Title: fmt.Sprintf("%v: at most %d active connections, at %s s", s.Address, s.Peak, seconds(s.PeakAt)),
	})
}
