package words

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/sources"
	"natlb/ipvs"
)

// source changes and shows the addresses from which servers with --fullnat are
// reached.
func (e *Env) source() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "source add|delete|list [ADDRESS|ADDRESS-ADDRESS|ADDRESS/BITS ...]",
		Short: "the addresses from which servers with --fullnat are reached",
		Long: "Servers with --fullnat do not see the clients but source addresses of the director's: free addresses of the servers' network,\n" +
			"for which natlb answers there. Each is good for 64,512 connections with each server and port. A deleted one stays\n" +
			"until its connections have ended.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := sources.Parse(args)
			if err != nil {
				return hinted{err, "natlb source add 10.0.0.240-10.0.0.243 2001:db8::f0/126"}
			}
			client := e.dial()
			defer client.Close()
			if c.Changes() {
				return client.Apply(cmd.Context(), []ipvs.Change{{Kind: ipvs.ChangeSources, Words: args}})
			}
			list, err := client.Sources(cmd.Context())
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(e.Stdout, sourcesJSON{control.JSONOfSources(list)})
			}
			return e.printSources(list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return e.talks(cmd)
}

// sourcesJSON are the source addresses as natlb prints them.
type sourcesJSON struct {
	Sources []control.SourceJSON `json:"sources"`
}

func (e *Env) printSources(list []ipvs.SourceStatus) error {
	if len(list) == 0 {
		fmt.Fprintln(e.Stderr, "hint: no source addresses; natlb source add ADDRESS")
		return nil
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ADDRESS\tCONNECTIONS\t")
	for _, s := range list {
		note := ""
		switch {
		case s.Deleted:
			note = "deleted, until they end"
		case s.Local:
			note = "not in use: an address of this host"
		}
		fmt.Fprintf(w, "%v\t%d\t%s\n", s.Addr, s.Conns, note)
	}
	return w.Flush()
}
