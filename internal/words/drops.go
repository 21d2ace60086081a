package words

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"natlb/internal/watch"
)

func (e *Env) drops() *cobra.Command {
	cfg := watch.Config{In: e.Stdin, Out: e.Stdout}
	var all, live bool
	cmd := &cobra.Command{
		Use:   "drops",
		Short: "the ledger of all frames: what became of them, and what helps",
		Long: "Every frame received was forwarded, routed, answered, passed to the host, dropped, or is held; the sum is checked.\n" +
			"Of each verdict: frames, frames per second between two readings, the last packet, and what to do about it.\n" +
			"With --watch on a terminal it is redrawn in place, q ends it; elsewhere one table follows another.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Interval < shortestInterval {
				return usage(cmd, errors.New("--interval takes a time of at least "+shortestInterval.String()+", as 1s"))
			}
			client := e.dial()
			defer client.Close()
			cfg.Once = !live
			cfg.Next = watch.Ledgers(all, client.Ledger)
			return watch.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "verdicts that no frame has met, too")
	f.BoolVarP(&live, "watch", "w", false, "go on, a table for each interval")
	f.DurationVar(&cfg.Interval, "interval", time.Second, "time between two readings")
	f.BoolVar(&cfg.JSON, "json", false, "a JSON object for each table")
	return e.talks(cmd)
}
