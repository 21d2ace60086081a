package words

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/ipvs"
)

// version says which natlb this is and, as JSON, which director runs.
func (e *Env) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "natlb "+e.Version)
				return err
			}
			client := e.dial()
			defer client.Close()
			out := versionJSON{Natlb: e.Version}
			status, err := client.Status(cmd.Context())
			switch {
			case err == nil:
				out.Director = &status
			case !errors.Is(err, ipvs.ErrDirectorNotRunning):
				return err
			}
			return printJSON(cmd.OutOrStdout(), out)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON, with the running director")
	return e.talks(cmd)
}

// versionJSON is the version as natlb prints it.
type versionJSON struct {
	Natlb    string          `json:"natlb"`
	Director *control.Status `json:"director"` // null: none is running
}
