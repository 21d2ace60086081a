package words

import (
	"fmt"

	"github.com/spf13/cobra"

	"natlb/internal/control"
)

func (e *Env) counters() *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "counters",
		Short: "what became of every frame received: verdicts and link counters",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := e.dial()
			defer client.Close()
			counters, err := client.Counters(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), countersJSON{counters})
			}
			for _, c := range counters {
				if all || c.Count != 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%-32s %d\n", c.Name, c.Count)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those that are 0 too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all as JSON")
	return e.talks(cmd)
}

// countersJSON are the counters as natlb prints them.
type countersJSON struct {
	Counters []control.Counter `json:"counters"`
}
