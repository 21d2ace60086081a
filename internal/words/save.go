package words

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"natlb/internal/control"
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
			state, err := readState(cmd.Context(), client)
			if err != nil {
				return err
			}
			ipvsadm.WriteRules(e.Stdout, state)
			return nil
		},
	}
	return e.talks(cmd)
}

func readState(ctx context.Context, client *control.Client) (*ipvsadm.State, error) {
	var s ipvsadm.State
	var err error
	if s.Timeouts, err = client.Timeouts(ctx); err != nil {
		return nil, err
	}
	settings, err := client.Sysctls(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range settings {
		if c.Value != c.Default {
			s.Sysctls = append(s.Sysctls, [2]string{c.Name, c.Value})
		}
	}
	marks, err := client.Marks(ctx, []string{"-S"})
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(marks) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "-A ") {
			s.Marks = append(s.Marks, line)
		}
	}
	s.Services, err = client.Services(ctx)
	return &s, err
}
