package words

import (
	"fmt"

	"github.com/spf13/cobra"

	"natlb/internal/classify"
	"natlb/internal/control"
	"natlb/ipvs"
)

// mark is the iptables-shaped face of natlb's own firewall marks.
func (e *Env) mark() *cobra.Command {
	return &cobra.Command{
		Use:                "mark [-6] -A PREROUTING ... -j MARK --set-mark N",
		Short:              "give packets firewall marks, in the words of iptables -t mangle",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			e.socket, args = control.TakeSocket(args)
			c, err := classify.Parse(args)
			if err != nil {
				return err
			}
			client := e.dial()
			defer client.Close()
			if c.Changes() {
				return client.Apply(cmd.Context(), []ipvs.Change{{Kind: ipvs.ChangeMarks, Words: args}})
			}
			text, err := client.Marks(cmd.Context(), args)
			fmt.Fprint(e.Stdout, text)
			return err
		},
	}
}
