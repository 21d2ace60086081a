package words

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"natlb/internal/watch"
)

// shortestInterval keeps a watch from being a load.
const shortestInterval = 100 * time.Millisecond

func (e *Env) watch() *cobra.Command {
	cfg := watch.Config{In: e.Stdin, Out: e.Stdout}
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "a live table: rates, connections, states of servers, drops",
		Long: "Columns: weight, state (up, quiesced, draining, overloaded, unreachable), active, inactive and persistent connections; per\n" +
			"second new connections, packets in and out, bytes in and out, told from the counters of two readings.\n" +
			"On a terminal it is redrawn in place: s sorts by something else, q ends it. Elsewhere one table follows another.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(watch.SortKeys(), cfg.Sort) {
				return usage(cmd, fmt.Errorf("--sort takes %s, not %q", strings.Join(watch.SortKeys(), ", "), cfg.Sort))
			}
			if cfg.Interval < shortestInterval {
				return usage(cmd, errors.New("--interval takes a time of at least "+shortestInterval.String()+", as 1s"))
			}
			client := e.dial()
			defer client.Close()
			cfg.Next = watch.Tables(func(ctx context.Context) (*watch.Reading, error) {
				snapshot, counters, err := client.Snapshot(ctx)
				return &watch.Reading{Snapshot: snapshot, Counters: counters, Time: time.Now()}, err
			})
			return watch.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Sort, "sort", "name", "sort by `KEY`: "+strings.Join(watch.SortKeys(), ", "))
	f.DurationVar(&cfg.Interval, "interval", time.Second, "time between two tables")
	f.BoolVar(&cfg.Once, "once", false, "one table, and end")
	f.BoolVar(&cfg.JSON, "json", false, "a JSON object for each table")
	return e.talks(cmd)
}
