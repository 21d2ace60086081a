package words

import (
	"bufio"

	"github.com/spf13/cobra"

	"natlb/internal/ipvsadm"
)

// save writes what -S leaves out, too.
func (e *Env) save() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "save",
		Short: "print everything as a rules file: services, thresholds, timeouts, marks, settings",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := e.dial()
			defer client.Close()
			state, err := client.State(cmd.Context())
			if err != nil {
				return err
			}
			out := bufio.NewWriter(e.Stdout)
			ipvsadm.WriteRules(out, state)
			return out.Flush()
		},
	}
	return e.talks(cmd)
}
