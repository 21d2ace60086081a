package words

import (
	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/doctor"
)

// doctor ends with status 1 when there are faults; warnings alone are none.
func (e *Env) doctor() *cobra.Command {
	var o doctor.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [--vip-if IF --dip-if IF] [--rules FILE]",
		Short: "say what is wrong with director and host, and what cures it",
		Long: `natlb doctor looks at the running director and its host: one line for each fact,
and below each fault its cure. It changes nothing; it asks by ARP,
neighbour discovery and ping.
Before there is a director, --vip-if, --dip-if and --rules say what it will be
given. The exit status is 0 without faults, 1 with some.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Natlb, o.Socket = e.Version, control.SocketPath(e.socket)
			facts, err := doctor.Look(cmd.Context(), o)
			if err != nil {
				return err
			}
			findings := doctor.Examine(facts)
			if asJSON {
				err = doctor.WriteJSON(cmd.OutOrStdout(), facts, findings)
			} else {
				err = doctor.WriteText(cmd.OutOrStdout(), findings)
			}
			if err == nil && doctor.Count(findings, doctor.Fault) > 0 {
				err = Exit(1)
			}
			return err
		},
	}
	cmd.Flags().StringSliceVar(&o.VIPLinks, "vip-if", nil, "without a director: interface towards the clients")
	cmd.Flags().StringSliceVar(&o.DIPLinks, "dip-if", nil, "without a director: interface towards the real servers")
	cmd.Flags().StringVar(&o.Rules, "rules", "", "without a director: rules file that it will get")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return e.talks(cmd)
}
