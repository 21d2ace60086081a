package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"natlb/internal/terminal"
)

// Config says what to watch and how to show it.
type Config struct {
	Next     Next
	Interval time.Duration
	Sort     string // one of SortKeys, where there is something to sort
	Once     bool   // one table, of one interval
	JSON     bool   // an object per table, on a line of its own

	In  io.Reader // keys, where it and Out are terminals
	Out io.Writer
}

// Next makes the table of what has passed since it was last called.
type Next func(context.Context) (Shown, error)

// Shown is a table to show.
type Shown interface {
	// Rated reports whether the table has rates: the first one has none.
	Rated() bool

	// Sort puts the table in order of one of the sort keys, and reports whether
	// it has any.
	Sort(key string) bool

	// Lines returns the table as text of so many columns. The third line is
	// empty, for whoever shows it.
	Lines(columns int) []string

	// JSON returns what says in JSON what the table says.
	JSON() any
}

// Run shows tables until ctx ends or the user says q, which are good ends.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readings := make(chan reading)
	go follow(ctx, &cfg, readings)
	var err error
	if terminal.InPlace(cfg.Out) && !cfg.Once && !cfg.JSON {
		err = inPlace(ctx, &cfg, readings)
	} else {
		err = below(ctx, &cfg, readings)
	}
	return err
}

// reading is a table, or why there is none and will be no more.
type reading struct {
	Shown
	err error
}

// follow reads at each interval. A director that takes its time keeps nobody
// from saying q.
func follow(ctx context.Context, cfg *Config, readings chan<- reading) {
	tick := time.NewTicker(cfg.Interval)
	defer tick.Stop()
	for {
		r, err := cfg.Next(ctx)
		select {
		case readings <- reading{r, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// below prints one table after another, each with its rates.
func below(ctx context.Context, cfg *Config, readings <-chan reading) error {
	columns := Wide
	if terminal.Is(cfg.Out) {
		columns, _ = terminal.Size(cfg.Out)
	}
	for {
		var now reading
		select {
		case now = <-readings:
		case <-ctx.Done():
			return nil
		}
		if now.err != nil {
			return unlessEnded(ctx, now.err)
		}
		if !now.Rated() {
			continue // the first one
		}
		now.Sort(cfg.Sort)
		if err := cfg.print(now, columns); err != nil || cfg.Once {
			return err
		}
	}
}

func (cfg *Config) print(t Shown, columns int) error {
	if cfg.JSON {
		return json.NewEncoder(cfg.Out).Encode(t.JSON())
	}
	text := strings.Join(t.Lines(columns), "\n") + "\n"
	if !cfg.Once {
		text += "\n"
	}
	_, err := io.WriteString(cfg.Out, text)
	return err
}

// inPlace draws on a screen of its own.
func inPlace(ctx context.Context, cfg *Config, readings <-chan reading) error {
	screen, err := terminal.Open(cfg.In, cfg.Out)
	if err != nil {
		return err
	}
	defer screen.Close()
	v := &view{cfg: cfg, screen: screen}
	for {
		select {
		case now := <-readings:
			if now.err != nil {
				return unlessEnded(ctx, now.err)
			}
			v.table = now.Shown
		case key := <-screen.Keys():
			switch key {
			case 'q', 'Q', terminal.Interrupt:
				return nil
			case 's', 'S':
				keys := SortKeys()
				cfg.Sort = keys[(slices.Index(keys, cfg.Sort)+1)%len(keys)]
			}
		case <-screen.Resized():
		case <-ctx.Done():
			return nil
		}
		if err := v.draw(); err != nil {
			return err
		}
	}
}

// unlessEnded returns err, unless it comes from the end of ctx.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// view is the table on a screen.
type view struct {
	cfg    *Config
	screen *terminal.Screen
	table  Shown
}

func (v *view) draw() error {
	if v.table == nil {
		return nil
	}
	keys := "q: quit"
	if v.table.Sort(v.cfg.Sort) {
		keys = fmt.Sprintf("sorted by %s; s: by something else, q: quit", v.cfg.Sort)
	}
	columns, rows := terminal.Size(v.cfg.Out)
	lines := v.table.Lines(columns)
	lines[2] = keys
	if len(lines) > rows && rows > 1 {
		lines = append(lines[:rows-1], fmt.Sprintf("... and %d lines more", len(lines)-rows+1))
	}
	return v.screen.Draw(lines)
}
