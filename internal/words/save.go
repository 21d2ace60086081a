package words

import (
	"bufio"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

// save writes what -S leaves out, too.
func (e *Env) save() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "save",
		Short: "print everything as a rules file, more than -S does",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := e.dial()
			defer client.Close()
			state, err := client.State(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(e.Stdout, jsonOfState(state))
			}
			out := bufio.NewWriter(e.Stdout)
			ipvsadm.WriteRules(out, state)
			return out.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON, with live numbers; not for apply")
	return e.talks(cmd)
}

// stateJSON is a director's state as natlb prints it.
type stateJSON struct {
	Timeouts ipvs.Timeouts         `json:"timeouts"`
	Sysctls  []control.Sysctl      `json:"sysctls"`
	Marks    []string              `json:"marks"`
	Sources  []string              `json:"sources"` // addresses and ranges
	Services []control.ServiceJSON `json:"services"`
}

func jsonOfState(s *control.State) stateJSON {
	return stateJSON{s.Timeouts, s.Sysctls, append([]string{}, s.Marks...), append([]string{}, s.Sources...), control.JSONOfServices(s.Services)}
}
