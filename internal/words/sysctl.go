package words

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/ipvs"
)

func (e *Env) sysctl() *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "sysctl [-a] [net.ipv4.vs.NAME[=VALUE] ...]",
		Short: "show or change the settings that IPVS has as sysctls",
		RunE: func(cmd *cobra.Command, args []string) error {
			client := e.dial()
			defer client.Close()
			if asJSON {
				return sysctlsAsJSON(cmd, client, args)
			}
			if all || len(args) == 0 {
				return listSysctls(cmd, client, nil)
			}
			for _, arg := range args {
				if err := sysctl(cmd, client, arg); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list all with their meaning")
	cmd.Flags().BoolVar(&asJSON, "json", false, "list as JSON; all, or those that are named")
	return e.talks(cmd)
}

// sysctlsJSON are the settings as natlb prints them.
type sysctlsJSON struct {
	Sysctls []control.Sysctl `json:"sysctls"`
}

func sysctlsAsJSON(cmd *cobra.Command, client *control.Client, names []string) error {
	settings, err := client.Sysctls(cmd.Context())
	if err != nil {
		return err
	}
	out := sysctlsJSON{[]control.Sysctl{}}
	if len(names) == 0 {
		out.Sysctls = settings
	}
	for _, name := range names {
		name = strings.TrimPrefix(name, sysctlPrefix)
		i := slices.IndexFunc(settings, func(s control.Sysctl) bool { return s.Name == name })
		if i < 0 {
			return hinted{fmt.Errorf("%w: %s%s", ipvs.ErrUnknownSysctl, sysctlPrefix, name), "natlb sysctl -a lists them"}
		}
		out.Sysctls = append(out.Sysctls, settings[i])
	}
	return printJSON(cmd.OutOrStdout(), out)
}

const sysctlPrefix = "net.ipv4.vs."

func sysctl(cmd *cobra.Command, client *control.Client, arg string) error {
	name, value, set := strings.Cut(arg, "=")
	name = strings.TrimPrefix(name, sysctlPrefix)
	if !set {
		return listSysctls(cmd, client, &name)
	}
	change := ipvs.Change{Kind: ipvs.SetSysctl, Name: name, Value: strings.TrimSpace(value)}
	return client.Apply(cmd.Context(), []ipvs.Change{change})
}

// listSysctls prints one setting, or all with default and meaning.
func listSysctls(cmd *cobra.Command, client *control.Client, name *string) error {
	settings, err := client.Sysctls(cmd.Context())
	if err != nil {
		return err
	}
	found := name == nil
	for _, s := range settings {
		switch {
		case name == nil:
			fmt.Fprintf(cmd.OutOrStdout(), "%s%s = %s  (default %s) %s\n", sysctlPrefix, s.Name, s.Value, s.Default, s.Meaning)
		case *name == s.Name:
			fmt.Fprintf(cmd.OutOrStdout(), "%s%s = %s\n", sysctlPrefix, s.Name, s.Value)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%w: %s%s", ipvs.ErrUnknownSysctl, sysctlPrefix, *name)
	}
	return nil
}
