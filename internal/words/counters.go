package words

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (e *Env) counters() *cobra.Command {
	var all bool
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
			for _, c := range counters {
				if all || c.Count != 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%-32s %d\n", c.Name, c.Count)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those that are 0 too")
	return e.talks(cmd)
}

func (e *Env) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "natlb "+e.Version) },
	}
}
