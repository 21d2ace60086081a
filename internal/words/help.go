package words

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// help returns the help of the root, which fits on one screen of 24 lines and 80
// columns, and others' for the rest.
func (w *Words) help(others func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, args []string) {
		if cmd != w.root {
			others(cmd, args)
			return
		}
		out := cmd.OutOrStdout()
		fmt.Fprintln(out, "natlb run is the director. natlb with ipvsadm's options speaks to it: natlb -h")
		for _, c := range w.root.Commands() {
			if c.IsAvailableCommand() && c.Name() != "help" {
				fmt.Fprintf(out, "  natlb %-8s %s\n", c.Name(), c.Short)
			}
		}
		fmt.Fprintln(out, "natlb WORD --help says more; natlb completion bash|zsh|fish completes words.")
	}
}

// man writes the manual pages, made of what --help says.
func (w *Words) man() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write the manual pages into DIR",
		Hidden: true, // packagers' business
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			w.root.DisableAutoGenTag = true
			// The same pages on any day.
			header := &doc.GenManHeader{Section: "8", Source: "natlb " + w.env.Version, Manual: "natlb", Date: new(time.Time)}
			if err := doc.GenManTree(w.root, header, args[0]); err != nil {
				return err
			}
			pages, err := filepath.Glob(filepath.Join(args[0], "natlb*.8"))
			if err == nil {
				fmt.Fprintf(w.env.Stdout, "%d pages in %s: man -l %s\n", len(pages), args[0], filepath.Join(args[0], "natlb.8"))
			}
			return err
		},
	}
}
